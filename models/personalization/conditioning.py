"""What the image model is told about the avatar (PAS, section 3.5.4).

The story in order: the avatar's colours lose detail by the downsample rate w -> they and the gray body go over mid-gray -> one VAE batch
makes ``z_p`` and the gray latents -> the alpha channel shrinks to the latent grid -> all of it lies beside the noisy latents ``z_t``, as
``z_t | mask | z_p | gray body``. That order is an inpainting model's own, followed by the gray body, so its weights can be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..checks import InputError, check_range, check_shape
from ..types import Render

MID_GRAY = 0.5  # what lies around the figure, as in inpainting models
COARSEST = 8  # at w = 1 the colours keep one pixel of 8 x 8
_SOLID = 1 - 1e-4  # coverage from which a pixel is the avatar's alone


@dataclass(frozen=True)
class AvatarConditioning:
    """A posed avatar as an image model sees it.

    Args:
        avatar_latents: (B, C, h, w) VAE latents ``z_p`` of the avatar over mid-gray, as they leave the VAE, not scaled.
        gray_latents: (B, C, h, w) the same of the gray body; None where no model reads it.
        alpha: (B, h, w) share of each latent cell that the avatar covers.
        change_mask: (B, H, W) pixels, 1 where the model paints, 0 in latent cells that are the avatar's alone.
        downsample_rate: w, 0 keeps every detail, 1 keeps one pixel of 8 x 8.
    """

    avatar_latents: Tensor
    gray_latents: Tensor | None
    alpha: Tensor
    change_mask: Tensor
    downsample_rate: float = 0.0

    def __post_init__(self):
        sizes = check_shape("avatar_latents", self.avatar_latents, "B C h w")
        if self.gray_latents is not None:
            check_shape("gray_latents", self.gray_latents, "B C h w", **sizes)
        check_shape("alpha", self.alpha, "B h w", **sizes)
        check_shape("change_mask", self.change_mask, "B H W", B=sizes["B"])

    def __len__(self):
        return len(self.alpha)

    def to(self, device):
        """Returns the same conditioning on ``device``."""
        names = ("avatar_latents", "gray_latents", "alpha", "change_mask")
        return replace(self, **{name: getattr(self, name).to(device) for name in names if getattr(self, name) is not None})

    def read(self, gray=True) -> AvatarConditioning:
        """Itself, as ``AvatarEncoding.read``."""
        return self


class AvatarEncoding:
    """A posed avatar on its way to an image model: checked at once, encoded when a model needs it, and never twice.

    Only a personalized model reads the gray body, so for all others half of the VAE's work is spared.
    """

    def __init__(self, avatar: Render, gray_body: Render, encode: Callable[[Tensor], Tensor], downsample_rate=0.0, cell=8):
        """
        Args:
            avatar: B rows.
            gray_body: the same pose through the same camera; B rows or one for all.
            encode: (N, H, W, 3) pictures 0..1 -> (N, C, h, w) latents.
            downsample_rate: w of the paper, 0..1.
            cell: pixels per latent, along each side.

        Raises:
            InputError: the pictures cannot be used (``check_pictures``) or w is not in 0..1.
        """
        check_range("downsample rate", downsample_rate, 0.0, 1.0)
        check_pictures(avatar, gray_body, cell)
        self.avatar, self.gray_body, self.downsample_rate = avatar, gray_body.to(avatar.rgb.device), float(downsample_rate)
        self._encode, self._latents = encode, {}

    def read(self, gray=True) -> AvatarConditioning:
        """The conditioning; what is not encoded yet goes through the VAE in one batch.

        Args:
            gray: whether the gray body's latents are wanted.
        """
        missing = [name for name in (("avatar", "gray") if gray else ("avatar",)) if name not in self._latents]
        if missing:
            pictures = [getattr(self, f"_{name}_picture")() for name in missing]
            parts = self._encode(torch.cat(pictures)).split([len(part) for part in pictures])
            self._latents.update(zip(missing, parts))
        latents, alpha = self._latents["avatar"], self.avatar.alpha
        size, place = latents.shape[-2:], latents.device
        gray_latents = self._latents["gray"].expand_as(latents) if gray else None
        return AvatarConditioning(latents, gray_latents, latent_alpha(alpha, size).to(place), change_mask(alpha, size).to(place),
                                  self.downsample_rate)

    def _avatar_picture(self):
        return over_gray(soften_texture(self.avatar.rgb, self.avatar.alpha, self.downsample_rate), self.avatar.alpha)

    def _gray_picture(self):
        return over_gray(self.gray_body.rgb, self.gray_body.alpha)


def encode_avatar(avatar: Render, gray_body: Render, encode, downsample_rate=0.0, cell=8, gray=True) -> AvatarConditioning:
    """Encodes a posed avatar, and its gray body if it is wanted, in one VAE batch. See ``AvatarEncoding``."""
    return AvatarEncoding(avatar, gray_body, encode, downsample_rate, cell).read(gray)


def check_pictures(avatar: Render, gray_body: Render, cell=8):
    """Checks that an avatar and its gray body can be encoded.

    Raises:
        InputError: sizes or rows differ, a side is no multiple of ``cell``, or an avatar covers nothing or everything.
    """
    height, width = avatar.alpha.shape[1:]
    if gray_body.alpha.shape[1:] != avatar.alpha.shape[1:]:
        raise InputError("gray body", f"{gray_body.alpha.shape[2]} x {gray_body.alpha.shape[1]}",
                         f"has not the avatar's size, {width} x {height}", "Render both through the same camera.")
    if len(gray_body) not in (1, len(avatar)):
        raise InputError("gray body", len(gray_body), f"rows do not match the avatar's {len(avatar)}", "Render both from the same poses.")
    if width % cell or height % cell:
        raise InputError("avatar size", f"{width} x {height}", f"is not a multiple of {cell}",
                         f"Frame the body with {width // cell * cell or cell} x {height // cell * cell or cell} pixels.")
    for row, alpha in enumerate(avatar.alpha):
        if not bool((alpha > 0.5).any()):
            raise InputError("avatar", f"row {row}", "is not in the picture: its mask is empty", "Frame the body so that it can be seen.")
        if bool((alpha >= _SOLID).all()):
            raise InputError("avatar", f"row {row}", "fills the whole picture: nothing is left to paint",
                             "Frame the body with a margin around it.")


def over_gray(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Lays straight colours (B, H, W, 3) with coverage (B, H, W) over mid-gray."""
    return MID_GRAY + (rgb - MID_GRAY) * alpha[..., None]


