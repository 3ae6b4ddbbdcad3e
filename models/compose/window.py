"""The window of a large canvas that an image model paints, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import InputError, check_range
from ..types import Render
from .canvas import layers_of, render_of, resize

CELL = 8  # sides of what a model paints are multiples of this


@dataclass(frozen=True)
class Window:
    """The part of a canvas that an image model paints.

    Args:
        left, top, width, height: in canvas pixels.
        canvas: (width, height) of the canvas, pixels.
        painted: (width, height) at which the model paints it, multiples of 8.
    """

    left: int
    top: int
    width: int
    height: int
    canvas: tuple[int, int]
    painted: tuple[int, int]


def find_window(alpha: Tensor, side=512, margin=0.5) -> Window:
    """The window around the avatars of all rows, painted with about ``side`` x ``side`` pixels in its own proportions.

    Args:
        alpha: (B, H, W) coverage on the canvas.
        side: pixels, the model's resolution.
        margin: free border on each side, as a share of the avatars' larger side; from about 4 on the window is the whole canvas.

    Raises:
        InputError: no avatar is on the canvas.
    """
    check_range("side", side, 64, 8192, "pixels")
    check_range("margin", margin, 0.0, 100.0)
    height, width = alpha.shape[1:]
    seen = (alpha > 0.5).any(0)
    if not bool(seen.any()):
        raise InputError("avatar", "mask", "is empty", "Place the avatar so that it is on the canvas.")
    low, high = _reach(seen.any(1)), _reach(seen.any(0))
    border = round(margin * max(low[1] - low[0], high[1] - high[0]))
    top, bottom = max(0, low[0] - border), min(height, low[1] + border)
    left, right = max(0, high[0] - border), min(width, high[1] + border)
    aspect = (right - left) / (bottom - top)
    painted = tuple(max(CELL, round(side * stretch / CELL) * CELL) for stretch in (math.sqrt(aspect), 1 / math.sqrt(aspect)))
    return Window(left, top, right - left, bottom - top, (width, height), painted)


def crop_render(render: Render, window: Window) -> Render:
    """A canvas' render as the model sees it: the window, at the painted size."""
    _check_canvas("render", render.alpha, window)
    layers = torch.stack([layers_of(render, row) for row in range(len(render))])[(..., *_inside(window))]
    camera, (width, height) = render.camera, window.painted
    sx, sy = width / window.width, height / window.height
    camera = replace(camera, fx=camera.fx * sx, fy=camera.fy * sy, cx=(camera.cx - window.left) * sx, cy=(camera.cy - window.top) * sy,
                     width=width, height=height)
    return render_of(resize(layers, height, width), camera)


def crop_picture(picture: Tensor, window: Window) -> Tensor:
    """A canvas' picture (B, H, W, 3) in the window, at the painted size."""
    _check_canvas("canvas", picture, window)
    part = picture.permute(0, 3, 1, 2)[(..., *_inside(window))]
    return resize(part, window.painted[1], window.painted[0]).permute(0, 2, 3, 1).clamp(0, 1)


def stitch(painted: Tensor, window: Window, canvas: Tensor | None = None, feather=0.1) -> Tensor:
    """Puts a painted window back onto the canvas.

    Args:
        painted: (B, h, w, 3) from the model.
        window: it was painted for.
        canvas: (B, H, W, 3) the picture around it, or None when the window is the whole canvas.
        feather: soft border of the window as a share of its smaller side; where the window ends with the canvas there is none.

    Returns:
        (B, H, W, 3).

    Raises:
        InputError: sizes do not match, or a canvas is needed.
    """
    check_range("feather", feather, 0.0, 0.5)
    if tuple(painted.shape[2:0:-1]) != window.painted:
        raise InputError("painted picture", f"{painted.shape[2]} x {painted.shape[1]}", f"has not the window's size, {window.painted[0]} x "
                         f"{window.painted[1]}", "Paint the latents that Crop Canvas leads to.")
    grown = resize(painted.permute(0, 3, 1, 2), window.height, window.width).permute(0, 2, 3, 1).clamp(0, 1)
    if canvas is None:
        if (window.width, window.height) != window.canvas:
            raise InputError("canvas", "not connected", "is needed, because the window is only a part of it",
                             "Connect the picture around the window, or raise the margin until the window is the whole canvas.")
        return grown
    _check_canvas("canvas", canvas, window)
    result = canvas.expand(max(len(canvas), len(grown)), -1, -1, -1).clone()
    weight = _feather(window, round(feather * min(window.width, window.height))).to(grown)[..., None]
    across = (slice(None), *_inside(window))
    result[across] = torch.lerp(result[across], grown.to(result), weight.to(result))
    return result


def _feather(window, border):
    """(height, width) weights: 1 inside, falling to 0 at borders that lie inside the canvas."""
    def ramp(start, length, whole):
        steps = torch.arange(length) + 0.5
        low = steps / max(border, 1e-6) if start > 0 else torch.ones(length)
        high = steps.flip(0) / max(border, 1e-6) if start + length < whole else torch.ones(length)
        rising = torch.minimum(low, high).clamp(0, 1)
        return rising * rising * (3 - 2 * rising)
    return ramp(window.top, window.height, window.canvas[1])[:, None] * ramp(window.left, window.width, window.canvas[0])[None]


def _inside(window):
    return slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)


def _check_canvas(name, picture, window):
    if (picture.shape[2], picture.shape[1]) != window.canvas:
        raise InputError(name, f"{picture.shape[2]} x {picture.shape[1]}", f"has not the canvas' size, {window.canvas[0]} x "
                         f"{window.canvas[1]}", "Use the canvas that the window was cut from.")


def _reach(seen):
    places = seen.nonzero()
    return int(places.min()), int(places.max()) + 1
