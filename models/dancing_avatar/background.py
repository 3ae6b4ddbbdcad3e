"""Background alignment (Dancing Avatar, "Background Alignment"): a plate without the person, and where each frame is painted on it.

The story in order: a picture of the character on the background -> the person is painted out, which leaves the plate -> per pose a human
mask, either the rendered silhouette (ours: exact, no extra passes) or, as in the paper, found in a picture generated in that pose ->
each frame is the plate with the masked region painted anew. Outside the grown mask a frame is the plate bit by bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, pad

from ..checks import InputError, check_range, check_shape
from ..ports import ImageDiffusion, Segmenter

MID_GRAY = 0.5  # what an inpainting model sees where it shall paint
GROWTH_MAX = 256


@dataclass(frozen=True)
class Sampling:
    """How the image model runs.

    Args:
        seed: of the noise, the same for every frame: equal noise keeps what the text leaves open alike.
        steps: sampling steps (the paper: 25).
        guidance: classifier-free guidance scale (the paper: 7.5).
    """

    seed: int = 0
    steps: int = 25
    guidance: float = 7.5


@dataclass(frozen=True)
class Brush:
    """How a mask becomes the painted region.

    Args:
        dilation: pixels by which the mask grows, for clothes, hair and soft edges.
        feather: width of the soft edge, pixels; it lies inside the grown mask, so below two thirds of the dilation the person stays solid.
    """

    dilation: int = 16
    feather: int = 8

    def __post_init__(self):
        check_range("mask dilation", self.dilation, 0, GROWTH_MAX, "pixels")
        check_range("feather", self.feather, 0, GROWTH_MAX, "pixels")


@dataclass(frozen=True)
class Region:
    """Where a picture is painted.

    Args:
        grown: (B, H, W) 0 or 1; nothing outside it changes.
        alpha: (B, H, W) share of the painted picture, soft towards the inside of ``grown``.
    """

    grown: Tensor
    alpha: Tensor


def paint_region(mask: Tensor, brush: Brush) -> Region:
    """Mask (B, H, W), 1 where the person is -> the region to paint."""
    grown = grow(mask, brush.dilation)
    return Region(grown, soften_inside(grown, brush.feather))


def grow(mask: Tensor, pixels: int) -> Tensor:
    """Returns (B, H, W) of 0 and 1: every pixel whose distance to a mask pixel above one half is at most ``pixels``."""
    inside = mask > 0.5
    if pixels == 0:
        return inside.float()
    height, grown, running = mask.shape[1], inside.clone(), _running_sum(inside.float(), pixels)
    for dy in range(min(pixels, height - 1) + 1):
        # A disc is a run of pixels in each of its rows.
        wide = _windows(running, pixels, math.isqrt(pixels**2 - dy**2)) > 0
        grown[:, dy:] |= wide[:, : height - dy]
        grown[:, : height - dy] |= wide[:, dy:]
    return grown.float()


def soften_inside(grown: Tensor, pixels: int) -> Tensor:
    """Gives a mask (B, H, W) of 0 and 1 a soft edge ``pixels`` wide without leaving it: eroded by half of that, averaged over the same.

    The picture's border is no edge.
    """
    if pixels == 0:
        return grown
    half = (pixels + 1) // 2
    core = (_square_sum(1 - grown, half) == 0).float()
    wide = pad(core[:, None], (half,) * 4, mode="replicate")[:, 0]
    return _square_sum(wide, half)[:, half:-half, half:-half] / (2 * half + 1) ** 2


def _square_sum(x, radius):
    """Sums over squares of ``2 radius + 1`` pixels. Running sums keep whole numbers exact, and no radius costs more."""
    rows = _windows(_running_sum(x, radius), radius, radius)
    return _windows(_running_sum(rows.mT, radius), radius, radius).mT


def _running_sum(x, margin):
    """Sums from the start of each row (B, H, W), with room for windows that reach ``margin`` pixels out of it."""
    return pad(pad(x.cumsum(-1), (margin + 1, 0)), (0, margin), mode="replicate")


def _windows(running, margin, radius):
    """Sums over ``2 radius + 1`` neighbours in each row, from ``_running_sum``."""
    width = running.shape[-1] - 2 * margin - 1
    return running[..., margin + 1 + radius : margin + 1 + radius + width] - running[..., margin - radius : margin - radius + width]


def inpaint(model: ImageDiffusion, positive, negative, picture: Tensor, region: Region, sampling: Sampling, hints=None, on_step=None,
            latents: Tensor | None = None) -> Tensor:
    """Paints one region of a picture anew.

    Args:
        model: with the channels of a text-to-image or an inpainting model.
        positive, negative: text for ``model.sample``.
        picture: (1, H, W, 3) what is there.
        region: of one row.
        sampling: seed, steps and guidance.
        hints: {name: (1, H, W, C)} for the model's ControlNets.
        on_step: called with (done, total).
        latents: the picture's latents, if they are known already.

    Returns:
        (1, H, W, 3), the picture itself bit by bit where ``region.alpha`` is 0.

    Raises:
        InputError: the model reads other channels.
    """
    latents = model.encode(picture) if latents is None else latents
    cells = adaptive_max_pool2d(region.grown[:, None], latents.shape[-2:])[:, 0]
    beside = inpainting_channels(model, picture, region.grown, cells)
    painted = model.decode(model.sample(positive, negative, latents, cells, beside, sampling.seed, sampling.steps, sampling.guidance,
                                        on_step, hints=hints))
    return blend(picture, painted.to(picture.device), region.alpha)


def blend(picture: Tensor, painted: Tensor, alpha: Tensor) -> Tensor:
    """Lays ``painted`` over ``picture``, both (B, H, W, 3), with coverage (B, H, W)."""
    alpha = alpha[..., None].to(picture)
    mixed = torch.lerp(picture, painted.to(picture.dtype), alpha)
    return torch.where(alpha >= 1, painted.to(picture.dtype), torch.where(alpha <= 0, picture, mixed))


def inpainting_channels(model: ImageDiffusion, picture: Tensor, grown: Tensor, cells: Tensor) -> Tensor | None:
    """What an inpainting model reads beside its noisy latents, (B, 1 + C, h, w): mask and masked picture; None for other models.

    Raises:
        InputError: the model reads something else.
    """
    own = model.empty_latents(model.cell, model.cell).shape[1]
    if model.input_channels == own:
        return None
    if model.input_channels != 2 * own + 1:
        raise InputError("model", f"with {model.input_channels} input channels", "is of an unexpected kind",
                         f"Use a text-to-image model ({own} channels) or an inpainting model ({2 * own + 1}).")
    cut = torch.where(grown[..., None] > 0, torch.full_like(picture, MID_GRAY), picture)
    latents = model.scale(model.encode(cut))
    return torch.cat([cells[:, None].to(latents), latents], 1)


def paint_plate(model: ImageDiffusion, positive, negative, picture: Tensor, mask: Tensor, sampling: Sampling, brush: Brush,
                on_step=None) -> Tensor:
    """The background without anybody in it.

    Args:
        model: see ``inpaint``.
        positive, negative: text; positive describes the background alone.
        picture: (1, H, W, 3) the character on the background.
        mask: (1, H, W), 1 where the character is.
        sampling, brush: see their classes; the dilation shall cover the character's shadow and soft edges.
        on_step: called with (done, total).

    Returns:
        (1, H, W, 3).

    Raises:
        InputError: sizes do not match, or the mask shows nobody or hides everything.
    """
    check_shape("image", picture, "1 H W 3")
    check_size("mask", mask, picture)
    check_cells("image", picture, model.cell)
    region = paint_region(mask, brush)
    if not bool(region.grown.any()):
        raise InputError("mask", "empty", "shows nobody", "Give a mask that is 1 where the person is.")
    if bool(region.grown.all()):
        raise InputError("mask", "full", "leaves nothing of the background",
                         "Give a mask that is 1 where the person is and 0 elsewhere; ComfyUI's Load Image gives the opposite.")
    return inpaint(model, positive, negative, picture, region, sampling, on_step=on_step)


def masks_by_generation(model: ImageDiffusion, positive, negative, pose_maps: Tensor, segmenter: Segmenter, sampling: Sampling,
                        on_step=None) -> Tensor:
    """The paper's human masks: the character generated in each pose, and cut out by a segmenter.

    Args:
        model: with a ControlNet named "pose".
        positive, negative: text; the background in it stays as it is for the plate.
        pose_maps: (N, H, W, 3).
        segmenter: ports.Segmenter; the largest person it finds is taken.
        on_step: called with (frames done, frames).

    Returns:
        (N, H, W).

    Raises:
        InputError: nobody is found in some pose.
    """
    masks = []
    for index, pose_map in enumerate(pose_maps.split(1)):
        picture = paint_whole(model, positive, negative, *pose_map.shape[1:3], sampling, {"pose": pose_map})
        found = segmenter.person_masks(picture[0])
        if len(found) == 0:
            raise InputError("pose maps", f"frame {index}", "gave a picture in which the segmenter finds nobody",
                             "Use the rendered silhouettes as masks, or another seed.")
        masks.append(found[found.flatten(1).sum(1).argmax()].float())
        if on_step:
            on_step(index + 1, len(pose_maps))
    return torch.stack(masks)


def paint_whole(model: ImageDiffusion, positive, negative, height, width, sampling: Sampling, hints=None, on_step=None) -> Tensor:
    """A picture (1, H, W, 3) painted whole, with nothing given but text and hints."""
    latents = model.empty_latents(height, width)
    everything = torch.ones(1, height, width, device=latents.device)
    gray = torch.full((1, height, width, 3), MID_GRAY, device=latents.device)
    beside = inpainting_channels(model, gray, everything, torch.ones_like(latents[:, 0]))
    return model.decode(model.sample(positive, negative, latents, None, beside, sampling.seed, sampling.steps, sampling.guidance,
                                     on_step, hints=hints))


def check_size(name, given: Tensor, like: Tensor):
    """Checks that two batches of pictures or masks have one size.

    Raises:
        InputError: they have not.
    """
    if given.shape[1:3] != like.shape[1:3]:
        raise InputError(name, f"{given.shape[2]} x {given.shape[1]}", f"is not {like.shape[2]} x {like.shape[1]} pixels",
                         "Render or resize everything to one size.")


def check_cells(name, picture: Tensor, cell: int):
    """Checks that a picture's sides are multiples of the model's latent cell.

    Raises:
        InputError: they are not.
    """
    height, width = picture.shape[1:3]
    if height % cell or width % cell:
        fitting = f"{max(1, width // cell) * cell} x {max(1, height // cell) * cell}"
        raise InputError(name, f"{width} x {height}", f"is not a multiple of {cell} pixels along each side", f"Make it {fitting}.")
