"""A shadow on the floor from a picture alone: the avatar's visible pixels know their distance, so they know where they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import InputError, check_range
from ..types import Render
from .backdrop import pixel_rays
from .shadow import SHRINK, coverage, flatten, light_directions, shrunk, smooth

LIGHTS = 48
REACH = 0.6  # metres above the floor: what is higher throws no shadow that an overcast sky would show
SPREAD = 0.5  # a wide light: dark at the soles, soon gone above


def visible_points(render: Render, row: int) -> Tensor:
    """Points (P, 3) in the world, metres, of the pixels that the figure covers."""
    camera = render.camera[row]
    rays = pixel_rays(camera)[0]
    forward = rays @ camera.R[0, 2]
    seen = (render.alpha[row] > 0.5) & (render.depth[row] > 0)
    origin = -(camera.R[0].mT @ camera.t[0])
    return origin + rays[seen] * (render.depth[row][seen] / forward[seen])[:, None]


def visible_shadow(render: Render, floor=None) -> Tensor:
    """Draws the soft shadow of what is seen of a figure on the floor below it.

    Args:
        render: B rows with metric depth.
        floor: height of the floor, metres; None takes each row's lowest visible point.

    Returns:
        (B, H, W) 0..1.

    Raises:
        InputError: the render holds no distances, or the camera does not look at the floor from above.
    """
    rows = []
    for row in range(len(render)):
        points = visible_points(render, row)
        if len(points) == 0:
            raise InputError("body render", f"row {row}", "holds no distances", "Render the avatar with Render Avatar.")
        level = float(points[:, 1].min()) if floor is None else floor
        camera = render.camera[row]
        if float(-(camera.R[0].mT @ camera.t[0])[1]) <= level:
            raise InputError("contact shadow", "on a floor above the camera", "cannot be seen", "Choose a view from above the floor.")
        small = shrunk(camera, SHRINK)
        fallen = flatten(points[points[:, 1] < level + REACH], light_directions(camera.R[0], LIGHTS, SPREAD), level)
        rows.append(coverage(fallen, small[[0] * LIGHTS]).mean(0))
    shadow = interpolate(smooth(torch.stack(rows))[:, None], scale_factor=SHRINK, mode="bicubic")
    return shadow[:, 0, : render.camera.height, : render.camera.width].clamp(0, 1)


def darken(picture: Tensor, shadow: Tensor, darkness) -> Tensor:
    """Multiplies a picture (B, H, W, 3) by ``1 - darkness * shadow``, shadow (B, H, W)."""
    check_range("contact shadow", darkness, 0.0, 1.0)
    return picture * (1 - darkness * shadow.to(picture)[..., None])
