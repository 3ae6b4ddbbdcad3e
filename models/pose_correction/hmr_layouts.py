"""The layouts of mesh recovery tools, as bodies in camera axes (+x right, +y down, +z forward).

* ROMP and BEV (simple_romp): ``smpl_thetas`` or ``global_orient`` + ``body_pose``, ``smpl_betas``, ``cam_trans`` for a lens of 443.4 pixels
  at 512, the picture padded to a square; also under ``results``, or picture name -> such entries;
* 4D-Humans and its kin (HMR2, TokenHMR, CameraHMR): ``pred_smpl_params``, ``pred_cam_t_full`` or ``pred_cam_t``, ``focal_length``;
* PHALP tracks: frame -> {"smpl": [...], "camera": [...], "tid": [...], "size": [...]};
* SPIN, DAPA and Diffusion-HPC: ``thetas`` or ``pose`` (72), ``betas`` or ``shape``, ``cam`` (scale, x, y) of a 224-pixel crop, with
  ``center`` and ``scale`` (times 200 pixels) where the crop is not the whole picture; also picture name -> such entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..checks import InputError, numbers_of
from ..rotations import rotvec_to_rotmat

NAME = "body file"
ROMP_FOCAL = 443.4 / 512  # per pixel of the longer side
CROP, CROP_FOCAL = 224, 5000.0  # SPIN's crop and lens
HMR2_FOCAL = 5000.0 / 256  # per pixel of the longer side
REMEDY = "Give the .npz or .pkl of ROMP, BEV, 4D-Humans, PHALP or SPIN, or a pose file of ours."


@dataclass(frozen=True)
class Person:
    """One body as a tool wrote it, in camera axes.

    Args:
        root, joints: (3, 3) and (21, 3, 3).
        betas: (K,) or None.
        place: (3,) metres from the camera, or None.
        focal: pixels per pixel of the longer side, or absolute pixels where above 20; None without a camera.
        frame, person: numbers.
        size: (width, height) of the picture where the file tells it, or None.
        weak: (scale, x, y, crop centre x, crop centre y, crop side in pixels) of a weak perspective camera, or None. A crop of NaN is the
            whole picture.
    """

    root: torch.Tensor
    joints: torch.Tensor
    betas: torch.Tensor | None
    place: torch.Tensor | None = None
    focal: float | None = None
    frame: int = 0
    person: int = 0
    size: tuple[int, int] | None = None
    weak: tuple[float, ...] | None = None


def find_people(tree, frame=0, nested=0):
    """The bodies of a file's content, whichever layout it has."""
    if "pred_smpl_params" in tree:
        return _hmr2(tree, frame)
    if isinstance(tree.get("smpl"), list):
        return _phalp(tree, frame)
    if any(key in tree for key in ("smpl_thetas", "thetas", "pose", "global_orient")):
        return _flat(tree, frame)
    people = []
    if nested < 2:
        for number, (_, entry) in enumerate(sorted(tree.items(), key=lambda item: str(item[0]))):
            if isinstance(entry, dict):
                people += find_people(entry, number if nested or len(tree) > 1 else frame, nested + 1)
    return people


def _flat(tree, frame):
    """ROMP, BEV, SPIN: arrays with one row per person."""
    thetas = next((tree[key] for key in ("smpl_thetas", "thetas", "pose") if key in tree), None)
    root, joints = _rotations(thetas) if thetas is not None else _split_rotations(tree["global_orient"], tree["body_pose"])
    count = len(root)
    betas = _rows(tree, ("smpl_betas", "betas", "shape"), count)
    place = _rows(tree, ("cam_trans", "pred_cam_t_full", "transl"), count)
    cam = _rows(tree, ("cam", "pred_cam"), count)
    centre, scale = _rows(tree, ("center",), count), _rows(tree, ("scale",), count)
    frames = range(count) if "imgname" in tree else [frame] * count
    people = []
    for row in range(count):
        weak = None
        if place is None and cam is not None:
            cropped = centre is not None and scale is not None
            crop = (*centre[row].tolist(), 200 * float(scale[row][0])) if cropped else (math.nan,) * 3
            weak = (*cam[row].flatten()[:3].tolist(), *crop)
        number = row if len(set(frames)) == 1 else 0
        people.append(Person(root[row], joints[row], _at(betas, row), _at(place, row), None, frames[row], number, None, weak))
    return people


