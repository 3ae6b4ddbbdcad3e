"""New poses around known ones, in the pose prior's latent space (Weng et al. 2023, equations 8 to 10).

The paper multiplies a drawn code by ``1 + s * eps`` and leaves s and the noise's range open; the released code does other things. Both are
presets here. Only the released ones also turn the root and change the shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import check_choice, check_range
from ..rotations import rotvec_to_rotmat
from ..types import BodyPose

GAUSSIAN, UNIFORM = "gaussian", "uniform"


@dataclass(frozen=True)
class Augmentation:
    """How a preset changes a pose. ``z <- z * (offset + s * noise)``.

    Args:
        noise: "uniform" draws eps from 0..1, "gaussian" from N(0, 1).
        offset: what the code is multiplied by without noise.
        scale: s; None takes the caller's.
        root: standard deviation of the root's turn about each axis, radians.
        shape: standard deviation of the factor on the shape coefficients.
    """

    noise: str = UNIFORM
    offset: float = 1.0
    scale: float | None = None
    root: float = 0.0
    shape: float = 0.0


PRESETS = {
    "paper": Augmentation(),
    "released (SPIN)": Augmentation(GAUSSIAN, 1.5, 0.3, math.radians(10), 0.1),
    "released (BEV)": Augmentation(GAUSSIAN, 1.0, 1.0, 0.1, 0.1),
}


def augment_pose(prior, pose: BodyPose, scale=0.05, preset="paper", seed=0, count=1, root_jitter=None, shape_jitter=None,
                 sample=True) -> BodyPose:
    """Draws variations of poses.

    Args:
        prior: PosePrior.
        pose: B rows.
        scale: s of equation 9. Used by the "paper" preset; the released ones bring their own.
        preset: a name of `PRESETS`.
        seed: the same seed and rows give the same variations.
        count: variations of each row.
        root_jitter: standard deviation of the root's turn about each axis, radians; None takes the preset's.
        shape_jitter: standard deviation of the factor on the betas; None takes the preset's. Without betas there is nothing to change.
        sample: draw the code from the encoder's Gaussian (equation 9); False takes its mean, so that scale 0 only rounds the pose to what
            the prior knows.

    Returns:
        BodyPose of B * count rows: all rows once, then all rows again, as ComfyUI repeats batches. Places and hands are kept; each
        round shows pictures of its own, so ``frame_index`` goes on counting.

    Raises:
        InputError: an argument is out of range.
    """
    chosen = PRESETS[check_choice("preset", preset, tuple(PRESETS))]
    check_range("scale", scale, 0.0, 10.0)
    check_range("count", count, 1, 4096)
    root = check_range("root jitter", chosen.root if root_jitter is None else root_jitter, 0.0, math.pi, "radians")
    shape = check_range("shape jitter", chosen.shape if shape_jitter is None else shape_jitter, 0.0, 10.0)
    generator = torch.Generator().manual_seed(seed)
    rows = _repeated(pose, count)
    codes = prior.encode(rows.body_pose)  # equation 8
    latents = codes.sample(generator) if sample else codes.mean
    latents = augment_latents(latents, chosen, scale, generator)
    rows = replace(rows, body_pose=prior.decode(latents))  # equation 10
    if root:
        turn = root * torch.randn(len(rows), 3, generator=generator)
        rows = replace(rows, global_orient=rows.global_orient @ rotvec_to_rotmat(turn).to(rows.global_orient))
    if shape and rows.betas is not None:
        factor = 1 + shape * torch.randn(rows.betas.shape, generator=generator)
        rows = replace(rows, betas=rows.betas * factor.to(rows.betas))
    return rows


def _repeated(pose, count):
    if count == 1 or not len(pose):
        return pose
    rows = pose[torch.arange(len(pose), device=pose.device).repeat(count)]
    pictures = int(pose.frame_index.max()) + 1
    rounds = torch.arange(count, device=pose.device).repeat_interleave(len(pose))
    return replace(rows, frame_index=rows.frame_index + pictures * rounds)


def augment_latents(latents: Tensor, chosen: Augmentation, scale: float, generator) -> Tensor:
    """Equation 9: ``z * (1 + s eps)`` on codes (B, D), entry by entry."""
    draw = torch.rand if chosen.noise == UNIFORM else torch.randn
    noise = draw(latents.shape, generator=generator).to(latents)
    return latents * (chosen.offset + (scale if chosen.scale is None else chosen.scale) * noise)
