"""A damped Gauss-Newton solver (Levenberg-Marquardt) for many small problems at once: each row has its own damping and its own pace."""

from __future__ import annotations

import torch
from torch import Tensor

START_DAMPING = 1e-2
_UP, _DOWN = 6.0, 0.3
_MOST, _LEAST = 1e7, 1e-7
_SETTLED = 1e-4  # relative gain below which a row counts as settled


def minimise(state, energy_of, system_of, step_of, steps, on_step=None):
    """Minimises each row's energy.

    Args:
        state: the unknowns of B rows, anything with ``where(flags, other)``.
        energy_of: state -> (B,) energy.
        system_of: state -> (H (B, P, P), g (B, P)), the normal equations ``H d = -g``, H positive semidefinite.
        step_of: (state, d (B, P)) -> state moved by d.
        steps: most iterations; it ends sooner when all rows have settled.
        on_step: called after each iteration.

    Returns:
        (state, (B,) energy). A row's energy never rises.
    """
    energy = energy_of(state)
    damping = torch.full_like(energy, START_DAMPING)
    calm = torch.zeros_like(energy)
    for _ in range(steps):
        H, g = system_of(state)
        tried = step_of(state, solve(H, g, damping))
        value = energy_of(tried)
        better = value < energy
        gain = torch.where(better, (energy - value) / energy.clamp(min=1e-12), torch.zeros_like(energy))
        state = tried.where(better, state)
        energy = torch.where(better, value, energy)
        damping = torch.where(better, damping * _DOWN, damping * _UP).clamp(_LEAST, _MOST)
        calm = torch.where(gain < _SETTLED, calm + 1, torch.zeros_like(calm))
        if on_step is not None:
            on_step()
        if bool((calm >= 3).all()):
            break
    return state, energy


def solve(H: Tensor, g: Tensor, damping: Tensor) -> Tensor:
    """(B, P) step of the damped normal equations ``(H + damping diag H) d = -g``; zero where they cannot be solved."""
    diagonal = H.diagonal(dim1=-2, dim2=-1)
    floor = 1e-6 * diagonal.amax(-1, keepdim=True) + 1e-9
    damped = H + torch.diag_embed(damping[:, None] * diagonal + floor)
    factor, failed = torch.linalg.cholesky_ex(damped)
    step = -torch.cholesky_solve(g[..., None], factor)[..., 0]
    usable = (failed == 0) & torch.isfinite(step).all(-1)
    return torch.where(usable[:, None], step, torch.zeros_like(step))
