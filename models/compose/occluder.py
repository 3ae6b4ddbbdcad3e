"""Things of the picture that stand before the avatar (beyond PAS, whose limits name them)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError, check_range, check_shape
from ..types import Render

FOOT_SHARE = 0.02  # of the figure's height, from its lowest pixel up: where it touches the floor


def occluder_from_depth(nearness: Tensor, render: Render, softness=0.03) -> Tensor:
    """Marks what is nearer than the floor under the avatar's feet.

    A depth estimator gives no metres, but it also sees the floor where the avatar will stand: everything nearer than that is before it.

    Args:
        nearness: (B, H, W) 0..1, white is near, as depth estimators draw it; of the picture without the avatar.
        render: B rows, or one for all.
        softness: width of the transition in units of nearness.

    Returns:
        (B, H, W) occluder for ``paste_back``.

    Raises:
        InputError: sizes differ, or the avatar is not in the picture.
    """
    check_range("softness", softness, 0.0, 1.0)
    height, width = render.alpha.shape[1:]
    check_shape("nearness", nearness, "B H W")
    if nearness.shape[1:] != (height, width):
        raise InputError("depth picture", f"{nearness.shape[2]} x {nearness.shape[1]}", f"is not the render's size, {width} x {height}",
                         "Estimate the depth of the picture that the avatar is pasted on.")
    rows = []
    for row in range(max(len(nearness), len(render))):
        near, alpha = nearness[row % len(nearness)], render.alpha[row % len(render)].to(nearness.device)
        step = near - near[_feet(alpha)].median() - softness
        soft = (step / max(softness, 1e-6)).clamp(0, 1)
        rows.append(soft * soft * (3 - 2 * soft))
    return torch.stack(rows)


def _feet(alpha):
    """The pixels (H, W) bool in which a figure touches the floor."""
    seen = alpha > 0.5
    rows = seen.any(1).nonzero()
    if len(rows) == 0:
        raise InputError("avatar", "mask", "is empty", "Frame the body so that it can be seen.")
    lowest, top = int(rows.max()), int(rows.min())
    feet = seen.clone()
    feet[: lowest - max(1, round(FOOT_SHARE * (lowest - top)))] = False
    return feet
