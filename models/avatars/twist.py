"""Twist bones of arms and legs: bones along a limb that share the turn of the hand, the foot or the upper arm about the limb.

Without them a forearm is wrung at the wrist like a sweet's wrapper. A bone at the share ``f`` of a forearm's (or shin's) length takes
``f`` of the twist that the hand (foot) makes about it; one at ``f`` of an upper arm (thigh) gives back ``1 - f`` of the twist that the
limb makes in its socket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..rotations import rotvec_to_rotmat
from .bone_names import read_bone_name

LIMBS = {"elbow": "wrist", "knee": "ankle", "shoulder": "elbow", "hip": "knee"}  # limb -> the joint at its end
SOCKETS = {"shoulder": ("collar", "spine3", "pelvis"), "hip": ("pelvis",)}
MOST = 3  # twist bones of one limb
NAMED = re.compile(r"twist|roll|捩", re.I)
OFF_AXIS = 0.2  # of the limb's length


@dataclass(frozen=True, eq=False)
class Twists:
    """The T twist bones: driver numbers ``bone``, ``limb`` (whose twist), ``other`` (hand, foot or socket), all (T,);
    ``axis`` (T, 3) along the limb at rest, body frame; ``share`` (T,): of the turn from limb to other that the bone takes."""

    bone: Tensor
    limb: Tensor
    other: Tensor
    axis: Tensor
    share: Tensor

    def to(self, device):
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})

    def add_to(self, D: Tensor, A: Tensor) -> Tensor:
        """Returns the drivers' turns (B, D, 3, 3) with those of the twist bones set from the turns of the limbs.

        Args:
            D: rest pose to world. A: (D, 3, 3) rest alignment, so that twists count from the T-pose.
        """
        if len(self.bone) == 0:
            return D
        G = D[:, self.limb] @ A[self.limb].mT, D[:, self.other] @ A[self.other].mT
        axis = (D[:, self.limb] @ self.axis[..., None])[..., 0]
        D = D.clone()
        D[:, self.bone] = rotvec_to_rotmat(axis * (self.share * twist_angle(G[1] @ G[0].mT, axis))[..., None]) @ D[:, self.limb]
        return D


def twist_angle(R: Tensor, axis: Tensor) -> Tensor:
    """(...) angle of the part of rotmats (..., 3, 3) that turns about unit axes (..., 3) (swing-twist), in -pi..pi."""
    vector = torch.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1)
    angle = 2 * torch.atan2((vector * axis).sum(-1), 1 + R.diagonal(dim1=-2, dim2=-1).sum(-1))
    return torch.atan2(angle.sin(), angle.cos())


def twist_roles(found, names, parents, positions, used):
    """Role ("left_elbow_twist1") -> node, for bones that carry a twist name, or their limb's own name, and lie on a limb's axis.

    Args:
        found: role -> node of the humanoid map. names, parents, positions: of all nodes. used: those that move vertices.
    """
    roles, taken = {}, set(found.values())
    for side in ("left", "right"):
        for limb, end in LIMBS.items():
            if f"{side}_{end}" not in found:
                continue
            top = found[f"{side}_{limb}"]
            start, bone = positions[top], positions[found[f"{side}_{end}"]] - positions[top]
            near = []
            for node in sorted(used - taken):
                share = (positions[node] - start) @ bone / (bone @ bone)
                off = np.linalg.norm(positions[node] - start - share * bone)
                same = NAMED.search(names[node]) or read_bone_name(names[node]) == read_bone_name(names[top])
                if same and -0.05 <= share <= 1.05 and off < OFF_AXIS * np.linalg.norm(bone) and _belongs(node, top, parents, taken):
                    near.append((share, node))
            roles |= {f"{side}_{limb}_twist{n + 1}": node for n, (_, node) in enumerate(sorted(near)[:MOST])}
    return roles


def _belongs(node, top, parents, taken):
    """Whether the first mapped bone above ``node`` is ``top``."""
    node = parents[node]
    while node >= 0 and int(node) not in taken:
        node = parents[node]
    return int(node) == top


def find_twists(rig, roles, rest) -> Twists:
    """The Twists of a rig whose humanoid map holds twist roles."""
    number, rows = {role: i for i, role in enumerate(roles)}, []
    for role in roles:
        limb, _, which = role.partition("_twist")
        if not which:
            continue
        side, part = limb.split("_")
        start, end = rest[number[limb]], rest[number[f"{side}_{LIMBS[part]}"]]
        axis = end - start
        share = float(((rest[number[role]] - start) @ axis / (axis @ axis)).clamp(0, 1))
        if part in SOCKETS:
            other = next(name for base in SOCKETS[part] for name in (f"{side}_{base}", base) if name in number)
            share = 1 - share
        else:
            other = f"{side}_{LIMBS[part]}"
        rows.append((number[role], number[limb], number[other], axis / axis.norm(), share))
    bone, limb, other, axis, share = zip(*rows) if rows else ((), (), (), (), ())
    return Twists(*(torch.tensor(column, dtype=torch.long) for column in (bone, limb, other)),
                  torch.stack(axis) if rows else torch.zeros(0, 3), torch.tensor(share, dtype=torch.float32))
