"""One door for writing motions: the suffix and the layout tell the format."""

from __future__ import annotations

from pathlib import Path

from ..bodies.body import BodyModel, pose_body
from ..checks import InputError, check_choice
from ..types import BodyPose
from .amass import write_smpl_npz
from .bvh_writer import write_bvh
from .gltf_animation import write_animated_glb

FORMATS = {"GLB (animated)": ".glb", "BVH": ".bvh", "NPZ (SMPL-X names)": ".npz", "NPZ (AMASS)": ".npz"}


def save_motion(path, pose: BodyPose, body: BodyModel, avatar=None, format=None):
    """Writes a motion.

    Args:
        path: the file; its suffix chooses the format unless ``format`` does.
        pose: T rows of one person.
        body: the body that the poses are for.
        avatar: a PosedAvatar of the same rows; a GLB then shows it instead of the bare body.
        format: a key of ``FORMATS``, or None.

    Raises:
        InputError: the format is unknown, there is nothing to write, or the file cannot be written.
    """
    path = Path(path)
    if format is None:
        format = next((name for name, suffix in FORMATS.items() if suffix == path.suffix.lower()), None)
        if format is None:
            known = ", ".join(sorted(set(FORMATS.values())))
            raise InputError("output file", path, "has a type that motions are not saved as", f"Use {known}.")
    check_choice("format", format, FORMATS)
    if path.suffix.lower() != FORMATS[format]:
        raise InputError("output file", path, f"does not end in {FORMATS[format]}", f"Name it {path.stem}{FORMATS[format]}.")
    if format == "BVH":
        write_bvh(path, pose, body)
    elif format == "GLB (animated)":
        write_animated_glb(path, pose_body(body, pose) if avatar is None else avatar, pose.fps, path.stem)
    else:
        write_smpl_npz(path, pose, body, "amass" if "AMASS" in format else "smplx")
