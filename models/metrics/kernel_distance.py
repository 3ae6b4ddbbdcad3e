"""Kernel distance between two sets of features (KID; Binkowski et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError, check_range, check_shape


def kernel_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel ``(x . y / D + 1)^3``. It may be slightly negative.

    Args:
        features_a: (N, D), N at least 2.
        features_b: (M, D), M at least 2.

    Raises:
        InputError: shapes do not fit, a set is too small or holds NaN.
    """
    a, b = _checked(features_a, features_b)
    n, m = len(a), len(b)
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    inside = (within_a.sum() - within_a.diagonal().sum()) / (n * (n - 1)) + (within_b.sum() - within_b.diagonal().sum()) / (m * (m - 1))
    return (inside - 2 * _kernel(a, b).mean()).item()


def subset_kernel_distance(features_a: Tensor, features_b: Tensor, subsets=100, size=1000, seed=0) -> tuple[float, float]:
    """Mean and standard deviation of the kernel distance over random subsets, as KID is reported.

    Args:
        subsets: how many are drawn.
        size: rows of each; at most as many as the smaller set has.
        seed: of the draws.

    Raises:
        InputError: as in ``kernel_distance``, or counts are out of range.
    """
    a, b = _checked(features_a, features_b)
    check_range("subsets", subsets, 1, 100_000)
    size, generator = min(check_range("subset size", size, 2, 10**6), len(a), len(b)), torch.Generator().manual_seed(seed)
    values = [kernel_distance(a[torch.randperm(len(a), generator=generator)[:size]], b[torch.randperm(len(b), generator=generator)[:size]])
              for _ in range(subsets)]
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), values.std(correction=0).item()


def _kernel(a, b):
    return (a @ b.T / a.shape[1] + 1) ** 3


def _checked(features_a, features_b):
    check_shape("features_b", features_b, "M D", D=check_shape("features_a", features_a, "N D")["D"])
    for name, features in (("features_a", features_a), ("features_b", features_b)):
        if len(features) < 2 or not bool(torch.isfinite(features).all()):
            raise InputError(name, tuple(features.shape), "has fewer than 2 rows, or holds NaN", "Give more pictures, without broken ones.")
    return features_a.detach().cpu().double(), features_b.detach().cpu().double()
