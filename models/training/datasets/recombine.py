"""Authors poses by recombination: the legs, hips and trunk of one authored pose, the arms of others, and a little lean or turn.

Every part was written or captured once; only their meeting is new. So an assembled pose counts only when it is plausible, and when it
meets the conditions of the action it was assembled for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...bodies.body import pose_body
from ...bodies.conditions import all_hold
from ...bodies.joints import JOINT_NAMES
from ...bodies.plausibility import LIMITS, capsules, joint_excess, overlap
from ...bodies.posture import measure_posture
from ...rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ...types import BodyPose
from .text_pose import SPLITS

RECOMBINED = "recombined"  # name of the source of these poses
_ARM = ("collar", "shoulder", "elbow", "wrist")
_JOINTS = {side: [JOINT_NAMES.index(f"{side}_{name}") for name in _ARM] for side in ("left", "right")}
_SPINE = [JOINT_NAMES.index(name) for name in ("spine1", "spine2", "spine3")]
_NECK = [JOINT_NAMES.index(name) for name in ("neck", "head")]
_HIPS = [JOINT_NAMES.index(name) for name in ("left_hip", "right_hip")]
_HINGE = 0.45  # of a lean happens at the hips, the rest along the spine
# Axis and degrees per joint of what a word adds; "_s" is the left, "_o" the right.
_TURNS = {"down": (_NECK, (14, 0, 0)), "up": (_NECK, (-14, 0, 0)), "turn_s": (_NECK, (0, 22, 0)), "turn_o": (_NECK, (0, -22, 0)),
          "tilt_s": (_NECK, (0, 0, -12)), "tilt_o": (_NECK, (0, 0, 12)), "twist_s": (_SPINE, (0, 11, 0)), "twist_o": (_SPINE, (0, -11, 0))}
_JITTER = math.radians(2.5)
NAMED, SEARCHED = 400, 6000  # candidates with named arms, and with arms from anywhere


@dataclass(frozen=True)
class Parts:
    """Rows of the train split by what they show; sides as said of the left.

    Args:
        stances: name -> rows of that stance, those without modifiers where there are any.
        arms: (part, name, side) -> rows.
        everywhere: rows whose pair of arms may be tried.
    """

    stances: dict[str, Tensor]
    arms: dict[tuple, Tensor]
    everywhere: Tensor


def find_parts(data, groups) -> Parts:
    """Sorts the rows of authored groups by stance and by arms."""
    plain, any_, arms = {}, {}, {}
    for group in groups:
        if group.side != "right":
            any_.setdefault(group.stance, []).append(group.rows)
            if not group.modifiers:
                plain.setdefault(group.stance, []).append(group.rows)
        for modifier in group.modifiers:
            arms.setdefault(modifier, []).append(group.rows)
    return Parts({name: torch.cat(plain.get(name, rows)) for name, rows in any_.items()},
                 {name: torch.cat(rows) for name, rows in arms.items()}, data.rows("train"))


def assemble(data, parts: Parts, action, body, generator, most=128) -> Tensor:
    """Returns (M, 22, 3, 3) rotmats, at most ``most``, that show an action as said of the left side; M may be 0.

    Raises:
        KeyError: the action names a stance or arms that the data lacks.
    """
    searched = any("?" in arm for arm in action.arms)
    count = SEARCHED if searched else NAMED
    pick = lambda rows: rows[torch.randint(len(rows), (count,), generator=generator)]
    rotmats = data.rotmats(pick(torch.cat([parts.stances[name] for name in action.stances])))
    for arm in action.arms:
        _put_arms(rotmats, data, parts, arm, pick, generator)
    for word in action.extra:
        _turn(rotmats, word, generator)
    met = all_hold(action.conditions, measure_posture(BodyPose(rotmats[:, 0], rotmats[:, 1:])))
    kept = rotmats[met][: 3 * most]
    if len(kept) and (action.arms or action.extra):  # a pose as it was authored is not judged: hugged knees overlap the chest
        kept = kept[is_possible(kept, body)]
    return kept[:most]


def is_possible(rotmats, body) -> Tensor:
    """(M, 22, 3, 3) to (M,) bool, whether joints and limbs are within the limits of the captures; every pose stands on the floor anyway."""
    pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
    crossing = overlap(*capsules(body, pose_body(body, pose).joints))
    return (joint_excess(pose.body_pose) <= LIMITS["joint_excess"]) & (crossing <= LIMITS["self_overlap"])


def _put_arms(rotmats, data, parts, arm, pick, generator):
    """Writes arms into rotmats in place. ``arm`` is like "salute", "o:hip/pocket", "carry" or "?"; an empty choice keeps the stance's."""
    other, names = arm.startswith("o:"), arm.removeprefix("o:").split("/")
    choice = torch.randint(len(names), (len(rotmats),), generator=generator)
    for number, name in enumerate(names):
        mine = choice == number
        if name == "?":
            donors, sides = parts.everywhere, ("left", "right")
        elif not name:
            continue
        else:
            donors, sides = _named(parts, name, "right" if other else "left")
        donated = data.rotmats(pick(donors)[mine])
        noise = rotvec_to_rotmat(torch.randn(*donated.shape[:2], 3, generator=generator) * _JITTER)
        for side in sides:
            rotmats[mine.nonzero(), torch.tensor(_JOINTS[side])] = (donated @ noise)[:, _JOINTS[side]]


def _named(parts, name, side):
    """Rows with these arms, and which of their arms to take."""
    both = ("left", "right")
    for key, sides in ((("BOTH", name, None), both), (("ASYM", name, side), both), (("ARM", name, side), (side,))):
        if key in parts.arms:
            return parts.arms[key], sides
    raise KeyError(f"arms {name!r}")


def _turn(rotmats, word, generator):
    """Leans, nods or turns in place: "lean:20", "down", "turn_s" and so on, by 70 to 130 % of the amount."""
    share = 0.7 + 0.6 * torch.rand(len(rotmats), 1, generator=generator)
    if word.startswith("lean:"):
        degrees = torch.tensor([float(word.removeprefix("lean:")), 0.0, 0.0])
        hinge = _rotation(degrees * _HINGE * share)
        rotmats[:, 0] = rotmats[:, 0] @ hinge
        rotmats[:, _HIPS] = hinge.transpose(-1, -2)[:, None] @ rotmats[:, _HIPS]
        rotmats[:, _SPINE] = _rotation(degrees * (1 - _HINGE) / 3 * share)[:, None] @ rotmats[:, _SPINE]
    else:
        joints, degrees = _TURNS[word]
        rotmats[:, joints] = _rotation(torch.tensor(degrees, dtype=torch.float32) * share)[:, None] @ rotmats[:, joints]


def _rotation(degrees):
    return rotvec_to_rotmat(torch.deg2rad(degrees))


def with_poses(data, rotmats: Tensor):
    """Returns the data with more poses in its train split, from a source of their own."""
    rotvec = rotmat_to_rotvec(rotmats)
    count, last = len(rotvec), int(data.file_row[-1])
    more = lambda old, value: torch.cat([old, torch.full((count,), value, dtype=old.dtype)])
    return replace(
        data, root_rotvec=torch.cat([data.root_rotvec, rotvec[:, 0]]), body_rotvec=torch.cat([data.body_rotvec, rotvec[:, 1:]]),
        root_height=more(data.root_height, 0.0), split=more(data.split, SPLITS.index("train")), clip=more(data.clip, -1),
        source=more(data.source, len(data.source_names)), source_names=(*data.source_names, RECOMBINED),
        file_row=torch.cat([data.file_row, last + 1 + torch.arange(count)]))
