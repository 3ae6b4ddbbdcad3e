"""Depth of the people in a picture as the depth-to-image model reads it (Weng et al. 2023, equations 2 and 3).

Following the released code, depth is turned round as ``max + 50 - d`` in 8-bit steps, so the nearest point is largest and the farthest
point of a body still stands 50 steps above the background, which is 0. Only ratios count, because the model stretches what it reads.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..checks import InputError, check_choice, check_range, check_shape
from ..render.camera import match_rows
from ..render.engine import render_figure
from ..types import Camera

STEP_ABOVE = 50.0  # 8-bit steps between the background and the farthest point of a body
WHITE = 255.0
SPAN = 60.0  # 8-bit steps from the nearest to the farthest point in the fixed span
SCALES = ("relative", "fixed span")


def occluded_depth(figure, camera: Camera, picture: Tensor | None = None, pictures: int | None = None, occluders: Tensor | None = None,
                   scale="relative", shrink=1, engine="torch", on_row=None) -> Tensor:
    """Draws the depth of everybody in each picture, cuts out what hides them, and turns it into 0..1.

    Args:
        figure: ports.Figure with B people.
        camera: B rows, or one for all.
        picture: (B,) int64 picture that each person belongs to; None gives each its own.
        pictures: N; None takes the largest number. A picture without people is 0 everywhere.
        occluders: (N or 1, H, W) 1 where another object stands before the people (m of equation 3), any size, or None.
        scale: "relative" divides by the farthest point, as the released code does with BEV: flat bodies far away give little contrast.
            "fixed span" stretches each picture's people to the same contrast, as it does with SPIN.
        shrink: 8 draws at the size of Stable Diffusion's latents (64 x 64 for 512 x 512), 1 at the camera's size.
        engine, on_row: see `render_figure`.

    Returns:
        (N, H / shrink, W / shrink) 0..1, nearest 1, background 0.

    Raises:
        InputError: a number is out of range, or rows, masks and pictures do not fit.
    """
    check_choice("scale", scale, SCALES)
    level = depth_to_level(picture_depth(figure, camera, picture, pictures, shrink, engine, on_row), scale)
    if occluders is None:
        return level
    return level * (_fit(occluders, "occluders", level) < 0.5)  # equation 3; outside the silhouette the level is 0 already


def picture_depth(figure, camera: Camera, picture=None, pictures=None, shrink=1, engine="torch", on_row=None) -> Tensor:
    """(N, H, W) metric depth of the nearest person at each pixel, 0 where nobody is (R_d of equation 2)."""
    count = len(figure)
    picture = torch.arange(count) if picture is None else picture.cpu()
    check_shape("picture", picture, "B", B=count)
    pictures = int(picture.max()) + 1 if pictures is None else pictures
    if int(picture.min()) < 0 or int(picture.max()) >= pictures:
        raise InputError("picture", int(picture.max()), f"is not a picture of {pictures}", "Give each person the number of a picture.")
    render = render_figure(figure, shrink_camera(match_rows(camera, count), shrink), "gray", engine, on_row=on_row)
    shown = render.depth * (render.alpha >= 0.5)
    far = torch.where(shown > 0, shown, torch.inf)
    nearest = far.new_full((pictures, *far.shape[1:]), torch.inf)
    nearest.scatter_reduce_(0, picture.to(far.device)[:, None, None].expand_as(far), far, "amin")
    return torch.where(nearest.isinf(), torch.zeros_like(nearest), nearest)


def shrink_camera(camera: Camera, shrink) -> Camera:
    """The same view in a picture ``shrink`` times smaller.

    Raises:
        InputError: the size cannot be divided.
    """
    check_range("shrink", shrink, 1, 64)
    if camera.width % shrink or camera.height % shrink:
        raise InputError("size", f"{camera.width} x {camera.height}", f"is not a multiple of {shrink} pixels",
                         f"Use a picture whose sides are multiples of {shrink}.")
    smaller = {name: getattr(camera, name) / shrink for name in ("fx", "fy", "cx", "cy")}
    return replace(camera, **smaller, width=camera.width // shrink, height=camera.height // shrink)


def depth_to_level(metric: Tensor, scale="relative") -> Tensor:
    """Metric depth (N, H, W) to 0..1: nearest 1, farthest body point at 50 steps, background 0."""
    there = metric > 0
    far = metric.amax((1, 2), keepdim=True)
    near = torch.where(there, metric, math.inf).amin((1, 2), keepdim=True)
    if scale == "relative":
        steps = WHITE * metric / far.clamp(min=1e-6)
        top = WHITE
    else:
        steps = SPAN * (metric - near) / (far - near).clamp(min=1e-6)
        top = SPAN
    inverted = torch.where(there, top + STEP_ABOVE - steps, torch.zeros_like(metric))
    return inverted / inverted.amax((1, 2), keepdim=True).clamp(min=1e-6)


def with_scene(level: Tensor, scene: Tensor, share: float) -> Tensor:
    """Puts a scene's depth around the bodies; the paper leaves the background black.

    The scene's own scale is unknown: it is stretched so that it agrees with the bodies where they are (least squares), then cut to 0..1.

    Args:
        level: (N, H, W) people as `occluded_depth` draws them, 0 elsewhere.
        scene: (N or 1, H', W') depth map of the whole picture, 0..1, white is near, any size.
        share: how much of the scene's brightness stays, 0..1.

    Raises:
        InputError: the scene does not fit the pictures.
    """
    check_range("scene share", share, 0.0, 1.0)
    scene, there = _fit(scene, "scene depth", level), (level > 0).to(level.dtype)
    weight = there.sum((1, 2), keepdim=True).clamp(min=1)
    mean_scene, mean_level = (scene * there).sum((1, 2), keepdim=True) / weight, (level * there).sum((1, 2), keepdim=True) / weight
    spread = ((scene - mean_scene).square() * there).sum((1, 2), keepdim=True)
    slope = ((scene - mean_scene) * (level - mean_level) * there).sum((1, 2), keepdim=True) / spread.clamp(min=1e-6)
    slope = torch.where((spread > 1e-3 * weight) & (slope > 0), slope, torch.ones_like(slope))  # a scene that does not see the people
    fitted = torch.where(weight > 1, mean_level + slope * (scene - mean_scene), scene).clamp(0, 1)
    return torch.where(level > 0, level, share * fitted)


def _fit(mask, name, level):
    """A mask or map in the size and number of the pictures."""
    mask = mask[None] if mask.ndim == 2 else mask
    check_shape(name, mask, "N H W")
    if len(mask) not in (1, len(level)):
        raise InputError(name, f"{len(mask)} pictures", f"do not fit {len(level)}", "Give one for each picture, or one for all.")
    if not bool(torch.isfinite(mask).all()):
        raise InputError(name, tuple(mask.shape), "holds NaN or infinity", "Make it again.")
    height, width = level.shape[1:]
    if abs(mask.shape[2] / mask.shape[1] - width / height) > 0.02 * width / height:
        raise InputError(name, f"{mask.shape[2]} x {mask.shape[1]}", f"has other proportions than the picture ({width} x {height})",
                         "Give it for the same picture.")
    mask = mask.to(level).clamp(0, 1)
    if mask.shape[1:] != level.shape[1:]:
        mask = torch.nn.functional.interpolate(mask[:, None], level.shape[1:], mode="bilinear", antialias=True)[:, 0]
    return mask.expand(len(level), -1, -1)
