"""Rotation mappings, named ``<from>_to_<to>``, any number of batch dimensions. The mathematics is roma's.

roma is imported inside the functions: importing it costs a second, and most of the pack never needs it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shape


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Axis-angle ``(..., 3)`` in radians to rotmat ``(..., 3, 3)``, by Rodrigues' formula.

    Written out because it runs on whole motions and at start-up; equal to ``roma.rotvec_to_rotmat`` (see the tests).
    """
    check_shape("rotvec", rotvec, "... 3")
    angle2 = (rotvec * rotvec).sum(-1)[..., None, None]
    angle = angle2.clamp(min=1e-12).sqrt()
    small = angle2 < 1e-6  # Taylor series: keeps values and gradients exact at the identity
    sinc = torch.where(small, 1 - angle2 / 6, angle.sin() / angle)
    cosc = torch.where(small, 0.5 - angle2 / 24, (1 - angle.cos()) / angle.square())
    K = cross_matrix(rotvec)
    return torch.eye(3, dtype=rotvec.dtype, device=rotvec.device) + sinc * K + cosc * (K @ K)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The same numbers in float32, or in the wider type that they have: half precision keeps no matrix orthonormal."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def cross_matrix(vector: Tensor) -> Tensor:
    """Vector ``(..., 3)`` to the skew matrix ``(..., 3, 3)`` with ``cross_matrix(a) @ b = a x b``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Rotmat ``(..., 3, 3)`` to axis-angle ``(..., 3)`` in radians, angle in [0, pi]."""
    check_shape("rotmat", rotmat, "... 3 3")
    import roma

    return roma.rotmat_to_rotvec(rotmat)


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """Rotmat ``(..., 3, 3)`` to 6D ``(..., 6)``: the first two columns, interleaved row by row (VPoser's order)."""
    check_shape("rotmat", rotmat, "... 3 3")
    return rotmat[..., :2].flatten(-2)


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """6D ``(..., 6)`` in VPoser's interleaved column order to rotmat ``(..., 3, 3)``, by Gram-Schmidt (Zhou et al. 2019)."""
    check_shape("rot6d", rot6d, "... 6")
    a, b = rot6d.unflatten(-1, (3, 2)).unbind(-1)
    x = torch.nn.functional.normalize(a, dim=-1)
    y = torch.nn.functional.normalize(b - (x * b).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def vectors_to_rotmat(source: Tensor, target: Tensor) -> Tensor:
    """The smallest rotation ``(..., 3, 3)`` that turns the direction ``source (..., 3)`` into ``target (..., 3)``.

    Opposite directions turn by pi about any axis across them.
    """
    check_shape("source", source, "... 3")
    check_shape("target", target, "... 3")
    a = torch.nn.functional.normalize(source, dim=-1)
    b = torch.nn.functional.normalize(target, dim=-1)
    K, cosine = cross_matrix(torch.linalg.cross(a, b)), (a * b).sum(-1)[..., None, None]
    eye = torch.eye(3, dtype=a.dtype, device=a.device)
    turn = eye + K + K @ K / (1 + cosine).clamp(min=1e-8)
    across = torch.nn.functional.normalize(torch.linalg.cross(a, eye[a.abs().argmin(-1)]), dim=-1)
    half_turn = 2 * across[..., :, None] * across[..., None, :] - eye
    return torch.where(cosine < -1 + 1e-6, half_turn, turn)


def rotation_about(axis: str, angle) -> Tensor:
    """Rotmat ``(..., 3, 3)`` about a world axis "x", "y" or "z" by ``angle (...)`` radians."""
    angle = torch.as_tensor(angle, dtype=torch.float32)
    rotvec = angle.new_zeros(*angle.shape, 3)
    rotvec[..., "xyz".index(axis)] = angle
    return rotvec_to_rotmat(rotvec)
