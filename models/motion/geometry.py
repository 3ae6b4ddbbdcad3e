"""Small pieces of rotation geometry that the readers of this room share. Any number of batch dimensions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..rotations import rotmat_to_rotvec, rotvec_to_rotmat


def axes_to_rotmat(primary: Tensor, secondary: Tensor) -> Tensor:
    """Rotmats ``(..., 3, 3)`` with columns: the primary direction, the secondary one made orthogonal to it, their cross product.

    Args:
        primary, secondary: (..., 3) directions of any length, not parallel.
    """
    primary, secondary = torch.broadcast_tensors(primary, secondary)
    x = normalize(primary, dim=-1)
    y = normalize(secondary - (secondary * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def nearest_rotmat(matrix: Tensor) -> Tensor:
    """The rotation ``(..., 3, 3)`` nearest to a matrix: the chordal mean when the matrix is a sum of rotations."""
    U, _, V = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(U @ V)
    return (U * sign[..., None, :]) @ V


def turn_by_part(start: Tensor, end: Tensor, part: Tensor) -> Tensor:
    """Spherical interpolation ``R_start exp(part log(R_start^T R_end))`` of rotmats ``(..., 3, 3)``; ``part (...)`` runs from 0 to 1."""
    turn = rotmat_to_rotvec(start.transpose(-1, -2) @ end)
    return start @ rotvec_to_rotmat(turn * part[..., None])


def hinge_axes(rest: dict[str, Tensor], role: str):
    """How a knee's or elbow's bend shows on the body: (3,) axes across the limb, in the T-pose frames of its upper and of its lower bone.

    Knees bend about +X, elbows about the vertical; but no body's limbs are quite straight at rest, so the plane of thigh and shin (or of
    the arm) stands a few degrees off. It is taken at a bend of one radian.

    Args:
        rest: joint name -> (3,) rest joint. role: a joint of the limb ("left_hip", "left_knee", "right_elbow", ...).
    """
    side, _, part = role.rpartition("_")
    leg = part in ("hip", "knee")
    names = [f"{side}_{joint}" for joint in (("hip", "knee", "ankle") if leg else ("shoulder", "elbow", "wrist"))]
    upper, lower = rest[names[1]] - rest[names[0]], rest[names[2]] - rest[names[1]]
    bend = rotvec_to_rotmat(upper.new_tensor([1.0, 0.0, 0.0] if leg else [0.0, -1.0 if side == "left" else 1.0, 0.0]))
    axis = normalize(torch.linalg.cross(upper, bend @ lower), dim=0)
    return axis, bend.T @ axis
