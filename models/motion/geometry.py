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
