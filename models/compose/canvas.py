"""Several avatars on one canvas of any size.

Placing is two-dimensional: a render moves, grows and turns as a picture does. To the eye a picture grown by s stands s times nearer, so
its distances are divided by s, and that is how avatars hide one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, max_pool2d

from ..checks import InputError, check_range
from ..types import Render

FAR = 1e9


@dataclass(frozen=True)
class Placement:
    """Where an avatar stands on a canvas.

    Args:
        x, y: of its lowest covered pixel row's middle, as a share of the canvas' width and height.
        scale: 1 keeps the pixels as they are.
        rotation: radians, counter-clockwise, about that point.
    """

    x: float = 0.5
    y: float = 0.95
    scale: float = 1.0
    rotation: float = 0.0

    def __post_init__(self):
        check_range("x", self.x, -1.0, 2.0)
        check_range("y", self.y, -1.0, 2.0)
        check_range("scale", self.scale, 0.01, 100.0)
        check_range("rotation", self.rotation, -10.0, 10.0, "radians")


def standing_point(alpha: Tensor) -> tuple[float, float]:
    """Pixel (x, y) under the middle of the lowest covered row of a mask (H, W); the anchor of a placement.

    Raises:
        InputError: the mask is empty.
    """
    rows = (alpha > 0.5).any(1).nonzero()
    if len(rows) == 0:
        raise InputError("avatar", "mask", "is empty", "Frame the body so that it can be seen.")
    lowest = int(rows.max())
    columns = (alpha[lowest] > 0.5).nonzero()
    return float(columns.float().mean()) + 0.5, lowest + 1.0


def place(render: Render, placement: Placement, width, height, anchor=None) -> Render:
    """Puts a render onto an empty canvas. Without scale and rotation its pixels stay bit by bit, moved by whole pixels.

    Args:
        render: B rows.
        placement: for all rows.
        width, height: of the canvas, pixels.
        anchor: pixel (x, y) of the render that goes to the placement's point; None takes each row's ``standing_point``. A gray body
            takes its avatar's anchors, so that both move alike.

    Returns:
        Render of the canvas' size; its camera has the render's lens and direction, its centre is the canvas' centre.
    """
    rows = []
    for row in range(len(render)):
        point = standing_point(render.alpha[row]) if anchor is None else anchor
        layers, point = _turn(*_grow(layers_of(render, row), point, placement.scale), placement.rotation)
        left, top = round(placement.x * width - point[0]), round(placement.y * height - point[1])
        rows.append(_onto(layers, left, top, width, height))
    canvas = torch.stack(rows)
    half = torch.ones_like(render.camera.cx)
    camera = replace(render.camera, width=width, height=height, cx=half * width / 2, cy=half * height / 2)
    return render_of(canvas, camera, 1 / placement.scale)


def merge(layers: list[Render]) -> Render:
    """Lays renders of one size over one another, the nearest in front in every pixel. The first one's camera is kept.

    Raises:
        InputError: sizes or rows differ.
    """
    for other in layers[1:]:
        if other.alpha.shape != layers[0].alpha.shape:
            raise InputError("avatars", f"{tuple(other.alpha.shape)} and {tuple(layers[0].alpha.shape)} (rows, height, width)", "differ",
                             "Compose avatars with the same number of rows on canvases of the same size.")
    depth = torch.stack([_edge_depth(layer) for layer in layers])
    order = depth.argsort(0)
    alpha = torch.stack([layer.alpha for layer in layers]).gather(0, order)
    rgb = torch.stack([layer.rgb for layer in layers]).gather(0, order[..., None].expand(*order.shape, 3))
    covered, colour = torch.zeros_like(alpha[0]), torch.zeros_like(rgb[0])
    for coverage, tint in zip(alpha, rgb):
        share = (1 - covered) * coverage
        colour, covered = colour + share[..., None] * tint, covered + share
    straight = torch.where(covered[..., None] > 0, colour / covered.clamp(min=1e-12)[..., None], colour)
    nearest = depth.amin(0)
    return Render(straight, covered, torch.where(nearest < FAR, nearest, torch.zeros_like(nearest)), layers[0].camera)


def place_pair(avatar: Render, gray_body: Render, placement: Placement, width, height, onto_avatar=None, onto_gray_body=None):
    """Places an avatar and its gray body alike, before and behind what is on the canvas already.

    Args:
        avatar, gray_body: B rows of one pose through one camera.
        placement: of the avatar.
        width, height: of an empty canvas; a canvas given by ``onto_avatar`` brings its own size.
        onto_avatar, onto_gray_body: what is there already; both or neither.

    Returns:
        (avatars, gray bodies) on the canvas.

    Raises:
        InputError: the two are not of one size, or only one canvas is given.
    """
    if gray_body.alpha.shape != avatar.alpha.shape:
        raise InputError("gray body", tuple(gray_body.alpha.shape), f"is not shaped like the avatar, {tuple(avatar.alpha.shape)}",
                         "Render both from the same poses through the same camera.")
    if (onto_avatar is None) != (onto_gray_body is None):
        raise InputError("canvas", "of avatars without gray bodies or of gray bodies without avatars", "cannot be continued",
                         "Connect both outputs of the Compose Avatars node before, or none.")
    if onto_avatar is not None:
        height, width = onto_avatar.alpha.shape[1:]
    pairs = [(avatar[row], gray_body[row], standing_point(avatar.alpha[row])) for row in range(len(avatar))]
    placed = [_rows([place(picture[kind], placement, width, height, picture[2]) for picture in pairs]) for kind in (0, 1)]
    return placed if onto_avatar is None else [merge([new, old]) for new, old in zip(placed, (onto_avatar, onto_gray_body))]


def _rows(renders):
    """One-row renders of one size as one."""
    parts = {name: torch.cat([getattr(render, name) for render in renders]) for name in ("rgb", "alpha", "depth")}
    camera = {name: torch.cat([getattr(render.camera, name) for render in renders]) for name in ("fx", "fy", "cx", "cy", "R", "t")}
    return Render(**parts, camera=replace(renders[0].camera, **camera))


def layers_of(render, row):
    """One row as (6, H, W): premultiplied colour, alpha, distance times hit, hit."""
    hit = (render.depth[row] > 0).to(render.alpha.dtype)
    alpha = render.alpha[row]
    return torch.cat([render.rgb[row].permute(2, 0, 1) * alpha, torch.stack([alpha, render.depth[row] * hit, hit])])


def render_of(layers, camera, depth_scale=1.0):
    """The inverse of ``layers_of`` for (B, 6, H, W)."""
    alpha = layers[:, 3].clamp(0, 1)
    rgb = torch.where(alpha[:, None] > 0, layers[:, :3] / layers[:, 3:4].clamp(min=1e-6), layers[:, :3]).clamp(0, 1)
    hit = layers[:, 5]
    depth = torch.where(hit > 0.5, layers[:, 4] / hit.clamp(min=1e-6) * depth_scale, torch.zeros_like(hit))
    return Render(rgb.permute(0, 2, 3, 1), alpha, depth, camera)


def resize(layers, height, width):
    if layers.shape[-2:] == (height, width):
        return layers
    return interpolate(layers, (height, width), mode="bilinear", antialias=True, align_corners=False)


def _grow(layers, point, scale):
    if scale == 1:
        return layers, point
    height, width = (max(1, round(side * scale)) for side in layers.shape[1:])
    grown = resize(layers[None], height, width)[0]
    return grown, (point[0] * width / layers.shape[2], point[1] * height / layers.shape[1])


def _turn(layers, point, rotation):
    """Turns layers (6, H, W) about a pixel; the result is as large as any turn needs, with the point at its centre."""
    if rotation == 0:
        return layers, point
    height, width = layers.shape[1:]
    reach = math.ceil(max(math.hypot(x - point[0], y - point[1]) for x in (0, width) for y in (0, height))) + 1
    side = 2 * reach
    cos, sin = math.cos(rotation), math.sin(rotation)
    theta = layers.new_tensor([[cos * side / width, -sin * side / width, 2 * point[0] / width - 1],
                               [sin * side / height, cos * side / height, 2 * point[1] / height - 1]])
    grid = affine_grid(theta[None], (1, 6, side, side), align_corners=False)
    return grid_sample(layers[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0], (float(reach), float(reach))


def _onto(layers, left, top, width, height):
    """Copies layers (6, h, w) to a place of an empty canvas (6, height, width); what lies outside is cut off."""
    canvas = layers.new_zeros(len(layers), height, width)
    right, bottom = min(width, left + layers.shape[2]), min(height, top + layers.shape[1])
    x, y = max(0, left), max(0, top)
    if right > x and bottom > y:
        canvas[:, y:bottom, x:right] = layers[:, y - top : bottom - top, x - left : right - left]
    return canvas


def _edge_depth(render):
    """Distances with those of soft edge pixels, which no ray hit, taken from their neighbours; FAR where nothing is."""
    depth = torch.where(render.depth > 0, render.depth, torch.full_like(render.depth, FAR))
    near = -max_pool2d(-depth[:, None], 3, 1, 1)[:, 0]
    return torch.where((render.alpha > 0) & (depth >= FAR), near, depth)
