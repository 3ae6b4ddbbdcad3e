"""What a pose looks like, in numbers a person would use: heights, bends, tilts, where the hands are.

Everything is measured on one fixed skeleton (an adult of about 1.75 m, hand-rounded and symmetric), so the numbers depend on the pose
alone and never on the body it is shown on. The frame is free of heading: the pelvis looks along +Z, +X is the person's left, +Y is up,
and the lowest landmark lies on the floor, y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import BodyPose
from .body import local_rotations
from .joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from .skinning import chain

# Offset of each of the 22 joints from its parent in the rest pose (a T-pose), metres.
REFERENCE_OFFSETS = (
    (0.0, 0.0, 0.0), (0.06, -0.09, -0.01), (-0.06, -0.09, -0.01), (0.0, 0.12, -0.03), (0.04, -0.385, 0.005), (-0.04, -0.385, 0.005),
    (0.0, 0.135, 0.02), (-0.015, -0.42, -0.035), (0.015, -0.42, -0.035), (0.0, 0.055, 0.005), (0.04, -0.06, 0.125), (-0.04, -0.06, 0.125),
    (0.0, 0.21, -0.035), (0.08, 0.115, -0.02), (-0.08, 0.115, -0.02), (0.0, 0.09, 0.05), (0.1, 0.04, -0.015), (-0.1, 0.04, -0.015),
    (0.26, -0.015, -0.025), (-0.26, -0.015, -0.025), (0.255, 0.01, -0.005), (-0.255, 0.01, -0.005),
)
# Points without a joint of their own: (joint they hang on, offset in its frame, metres).
_TIPS = {
    "head_top": ("head", (0.0, 0.17, 0.01)), "face": ("head", (0.0, 0.05, 0.1)),
    "left_hand": ("left_wrist", (0.09, 0.0, 0.0)), "right_hand": ("right_wrist", (-0.09, 0.0, 0.0)),
    "left_heel": ("left_ankle", (0.0, -0.07, -0.05)), "right_heel": ("right_ankle", (0.0, -0.07, -0.05)),
    "left_toe": ("left_foot", (0.0, -0.01, 0.07)), "right_toe": ("right_foot", (0.0, -0.01, 0.07)),
}
POINT_NAMES = (*JOINT_NAMES[:BODY_JOINTS], *_TIPS)
LIMBS = {
    "left_arm": ("left_shoulder", "left_wrist"), "right_arm": ("right_shoulder", "right_wrist"),
    "left_upper_arm": ("left_shoulder", "left_elbow"), "right_upper_arm": ("right_shoulder", "right_elbow"),
    "left_forearm": ("left_elbow", "left_wrist"), "right_forearm": ("right_elbow", "right_wrist"),
    "left_thigh": ("left_hip", "left_knee"), "right_thigh": ("right_hip", "right_knee"),
    "left_shin": ("left_knee", "left_ankle"), "right_shin": ("right_knee", "right_ankle"),
    "left_leg": ("left_hip", "left_ankle"), "right_leg": ("right_hip", "right_ankle"),
    "torso": ("pelvis", "neck"),
}
_HINGES = {
    "left_knee": ("left_hip", "left_knee", "left_ankle"), "right_knee": ("right_hip", "right_knee", "right_ankle"),
    "left_elbow": ("left_shoulder", "left_elbow", "left_wrist"), "right_elbow": ("right_shoulder", "right_elbow", "right_wrist"),
    "left_hip": ("neck", "pelvis", "left_knee"), "right_hip": ("neck", "pelvis", "right_knee"),
}
_FACING = {"head": "head", "chest": "spine3", "pelvis": "pelvis"}


@dataclass(frozen=True)
class Posture:
    """Measured poses.

    Args:
        points: (B, P, 3) landmarks in the order of ``POINT_NAMES``, metres, heading-free, floor at y = 0.
        rotmats: (B, 22, 3, 3) rotation of each joint in that frame.
    """

    points: Tensor
    rotmats: Tensor

    def __len__(self):
        return self.points.shape[0]

    def point(self, name):
        """(B, 3) a landmark, metres."""
        return self.points[:, POINT_NAMES.index(name)]

    def height(self, name):
        """(B,) metres above the lowest landmark."""
        return self.point(name)[:, 1]

    def distance(self, a, b):
        """(B,) metres between two landmarks."""
        return (self.point(a) - self.point(b)).norm(dim=-1)

    def apart(self, a, b):
        """(B,) metres between two landmarks as seen from above."""
        return (self.point(a) - self.point(b))[:, [0, 2]].norm(dim=-1)

    def bend(self, joint):
        """(B,) degrees by which a knee, elbow or hip is bent; 0 is straight. A hip bends between the torso and the thigh."""
        above, centre, below = (self.point(name) for name in _HINGES[joint])
        return 180 - degrees_between(above - centre, below - centre)

    def elevation(self, limb):
        """(B,) degrees above the horizontal in which a limb points, from its root to its tip; -90 hangs straight down."""
        start, end = LIMBS[limb]
        return _elevation(self.point(end) - self.point(start))

    def tilt(self, limb="torso"):
        """(B,) degrees between a limb and straight up: 0 for an upright torso, 90 lying, 180 upside down."""
        return 90 - self.elevation(limb)

    def faces_up(self, part):
        """(B,) degrees above the horizontal in which "head", "chest" or "pelvis" looks; 90 is the sky, -90 the ground."""
        return _elevation(self._axis(part, 2))

    def turn(self, part):
        """(B,) degrees by which "head" or "chest" is turned to the person's left against the part below it."""
        below = "chest" if part == "head" else "pelvis"
        forward = self._local(below, self._axis(part, 2))
        return torch.rad2deg(torch.atan2(forward[:, 0], forward[:, 2]))

    def lean_left(self, part):
        """(B,) degrees by which "head" or "chest" leans to the person's left against the part below it."""
        below = "chest" if part == "head" else "pelvis"
        up = self._local(below, self._axis(part, 1))
        return torch.rad2deg(torch.atan2(up[:, 0], up[:, 1]))

    def left(self, name):
        """(B,) metres to the left of the chest's centre, in the chest's own frame."""
        return self._from_chest(name)[:, 0]

    def up(self, name):
        """(B,) metres towards the head from the chest's centre, in the chest's own frame."""
        return self._from_chest(name)[:, 1]

    def front(self, name):
        """(B,) metres in front of the chest's centre, in the chest's own frame."""
        return self._from_chest(name)[:, 2]

    def ahead(self, name):
        """(B,) metres in front of the pelvis, in the world's horizontal plane along the pelvis' heading."""
        return (self.point(name) - self.point("pelvis"))[:, 2]

    def spread(self):
        """(B,) degrees between the two thighs."""
        return degrees_between(self.point("left_knee") - self.point("left_hip"), self.point("right_knee") - self.point("right_hip"))

    def _axis(self, part, axis):
        return self.rotmats[:, POINT_NAMES.index(_FACING[part]), :, axis]

    def _local(self, part, vector):
        rotmat = self.rotmats[:, POINT_NAMES.index(_FACING[part])]
        return (rotmat.transpose(-1, -2) @ vector[..., None])[..., 0]

    def _from_chest(self, name):
        return self._local("chest", self.point(name) - self.point("spine3"))


