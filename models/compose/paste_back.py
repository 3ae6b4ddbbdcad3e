"""Putting a rendered figure onto a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError, check_shape
from ..types import Render


def paste_back(background: Tensor, render: Render, occluder: Tensor | None = None) -> Tensor:
    """Lays the figure over the background: ``alpha rgb + (1 - alpha) background``, alpha straight (Porter and Duff 1984, over).

    Where alpha is 1 the result is the figure's pixel bit by bit, where it is 0 the background's. Blending happens on the sRGB
    values, as image models and their VAEs expect.

    Args:
        background: (B, H, W, 3) or one row for all, 0..1.
        render: B rows, or one for all.
        occluder: (B, H, W) or one row for all, 1 where something in the background stands before the figure.

    Returns:
        (B, H, W, 3) in the background's dtype and on its device.

    Raises:
        InputError: sizes or numbers of rows do not match.
    """
    height, width = render.alpha.shape[1:]
    _check_size("background", background, "B H W 3", height, width)
    rows = _common_rows(background=len(background), render=len(render), occluder=1 if occluder is None else len(occluder))
    rgb, alpha = render.rgb.to(background.device), render.alpha.to(background.device)
    if occluder is not None:
        _check_size("occluder", occluder, "B H W", height, width)
        alpha = alpha * (1 - occluder.to(alpha).clamp(0, 1))
    alpha = alpha[..., None]
    rgb = rgb.to(background.dtype)
    blend = (alpha * rgb.float() + (1 - alpha) * background.float()).to(background.dtype)
    result = torch.where(alpha >= 1, rgb, torch.where(alpha <= 0, background, blend))
    return result.expand(rows, height, width, 3).contiguous()


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
