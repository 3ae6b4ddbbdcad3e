"""How bone frames of unknown direction lie in a human body, read off the motion itself.

Needed where a file's zero pose is no standing person. Two facts fix a bone's frame: the direction to the next joint, which is constant in
the bone's frame, and a second direction across it: the hinge of knee or elbow, about which these joints bend one way only (weighted by
the squared sine of the bend); the line between the hips or collars; the palm. Where there is none, the bone's twist against its
parent is taken to be zero on average. The bones of the trunk are short and curved differently in every skeleton, so their directions
tell only roughly; but skeletons are built with the trunk's frames along the axes of the standing person: where one axis points exactly
to the side, the nearest such frame is taken.
"""

from __future__ import annotations

import itertools
import math

import torch

from ..avatars.rig import FINGERS, HANDS, PARENT_ROLE, ROLES
from ..rotations import vectors_to_rotmat
from .geometry import axes_to_rotmat, hinge_axes, nearest_rotmat

HINGES = {"hip": ("hip", "knee", "ankle"), "knee": ("hip", "knee", "ankle"),
          "shoulder": ("shoulder", "elbow", "wrist"), "elbow": ("shoulder", "elbow", "wrist")}
BENT = 0.02  # mean squared sine of the bend from which a hinge is trusted
ALONG_AXES = math.radians(35)  # a trunk frame nearer than this to the person's axes is meant to lie along them
LATERAL = math.radians(5)  # how exactly one of its axes must point to the person's side
SAME_FRAME = math.radians(80)
_TRUNK = ("spine1", "spine2", "spine3", "neck", "head")


def alignment_from_motion(rig, W, P, goal):
    """Role -> (3, 3) rotation ``A`` with ``W A`` the world rotation of the body's joint.

    Args:
        rig: the humanoid map.
        W, P: (T, J, 3, 3) and (T, J, 3) world rotations and positions of the skeleton, axes already +Y up.
        goal: joint name -> (3,) rest joint of the body in its T-pose.
    """
    at = {role: P[:, node] for role, node in rig.humanoid.items()}
    if "neck" in at and "head" in at:
        at["neck_end"] = P[:, _next_node(rig, "neck", "head")]
    turn = {role: W[:, node] for role, node in rig.humanoid.items()}
    A, G = {}, {}
    for role in (role for role in ROLES if role in at):
        A[role] = _align(role, at, turn, goal, G, A)
        G[role] = turn[role] @ A[role]
    return A


def _align(role, at, turn, goal, G, known):
    """(3, 3) the rotation from the body's joint in its T-pose to the frame of the file's bone."""
    A = _align_by_directions(role, at, turn, goal, G)
    if role == "head" and "spine3" in known:  # heads look anywhere; but their frames are built like the chest's
        chest = known["spine3"]
        return chest if _angle(chest, A) < SAME_FRAME else A
    return _along_axes(A) if role in ("pelvis", "spine1", "spine2", "spine3") else A


def _along_axes(A):
    """The nearest rotation whose entries are 0 and +-1, if it is near enough."""
    best = max(_axis_frames().to(A), key=lambda frame: float((frame * A).sum()))
    lateral = float(best[:, 0] @ A[:, 0]) > math.cos(LATERAL)
    return best if lateral and _angle(best, A) < ALONG_AXES else A


def _angle(a, b):
    """Radians between two rotations (3, 3)."""
    return math.acos(min(max((float((a * b).sum()) - 1) / 2, -1), 1))


def _axis_frames():
    """(24, 3, 3) rotations that map axes to axes."""
    frames = [torch.eye(3)[list(order)] * torch.tensor(signs)[:, None]
              for order in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)]
    return torch.stack([frame for frame in frames if torch.linalg.det(frame) > 0])


def _align_by_directions(role, at, turn, goal, G):
    seen, wanted = _directions(role, at, goal)
    local = None if seen is None else _mean_in(turn[role], seen)
    across = _across(role, at, goal)
    if role == "pelvis":
        return axes_to_rotmat(_mean_in(turn[role], across[0]), local) @ axes_to_rotmat(across[1], wanted).T
    if local is not None and across is not None:
        return axes_to_rotmat(local, _mean_in(turn[role], across[0])) @ axes_to_rotmat(wanted, across[1]).T
    usual = nearest_rotmat((turn[role].transpose(-1, -2) @ G[_above(role, G)]).mean(0))
    return usual if local is None else vectors_to_rotmat(usual @ wanted, local) @ usual