def measure_posture(pose: BodyPose) -> Posture:
    """Poses the reference skeleton: heading removed, pelvis above the origin, lowest landmark on the floor.

    Args:
        pose: B rows; translation and shape do not matter.
    """
    local = local_rotations(pose)[:, :BODY_JOINTS]
    local = torch.cat([remove_heading(local[:, :1]), local[:, 1:]], 1)
    world = chain(local, PARENTS)
    offsets = torch.tensor(REFERENCE_OFFSETS, dtype=local.dtype, device=local.device)
    points = [torch.zeros_like(local[:, 0, :, 0])]
    for joint in range(1, BODY_JOINTS):
        parent = PARENTS[joint]
        points.append(points[parent] + world[:, parent] @ offsets[joint])
    for joint, offset in _TIPS.values():
        index = JOINT_NAMES.index(joint)
        points.append(points[index] + world[:, index] @ offsets.new_tensor(offset))
    points = torch.stack(points, 1)
    floor = points[..., 1].amin(1)
    return Posture(points - torch.stack([torch.zeros_like(floor), floor, torch.zeros_like(floor)], -1)[:, None], world)


def heading(rotmat: Tensor) -> Tensor:
    """Rotmat ``(..., 3, 3)`` to its turn about +Y ``(...)``, radians: the Y twist of its quaternion, 2 atan2(q_y, q_w)."""
    return torch.atan2(rotmat[..., 0, 2] - rotmat[..., 2, 0], rotmat[..., 0, 0] + rotmat[..., 2, 2])


def remove_heading(rotmat: Tensor) -> Tensor:
    """Returns rotmats ``(..., 3, 3)`` turned about +Y so that their heading is zero."""
    angle = heading(rotmat)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    back = torch.stack([cos, zero, -sin, zero, one, zero, sin, zero, cos], -1).unflatten(-1, (3, 3))
    return back @ rotmat


def degrees_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle ``(...)`` in degrees between vectors ``(..., 3)``."""
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)))


def _elevation(direction):
    return torch.rad2deg(torch.atan2(direction[..., 1], direction[..., [0, 2]].norm(dim=-1)))
