"""Would a pose fall over: how far the body's weight lies beside what carries it.

No fault of a pose, since people jump and fall, and so no part of plausibility; but of two poses that fit a sentence equally well the one
that stands makes the better picture.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..types import BodyPose
from .body import BodyModel, pose_body

CONTACT = 0.03  # metres above the floor that still carry: skin gives way
_DIRECTIONS = 128  # from which the outline of what carries is looked at; fewer are centimetres off at wide stances
_ROWS = 64  # posed at once
_EVERY = 4  # a vertex of so many is enough for an outline


def off_balance(pose: BodyPose, body: BodyModel) -> Tensor:
    """Metres (B,) on the floor between the middle of the skin and the convex outline of what touches the floor; 0 inside it.

    Args:
        pose: B rows, standing, lying or sitting on the floor (see ``place_on_floor``).
        body: an SMPL-format body; the floor is y = 0.
    """
    angles = torch.arange(_DIRECTIONS, device=body.device) * (2 * math.pi / _DIRECTIONS)
    outward = torch.stack([angles.cos(), angles.sin()])
    ids = torch.arange(0, body.v_template.shape[0], _EVERY, device=body.device)
    parts = (pose[start : start + _ROWS].to(body.device) for start in range(0, len(pose), _ROWS))
    return torch.cat([_beside(pose_body(body, part).vertices(ids=ids), outward) for part in parts])


def _beside(vertices, outward):
    """Distance from the mean to the convex hull of the low vertices, as the worst of its half-planes."""
    ground = vertices[..., [0, 2]]
    carries = vertices[..., 1] <= vertices[..., 1].amin(1, keepdim=True).clamp(min=0) + CONTACT
    reach = (ground @ outward).masked_fill(~carries[..., None], -torch.inf).amax(1)
    return (ground.mean(1) @ outward - reach).amax(1).clamp(min=0)
