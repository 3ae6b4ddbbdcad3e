"""How well a pose could be transferred: bone directions and joint positions of the avatar against the body's."""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES
from .rig import PARENT_ROLE

LIMBS = ("knee", "ankle", "foot", "elbow", "wrist")


def fit_errors(avatar, joints: Tensor, scale: float, posed):
    """Role -> (angle, distance): means over the rows.

    Angle in degrees between the bone that ends at this joint and the body's, for limbs (None for the trunk, whose bones each rig lays
    out in its own way); distance in metres between the avatar's joint and the body's, both seen from the pelvis, the body scaled to
    the avatar's leg length.

    Args:
        avatar: the character. joints: (B, D, 3) its posed drivers. scale: metres per file unit. posed: the PosedBody.
    """
    ours = dict(zip(avatar.rig.humanoid, joints.unbind(1)))
    theirs = dict(zip(JOINT_NAMES, posed.joints.unbind(1)))
    leg = [sum((at[f"left_{b}"] - at[f"left_{a}"]).norm(dim=-1) for a, b in (("hip", "knee"), ("knee", "ankle"))) for at in (ours, theirs)]
    ratio = (leg[0] / leg[1])[:, None]
    errors = {}
    for role in ours:
        above = avatar.rig.parent_role(role)
        if role not in theirs or above not in theirs or PARENT_ROLE[role] not in theirs:
            continue
        mine, other = ours[role] - ours[above], theirs[role] - theirs[above]
        angle = torch.rad2deg(torch.nn.functional.cosine_similarity(mine, other, dim=-1).clamp(-1, 1).acos()).mean()
        angle = float(angle) if role.split("_")[-1] in LIMBS else None
        distance = ((ours[role] - ours["pelvis"]) - ratio * (theirs[role] - theirs["pelvis"])).norm(dim=-1).mean()
        errors[role] = (angle, float(distance))
    return errors


def fit_report(avatar, joints: Tensor, scale: float, posed) -> str:
    """Returns the report a user reads: the bone map's source, what is missing, and the errors joint by joint."""
    errors = fit_errors(avatar, joints, scale, posed)
    humanoid = avatar.rig.humanoid
    missing = [name for name in JOINT_NAMES[:22] if name not in humanoid]
    fingers = sum(role not in JOINT_NAMES for role in humanoid)
    lines = [f"{avatar.name}: {len(humanoid) - fingers} of 22 body joints and {fingers} of 30 finger joints found by {avatar.rig.source}."]
    lines += [f"{note}." for note in avatar.rig.notes]
    if missing:
        lines.append(f"Not in this rig, so they follow their neighbours: {', '.join(missing)}.")
    lines.append(f"Scale {scale:.4g}. Error per joint, mean of {len(joints)} row(s): bone direction in degrees, position in millimetres.")
    for role, (angle, distance) in errors.items():
        direction = "         -" if angle is None else f"{angle:6.1f} deg"
        lines.append(f"{role:15s} {avatar.rig.names[humanoid[role]]:24.24s} {direction} {1000 * distance:7.0f} mm")
    return "\n".join(lines)
