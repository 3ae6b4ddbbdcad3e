"""Gaussian diffusion with x_0 prediction: the noise schedule, and sampling steps as pure functions.

Notation: ``x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps`` with ``a`` the cumulative product (alpha bar). Checked against diffusers'
schedulers and against the exact solution for Gaussian data in the tests.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import check_choice

T = 1000
SAMPLERS = ("dpmpp_2m", "ddim")
MIN_HALF_LOG_SNR = -5.1  # below it there is only noise, and the solver's steps in log SNR would be wasted on it


def cosine_alphas_bar(timesteps=T) -> Tensor:
    """Cumulative alphas ``(T,)`` float64 of the cosine schedule (Nichol and Dhariwal 2021, eq. 17), betas capped at 0.999."""
    level = lambda u: math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = [min(1 - level((i + 1) / timesteps) / level(i / timesteps), 0.999) for i in range(timesteps)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0)


def add_noise(x_0: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """The forward process: x_t from x_0 (..., D) and noise of that shape, ``a_t`` (..., 1)."""
    return a_t.sqrt() * x_0 + (1 - a_t).sqrt() * eps


def sampling_timesteps(steps: int, sampler: str, alphas_bar: Tensor, strength: float = 1.0) -> Tensor:
    """Evenly spaced timesteps ``(steps,)`` int64, descending; the step after the last is the clean sample.

    ``strength`` below 1 begins that far down the schedule. There are fewer steps where there are not so many levels.
    DPM-Solver starts where half the log SNR reaches -5.1, as diffusers does for the cosine schedule.
    """
    check_choice("sampler", sampler, SAMPLERS)
    first = len(alphas_bar)
    if sampler == "dpmpp_2m":
        first = int((half_log_snr(alphas_bar) >= MIN_HALF_LOG_SNR).sum())
    if strength < 1:
        first = max(1, round(strength * first))
    steps = min(steps, first)  # a level twice would be a step of no length, by which the solver divides
    return (first - torch.arange(steps, dtype=torch.float64) * first / steps).round().long() - 1


def half_log_snr(a: Tensor) -> Tensor:
    """lambda = log(sqrt(a) / sqrt(1 - a))."""
    return (a.log() - (1 - a).log()) / 2


def ddim_step(x_t: Tensor, x_0: Tensor, a_t: Tensor, a_next: Tensor) -> Tensor:
    """One deterministic step (Song et al. 2021, eq. 12 with sigma = 0) from level ``a_t`` to ``a_next``."""
    eps = (x_t - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
    return a_next.sqrt() * x_0 + (1 - a_next).sqrt() * eps


def dpmpp_2m_step(x_t: Tensor, x_0: Tensor, last_x_0: Tensor | None, a_last: Tensor | None, a_t: Tensor, a_next: Tensor) -> Tensor:
    """One step of DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); first order at the start and onto the clean sample.

    Args:
        x_t: current sample at level ``a_t``.
        x_0: prediction at ``a_t``.
        last_x_0: prediction of the step before, at ``a_last``; None at the first step.
        a_next: the level to go to; 1 gives the clean sample.
    """
    if a_next == 1:
        return x_0
    h = half_log_snr(a_next) - half_log_snr(a_t)
    direction = x_0
    if last_x_0 is not None:
        r = (half_log_snr(a_t) - half_log_snr(a_last)) / h
        direction = x_0 + (x_0 - last_x_0) / (2 * r)
    return ((1 - a_next) / (1 - a_t)).sqrt() * x_t - a_next.sqrt() * torch.expm1(-h) * direction


def sample(predict, noise: Tensor, steps: int, sampler: str = "dpmpp_2m", on_step=None, start: Tensor | None = None, strength: float = 1.0,
           locked: Tensor | None = None) -> Tensor:
    """Integrates from noise to a sample.

    Args:
        predict: ``(x_t, t) -> x_0`` with ``t`` an int.
        noise: (..., D) standard normal.
        steps: number of predictions.
        on_step: called with (i, n) after step i of n, counted from 1; an exception from it stops the sampling.
        start: a clean sample of the noise's shape. Below 1, ``strength`` says how much noise to put on it before the first step.
        locked: (D,) bool, the numbers of ``start`` that stay. They follow their own noised path, which the steps keep to exactly because
            their prediction never changes.
    """
    alphas_bar = cosine_alphas_bar()
    timesteps = sampling_timesteps(steps, sampler, alphas_bar, strength)
    levels, steps = [*alphas_bar[timesteps], torch.tensor(1.0, dtype=torch.float64)], len(timesteps)
    x, last_x_0 = noise, None
    if start is not None:
        x = add_noise(start, noise, levels[0])
        if strength == 1:
            x = torch.where(locked, x, noise)
    for i, t in enumerate(timesteps.tolist()):
        x_0 = predict(x, t)
        if locked is not None:
            x_0 = torch.where(locked, start, x_0)
        if sampler == "ddim":
            x = ddim_step(x, x_0, levels[i], levels[i + 1])
        else:
            x = dpmpp_2m_step(x, x_0, last_x_0, levels[i - 1] if i else None, levels[i], levels[i + 1])
        last_x_0 = x_0
        if on_step is not None:
            on_step(i + 1, steps)
    return x


def candidate_noise(seed: int, count: int, dim: int) -> Tensor:
    """Standard normal noise ``(count, dim)`` on the CPU; candidate i of a seed is the same whatever the count."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(dim, generator=generator) for _ in range(count)])
