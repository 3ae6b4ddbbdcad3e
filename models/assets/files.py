"""Safe reading and writing of files: nothing is unpickled here, nothing is left half-written."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from contextlib import contextmanager
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
    if not path.exists():
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


def read_npz(path, name="npz file", max_bytes=2 << 30):
    """Reads an .npz as a dict of numpy arrays. Object arrays are refused, because they hold pickled code.

    Raises:
        InputError: the file is missing, damaged, too large once unpacked, or holds objects.
    """
    import zipfile

    import numpy as np

    path = check_file(name, path, (".npz",))
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > max_bytes:
            raise InputError(name, path, f"unpacks to {size / 1e9:.1f} GB", f"Give a file below {max_bytes / 1e9:.1f} GB.")
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except InputError:
        raise
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InputError(name, path, "holds Python objects, which could run code", "Save it with plain arrays only.") from None
        raise InputError(name, path, f"is damaged ({error})", "Copy or download the file again.") from None
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, MemoryError, NotImplementedError, zipfile.LargeZipFile) as error:
        raise InputError(name, path, f"is not a readable .npz ({error})", "Copy or download the file again.") from None
    except Exception as error:  # zlib.error and friends: a damaged archive can fail in many ways
        raise InputError(name, path, f"is damaged ({type(error).__name__}: {error})", "Copy or download the file again.") from None


def read_safetensors(path, name="weights file", device="cpu"):
    """Reads a .safetensors file.

    Returns:
        (tensors, config): name -> tensor, and the config that the file carries about itself ({} if none).

    Raises:
        InputError: the file is missing or damaged.
    """
    path = check_file(name, path)
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        return tensors, json.loads(metadata.get(CONFIG_KEY, "{}"))
    except Exception as error:
        raise InputError(name, path, f"is not a readable .safetensors file ({error})", "Copy or download the file again.") from None


def write_safetensors(path, tensors, config):
    """Writes tensors with the config that describes them (JSON), atomically."""
    from safetensors.torch import save_file

    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with atomic_write(path) as part:
        save_file(tensors, str(part), metadata={CONFIG_KEY: json.dumps(config, sort_keys=True)})


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
    """Removes what killed processes have left in a folder: unfinished files that nobody has changed for so many seconds."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name.startswith(".") and entry.name.endswith(PART)]
    except OSError:
        return
    for entry in entries:
        try:
            if time.time() - entry.stat().st_mtime > seconds:
                os.unlink(entry.path)
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