def _hmr2(tree, frame):
    params = tree["pred_smpl_params"]
    root, joints = _split_rotations(params["global_orient"], params["body_pose"])
    count = len(root)
    betas, place = _rows(params, ("betas",), count), _rows(tree, ("pred_cam_t_full", "pred_cam_t", "cam_t"), count)
    size = tree.get("img_size")
    size = None if size is None else tuple(int(side) for side in np.asarray(size).reshape(-1, 2)[0])
    focal = tree.get("scaled_focal_length", tree.get("focal_length"))
    focal = HMR2_FOCAL if focal is None else float(_finite(focal, "focal_length").ravel()[0])
    return [Person(root[row], joints[row], _at(betas, row), _at(place, row), focal, frame, row, size) for row in range(count)]


def _phalp(tree, frame):
    people = []
    for row, params in enumerate(tree["smpl"]):
        root, joints = _split_rotations(params["global_orient"], params["body_pose"])
        betas = _rows(params, ("betas",), 1)
        place = torch.as_tensor(_finite(tree["camera"][row], "camera")).flatten()[:3] if "camera" in tree else None
        size = np.asarray(tree["size"][row]).ravel() if "size" in tree else None
        person = int(tree.get("tid", range(len(tree["smpl"])))[row])
        people.append(Person(root[0], joints[0], _at(betas, 0), place, HMR2_FOCAL, int(tree.get("time", frame)), person,
                             None if size is None else (int(size[1]), int(size[0]))))
    return people


def _rotations(thetas):
    """(N, 72) rotvecs to (N, 3, 3) and (N, 21, 3, 3)."""
    values = torch.as_tensor(_finite(thetas, "poses")).reshape(-1, 24, 3) if np.asarray(thetas).size % 72 == 0 else None
    if values is None:
        raise InputError(NAME, np.asarray(thetas).shape, "are poses that are not rows of 72 numbers", REMEDY)
    rotmats = rotvec_to_rotmat(values)
    return rotmats[:, 0], rotmats[:, 1:22]


def _split_rotations(root, joints):
    root, joints = _finite(root, "global_orient"), _finite(joints, "body_pose")
    as_matrices = root.shape[-2:] == (3, 3) and joints.shape[-2:] == (3, 3)
    numbers = 9 if as_matrices else 3
    if root.size % numbers or root.size == 0 or joints.size % (root.size // numbers * numbers):
        raise InputError(NAME, f"{root.shape} and {joints.shape}", "are global_orient and body_pose that do not fit", REMEDY)
    count = root.size // numbers
    root = torch.as_tensor(root).reshape(count, *((3, 3) if as_matrices else (3,)))
    joints = torch.as_tensor(joints).reshape(count, -1, *((3, 3) if as_matrices else (3,)))
    if joints.shape[1] < 21:
        raise InputError(NAME, f"{joints.shape[1]} joints", "are fewer than SMPL's 21", REMEDY)
    joints = joints[:, :21]
    return (root, joints) if as_matrices else (rotvec_to_rotmat(root), rotvec_to_rotmat(joints))


def _rows(tree, names, count):
    """(N, K) of the first entry that is there, or None."""
    value = next((tree[name] for name in names if tree.get(name) is not None), None)
    if value is None:
        return None
    value = torch.as_tensor(_finite(value, names[0]))
    if not count or value.numel() == 0 or value.numel() % count:
        raise InputError(NAME, tuple(value.shape), f"is {names[0]} that does not fit {count} bodies", REMEDY)
    return value.reshape(count, -1)


def _at(values, row):
    return None if values is None else values[row]


def _finite(value, name):
    return numbers_of(NAME, value, name, REMEDY)
