"""One door for all motion files: the type is told by suffix and content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..assets.files import check_file, read_npz
from ..assets.registry import OPEN_BODY
from ..bodies.body import BodyModel, load_body_model
from ..bodies.pose_file import load_poses
from ..checks import InputError
from ..types import BodyPose
from .amass import ALL_NAMES, read_smpl_motion
from .bvh import NAME, read_bvh
from .fbx import read_fbx_motion
from .joints_ik import array_to_pose
from .skeleton_to_body import skeleton_to_pose

SUFFIXES = (".bvh", ".fbx", ".npz", ".npy", ".pkl", ".pt", ".pth")
_JOINTS = ("joints", "keypoints3d", "motion", "features")
MAX_BYTES = 2 << 30


def load_motion(path, body: BodyModel | None = None) -> tuple[BodyPose, str]:
    """Reads a motion of one person.

    Args:
        path: .bvh or .fbx (which needs ufbx) of any humanoid skeleton; .npz of AMASS, SMPL-X, our own poses, or joint positions;
            .npy of HumanML3D joints or features; .pkl and .pt of SMPL-format motion capture.
        body: the body that will play it; None is the bundled open body, on which foreign shape coefficients are left out.

    Returns:
        (pose, report): T rows with ``fps`` and ``frame_index``, +Y up, feet on the floor; and what was found and guessed.

    Raises:
        InputError: the file is missing, damaged, too large, or holds no motion that can be read.
    """
    path = check_file(NAME, Path(path), SUFFIXES)
    body = load_body_model() if body is None else body
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return skeleton_to_pose(read_bvh(path), body, path.name)
    if suffix == ".fbx":
        return skeleton_to_pose(read_fbx_motion(path), body, path.name)
    if suffix == ".npy":
        return array_to_pose(_read_npy(path), body, name=path.name)
    if suffix == ".npz":
        return _load_npz(path, body)
    return read_smpl_motion(path, body, _own_shape(body))


def _own_shape(body):
    """Shape coefficients belong to one body; those in the wild are SMPL's, not the open body's."""
    return body.name != Path(OPEN_BODY).stem


def _load_npz(path, body):
    names = _npz_names(path)
    if "prompts" in names:
        pose, _ = load_poses(path)
        return pose.to(body.device), f"{path.name}: {len(pose)} poses of our own."
    key = next((key for key in _JOINTS if key in names), None)
    if key is not None and not {"poses", "body_pose", "pose_body", "rot6d"} & names:
        content = read_npz(path, NAME)
        told = [content[name].ravel() for name in ("fps", "mocap_framerate") if name in content]
        fps = next((float(rate[0]) for rate in told if rate.size and rate.dtype.kind in "iuf"), None)
        values = content[key]
        if values.dtype.kind not in "iuf":
            raise InputError(NAME, path, f"holds no numbers in {key}", "Save joints as (T, 22, 3).")
        return array_to_pose(values, body, fps if fps and 0.5 <= fps <= 4000 else None, path.name)
    if not names & set(ALL_NAMES):
        raise InputError(NAME, path, f"holds no motion (its entries: {', '.join(sorted(names)[:8]) or 'none'})",
                         "Give an archive with poses and trans, or with global_orient and body_pose.")
    return read_smpl_motion(path, body, _own_shape(body))


def _npz_names(path):
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return {entry.removesuffix(".npy") for entry in archive.namelist()}
    except Exception as error:  # a damaged archive can fail in any way
        raise InputError(NAME, path, f"is not a readable .npz ({error})", "Copy or download the file again.") from None


def _read_npy(path):
    if path.stat().st_size > MAX_BYTES:
        raise InputError(NAME, path, "is larger than 2 GB", "Cut it into shorter pieces.")
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:
        problem = "holds Python objects, which could run code" if "allow_pickle" in str(error) else f"is damaged ({type(error).__name__})"
        raise InputError(NAME, path, problem, "Save joints as a plain array (T, 22, 3).") from None
    if array.dtype.kind not in "iuf" or array.size == 0:
        raise InputError(NAME, path, f"holds an array of {array.dtype} with shape {array.shape}", "Save joints as numbers, (T, 22, 3).")
    return array
