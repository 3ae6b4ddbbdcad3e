"""Bringing a picture's light nearer to the avatar's. The avatar itself is never touched, so it is the scene that moves."""

from __future__ import annotations

from torch import Tensor

from ..checks import check_range
from ..render.shade import linear_to_srgb, srgb_to_linear
from ..types import Render

LARGEST_GAIN = 1.5  # a scene may become this much brighter or darker in a channel, and no more


def harmonise(picture: Tensor, render: Render, strength=0.5) -> Tensor:
    """Multiplies the picture's linear colours by one gain per channel, as another exposure and white balance would.

    The gain takes the mean colour around the avatar towards the mean colour of the avatar (gray-world assumption), its square root at
    strength 1: clothes are not lamps, so half the way is as far as it should go.

    Args:
        picture: (B, H, W, 3) sRGB, or one row for all.
        render: B rows, or one for all, of the picture's size.
        strength: 0 returns the picture bit by bit, 1 goes as far as is sensible.

    Returns:
        (B, H, W, 3).
    """
    check_range("harmonise", strength, 0.0, 1.0)
    if strength == 0:
        return picture
    linear = srgb_to_linear(picture.float())
    alpha = render.alpha.to(picture.device)[..., None]
    avatar = _mean(srgb_to_linear(render.rgb.to(picture.device).float()), alpha)
    scene = _mean(linear, 1 - alpha)
    gain = (avatar / scene.clamp(min=1e-3)).clamp(1 / LARGEST_GAIN**2, LARGEST_GAIN**2) ** (0.5 * strength)
    return linear_to_srgb(linear * gain[:, None, None]).to(picture.dtype)


def _mean(colours, weight):
    return (colours * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)
