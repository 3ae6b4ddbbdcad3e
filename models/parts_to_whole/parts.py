"""References: pictures of a person's parts, and when and how strongly each acts (Parts2Whole)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..checks import InputError, check_choice, check_range, check_shape

LABELS = ("upper body clothes", "lower body clothes", "whole body clothes", "hair or headwear", "face", "shoes")  # as trained, literally
TOKENS = 6  # image tokens of the released denoiser: one per reference, the rest zero
LAST_TIMESTEP = 999
PAD, STRETCH = "pad", "stretch"


@dataclass(frozen=True)
class Reference:
    """One picture of one part.

    Args:
        image: (H, W, 3) 0..1.
        mask: (H, W) 1 where the part is.
        label: one of LABELS; the text that the appearance encoder reads.
        strength: factor on the attention that the picture's tokens get; 0 leaves it out.
        start, end: shares of the noise schedule between which it acts, 0 = pure noise, 1 = finished.
        fit: "pad" keeps the proportions, "stretch" fills the target's size as the released code does.
    """

    image: Tensor
    mask: Tensor
    label: str
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    fit: str = PAD

    @property
    def acts(self):
        """Whether it can change anything at all."""
        return self.strength > 0 and self.start < self.end and bool(self.mask.any())


def make_reference(image: Tensor, label, mask: Tensor | None = None, strength=1.0, start=0.0, end=1.0, fit=PAD) -> Reference:
    """Checks one picture and puts it onto white where it is transparent.

    Args:
        image: (H, W, 3 or 4) 0..1; the fourth channel is straight alpha, and the mask if no other is given.
        mask: (H, W) 1 where the part is; None takes alpha, else the whole picture.
        label, strength, start, end, fit: see ``Reference``.

    Raises:
        InputError: an unknown label, numbers out of range, a mask of another size.
    """
    check_choice("label", label, LABELS)
    check_choice("fit", fit, (PAD, STRETCH))
    check_range("strength", strength, 0.0, 10.0)
    check_range("end", end, check_range("start", start, 0.0, 1.0), 1.0)
    if image.ndim != 3 or image.shape[-1] not in (3, 4):
        check_shape("reference image", image, "H W 3")
    rgb = image[..., :3]
    if image.shape[-1] == 4:
        alpha = image[..., 3]
        rgb, mask = rgb * alpha[..., None] + 1 - alpha[..., None], alpha if mask is None else mask
    if mask is None:
        mask = rgb.new_ones(rgb.shape[:2])
    if mask.shape != rgb.shape[:2]:
        raise InputError(f"mask of {label!r}", tuple(mask.shape), f"has not its picture's size {tuple(rgb.shape[:2])}",
                         "Connect the mask of this very picture. A picture without alpha gives a small empty mask: leave it out then.")
    return Reference(rgb.float(), mask.float().clamp(0, 1), label, float(strength), float(start), float(end), fit)


def acting(references) -> tuple[Reference, ...]:
    """The references that can act, in the order of LABELS, so that the order they were given in changes nothing.

    Raises:
        InputError: more references than the network has image tokens.
    """
    kept = sorted((reference for reference in references if reference.acts), key=lambda reference: LABELS.index(reference.label))
    if len(kept) > TOKENS:
        raise InputError("references", len(kept), f"are more than the {TOKENS} that the network can tell apart",
                         "Leave some out, or set their strength to 0.")
    return tuple(kept)


def acts_at(reference: Reference, timestep) -> bool:
    """Whether a reference acts at a timestep 999 (noise) .. 0 (finished)."""
    return (1 - reference.end) * LAST_TIMESTEP <= float(timestep) <= (1 - reference.start) * LAST_TIMESTEP


def fit_reference(reference: Reference, height, width) -> tuple[Tensor, Tensor]:
    """A reference in the target's size: picture (1, 3, height, width) 0..1 on white, and mask (1, 1, height, width)."""
    stack = torch.cat([reference.image, reference.mask[..., None]], -1).permute(2, 0, 1)[None]
    size = (height, width)
    if reference.fit == PAD:
        scale = min(height / stack.shape[2], width / stack.shape[3])
        size = tuple(max(1, min(whole, round(side * scale))) for side, whole in zip(stack.shape[2:], (height, width)))
    if size != tuple(stack.shape[2:]):
        stack = interpolate(stack, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    frame = (left, width - size[1] - left, top, height - size[0] - top)
    return pad(stack[:, :3], frame, value=1.0), pad(stack[:, 3:], frame)
