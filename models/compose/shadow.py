"""The shadow a figure throws on the floor: its mesh flattened along the light, drawn by the same rasteriser as the figure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import check_range
from ..ports import Figure
from ..render.engine import render_figure
from ..types import Camera, Material, Mesh

LIGHT = (-0.45, 1.0, -0.30)  # from the floor towards the key light: camera left, up, towards the camera
SPREAD = 0.16  # half-width of the light, as the tangent of its angle: what makes a shadow softer the farther it falls
GOLDEN_ANGLE = 2.399963


@dataclass(frozen=True)
class Flattened:
    """A figure pressed onto the floor along a direction (a Figure itself, so that any engine can draw it)."""

    figure: Figure
    towards_light: Tensor
    floor: float

    @property
    def device(self):
        return self.figure.device

    def __len__(self):
        return len(self.figure)

    def mesh(self, rows) -> Mesh:
        return flatten(self.figure.mesh(rows), self.towards_light[rows], self.floor)

    def keypoints_3d(self):
        return self.figure.keypoints_3d()


def flatten(mesh: Mesh, towards_light: Tensor, floor: float) -> Mesh:
    """Projects a mesh onto the plane y = floor. ``towards_light`` is (B, 3); points below the floor go straight up onto it."""
    height = (mesh.vertices[..., 1:] - floor).clamp(min=0)
    on_floor = mesh.vertices - height * (towards_light / towards_light[:, 1:])[:, None]
    on_floor[..., 1] = floor
    flat = Material("shadow", double_sided=True)
    return replace(mesh, vertices=on_floor, normals=None, materials=(flat,), face_material=None, uv=None, colors=None)


def floor_shadow(figure: Figure, camera: Camera, floor=0.0, lights=12, spread=SPREAD) -> Tensor:
    """Draws the soft shadow of a figure on the floor, as the mean over points of a round light.

    Args:
        figure: (B) posed body or avatar.
        camera: (B) cameras; the light stands at the camera's left shoulder, so the shadow falls back and to the right.
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
    right = camera.R[:, 0] * torch.tensor([1.0, 0.0, 1.0], device=camera.R.device)
    right = torch.nn.functional.normalize(right, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0], device=right.device).expand_as(right)
    forward = torch.linalg.cross(up, right)
    total = 0
    for k in range(lights):
        radius, turn = spread * ((k + 0.5) / lights) ** 0.5, torch.tensor(k * GOLDEN_ANGLE)
        side, back = LIGHT[0] + radius * float(turn.cos()), LIGHT[2] + radius * float(turn.sin())
        towards_light = side * right + LIGHT[1] * up + back * forward
        total = total + render_figure(Flattened(figure, towards_light, floor), camera, "gray").alpha
    return _smooth(total / lights)


def _smooth(image, radius=2):
    """A small binomial blur that hides the steps between the light's points. (B, H, W) to (B, H, W)."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=image.dtype, device=image.device) / 16
    padded = torch.nn.functional.pad(image[:, None], (radius,) * 4, mode="replicate")
    return torch.conv2d(torch.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]
