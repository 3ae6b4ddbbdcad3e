"""How well a pose could be transferred: bone directions and joint positions of the avatar against the body's."""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES
from .rig import HANDS, PARENT_ROLE, TWISTS

LIMBS = ("knee", "ankle", "foot", "elbow", "wrist")


def fit_errors(joints: Tensor, posed, both):
    """Role -> (angle, distance): means over the rows.

    Angle in degrees between the bone that ends at this joint and the body's, for limbs (None for the trunk, whose bones each rig lays
    out in its own way); distance in metres between the avatar's joint and the body's, both seen from the pelvis, the body scaled to
    the avatar's leg length.

    Args:
        joints: (B, D, 3) the avatar's posed drivers. posed: the PosedBody. both: their Pairing.
    """
    known = [role for role in both.roles if role in JOINT_NAMES and PARENT_ROLE.get(role) is not None]
    known = [role for role in known if both.roles[int(both.above[both.of[role]])] in JOINT_NAMES]
    ours, theirs = [both.of[role] for role in known], [JOINT_NAMES.index(role) for role in known]
    above = [both.roles[i] for i in both.above[ours].tolist()]
    mine = joints[:, ours] - joints[:, [both.of[role] for role in above]]
    other = posed.joints[:, theirs] - posed.joints[:, [JOINT_NAMES.index(role) for role in above]]
    cosine = torch.nn.functional.cosine_similarity(mine, other, dim=-1).clamp(-1, 1)
    angles = torch.rad2deg(cosine.acos()).mean(0).tolist()
    ratio = leg_ratio(joints, posed, both)[:, None, None]
    distances = (joints[:, ours] - joints[:, :1] - ratio * (posed.joints[:, theirs] - posed.joints[:, :1])).norm(dim=-1).mean(0).tolist()
    return {role: (angle if role.split("_")[-1] in LIMBS else None, distance) for role, angle, distance in zip(known, angles, distances)}


def leg_ratio(joints: Tensor, posed, both) -> Tensor:
    """(B,) leg length of the avatar over the body's, in the world."""
    lengths = [(at[:, hip] - at[:, knee]).norm(dim=-1) + (at[:, knee] - at[:, ankle]).norm(dim=-1) for at, (hip, knee, ankle) in (
        (joints, [both.of[f"left_{part}"] for part in ("hip", "knee", "ankle")]), (posed.joints, (1, 4, 7)))]
    return lengths[0] / lengths[1]


def fit_report(avatar, joints: Tensor, scale: float, posed, both, missed=None) -> str:
    """Returns the report a user reads: the bone map's source, what is missing, and the errors joint by joint."""
    errors = fit_errors(joints, posed, both)
    humanoid = avatar.rig.humanoid
    missing = [name for name in JOINT_NAMES[:22] if name not in humanoid]
    fingers, twists = sum(role in HANDS for role in humanoid), sum(role in TWISTS for role in humanoid)
    lines = [f"{avatar.name}: {len(humanoid) - fingers - twists} of 22 body joints and {fingers} of 30 finger joints found "
             f"by {avatar.rig.source}."]
    if twists:
        lines.append(f"{twists} twist bones share the turns of hands, feet, upper arms and thighs.")
    lines += [f"{note}." for note in avatar.rig.notes]
    if missing:
        lines.append(f"Not in this rig, so they follow their neighbours: {', '.join(missing)}.")
    lines.append(f"Scale {scale:.4g}. Error per joint, mean of {len(joints)} row(s): bone direction in degrees, position in millimetres.")
    if missed is not None:
        told = (f"{role} {1000 * float(off.mean()):.1f} ({1000 * float(off.max()):.0f})" for role, off in missed.items() if len(off))
        lines.insert(-1, f"Refined: distance from the goal in millimetres, mean (worst row): {', '.join(told)}.")
    for role, (angle, distance) in errors.items():
        direction = "         -" if angle is None else f"{angle:6.1f} deg"
        lines.append(f"{role:15s} {avatar.rig.names[humanoid[role]]:24.24s} {direction} {1000 * distance:7.0f} mm")
    return "\n".join(lines)
