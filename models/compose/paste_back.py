"""Putting a rendered figure onto a picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..checks import InputError, check_shape
from ..render.shade import linear_to_srgb, srgb_to_linear
from ..types import Render

_SEARCH = 4  # pixels from which a soft edge takes its clean colour


def paste_back(background: Tensor, render: Render, occluder: Tensor | None = None, linear_light=False, clean_edges=False) -> Tensor:
    """Lays the figure over the background: ``alpha rgb + (1 - alpha) background``, alpha straight (Porter and Duff 1984, over).

    Where alpha is 1 the result is the figure's pixel bit by bit, where it is 0 the background's.

    Args:
        background: (B, H, W, 3) or one row for all, 0..1.
        render: B rows, or one for all.
        occluder: (B, H, W) or one row for all, 1 where something in the background stands before the figure.
        linear_light: mix soft pixels as light mixes, without dark fringes; off mixes the sRGB values.
        clean_edges: give soft pixels the colour of the solid ones beside them first, see ``decontaminate``.

    Returns:
        (B, H, W, 3) in the background's dtype and on its device.

    Raises:
        InputError: sizes or numbers of rows do not match.
    """
    height, width = render.alpha.shape[1:]
    _check_size("background", background, "B H W 3", height, width)
    rows = _common_rows(background=len(background), render=len(render), occluder=1 if occluder is None else len(occluder))
    rgb, alpha = render.rgb.to(background.device), render.alpha.to(background.device)
    rgb = decontaminate(rgb, alpha) if clean_edges else rgb
    if occluder is not None:
        _check_size("occluder", occluder, "B H W", height, width)
        alpha = alpha * (1 - occluder.to(alpha).clamp(0, 1))
    alpha = alpha[..., None]
    rgb = rgb.to(background.dtype)
    blend = _mix(rgb.float(), background.float(), alpha, linear_light).to(background.dtype)
    result = torch.where(alpha >= 1, rgb, torch.where(alpha <= 0, background, blend))
    return result.expand(rows, height, width, 3).contiguous()


def decontaminate(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Takes the colour of a former background out of a soft edge: pixels that are not solid get the mean of the solid ones nearby.

    Args:
        rgb: (B, H, W, 3) straight colours.
        alpha: (B, H, W) coverage.

    Returns:
        (B, H, W, 3); solid pixels, and soft ones far from any solid one, are unchanged.
    """
    solid = (alpha >= 1).to(rgb.dtype)[:, None]
    near = torch.cat([rgb.permute(0, 3, 1, 2) * solid, solid], 1)
    total = avg_pool2d(near, 2 * _SEARCH + 1, 1, _SEARCH)
    share = total[:, 3:].permute(0, 2, 3, 1)
    clean = total[:, :3].permute(0, 2, 3, 1) / share.clamp(min=1e-6)
    return torch.where((alpha[..., None] < 1) & (share > 0), clean, rgb)


def _mix(rgb, background, alpha, linear_light):
    if not linear_light:
        return alpha * rgb + (1 - alpha) * background
    return linear_to_srgb(alpha * srgb_to_linear(rgb) + (1 - alpha) * srgb_to_linear(background))


def _check_size(name, image, pattern, height, width):
    check_shape(name, image, pattern)
    if image.shape[1:3] != (height, width):
        raise InputError(name, f"{image.shape[2]} x {image.shape[1]}", f"is not the render's size, {width} x {height}",
                         "Frame the body with the picture's width and height, or resize the picture.")


def _common_rows(**counts):
    rows = max(counts.values())
    for name, count in counts.items():
        if count not in (1, rows):
            raise InputError(name, count, f"rows do not match {rows}", "Give one row, or the same number everywhere.")
    return rows
