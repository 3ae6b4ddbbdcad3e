"""Pose files: `.npz` with rotations as rotvecs (axis-angle, radians), P prompts or people times N candidates or frames."""

from __future__ import annotations

import numpy as np
import torch

from ..assets.files import atomic_write, read_npz
from ..checks import InputError
from ..rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ..types import BodyPose

_REMEDY = "Give a file written by `contrapposto pose` or by save_poses."
_HUGE = 1e9  # also above any frame number
_WIDTHS = {"global_orient": 3, "body_pose": 63, "transl": 3, "hands": 90, "betas": None}  # numbers per row; None is any


def save_poses(path, pose: BodyPose, prompts=("",), count=None):
    """Writes poses, prompt by prompt, and leaves no file when it fails.

    The file holds global_orient (P, N, 3), body_pose (P, N, 63), transl (P, N, 3), prompts (P,) as text, and where the pose has them
    betas (P, N, K), hands (P, N, 90), frame_index (P, N), person_index (P, N) and fps.

    Args:
        path: the .npz to write.
        pose: P * N rows, all rows of the first prompt first.
        prompts: the P texts; one empty text for poses without words.
        count: N; by default the number of rows divided by the number of prompts.

    Raises:
        InputError: the rows do not divide so, or the file cannot be written.
    """
    prompts = list(prompts)
    count = len(pose) // max(len(prompts), 1) if count is None else count
    if not prompts or count < 1 or len(prompts) * count != len(pose):
        raise InputError("poses", f"{len(pose)} rows", f"are not {len(prompts)} prompts times {count}", "Give count rows for each prompt.")
    rows = {"global_orient": rotmat_to_rotvec(pose.global_orient), "body_pose": rotmat_to_rotvec(pose.body_pose).flatten(1),
            "transl": pose.transl, "betas": pose.betas, "frame_index": pose.frame_index, "person_index": pose.person_index,
            "hands": None if pose.hands is None else rotmat_to_rotvec(pose.hands).flatten(1)}
    arrays = {name: value.detach().cpu().unflatten(0, (len(prompts), count)).numpy() for name, value in rows.items() if value is not None}
    if pose.fps is not None:
        arrays["fps"] = np.float64(pose.fps)
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, prompts=np.array(prompts, dtype=np.str_), **arrays)


def load_poses(path):
    """Reads a pose file.

    Returns:
        (pose, prompts): P * N rows, prompt by prompt, and the prompt of each row.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    raw = read_npz(path, "pose file")
    missing = [name for name in ("global_orient", "body_pose", "transl") if name not in raw]
    if missing:
        raise InputError("pose file", path, f"has no {', '.join(missing)}", _REMEDY)
    layout = raw["global_orient"].shape[:2]
    rows = {name: _rows(path, name, raw[name], layout, width) for name, width in _WIDTHS.items() if name in raw}
    for name in ("frame_index", "person_index"):
        if name in raw:
            rows[name] = _rows(path, name, raw[name][..., None], layout, 1)[:, 0].to(torch.int64)
    for name in ("global_orient", "body_pose", "hands"):
        if name in rows:
            rotmats = rotvec_to_rotmat(rows[name].unflatten(1, (-1, 3)))
            rows[name] = rotmats[:, 0] if name == "global_orient" else rotmats
    return BodyPose(**rows, fps=_fps(path, raw)), _prompts(path, raw, layout)


def _rows(path, name, array, layout, width):
    """Checks one array and returns it as (P * N, width) float32."""
    if array.ndim != 3 or array.shape[:2] != layout or width not in (None, array.shape[2]) or 0 in array.shape:
        expected = f"(P, N, {width or 'K'}) like global_orient's {layout}"
        raise InputError("pose file", path, f"has {name} of shape {array.shape} instead of {expected}", _REMEDY)
    if array.dtype.kind not in "iuf":
        raise InputError("pose file", path, f"holds no numbers in {name}", _REMEDY)
    if not float(np.abs(array).max()) < _HUGE:  # "not <" also holds for NaN
        raise InputError("pose file", path, f"holds NaN, infinity or huge numbers in {name}", "Make the poses again.")
    return torch.from_numpy(array.astype(np.float32)).flatten(0, 1)


def _fps(path, raw):
    fps = raw.get("fps")
    if fps is not None and (fps.shape != () or fps.dtype.kind not in "iuf" or not 0 < fps < _HUGE):
        raise InputError("pose file", path, f"has fps {fps}", "Save it with one positive number of frames per second.")
    return None if fps is None else float(fps)


def _prompts(path, raw, layout):
    """The prompt of each row; files without words give empty texts."""
    prompts = raw.get("prompts", np.array([""] * layout[0]))
    if prompts.shape != layout[:1] or prompts.dtype.kind != "U":
        raise InputError("pose file", path, f"has prompts of shape {prompts.shape} instead of ({layout[0]},) texts", _REMEDY)
    return [str(prompt) for prompt in prompts for _ in range(layout[1])]
