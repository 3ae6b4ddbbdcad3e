"""Edits of a pose as text: what somebody turned by hand, and nothing else. The Pose Editor keeps it in its widget.

    {"joints": {"left_elbow": [0.0, -1.2, 0.0]}, "place": [0.0, 0.3, 0.0]}

``joints`` gives joints of SMPL's first 22 by name: rotvecs (axis times angle, radians) relative to the parent joint, ``pelvis`` relative to
the world. Joints that are not named keep the rotation of the pose that is edited. ``place`` is (x, lift, z) in metres: where the pelvis
stands, and how far the lowest point of the body hangs above the floor.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

import torch

from ..checks import InputError
from ..rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ..types import BodyPose
from .body import BodyModel, lowest_points, place_on_floor
from .joints import BODY_JOINTS, JOINT_NAMES

LONGEST = 50_000  # characters
FARTHEST = 100.0  # metres
WIDEST = 4 * math.pi  # radians
NAMES = JOINT_NAMES[:BODY_JOINTS]
REMEDY = "Press Reset in the editor, or clear the value."
RELAXED = {  # somebody who stands and waits: what is edited when no pose is given
    "left_shoulder": (0.05, 0.0, -1.18), "right_shoulder": (0.05, 0.0, 1.18),
    "left_elbow": (0.0, -0.25, 0.0), "right_elbow": (0.0, 0.25, 0.0),
    "left_hip": (0.0, 0.0, 0.05), "right_hip": (0.0, 0.0, -0.05), "left_ankle": (0.0, 0.0, -0.05), "right_ankle": (0.0, 0.0, 0.05),
}


@dataclass(frozen=True)
class PoseEdits:
    """``joints``: name -> rotvec; ``place``: (x, lift, z) in metres, or None to stay."""

    joints: dict = field(default_factory=dict)
    place: tuple | None = None


def parse_pose_edits(text) -> PoseEdits:
    """Reads edits from their text; an empty one holds none.

    Raises:
        InputError: the text is not what the module describes.
    """
    def refuse(problem):
        return InputError("edits", text, problem, REMEDY)

    if not isinstance(text, str) or len(text) > LONGEST:
        raise refuse(f"is not a text of at most {LONGEST} characters")
    try:
        edits = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        raise refuse("is not JSON") from None
    if not isinstance(edits, dict) or not isinstance(edits.get("joints", {}), dict):
        raise refuse("is not a JSON object with an object of joints")
    joints = edits.get("joints", {})
    for name, rotvec in joints.items():
        if name not in NAMES:
            raise refuse(f"names {name!r}, which is not one of the {BODY_JOINTS} joints")
        if not _numbers(rotvec, WIDEST):
            raise refuse(f"has a rotation of {name} that is not three angles in radians")
    place = edits.get("place")
    if place is not None and not _numbers(place, FARTHEST):
        raise refuse("has a place that is not three numbers in metres")
    angles = {name: tuple(map(float, rotvec)) for name, rotvec in joints.items()}
    return PoseEdits(angles, None if place is None else tuple(map(float, place)))


def edit_pose(pose: BodyPose, edits: PoseEdits, body: BodyModel) -> BodyPose:
    """Returns the pose with the edits in every row. Each row keeps its height above the floor, unless the edits place it.

    Args:
        pose: B rows. body: on the pose's device; its lowest vertex tells where the floor is.
    """
    if not edits.joints and edits.place is None:
        return pose
    rotmats = torch.cat([pose.global_orient[:, None], pose.body_pose], 1).clone()
    for name, rotvec in edits.joints.items():
        rotmats[:, NAMES.index(name)] = rotvec_to_rotmat(rotmats.new_tensor(rotvec))
    transl = pose.transl
    if edits.place is not None:
        transl = transl.new_tensor(edits.place).expand_as(transl)
    edited = replace(pose, global_orient=rotmats[:, 0], body_pose=rotmats[:, 1:], transl=transl)
    lift = lowest_points(body, pose) if edits.place is None else edited.transl[:, 1]
    return place_on_floor(body, edited, lift)


def relaxed_pose(device="cpu") -> BodyPose:
    """One person who stands and waits, arms hanging, as the start of an edit from nothing."""
    rotvecs = torch.zeros(BODY_JOINTS, 3, device=device)
    for name, rotvec in RELAXED.items():
        rotvecs[NAMES.index(name)] = rotvecs.new_tensor(rotvec)
    rotmats = rotvec_to_rotmat(rotvecs)[None]
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def pose_rows(pose: BodyPose, body: BodyModel, digits=4):
    """Returns [{"joints": 22 rotvecs in SMPL's order, "place": [x, lift, z]}, ...], row by row, plain numbers for a browser."""
    rotvecs = rotmat_to_rotvec(torch.cat([pose.global_orient[:, None], pose.body_pose], 1))
    place = torch.stack([pose.transl[:, 0], lowest_points(body, pose), pose.transl[:, 2]], 1)

    def rounded(values):
        return [[round(x, digits) for x in row] for row in values.tolist()]

    return [{"joints": rounded(joints), "place": at} for joints, at in zip(rotvecs, rounded(place))]


def _numbers(values, largest):
    """Whether ``values`` are three finite numbers of at most that size."""
    return (isinstance(values, list) and len(values) == 3
            and all(isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) <= largest for x in values))
