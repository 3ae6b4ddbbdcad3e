"""The soft shadow a figure throws on the floor, drawn from points on its skin."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, normalize, pad

from ..checks import check_range
from ..ports import Figure
from ..render.camera import match_rows, project
from ..types import Camera, Mesh

LIGHT = (-0.45, 1.0, -0.30)  # from the floor towards the key light: to the camera's left, up, towards the camera
SPREAD = 0.16  # half-width of the light, as the tangent of its angle: what makes a shadow softer the farther it falls
GOLDEN_ANGLE = 2.399963
SHRINK = 3  # shadows are soft: they are drawn this much smaller
POINTS = 60_000  # on the skin of a body of 1.8 square metres: half a centimetre apart, less than a small pixel


def floor_shadow(figure: Figure, camera: Camera, floor=0.0, lights=32, spread=SPREAD) -> Tensor:
    """Draws the soft shadow of a figure on the floor, as the mean over points of a round light.

    Args:
        figure: (B) posed body or avatar.
        camera: B cameras or one; the light stands behind the camera's left shoulder, so the shadow falls back and to the right.
        floor: height of the floor, metres.
        lights: points on the light; more is smoother.
        spread: size of the light; 0 gives a hard shadow.

    Returns:
        (B, H, W) shadow 0..1; 1 where no point of the light is seen.

    Raises:
        InputError: lights or spread out of range.
    """
    check_range("lights", lights, 1, 256)
    check_range("spread", spread, 0.0, 1.0)
    camera = match_rows(camera, len(figure))
    small = shrunk(camera, SHRINK)
    rows = []
    for row in range(len(figure)):
        skin = points_on_skin(figure.mesh(slice(row, row + 1)), POINTS)
        fallen = flatten(skin, light_directions(camera.R[row], lights, spread), floor)
        rows.append(coverage(fallen, small[[row] * lights]).mean(0))
    shadow = interpolate(smooth(torch.stack(rows))[:, None], scale_factor=SHRINK, mode="bicubic")
    return shadow[:, 0, : camera.height, : camera.width].clamp(0, 1)


def points_on_skin(mesh: Mesh, count) -> Tensor:
    """``count`` points spread evenly over the surface of a one-row mesh, (count, 3); the same every time."""
    corners = mesh.vertices[0][mesh.faces].float()
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1)
    steps = (torch.arange(count, device=area.device) + 0.5) / count
    total = area.double().cumsum(0)
    face = torch.searchsorted(total, steps.double() * total[-1]).clamp(max=len(area) - 1)
    noise = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)).to(area.device)
    a, b = noise[:, :1].sqrt(), noise[:, 1:]
    picked = corners[face]
    return (1 - a) * picked[:, 0] + a * (1 - b) * picked[:, 1] + a * b * picked[:, 2]


def light_directions(R: Tensor, lights, spread) -> Tensor:
    """Directions (K, 3) from the floor to points spread evenly over a round light, for a camera with rotation ``R (3, 3)``."""
    k = torch.arange(lights, device=R.device)
    radius = spread * ((k + 0.5) / lights).sqrt()
    side, back = LIGHT[0] + radius * (k * GOLDEN_ANGLE).cos(), LIGHT[2] + radius * (k * GOLDEN_ANGLE).sin()
    up = R.new_tensor([0.0, 1.0, 0.0])
    right = normalize(R[0] * R.new_tensor([1.0, 0.0, 1.0]), dim=-1)
    return side[:, None] * right + up + back[:, None] * torch.linalg.cross(up, right)


def flatten(points: Tensor, towards_light: Tensor, floor: float) -> Tensor:
    """Moves points (P, 3) along each light (K, 3) onto the plane y = floor: (K, P, 3). Points below it go straight up onto it."""
    height = (points[:, 1:2] - floor).clamp(min=0)
    fallen = points - height * (towards_light / towards_light[:, 1:2])[:, None]
    fallen[..., 1] = floor
    return fallen


def coverage(points: Tensor, camera: Camera) -> Tensor:
    """Which pixels some point (K, P, 3) falls into, pinholes closed: (K, H, W) of 0 and 1."""
    pixels, depth = project(points, camera)
    x, y = pixels.floor().long().unbind(-1)
    seen = (depth > 0) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
    size = camera.height * camera.width
    index = torch.arange(len(points), device=points.device)[:, None] * size + y * camera.width + x
    image = points.new_zeros(len(points) * size)
    image[index[seen]] = 1.0
    image = image.view(len(points), 1, camera.height, camera.width)
    return -max_pool2d(-max_pool2d(image, 3, 1, 1), 3, 1, 1)[:, 0]


def shrunk(camera: Camera, factor) -> Camera:
    """The same view in a picture ``factor`` times smaller, rounded up to whole pixels."""
    return replace(camera, fx=camera.fx / factor, fy=camera.fy / factor, cx=camera.cx / factor, cy=camera.cy / factor,
                   width=math.ceil(camera.width / factor), height=math.ceil(camera.height / factor))


def smooth(image, radius=2):
    """A small binomial blur that hides the steps between the light's points. (B, H, W) to (B, H, W)."""
    kernel = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = pad(image[:, None], (radius,) * 4, mode="replicate")
    return torch.conv2d(torch.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]
