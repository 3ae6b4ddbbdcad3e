"""The constant turns that take an avatar's rest pose to the body's T-pose, bone by bone (see `retarget`)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES
from ..rotations import rotvec_to_rotmat, vectors_to_rotmat
from .rig import FINGERS
from .twist import LIMBS, MOST, twist_angle

STRAIGHT, BENT = 0.10, 0.30  # sine of the elbow's bend: below the first its hinge is not trusted, above the second fully
CHILD = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}


def rest_alignment(avatar, rest: Tensor):
    """Role -> (3, 3) rotation ``A`` from the avatar's rest pose to the body's T-pose, both in the body frame.

    Many small steps, so it runs on the CPU and its result lies there. Roles come in the order of ``avatar.rig.humanoid``.

    Args:
        avatar: the character, or anything with its ``rig``.
        rest: (J, 3) rest joints of the body.
    """
    at = {role: torch.as_tensor(avatar.rig.position(role), dtype=torch.float32) for role in avatar.rig.humanoid}
    goal = dict(zip(JOINT_NAMES, rest.cpu()))
    A = {role: torch.eye(3) for role in at}
    for side in ("left", "right"):
        for part in ("hip", "knee"):
            A[f"{side}_{part}"] = vectors_to_rotmat(_bone(at, side, part), _bone(goal, side, part))
        A |= {role: turn for role, turn in _foot(at, goal, side).items() if role in at}
        A |= {role: turn for role, turn in _arm(at, goal, side).items() if role in at}
        twists = {f"{side}_{limb}_twist{n}": A[f"{side}_{limb}"] for limb in LIMBS for n in range(1, MOST + 1)}
        A |= {role: turn for role, turn in twists.items() if role in at}
    return A


def _bone(at, side, part):
    return at[f"{side}_{CHILD[part]}"] - at[f"{side}_{part}"]


def _foot(at, goal, side):
    ankle, toes = f"{side}_ankle", f"{side}_foot"
    if toes not in at:
        return {}
    flat = torch.tensor([1.0, 0.0, 1.0])
    forward = (at[toes] - at[ankle]) * flat
    if forward.norm() < 0.3 * (at[toes] - at[ankle]).norm():  # a bone that points straight down says nothing about the heading
        return {}
    turn = vectors_to_rotmat(forward, (goal[toes] - goal[ankle]) * flat)
    return {ankle: turn, toes: turn}


def _arm(at, goal, side):
    """Alignment of upper arm, forearm, hand and fingers of one side. In a T-pose the elbow's hinge is vertical and the palm looks down."""
    sign = 1.0 if side == "left" else -1.0
    down = torch.tensor([0.0, -1.0, 0.0])
    upper = _bone(at, side, "shoulder")
    upper_goal, lower_goal = _bone(goal, side, "shoulder"), _bone(goal, side, "elbow")
    if f"{side}_wrist" not in at:
        turn = vectors_to_rotmat(upper, upper_goal)
        return {f"{side}_shoulder": turn, f"{side}_elbow": turn}
    lower = _bone(at, side, "elbow")
    shoulder = vectors_to_rotmat(upper, upper_goal)
    shoulder = _hinge_twist(upper_goal, lower_goal, shoulder @ lower, sign * down) @ shoulder
    elbow = _swing_about(sign * down, shoulder @ lower, lower_goal) @ shoulder
    wrist = _hand(at, goal, side, sign, elbow)
    if wrist is None:
        wrist = elbow
    else:
        elbow = _half_twist(elbow, wrist, lower_goal) @ elbow
    fingers = {f"{side}_{finger}{n}": wrist for finger in FINGERS for n in (1, 2, 3)}
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist} | fingers


def _hinge_twist(upper, lower, bent, hinge):
    """The turn (3, 3) about the upper arm that makes ``bent`` a forearm flexed about the elbow's hinge.

    Flexion keeps the forearm's component along the hinge, so the turned ``bent`` must have that of ``lower``: with ``e1`` the hinge
    across the arm, ``(bent . u)(u . h) + r cos(phi + tau) |e1| = lower . h`` gives the twist tau. An almost straight elbow
    says little about its hinge, so the twist fades out with the bend.

    Args:
        upper, lower: (3,) arm directions of the body at rest. bent: (3,) the avatar's forearm once its upper arm lies along ``upper``.
        hinge: (3,) unit axis about which this side's forearm flexes forward.
    """
    u, low, f = (torch.nn.functional.normalize(vector, dim=0) for vector in (upper, lower, bent))
    e1 = hinge - (hinge @ u) * u
    e2 = torch.linalg.cross(u, e1) / e1.norm()
    a, b = f @ e1 / e1.norm(), f @ e2
    r = torch.hypot(a, b)
    cosine = (low @ hinge - (f @ u) * (u @ hinge)) / (r * e1.norm()).clamp(min=1e-6)
    tau = -cosine.clamp(-1, 1).acos() - torch.atan2(b, a)
    tau = torch.atan2(tau.sin(), tau.cos())
    trust = ((r - STRAIGHT) / (BENT - STRAIGHT)).clamp(0, 1)
    return rotvec_to_rotmat(u * tau * trust)


def _swing_about(axis, source, target):
    """(3, 3) turns ``source`` into the direction ``target``: about the unit ``axis`` as far as that goes, the rest the shortest way."""
    across = torch.stack([source, target]) - torch.stack([source @ axis, target @ axis])[:, None] * axis
    angle = torch.atan2(torch.linalg.cross(across[0], across[1]) @ axis, across[0] @ across[1])
    turn = rotvec_to_rotmat(axis * angle)
    return vectors_to_rotmat(turn @ source, target) @ turn


def _hand(at, goal, side, sign, elbow):
    """Alignment of the hand by its knuckles, or None when the rig has too few fingers to tell the palm."""
    knuckles = {finger: at[f"{side}_{finger}1"] for finger in FINGERS if f"{side}_{finger}1" in at}
    thumb, row = knuckles.pop("thumb", None), list(knuckles.values())
    if not row:
        return None
    along = torch.stack(row).mean(0) - at[f"{side}_wrist"]
    outer = next((knuckles[finger] for finger in ("pinky", "ring") if finger in knuckles), None)
    if "index" in knuckles and outer is not None:
        across = knuckles["index"] - outer
    elif thumb is not None:
        across = at.get(f"{side}_thumb3", at.get(f"{side}_thumb2", thumb)) - at[f"{side}_wrist"]
    else:
        return None
    normal = sign * torch.linalg.cross(along, across)
    if normal.norm() < 0.1 * along.norm() * across.norm():
        return None
    toward = goal[f"{side}_hand"] - goal[f"{side}_wrist"] if f"{side}_hand" in goal else elbow @ along
    return _frame(toward, torch.tensor([0.0, -1.0, 0.0])) @ _frame(along, normal).T


def _half_twist(elbow, wrist, axis):
    """The forearm's share of the hand's twist: half the turn about the forearm that lies between the two alignments."""
    axis = axis / axis.norm()
    return rotvec_to_rotmat(axis * twist_angle(wrist @ elbow.T, axis) / 2)


def _frame(primary, secondary):
    """(3, 3) with columns: primary direction, secondary made orthogonal to it, and their cross product."""
    x = torch.nn.functional.normalize(primary, dim=0)
    y = torch.nn.functional.normalize(secondary - (secondary @ x) * x, dim=0)
    return torch.stack([x, y, torch.linalg.cross(x, y)], 1)