def _next_node(rig, start, end):
    """The first bone after ``start`` on the way to ``end``: a chain between two joints bends, its first bone does not."""
    node = rig.humanoid[end]
    while rig.parents[node] >= 0 and rig.parents[node] != rig.humanoid[start]:
        node = rig.parents[node]
    return node if rig.parents[node] >= 0 else rig.humanoid[end]


def _above(role, G):
    role = PARENT_ROLE[role]
    while role not in G:
        role = PARENT_ROLE[role]
    return role


def _mean_in(turn, direction):
    """The mean of world directions (T, 3) seen from a bone with world rotations (T, 3, 3)."""
    return (turn.transpose(-1, -2) @ direction[..., None])[..., 0].mean(0)


def _directions(role, at, goal):
    """((T, 3) in the file, (3,) in the body's T-pose) from a joint to the next one; (None, None) at the end of a limb."""
    side, _, part = role.rpartition("_")
    if role in ("pelvis", *_TRUNK):
        order = ("pelvis", *_TRUNK)
        end = next((r for r in order[order.index(role) + 1 :] if r in at), None)
        if role == "neck" and end:
            return at["neck_end"] - at["neck"], goal["head"] - goal["neck"]
    elif part == "wrist":
        return _knuckles(side, at, goal)
    elif role in HANDS:
        end = f"{role[:-1]}{int(role[-1]) + 1}"
        return (at[end] - at[role], _palm_axis(side, goal)) if end in at else (None, None)
    else:
        end = {"hip": "knee", "knee": "ankle", "ankle": "foot", "collar": "shoulder", "shoulder": "elbow", "elbow": "wrist"}.get(part)
        end = f"{side}_{end}" if end else None
    if end not in at:
        return None, None
    return at[end] - at[role], goal[end] - goal[role]


def _knuckles(side, at, goal):
    row = [at[f"{side}_{finger}1"] for finger in FINGERS if finger != "thumb" and f"{side}_{finger}1" in at]
    return (torch.stack(row).mean(0) - at[f"{side}_wrist"], _palm_axis(side, goal)) if row else (None, None)


def _palm_axis(side, goal):
    return goal.get(f"{side}_hand", 2 * goal[f"{side}_wrist"] - goal[f"{side}_elbow"]) - goal[f"{side}_wrist"]


def _across(role, at, goal):
    """((T, 3), (3,)) a second direction that file and body share, across the bone; None where nothing tells it."""
    side, _, part = role.rpartition("_")
    sign = 1.0 if side == "left" else -1.0
    down = goal["pelvis"].new_tensor([0.0, -1.0, 0.0])
    if role in ("pelvis", "spine3"):
        pair = "hip" if role == "pelvis" else "collar"
        if f"left_{pair}" not in at:
            return None
        return at[f"left_{pair}"] - at[f"right_{pair}"], goal[f"left_{pair}"] - goal[f"right_{pair}"]
    if part in HINGES:
        hinge = _hinge([f"{side}_{name}" for name in HINGES[part]], at)
        return None if hinge is None else (hinge, hinge_axes(goal, role)[part in ("knee", "elbow")])
    if part == "wrist" and f"{side}_index1" in at and f"{side}_pinky1" in at:
        along, _ = _knuckles(side, at, goal)
        return sign * torch.linalg.cross(along, at[f"{side}_index1"] - at[f"{side}_pinky1"]), down
    return None


def _hinge(chain, at):
    """(T, 3) the axis about which the middle joint bends, as long as the bend's squared sine; None if it hardly ever bends."""
    if any(role not in at for role in chain):
        return None
    upper, lower = at[chain[1]] - at[chain[0]], at[chain[2]] - at[chain[1]]
    cross = torch.linalg.cross(upper / upper.norm(dim=-1, keepdim=True), lower / lower.norm(dim=-1, keepdim=True))
    sine = cross.norm(dim=-1, keepdim=True)
    return cross * sine if sine.square().mean() > BENT else None
