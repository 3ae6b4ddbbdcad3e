"""Finished frames on disk, found again by what they were made from. A rerun after a crash, or after an edit, paints only what changed.

A frame is a PNG named by its key; the digest of its pixels lies in the file, so a damaged one is noticed, dropped and painted anew.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from ..assets.files import atomic_write, remove_abandoned
from ..checks import check_range

DIGEST = "sha256"  # text chunk of the PNG
QUICK = 1  # zlib level: the largest gain for the least time


class FrameCache:
    """A folder of finished frames, which holds no more than so many bytes: the frames used longest ago go first.

    Several processes may use one folder: a frame that another one has just dropped is a frame that is not there.

    Args:
        folder: where the frames lie; made on the first write.
        limit: bytes.

    Attributes:
        damaged: names of the files that could not be used and were dropped.
    """

    def __init__(self, folder, limit: int):
        check_range("cache limit", limit, 0, 1 << 50, "bytes")
        self.folder, self.limit, self.damaged = Path(folder), limit, []
        self.sizes = self._by_age()

    def get(self, key: str) -> Tensor | None:
        """Returns the frame (H, W, 3) uint8 of a key, or None if it is not there or damaged."""
        path = self._path(key)
        try:
            frame = _read(path)
        except FileNotFoundError:
            return None
        except Exception:  # a damaged picture can fail in many ways
            frame = None
        if frame is None:
            self.damaged.append(path.name)
            path.unlink(missing_ok=True)
            self.sizes.pop(path.name, None)
            return None
        with suppress(FileNotFoundError):
            os.utime(path)
            self.sizes[path.name] = self.sizes.pop(path.name, path.stat().st_size)
        return frame

    def put(self, key: str, frame: Tensor):
        """Stores a frame (H, W, 3) uint8.

        Raises:
            InputError: the disk is full, or the folder may not be written. Frames stored before stay.
        """
        path = self._path(key)
        with atomic_write(path, "frame cache") as part:
            _write(part, frame)
            size = part.stat().st_size
        self.sizes.pop(path.name, None)
        self.sizes[path.name] = size
        self._trim()

    def _path(self, key):
        return self.folder / f"{key}.png"

    def _by_age(self):
        """{file name: bytes}, the frame used longest ago first."""
        remove_abandoned(self.folder)
        found = []
        for entry in os.scandir(self.folder) if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):
                found += [(entry.stat(), entry.name)] if entry.name.endswith(".png") else []
        return {name: stat.st_size for stat, name in sorted(found, key=lambda item: item[0].st_mtime_ns)}

    def _trim(self):
        """Drops frames until the folder keeps its limit; the newest always stays."""
        total = sum(self.sizes.values())
        while total > self.limit and len(self.sizes) > 1:
            name = next(iter(self.sizes))
            total -= self.sizes.pop(name)
            (self.folder / name).unlink(missing_ok=True)


def digest(*parts) -> str:
    """Returns a hex sha256 of tensors, strings and numbers, in their order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            total.update(f"tensor {part.dtype} {tuple(part.shape)};".encode())
            total.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        else:
            total.update(f"{type(part).__name__} {part!r};".encode())
    return total.hexdigest()


def _write(path, frame):
    from PIL import Image, PngImagePlugin

    told = PngImagePlugin.PngInfo()
    told.add_text(DIGEST, digest(frame))
    Image.fromarray(frame.cpu().numpy()).save(path, "PNG", pnginfo=told, compress_level=QUICK)


def _read(path):
    """The frame of a file, or None if its pixels are not those that were written."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        frame = torch.from_numpy(np.array(picture.convert("RGB")))
        return frame if picture.info.get(DIGEST) == digest(frame) else None
