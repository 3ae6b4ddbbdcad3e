"""The files that ship with the pack: where they lie, who made them, and that they are whole."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ..checks import InputError
from .files import atomic_write, file_sha256

BUNDLED = Path(__file__).parent / "bundled"
MANIFEST = BUNDLED / "manifest.json"

OPEN_BODY = "open_body.npz"
DEFAULT_AVATAR = "default_avatar.glb"
TEXT_ENCODER = "minilm_int8.safetensors"
OPEN_POSE_PRIOR = "open_pose_prior.safetensors"
OPEN_POSE_LIFTER = "open_pose_lifter.safetensors"
OPEN_TEXT_TO_POSE = "open_text_to_pose.safetensors"


def manifest():
    """Returns {file name: {"sha256", "bytes", "licence", "made_by"}} of the bundled files."""
    return json.loads(MANIFEST.read_text(encoding="utf-8"))


@cache
def bundled(name):
    """Returns the path of a bundled file after comparing its checksum, once per process.

    Raises:
        InputError: the file is missing or not the one that was shipped.
    """
    path, entry = BUNDLED / name, manifest().get(name)
    remedy = "Install the pack again (git checkout, or ComfyUI-Manager's reinstall); with git, check that line-ending conversion is off."
    if entry is None:
        raise InputError("bundled file", name, "is not in the manifest", remedy)
    if not path.is_file():
        raise InputError("bundled file", path, "is missing", remedy)
    if file_sha256(path) != entry["sha256"]:
        raise InputError("bundled file", path, "has a wrong checksum", remedy)
    return path


def bundle(path, name, licence, made_by):
    """Makes a freshly trained file the bundled one of that name."""
    with atomic_write(BUNDLED / name) as part:
        part.write_bytes(Path(path).read_bytes())
    write_manifest_entry(name, licence, made_by)


def write_manifest_entry(name, licence, made_by):
    """Records a freshly built bundled file. Called by the build and training scripts.

    Args:
        name: file name inside ``bundled/``.
        licence: SPDX id or a short sentence.
        made_by: the command that makes the file.
    """
    path = BUNDLED / name
    entries = manifest() if MANIFEST.exists() else {}
    entries[name] = {"sha256": file_sha256(path), "bytes": path.stat().st_size, "licence": licence, "made_by": made_by}
    with atomic_write(MANIFEST) as part:
        part.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", encoding="utf-8")
    bundled.cache_clear()
