"""Depth as pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_choice, check_range, check_shape

DEPTH_MODES = ("inverse", "linear", "metric")


def depth_to_image(depth: Tensor, mode="inverse", alpha: Tensor | None = None, far=0.2, shared=False) -> Tensor:
    """Turns metric depth into a depth map.

    "inverse" is what depth ControlNets were trained on (MiDaS: white is near, proportional to 1 / depth); "linear" is white for
    near and proportional to -depth. Both stretch the figure's own range to ``far``..1 and leave the background black. "metric"
    keeps metres.

    Args:
        depth: (B, H, W) metres, 0 where nothing is.
        mode: one of `DEPTH_MODES`.
        alpha: (B, H, W) coverage that fades the figure's border into the background; None cuts it hard.
        far: gray of the figure's farthest point, 0..1, so that it still stands out from the background.
        shared: stretch all rows by one range, so that a motion does not flicker.

    Returns:
        (B, H, W, 3); 0..1 except in metric mode.

    Raises:
        InputError: the mode is unknown, or shapes or ``far`` are wrong.
    """
    check_choice("mode", mode, DEPTH_MODES)
    check_range("far", far, 0.0, 1.0)
    sizes = check_shape("depth", depth, "B H W")
    if alpha is not None:
        check_shape("alpha", alpha, "B H W", **sizes)
    if mode == "metric":
        return depth[..., None].expand(*depth.shape, 3).contiguous()
    hit = depth > 0
    near = torch.where(hit, 1 / depth.clamp(min=1e-6) if mode == "inverse" else -depth, torch.zeros_like(depth))
    axes = (0, 1, 2) if shared else (1, 2)
    inf = torch.full_like(near, torch.inf)
    low = torch.where(hit, near, inf).amin(axes, keepdim=True)
    high = torch.where(hit, near, -inf).amax(axes, keepdim=True)
    span = high - low
    level = torch.where(span > 0, (near - low) / span, torch.ones_like(near))  # a flat board is white
    image = torch.where(hit, far + (1 - far) * level, torch.zeros_like(near))
    if alpha is not None:
        image = image * alpha
    return image[..., None].expand(*image.shape, 3).contiguous()
