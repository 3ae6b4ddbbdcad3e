"""The second pass: the first picture's latents, noised, are painted again, led by the body's depth (Weng et al. 2023, equations 4 to 6).

A depth-to-image model (Stable Diffusion 2 depth) reads the depth as a fifth channel beside its noisy latents; a depth ControlNet reads it
as a picture. What goes in is the same for both and is made here; the sampling belongs to whoever holds the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..checks import InputError, check_range, check_shape

DEPTH_CHANNELS = 5  # input channels of a depth-to-image UNet: four noisy latents and the depth
NEGATIVE = "deformed, bad anatomy"


def check_strength(strength):
    """Returns the strength.

    Raises:
        InputError: it is not above 0 and at most 1.
    """
    check_range("strength", strength, 0.0, 1.0)
    if strength == 0:
        raise InputError("strength", strength, "leaves the first picture as it is", "Choose a value above 0, or leave the second pass out.")
    return strength


@dataclass(frozen=True)
class DepthToImage:
    """Settings of the second pass.

    Args:
        strength: share of the noise schedule that is run, above 0 up to 1. 1 keeps nothing of the first picture.
        steps: of the whole schedule; ``strength * steps`` of them are run.
        guidance: classifier-free guidance scale.
        negative: what the picture shall not show.
        fresh_person: start from plain noise where the person is, so that nothing of the broken body is kept.
    """

    strength: float = 0.7
    steps: int = 50
    guidance: float = 7.5
    negative: str = ""
    fresh_person: bool = False

    def __post_init__(self):
        check_strength(self.strength)
        check_range("steps", self.steps, 1, 1000)
        check_range("guidance", self.guidance, 1.0, 100.0)


# The paper noises all latents alike and names no negative text; strength, steps and guidance are those of its released code for both.
# The released demo, as its README runs it, also starts the person from plain noise.
PRESETS = {"paper": DepthToImage(), "released": DepthToImage(negative=NEGATIVE, fresh_person=True)}


def steps_to_run(steps, strength) -> int:
    """How many of the schedule's steps are run, as diffusers counts them; at least one.

    Raises:
        InputError: steps or strength are out of range.
    """
    check_range("steps", steps, 1, 1000)
    return max(1, min(int(steps * check_strength(strength)), steps))


def ksampler_settings(steps, strength) -> tuple[int, float]:
    """(steps, denoise) for ComfyUI's KSampler to run that part of that schedule; it builds one of ``int(steps / denoise)`` steps."""
    run = steps_to_run(steps, strength)
    denoise = run / steps
    while int(run / denoise) < steps:  # rounding may lose a step of the schedule
        denoise = math.nextafter(denoise, 0.0)
    return run, denoise


def depth_channel(depth: Tensor, size) -> Tensor:
    """The depth as a depth-to-image UNet reads it: on the latent grid, each picture stretched to -1 (farthest) .. 1 (nearest).

    Args:
        depth: (B, H, W), any range, larger is nearer.
        size: (h, w) of the latents.

    Returns:
        (B, 1, h, w); -1 everywhere for a picture without any depth.

    Raises:
        InputError: the depth holds NaN.
    """
    check_shape("depth", depth, "B H W")
    if not bool(torch.isfinite(depth).all()):
        raise InputError("depth", tuple(depth.shape), "holds NaN or infinite numbers", "Render it again.")
    small = depth[:, None].float()
    if small.shape[-2:] != tuple(size):
        small = interpolate(small, tuple(size), mode="bicubic", align_corners=False)
    low, high = small.amin((1, 2, 3), keepdim=True), small.amax((1, 2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, 2 * (small - low) / span.clamp(min=1e-12) - 1, -torch.ones_like(small))


def freshen_person(latents: Tensor, person: Tensor, unscale: Callable[[Tensor], Tensor], seed=0) -> Tensor:
    """Replaces latents by plain noise where the person is; the sampler's own noise comes on top.

    Args:
        latents: (B, C, h, w) as they leave the VAE, not scaled.
        person: (B or 1, H, W), 1 where the person is; a latent cell counts when more than half of it is covered.
        unscale: latents that the network works on -> latents of the VAE (SD: divided by 0.18215); the network shall see unit variance.
        seed: of the noise.
    """
    sizes = check_shape("latents", latents, "B C h w")
    if check_shape("person", person, "P H W")["P"] not in (1, sizes["B"]):
        raise InputError("person mask", f"{len(person)} rows", f"do not fit {sizes['B']} pictures",
                         "Give one mask, or one for each picture.")
    inside = adaptive_avg_pool2d(person[:, None].to(latents), latents.shape[-2:]) > 0.5
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
    return torch.where(inside, unscale(noise), latents)


def check_pictures(image: Tensor, depth: Tensor, person: Tensor | None = None, cell=8):
    """Checks that a picture, the depth of its body and the mask of its person belong together. Depth may be of any resolution.

    Raises:
        InputError: a side of the picture is no multiple of ``cell``, the depth has another shape, the mask another size, or rows differ.
    """
    sizes = check_shape("image", image, "B H W 3")
    height, width = sizes["H"], sizes["W"]
    if width % cell or height % cell:
        raise InputError("image size", f"{width} x {height}", f"is not a multiple of {cell}",
                         f"Scale or crop it to {width // cell * cell or cell} x {height // cell * cell or cell} pixels.")
    deep = check_shape("depth", depth, "D h w")
    if abs(deep["w"] * height - deep["h"] * width) > max(deep["w"], deep["h"], width, height):
        raise InputError("depth", f"{deep['w']} x {deep['h']}", f"has another shape than the picture of {width} x {height}",
                         "Render the depth through a camera of the picture's size.")
    if deep["D"] not in (1, sizes["B"]):
        raise InputError("depth", f"{deep['D']} rows", f"do not fit {sizes['B']} pictures", "Give one depth map, or one for each picture.")
    if person is not None and tuple(person.shape[-2:]) != (height, width):
        raise InputError("person mask", f"{person.shape[-1]} x {person.shape[-2]}", f"has not the picture's size, {width} x {height}",
                         "Make the mask from the same picture.")
