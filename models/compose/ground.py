"""A camera that agrees with a photograph: the horizon where it is in the picture, the feet where they shall stand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import InputError, check_range
from ..ports import Figure
from ..render.camera import DEFAULT_FOV, check_size, view_rotation
from ..types import Camera

SOLE = 0.05  # metres above a figure's lowest point that still count as touching the floor


def standing_places(figure: Figure) -> Tensor:
    """Where each row touches the floor: (B, 3) metres, the mean of its points within 5 cm of the lowest, at the lowest one's height."""
    places = []
    for row in range(len(figure)):
        vertices = figure.mesh(slice(row, row + 1)).vertices[0]
        lowest = vertices[:, 1].min()
        place = vertices[vertices[:, 1] < lowest + SOLE].mean(0)
        places.append(torch.stack([place[0], lowest, place[2]]))
    return torch.stack(places)


def ground_camera(feet: Tensor, width, height, horizon=0.4, feet_x=0.5, feet_y=0.9, camera_height=1.6, yaw=0.0, fov=DEFAULT_FOV) -> Camera:
    """The camera that sees each figure's standing place at one pixel, from a given height, with the horizon at a given row.

    The horizon is where rays are level: a row ``v_h`` means the pitch ``atan((c_y - v_h) / f)``. The ray through the feet's pixel then
    meets the floor at a distance that the camera's height decides, and so the figure gets the size of a person standing there.

    Args:
        feet: (B, 3) standing places, metres.
        width, height: of the photograph, pixels.
        horizon: row of the horizon (eye level of the photographer), 0 top to 1 bottom; it may lie outside.
        feet_x, feet_y: where the feet shall stand, 0..1 of the picture.
        camera_height: of the photographer's camera above the floor, metres.
        yaw: radians about +Y; 0 sees the figure's front, pi / 2 its left side.
        fov: the photograph's vertical field of view, radians.

    Raises:
        InputError: the feet are not below the horizon, or an argument is out of range.
    """
    check_size(width, height)
    check_range("horizon", horizon, -2.0, 3.0)
    check_range("feet x", feet_x, -0.5, 1.5)
    check_range("camera height", camera_height, 0.01, 1000.0, "metres")
    if feet_y <= horizon + 0.01:
        raise InputError("feet y", feet_y, f"is not below the horizon {horizon}", "A floor is only seen below the horizon: lower the feet.")
    focal = height / 2 / math.tan(fov / 2)
    rotation = view_rotation(yaw, math.atan((0.5 - horizon) * height / focal)).to(feet)
    ray = rotation.T @ feet.new_tensor([(feet_x - 0.5) * width / focal, (feet_y - 0.5) * height / focal, 1.0])
    origin = feet - ray * (camera_height / -ray[1])
    rows = torch.ones(len(feet), device=feet.device)
    return Camera(rows * focal, rows * focal, rows * width / 2, rows * height / 2, rotation.expand(len(feet), 3, 3),
                  -(rotation @ origin.T).T, width, height)
