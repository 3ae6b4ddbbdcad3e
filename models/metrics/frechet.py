"""Frechet distance between two sets of features, and its use on poses (FPD; PAS, section 4.1)."""

from __future__ import annotations

import torch

from ..checks import InputError, check_shape

MIN_ROWS = 200  # below this the covariances are mostly noise


def frechet_distance(features_a, features_b, min_rows=MIN_ROWS):
    """Distance of the Gaussians fitted to two sets: ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` (Heusel et al. 2017, eq. 6).

    Computed in float64 on the CPU, with unbiased covariances. The root's trace is the sum of the square roots of the eigenvalues of
    ``S_a^(1/2) S_b S_a^(1/2)``, which is symmetric; eigenvalues that rounding made negative count as 0.

    Args:
        features_a: (N, D).
        features_b: (M, D).
        min_rows: smallest N and M that are accepted.

    Raises:
        InputError: the shapes do not fit, or a set is too small or holds NaN.
    """
    check_shape("features_b", features_b, "M D", **{"D": check_shape("features_a", features_a, "N D")["D"]})
    mean_a, cov_a = _gaussian("features_a", features_a, min_rows)
    mean_b, cov_b = _gaussian("features_b", features_b, min_rows)
    values, vectors = torch.linalg.eigh(cov_a)
    root_a = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    trace = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * trace
    return max(0.0, distance.item())


def frechet_pose_distance(prior, body_pose_a, body_pose_b, min_rows=MIN_ROWS):
    """FPD: the Frechet distance of the prior's mean codes of two sets of poses ``(N, 21, 3, 3)``, root excluded.

    Values of different priors or of different N are not comparable: report both beside the number.

    Raises:
        InputError: as in ``frechet_distance``.
    """
    with torch.no_grad():
        codes = [prior.encode(body_pose).mean for body_pose in (body_pose_a, body_pose_b)]
    return frechet_distance(*codes, min_rows)


def _gaussian(name, features, min_rows):
    """Returns the mean (D,) and the unbiased covariance (D, D)."""
    rows = len(features)
    if rows < max(2, min_rows):
        raise InputError(name, rows, "rows are too few for a Frechet distance", f"Give at least {max(2, min_rows)} rows.")
    features = features.detach().cpu().double()
    if not features.isfinite().all():
        raise InputError(name, tuple(features.shape), "holds NaN or infinite numbers", "Leave out the broken rows.")
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (rows - 1)
