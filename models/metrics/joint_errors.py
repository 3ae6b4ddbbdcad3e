"""How far estimated joints lie from the true ones: MPJPE, PA-MPJPE, PCK (Weng et al. 2023, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError, check_range, check_shape


def mpjpe(estimated: Tensor, true: Tensor, root: int | None = 0, seen: Tensor | None = None) -> Tensor:
    """(B,) mean per-joint position error, in the unit of the joints.

    Args:
        estimated, true: (B, J, 3).
        root: joint that is moved to the origin in both, the pelvis as a rule; None compares places too.
        seen: (B, J), 0 for joints that do not count; None counts all.

    Raises:
        InputError: shapes do not fit, something is NaN where it counts, or a row has no joint that counts.
    """
    weights = _weights(estimated, true, seen, 3)
    if root is not None:
        estimated, true = estimated - estimated[:, root : root + 1], true - true[:, root : root + 1]
    return _mean(_where_seen(estimated - true, weights).norm(dim=-1), weights)


def pa_mpjpe(estimated: Tensor, true: Tensor, seen: Tensor | None = None) -> Tensor:
    """(B,) MPJPE after the best similarity transform (Procrustes analysis) of each row; arguments as in ``mpjpe``."""
    weights = _weights(estimated, true, seen, 3)
    return _mean(_where_seen(align(estimated, true, weights) - true, weights).norm(dim=-1), weights)


def align(points: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Moves points (B, J, 3) onto the target by the rotation, scale and shift with the least squared error (Umeyama 1991).

    Rows whose points all coincide are only shifted. In float64 inside.
    """
    weights = torch.ones_like(points[..., 0]) if weights is None else weights
    kept, a, b = weights.double()[..., None], _where_seen(points, weights).double(), _where_seen(target, weights).double()
    count = kept.sum(1, keepdim=True).clamp(min=1e-12)
    mean_a, mean_b = (kept * a).sum(1, keepdim=True) / count, (kept * b).sum(1, keepdim=True) / count
    a, b = a - mean_a, b - mean_b
    U, S, Vh = torch.linalg.svd((kept * b).mT @ a)
    sign = torch.ones_like(S)
    sign[:, -1] = torch.det(U @ Vh).sign()  # a mirror image is no rotation
    R = (U * sign[:, None]) @ Vh
    spread = (kept * a.square()).sum((1, 2))
    scale = torch.where(spread > 1e-12, (S * sign).sum(1) / spread.clamp(min=1e-12), torch.ones_like(spread))
    return (scale[:, None, None] * a @ R.mT + mean_b).to(points.dtype)


def pck(estimated: Tensor, true: Tensor, threshold, reference: Tensor | None = None, seen: Tensor | None = None) -> Tensor:
    """(B,) share of correct keypoints, 0..1: those nearer to the true point than the threshold.

    Args:
        estimated, true: (B, K, 2) pixels (or (B, K, 3)).
        threshold: pixels; with a reference, a share of it (0.5 of the head for PCKh, 0.2 of the torso, 0.1 of the box).
        reference: (B,) length in pixels.
        seen: (B, K), 0 for points that are not annotated.

    Raises:
        InputError: as in ``mpjpe``, or the threshold is not positive.
    """
    check_range("threshold", threshold, 1e-9, 1e9)
    weights = _weights(estimated, true, seen, estimated.shape[-1])
    limit = threshold if reference is None else threshold * reference[:, None]
    near = (_where_seen(estimated - true, weights).norm(dim=-1) <= limit).to(weights)
    return _mean(near, weights)


def box_size(keypoints: Tensor, seen: Tensor) -> Tensor:
    """(B,) larger side of the box around the seen points (B, K, 2), pixels."""
    low = torch.where(seen[..., None] > 0, keypoints, torch.inf).amin(1)
    high = torch.where(seen[..., None] > 0, keypoints, -torch.inf).amax(1)
    return (high - low).amax(-1)


def _weights(estimated, true, seen, width):
    sizes = check_shape("estimated", estimated, f"B J {width}")
    check_shape("true", true, f"B J {width}", **sizes)
    weights = torch.ones_like(true[..., 0]) if seen is None else (seen > 0).to(true)
    check_shape("seen", weights, "B J", **sizes)
    if sizes["B"] == 0 or not bool((weights.sum(1) > 0).all()):
        raise InputError("seen", tuple(weights.shape), "leaves a row without a joint that counts", "Leave such rows out.")
    for name, points in (("estimated", estimated), ("true", true)):
        if not bool(torch.isfinite(points).all(-1)[weights > 0].all()):
            raise InputError(name, tuple(points.shape), "holds NaN or infinite numbers", "Mark missing joints as not seen.")
    return weights


def _where_seen(values, weights):
    """Zero where nothing counts, so that NaN there does no harm."""
    return torch.where(weights[..., None] > 0, values, torch.zeros_like(values))


def _mean(values, weights):
    return (values * weights).sum(1) / weights.sum(1)
