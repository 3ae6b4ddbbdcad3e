"""The soft shadow of a figure that moves before a still camera: ``shadow.floor_shadow`` for film, with its constant work done once.

The same points of the skin are followed through the motion, and falling onto the floor and being seen by the camera is one matrix per
point of the light, so a frame costs one product, one scatter and a blur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

from ..render.camera import world_to_camera
from ..types import Camera, Mesh
from .shadow import SHRINK, SPREAD, light_directions, shrunk, smooth

POINTS = 12_000  # on the skin; a body's are about one centimetre apart, a small pixel of a film
LIGHTS = 12
KEY_DARKNESS, CONTACT_DARKNESS = 0.6, 0.75  # of the lamp's shadow, and of the gap under what touches the floor
CONTACT_HEIGHT = 0.06  # metres above the floor at which a sole hides half of the sky from the floor below it
SOFTNESS = 0.035  # metres, standard deviation of the lamp's blur: hides that it is made of few lights


@dataclass(frozen=True)
class Patch:
    """A shadow inside a picture.

    Args:
        top, left: of its first pixel.
        shadow: (h, w) how much light it takes, 0..1.
    """

    top: int
    left: int
    shadow: Tensor


class MovingShadow:
    """Draws the shadow of each frame of a motion.

    Args:
        mesh: one row of the figure; its faces say where the skin is, its pose how large they are.
        camera: one row, for all frames.
        floor: height of the floor, metres.
        points: followed on the skin.
    """

    def __init__(self, mesh: Mesh, camera: Camera, floor=0.0, points=POINTS):
        self._size, self._small = (camera.height, camera.width), shrunk(camera, SHRINK)
        self._corners, self._weights = _spread_points(mesh, points)
        self._blur = _gaussian(SOFTNESS * float(_pixels_per_metre(mesh, self._small)))
        key = light_directions(camera.R[0], LIGHTS, SPREAD)
        self._floor, self._onto_picture = floor, floor_projection(torch.cat([key, key.new_tensor([[0.0, 1.0, 0.0]])]), self._small, floor)

    def draw(self, vertices: Tensor) -> Patch | None:
        """The shadow under one frame's ``vertices (V, 3)``, world, metres; None where it lies outside the picture."""
        skin = (vertices[self._corners] * self._weights[..., None]).sum(1)
        across, down, away = (pad(skin, (0, 1), value=1.0) @ self._onto_picture).T.unflatten(0, (3, -1))
        x, y = (across / away).floor(), (down / away).floor()
        seen = (away > 0) & (x >= 0) & (x < self._small.width) & (y >= 0) & (y < self._small.height)
        if not bool(seen.any()):
            return None
        border = len(self._blur) // 2 + 2
        left, right = _reach(x, seen, self._small.width, border)
        top, bottom = _reach(y, seen, self._small.height, border)
        cell = torch.where(seen, (y - top) * (right - left) + (x - left), -1.0).long() + 1  # cell 0 takes what is not seen
        shape = (bottom - top, right - left)
        lamp = _closed(_splat(torch.ones_like(across[:-1]), cell[:-1], shape)).mean(0)
        near = 1 / (1 + ((skin[:, 1] - self._floor).clamp(min=0) / CONTACT_HEIGHT).square())
        contact = _closed(_splat(near[None], cell[-1:], shape))[0]
        dark = 1 - (1 - KEY_DARKNESS * _blurred(lamp, self._blur)) * (1 - CONTACT_DARKNESS * smooth(contact[None]))
        large = interpolate(dark[None], scale_factor=SHRINK, mode="bilinear")[0, 0]
        top, left = top * SHRINK, left * SHRINK
        return Patch(top, left, large[: self._size[0] - top, : self._size[1] - left])


def darken_floor(picture: Tensor, patch: Patch | None, darkness) -> None:
    """Multiplies a picture (H, W, 3) in place by ``1 - darkness * shadow``."""
    if patch is not None and darkness:
        rows, columns = patch.shadow.shape
        picture[patch.top : patch.top + rows, patch.left : patch.left + columns] *= (1 - darkness * patch.shadow)[..., None].to(picture)


def floor_projection(towards_light: Tensor, camera: Camera, floor) -> Tensor:
    """What takes a point (x, y, z, 1) to the pixel of its shadow under each of K lights (K, 3): (4, 3 K), homogeneous, rows x, y, depth.

    A point p falls to ``p - (p_y - floor) L / L_y``, which is linear in (p, 1), and so is the pinhole.
    """
    lights = len(towards_light)
    fall = torch.eye(4, dtype=towards_light.dtype, device=towards_light.device).repeat(lights, 1, 1)
    slope = towards_light / towards_light[:, 1:2]
    fall[:, :3, 1] -= slope
    fall[:, :3, 3] += floor * slope
    fx, fy, cx, cy = (getattr(camera, name)[0] for name in ("fx", "fy", "cx", "cy"))
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    lens = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).view(3, 3)
    seen = lens @ torch.cat([camera.R[0], camera.t[0][:, None]], 1).to(lens)
    return (seen.to(fall) @ fall).permute(2, 1, 0).reshape(4, -1)


def _spread_points(mesh, count):
    """Corners (count, 3) and weights (count, 3) of points spread evenly over the skin; the same every time."""
    corners = mesh.vertices[0][mesh.faces].float()
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1).double().cumsum(0)
    steps = (torch.arange(count, device=area.device, dtype=torch.float64) + 0.5) / count
    face = torch.searchsorted(area, steps * area[-1]).clamp(max=len(area) - 1)
    noise = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)).to(corners)
    a, b = noise[:, :1].sqrt(), noise[:, 1:]
    return mesh.faces[face], torch.cat([1 - a, a * (1 - b), a * b], 1)


def _pixels_per_metre(mesh, camera):
    """How large a metre is in the picture, where the figure stands."""
    return camera.fx[0] / world_to_camera(mesh.vertices.float(), camera)[..., 2].mean().clamp(min=0.1)


def _gaussian(sigma):
    steps = torch.arange(-math.ceil(2 * sigma), math.ceil(2 * sigma) + 1)
    kernel = torch.exp(-0.5 * (steps / max(sigma, 1e-3)).square())
    return kernel / kernel.sum()


def _blurred(image, kernel):
    """(h, w) to (1, h, w), its border repeated."""
    kernel, reach = kernel.to(image), len(kernel) // 2
    wide = pad(image[None, None], (reach,) * 4, mode="replicate")
    return torch.conv2d(torch.conv2d(wide, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[0]


def _reach(places, seen, limit, border):
    low = int(torch.where(seen, places, float(limit)).min())
    high = int(torch.where(seen, places, -1.0).max())
    return max(0, low - border), min(limit, high + 1 + border)


def _splat(values, cell, shape):
    """The largest value (K, P) that falls into each cell: (K, h, w)."""
    image = values.new_zeros(len(values), shape[0] * shape[1] + 1)
    return image.scatter_reduce_(1, cell, values, "amax")[:, 1:].unflatten(1, shape)


def _closed(image):
    """Pinholes closed, in pictures (K, h, w)."""
    return -max_pool2d(-max_pool2d(image[None], 3, 1, 1), 3, 1, 1)[0]
