"""Finding the files that users bring: licensed bodies, priors, avatars, weights."""

from __future__ import annotations

import os
from pathlib import Path

from ..checks import InputError

KINDS = {
    "body_models": (".npz", ".pkl"),
    "pose_priors": (".safetensors", ".ckpt", ".pt"),
    "text_to_pose": (".safetensors",),
    "pose_scorers": (".safetensors",),
    "avatars": (".glb", ".gltf", ".vrm", ".fbx"),
    "personalization": (".safetensors",),
    "parts_to_whole": (".safetensors", ".pth"),
}
_added: dict[str, list[Path]] = {}


def add_search_path(kind, path):
    """Adds a folder for one kind of file. The host calls this with its own models folders."""
    paths = _added.setdefault(kind, [])
    if Path(path) not in paths:
        paths.append(Path(path))


def search_paths(kind):
    """Returns the folders where files of this kind are looked for, in order."""
    home = os.environ.get("CONTRAPPOSTO_MODELS")
    return [*_added.get(kind, []), *([Path(home) / kind] if home else [])]


def list_files(kind):
    """Returns the names of all files of this kind, relative to their search folder, sorted."""
    found = set()
    for folder in search_paths(kind):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.suffix.lower() in KINDS[kind] and path.is_file():
                found.add(path.relative_to(folder).as_posix())
    return sorted(found)


def find_file(kind, name):
    """Returns the path of a file by its name relative to the search folders; it never leaves them.

    Raises:
        InputError: no such file; the message lists the folders that were searched.
    """
    for folder in search_paths(kind):
        path = folder / name
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    places = ", ".join(str(p) for p in search_paths(kind)) or "no folder (CONTRAPPOSTO_MODELS can name one)"
    raise InputError(f"{kind} file", str(name), "was not found", f"Searched: {places}. Put the file there or give its full path.")


def locate(kind, text):
    """Returns the path of a file named on the command line: a path as it stands, or a name in the search folders; None stays None.

    Raises:
        InputError: no such file.
    """
    return None if text is None else Path(text) if Path(text).exists() else find_file(kind, text)
