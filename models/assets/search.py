"""Finding the files that users bring: licensed bodies, priors, avatars, weights."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

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
FORBIDDEN = set(':*?"<>|')  # in names on Windows; the colon begins a stream
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in "123456789¹²³")}
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


def inside(folder, name, windows=os.name == "nt"):
    """Returns ``folder / name`` if that lies inside the folder, also when links are followed, else None.

    Names come from workflows and other people's files, made on any system: "/" and "\\" both separate folders, and what Windows would
    read as a drive or a share is refused everywhere. On Windows devices, streams and names that it would alter are refused too.
    """
    name = PureWindowsPath(name)
    if name.anchor or ".." in name.parts or "\0" in str(name) or windows and not all(map(_plain, name.parts)):
        return None
    path = Path(folder, *name.parts)
    try:
        return path if path.resolve().is_relative_to(Path(folder).resolve()) and (path.is_file() or not os.path.lexists(path)) else None
    except (OSError, RuntimeError, ValueError):  # a name too long or with strange characters, a circle of links
        return None


def _plain(part):
    """Whether a part of a path is an ordinary name on every system."""
    device = part.split(".")[0].rstrip().upper() in DEVICES
    return not device and part == part.rstrip(". ") and not set(part) & FORBIDDEN and part.isprintable()


def find_file(kind, name):
    """Returns the path of a file by its name relative to the search folders; it never leaves them.

    Raises:
        InputError: no such file; the message lists the folders that were searched.
    """
    for folder in search_paths(kind):
        path = inside(folder, name)
        if path is not None and path.is_file():
            return path
    places = ", ".join(str(p) for p in search_paths(kind)) or "no folder (CONTRAPPOSTO_MODELS can name one)"
    raise InputError(f"{kind} file", str(name), "was not found", f"Searched: {places}. Put the file there or give its full path.")


def locate(kind, text):
    """Returns the path of a file named on the command line: a path as it stands, or a name in the search folders; None stays None.

    Raises:
        InputError: no such file.
    """
    return None if text is None else Path(text) if Path(text).exists() else find_file(kind, text)
