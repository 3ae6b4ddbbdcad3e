"""Files of ``torch.save``, read without running anything they contain, in bounded memory."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from ..checks import InputError
from .files import check_file
from .restricted_pickle import check_pickles, check_unfolded

MAX_BYTES = 16 << 30  # unpacked: far above every network that is read here
LEGACY_PICKLES = 5  # magic number, protocol, system, content, names of the storages


def read_checkpoint(path, name, remedy="Save its tensors alone."):
    """Reads a .pt, .pth, .ckpt or .bin file on the CPU with torch's weights-only reader.

    Args:
        name: the input's name in errors. remedy: for a file that holds more than weights.

    Raises:
        InputError: the file is missing, damaged, holds code, or unfolds to more than it may.
    """
    import torch

    path = check_file(name, Path(path))
    try:
        _check_before(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_unfolded(content)
        _check_tensors(content)
        return content
    except Exception as error:  # a damaged file can fail in any way
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError(name, path, "holds Python objects besides weights, which could run code", remedy) from None
        problem = f"is damaged or no plain file of tensors ({type(error).__name__}: {str(error)[:80]})"
        raise InputError(name, path, problem, "Copy or download the file again.") from None


def _check_before(path):
    """Looks at what torch would unpack, because its own reader trusts sizes and nesting."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"unpacks to more than {MAX_BYTES >> 30} GB")
            for entry in archive.infolist():
                if entry.filename.endswith("data.pkl"):
                    with archive.open(entry) as file:
                        check_pickles(file, entry.file_size, 1)
        return
    if tarfile.is_tarfile(path):
        raise ValueError("is a tar archive, a format that torch has left")
    with open(path, "rb") as file:
        check_pickles(file, path.stat().st_size, LEGACY_PICKLES)


def _check_tensors(content):
    """Checks that no tensor claims more elements than its memory holds, which is how a small file stretches."""
    import torch

    waiting = [content]
    for entry in waiting:
        if isinstance(entry, torch.Tensor):
            if entry.layout != torch.strided or entry.is_quantized or entry.device.type != "cpu" or entry.dtype.is_complex:
                raise ValueError("a tensor of an unusual kind")
            if entry.numel() * entry.element_size() > entry.untyped_storage().nbytes():
                raise ValueError("a tensor that claims more numbers than there are")
        elif isinstance(entry, dict):
            waiting += entry.values()
        elif isinstance(entry, (list, tuple)):
            waiting += entry
