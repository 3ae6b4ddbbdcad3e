"""Is every file below a folder whole? Leftovers and files that cannot be read to their end are told by name."""

from __future__ import annotations

import json
import struct
import tarfile
from pathlib import Path

import numpy as np

PART = ".part"


def leftovers(*folders):
    """Returns the temporary files that are still there, ours and others'."""
    return sorted(str(path) for folder in folders for path in Path(folder).rglob("*") if path.is_file() and is_leftover(path, folder))


def is_leftover(path, folder):
    """Whether it, or a folder that it lies in, has a name that nothing finished has."""
    return any(name.startswith(".") for name in path.relative_to(folder).parts)


def broken(*folders, seen=()):
    """Returns {file: why} of those that cannot be read to their end; files in ``seen`` are passed over."""
    found = {}
    for path in (path for folder in folders for path in Path(folder).rglob("*") if not is_leftover(path, folder)):
        if path.is_file() and str(path) not in seen:
            try:
                READERS.get(path.suffix.lower(), _any)(path)
            except Exception as error:
                found[str(path)] = f"{type(error).__name__}: {error}"
    return found


def _any(path):
    if path.stat().st_size == 0:
        raise ValueError("is empty")


def _npz(path):
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _picture(path):
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()


def _shard(path):
    with tarfile.open(path, "r:") as tar:
        names = [entry.name for entry in tar if tar.extractfile(entry).read()]
    told = path.with_suffix(".json")
    if told.exists() and json.loads(told.read_text())["count"] * 3 != len(names):
        raise ValueError(f"{len(names)} files do not fit the manifest")


def _glb(path):
    data = path.read_bytes()
    magic, _, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or length != len(data):
        raise ValueError(f"{len(data)} of {length} bytes")


def _bvh(path):
    head, _, frames = path.read_text("ascii").partition("Frames: ")
    if not head.startswith("HIERARCHY") or len(frames.strip().splitlines()) != 2 + int(frames.split()[0]):
        raise ValueError("has fewer frames than it says")


def _video(path):
    import av

    with av.open(str(path)) as container:
        if sum(1 for _ in container.decode(video=0)) == 0:
            raise ValueError("has no frame")


def _safetensors(path):
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        for key in file.keys():
            file.get_tensor(key)


READERS = {".npz": _npz, ".png": _picture, ".jpg": _picture, ".tar": _shard, ".glb": _glb, ".bvh": _bvh, ".mp4": _video,
           ".json": lambda path: json.loads(path.read_text()), ".safetensors": _safetensors,
           ".diff": Path.read_text}  # which may be empty
