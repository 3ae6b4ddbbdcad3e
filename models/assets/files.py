"""Safe reading and writing of files: nothing is unpickled here, nothing is left half-written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from ..checks import InputError

PART = ".part"  # how unfinished files end; no list of models, pictures or shards shows such files
ABANDONED = 24 * 3600  # seconds without a change after which an unfinished file belongs to nobody
CONFIG_KEY = "config"  # safetensors metadata holds strings only, so the config is one JSON string


def check_file(name, path, suffixes=()):
    """Returns ``path`` as a Path if it is a readable, non-empty file with one of the suffixes.

    Raises:
        InputError: it is missing, a folder, empty, unreadable or of another type.
    """
    path = Path(path)
    try:
        there = path.exists()
    except OSError as error:
        raise InputError(name, path, f"is no path ({error.strerror})", "Check the spelling of the path.") from None
    if not there:
        raise InputError(name, path, "does not exist", "Check the spelling of the path.")
    if not path.is_file():
        raise InputError(name, path, "is not a file", "Give the path of a file.")
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(name, path, f"has the type {path.suffix or '(none)'}", f"Give a file of type {' or '.join(suffixes)}.")
    if path.stat().st_size == 0:
        raise InputError(name, path, "is empty", "Copy or download the file again.")
    if not os.access(path, os.R_OK):
        raise InputError(name, path, "may not be read", "Change the file's permissions.")
    return path


def read_npz(source, name="npz file", names=None, max_bytes=2 << 30, where=None):
    """Reads an .npz as a dict of numpy arrays of numbers and texts. Object arrays are refused, because they hold pickled code.

    Args:
        source: path of the file, or its bytes.
        name: the input's name in errors.
        names: the arrays to read, where they are there; others stay closed. None is all.
        max_bytes: that they may unpack to.
        where: what stands for the file in errors, for bytes.

    Raises:
        InputError: the file is missing, damaged, too large once unpacked, or holds objects.
    """
    import io
    import zipfile

    import numpy as np

    if isinstance(source, bytes):
        open_source = lambda: io.BytesIO(source)
    else:
        where = check_file(name, source, (".npz",))
        open_source = lambda: where
    again = "Copy or download the file again."
    try:
        with zipfile.ZipFile(open_source()) as archive:
            sizes = [(entry.filename.removesuffix(".npy"), entry.file_size) for entry in archive.infolist()]
        size = sum(size for key, size in sizes if names is None or key in names)
        if size > max_bytes:
            raise InputError(name, where, f"unpacks to {size / 1e9:.1f} GB", f"Give a file below {max_bytes / 1e9:.1f} GB.")
        with np.load(open_source(), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key, _ in sizes if names is None or key in names}
        for key, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufSU":
                raise InputError(name, where, f"holds neither numbers nor texts in {key[:80]!r}", "Save it with plain arrays only.")
        return arrays
    except InputError:
        raise
    except Exception as error:  # a damaged archive can fail in many ways
        if "allow_pickle" in str(error):
            raise InputError(name, where, "holds Python objects, which could run code", "Save it with plain arrays only.") from None
        if isinstance(error, (zipfile.BadZipFile, OSError, EOFError, KeyError, NotImplementedError)):
            raise InputError(name, where, f"is not a readable .npz ({str(error)[:80]})", again) from None
        raise InputError(name, where, f"is damaged ({type(error).__name__}: {str(error)[:80]})", again) from None


def read_safetensors(path, name="weights file", device="cpu"):
    """Reads a .safetensors file of weights.

    Returns:
        (tensors, config): name -> tensor, all finite, and the config that the file carries about itself ({} if none).

    Raises:
        InputError: the file is missing or damaged, or holds NaN or infinity, which would end in black pictures.
    """
    path = check_file(name, path)
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        config = json.loads(metadata.get(CONFIG_KEY, "{}"), parse_constant=_no_number)
    except Exception as error:
        problem = f"is not a readable .safetensors file ({str(error)[:80]})"
        raise InputError(name, path, problem, "Copy or download the file again.") from None
    if not isinstance(config, dict):
        raise InputError(name, path, "describes itself with something else than named entries", "Copy or download the file again.")
    check_weights(name, path, tensors)
    return tensors, config


def check_weights(name, path, tensors):
    """Checks that named tensors are finite. Types of one byte are left alone: torch has no such question for them.

    Raises:
        InputError: one is not.
    """
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.element_size() > 1 and not bool(tensor.isfinite().all()):
            raise InputError(name, path, f"holds NaN or infinity in {key[:80]}", "Copy or download the file again, or export it again.")


def _no_number(word):
    raise ValueError(f"{word} is no number of JSON")


def read_text(path, name, suffixes=(), max_bytes=256 << 20):
    """Returns the text of a UTF-8 file.

    Raises:
        InputError: the file is missing, too large, or not UTF-8.
    """
    path = check_file(name, path, suffixes)
    if path.stat().st_size > max_bytes:
        raise InputError(name, path, f"is larger than {max_bytes >> 20} MB", "Split it.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(name, path, f"is not UTF-8 text (byte {error.start})", "Save it as UTF-8.") from None


def parse_json(text):
    """Returns what JSON text says. Text that is nested too deeply is a ValueError, as is all else that is wrong with it."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def config_of(config_class, told, tensors, least):
    """Returns the sizes that a file of weights tells about its network, once they make sense for the numbers that it holds.

    Args:
        config_class: dataclass whose fields all have defaults. told: what the file says.
        tensors: name -> tensor.
        least: config -> fewer numbers than such a network has, so that a small file cannot ask for a huge network.

    Raises:
        TypeError: a field is unknown, of another type or below 1, or the network is larger than the file.
    """
    config = config_class(**told)
    for part in fields(config):
        value, kinds = getattr(config, part.name), (int, float) if isinstance(part.default, float) else (type(part.default),)
        if type(value) not in kinds or type(part.default) is int and value < 1:
            raise TypeError(f"{part.name} is {value!r:.40}")
    if least(config) > sum(tensor.numel() for tensor in tensors.values()):
        raise TypeError("it describes a larger network than it holds")
    return config