def soften_texture(rgb: Tensor, alpha: Tensor, rate) -> Tensor:
    """Removes texture detail: the colours shrink by the factor ``1 + 7 w`` and grow back (PAS 3.5.4, modification 2).

    Shrinking weights each pixel by its coverage, so no background bleeds into the outline. Coverage itself stays sharp, because the
    silhouette is not what the avatar's style changes.

    Args:
        rgb: (B, H, W, 3) straight colours.
        alpha: (B, H, W) coverage.
        rate: w, 0..1, one number or (B,); at 0 a row comes back bit by bit.

    Returns:
        (B, H, W, 3).
    """
    rates = torch.as_tensor(rate, dtype=torch.float32).expand(len(rgb)).tolist()
    return torch.stack([colours if w == 0 else _soften(colours, coverage, w) for colours, coverage, w in zip(rgb, alpha, rates)])


def _soften(rgb, alpha, w):
    height, width = alpha.shape
    factor = 1 + (COARSEST - 1) * w
    small = [max(1, round(side / factor)) for side in (height, width)]
    weighted = torch.cat([rgb * alpha[..., None], alpha[..., None]], -1).permute(2, 0, 1)[None]
    small_sum = interpolate(weighted, small, mode="bilinear", antialias=True, align_corners=False)
    grown = interpolate(small_sum, (height, width), mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    colours = grown[..., :3] / grown[..., 3:].clamp(min=1e-4)
    return torch.where(alpha[..., None] > 0, colours.clamp(0, 1), rgb)


def latent_alpha(alpha: Tensor, size) -> Tensor:
    """Shrinks coverage (B, H, W) to the latent grid ``size`` (h, w) as the mean over each cell."""
    return adaptive_avg_pool2d(alpha[:, None], tuple(size))[:, 0]


def change_mask(alpha: Tensor, size) -> Tensor:
    """Where the model paints: (B, H, W), 0 exactly in the latent cells that the avatar covers whole.

    Cells on the outline are painted too, so that the scene reaches under the soft edge; the paste back covers what is too much.
    """
    solid = (alpha >= _SOLID).to(alpha.dtype)
    whole = (adaptive_avg_pool2d(solid[:, None], tuple(size)) >= _SOLID).to(alpha.dtype)
    return 1 - interpolate(whole, alpha.shape[1:], mode="nearest")[:, 0]


def input_channels(conditioning: AvatarConditioning, scale: Callable[[Tensor], Tensor]) -> Tensor:
    """The channels beside the noisy latents: ``mask | z_p | gray body``, (B, 1 + 2 C, h, w); mask is 1 - alpha.

    Args:
        conditioning: B rows, with the gray body's latents.
        scale: VAE latents -> the latents that the UNet works on (SD1.5: times 0.18215).
    """
    mask = 1 - conditioning.alpha[:, None]
    return torch.cat([mask.to(conditioning.avatar_latents), scale(conditioning.avatar_latents), scale(conditioning.gray_latents)], 1)
