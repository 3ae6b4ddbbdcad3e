"""Joint and keypoint orders of SMPL-format bodies and of OpenPose, and the left/right mirror of a pose."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..types import BodyPose

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle", "spine3",
    "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
BODY_JOINTS = 22  # the pelvis and the 21 joints of body_pose come first in SMPL, SMPL+H and SMPL-X alike


def _other_side(name):
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


MIRROR = tuple(JOINT_NAMES.index(_other_side(name)) for name in JOINT_NAMES)  # joint -> the same joint of the other side

OPENPOSE18_NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
)
OPENPOSE18_MIRROR = tuple(OPENPOSE18_NAMES.index(_other_side(name)) for name in OPENPOSE18_NAMES)
OPENPOSE18_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # in the order in which pose maps are painted

# Vertices that stand for points without a joint, on the licensed topologies; the open body carries its own in the file.
_SMPL_VERTICES = {
    "nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583,
    "left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387, "right_big_toe": 6617, "right_small_toe": 6624, "right_heel": 6787,
}
_SMPLX_VERTICES = {
    "nose": 9120, "right_eye": 9929, "left_eye": 9448, "right_ear": 616, "left_ear": 6,
    "left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846, "right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635,
}
LICENSED_KEYPOINT_VERTICES = {6890: _SMPL_VERTICES, 10475: _SMPLX_VERTICES}  # number of vertices -> name -> vertex


def mirror_pose(pose: BodyPose) -> BodyPose:
    """Returns the pose seen in a mirror at x = 0: left and right change places. ``R -> M R M`` with ``M = diag(-1, 1, 1)``.

    Args:
        pose: B rows. Shape coefficients and row numbers stay as they are.
    """
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=pose.transl.dtype, device=pose.device)
    order = [joint - 1 for joint in MIRROR[1:BODY_JOINTS]]

    def mirrored(rotmat: Tensor) -> Tensor:
        return flip[:, None] * rotmat * flip

    hands = None if pose.hands is None else mirrored(pose.hands.roll(15, dims=1))
    return replace(pose, global_orient=mirrored(pose.global_orient), body_pose=mirrored(pose.body_pose[:, order]),
                   transl=pose.transl * flip, hands=hands)