def write_safetensors(path, tensors, config):
    """Writes tensors with the config that describes them (JSON), atomically."""
    from safetensors.torch import save_file

    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with atomic_write(path) as part, tempfile.TemporaryDirectory(prefix=f".{part.stem}.", suffix=PART, dir=part.parent) as folder:
        # In a folder of its own, because safetensors makes a temporary file beside it, whose name nobody would know for ours.
        save_file(tensors, f"{folder}/weights", metadata={CONFIG_KEY: json.dumps(config, sort_keys=True)})
        os.replace(f"{folder}/weights", part)


@contextmanager
def atomic_write(path, name="output file"):
    """Gives a temporary path beside ``path``; on success it replaces ``path``, on failure nothing is left.

    The temporary name is ``.NAME.RANDOM.part``: it starts with a dot and has no other suffix, so nobody takes it for a finished file.
    Only a killed process leaves such a file behind; `remove_abandoned` clears them away.

    Example::

        with atomic_write("poses.npz") as part:
            part.write_bytes(data)

    Raises:
        InputError: the folder cannot be made or written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(name, path, f"cannot be written ({error.strerror})", "Choose a folder you may write to.") from None
    part = Path(part)
    try:
        yield part
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except OSError as error:
        problem = f"could not be written ({error.strerror or error})"
        raise InputError(name, path, problem, "Check the disk's free space and permissions.") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def claim_path(paths, name="output file"):
    """Gives the first of the paths that nobody has written and nobody else is writing, in this process or another one.

    Example::

        with claim_path(folder / f"motion_{number:05}.glb" for number in count()) as path:
            write_animated_glb(path, figure)

    Args:
        paths: iterable of paths in the order of preference, as long as needed.

    Raises:
        InputError: the folder cannot be written.
    """
    path, mark = next(filter(None, map(lambda path: _claimed(Path(path), name), paths)))
    try:
        yield path
    finally:
        mark.unlink(missing_ok=True)


def _claimed(path, name):
    """(path, file that marks it as ours), or None when it is taken."""
    mark = path.with_name(f".{path.name}.claim{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return None
    except OSError as error:
        raise InputError(name, path, f"cannot be written ({error.strerror})", "Choose a folder you may write to.") from None
    if path.exists():  # looked at only now: whoever wrote it may have let go of the mark a moment ago
        mark.unlink(missing_ok=True)
        return None
    return path, mark


def remove_abandoned(folder, seconds=ABANDONED):
    """Removes what killed processes have left in a folder: unfinished files, or folders of them, unchanged for so many seconds."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name.startswith(".") and entry.name.endswith(PART)]
    except OSError:
        return
    for entry in entries:
        try:
            if time.time() - entry.stat().st_mtime > seconds:
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        except OSError:  # somebody else was faster, or may not
            continue


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_sha256(path):
    """Returns the hex sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
