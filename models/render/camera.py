"""Cameras: the only place where camera conventions are made or converted.

The camera frame is +x right, +y down, +z forward; the world is +Y up with the body facing +Z, so at yaw 0 the camera stands
in front of the body and the body's left is on the picture's right. Pixels: (0, 0) is the top-left corner of the picture and
the centre of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import InputError, check_choice, check_range, check_shape
from ..types import Camera

VIEWS = {  # (yaw, pitch) in radians
    "front": (0.0, 0.0),
    "three-quarter": (math.radians(35), math.radians(8)),
    "side": (math.radians(90), 0.0),
    "back": (math.radians(180), 0.0),
    "top": (math.radians(25), math.radians(50)),
}
DEFAULT_FOV = math.radians(30)  # a portrait lens: little distortion of near hands and feet
MAX_SIZE = 16384
_ROWS_AT_ONCE = 16
_CLOSEST = 0.05  # metres between the camera and the nearest framed point


def check_size(width, height):
    """Checks an image size in pixels.

    Raises:
        InputError: a side is not a whole number of 1 to 16384 pixels.
    """
    for name, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(name, value, "is not a whole number of pixels", "Give a whole number, for example 512.")
        check_range(name, value, 1, MAX_SIZE, "pixels")


def view_rotation(yaw=0.0, pitch=0.0) -> Tensor:
    """World-to-camera rotation (3, 3) of a camera that looks at the body from a direction.

    Args:
        yaw: radians about +Y; 0 looks at the body's front, pi/2 at its left side.
        pitch: radians above the horizon; positive looks down.
    """
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    right = (cos_yaw, 0.0, -sin_yaw)
    down = (sin_yaw * sin_pitch, -cos_pitch, cos_yaw * sin_pitch)
    forward = (-sin_yaw * cos_pitch, -sin_pitch, -cos_yaw * cos_pitch)
    return torch.tensor([right, down, forward], dtype=torch.float32)


def frame_points(points: Tensor, width, height, yaw=0.0, pitch=0.0, fov=DEFAULT_FOV, margin=0.08, shared=False) -> Camera:
    """The nearest camera of a given direction that sees all points inside the margin.

    The fit is exact under perspective: each side plane of the view pyramid touches or clears every point, and the points are
    centred between opposite planes.

    Args:
        points: (B, N, 3) world, metres.
        width, height: image size, pixels.
        yaw, pitch: direction of view, radians, see `view_rotation`.
        fov: vertical field of view, radians.
        margin: free border on each side as a share of the image's side, 0 to 0.45.
        shared: one camera that fits all rows (a steady camera for a motion) instead of one per row.

    Raises:
        InputError: points are missing or not finite, or an argument is out of range.
    """
    sizes = check_shape("points", points, "B N 3")
    if sizes["B"] * sizes["N"] == 0:
        raise InputError("points", tuple(points.shape), "hold nothing to frame", "Give at least one row with one point.")
    rotation = _checked_view(width, height, yaw, pitch, fov, margin).to(points.device)
    return _fit(_extents(points, rotation, width / height, fov, margin), rotation, width, height, fov, margin, shared)


def frame_figure(figure, width, height, view="front", yaw=None, pitch=None, fov=DEFAULT_FOV, margin=0.08, shared=False) -> Camera:
    """The nearest camera that sees a whole figure: `frame_points` on every vertex of every row, a few rows at a time.

    Args:
        figure: ports.Figure.
        width, height: image size, pixels.
        view: a name of `VIEWS`; yaw and pitch (radians), where given, replace the view's own.
        fov, margin, shared: see `frame_points`.

    Raises:
        InputError: the figure has no rows or is not finite, or an argument is out of range.
    """
    view_yaw, view_pitch = VIEWS[check_choice("view", view, tuple(VIEWS))]
    yaw, pitch = view_yaw if yaw is None else yaw, view_pitch if pitch is None else pitch
    rotation = _checked_view(width, height, yaw, pitch, fov, margin).to(figure.device)
    if len(figure) == 0:
        raise InputError("figure", 0, "rows hold nothing to frame", "Give at least one pose.")
    chunks = (figure.mesh(slice(i, min(i + _ROWS_AT_ONCE, len(figure)))).vertices for i in range(0, len(figure), _ROWS_AT_ONCE))
    extents = torch.cat([_extents(vertices, rotation, width / height, fov, margin) for vertices in chunks])
    return _fit(extents, rotation, width, height, fov, margin, shared)


def weak_perspective_camera(scale: Tensor, tx: Tensor, ty: Tensor, width, height, focal=5000.0, rotation=None) -> Camera:
    """Pinhole camera equal to a weak-perspective one: far away, with a long lens (Kanazawa et al. 2018, HMR).

    A point at camera coordinates (x, y) lands at ``centre + scale * width / 2 * (x + tx, y + ty)`` for depths near the body's.

    Args:
        scale, tx, ty: (B,) as predicted on a crop ``width`` pixels wide.
        width, height: image size, pixels.
        focal: pixels; the longer, the closer to truly weak perspective.
        rotation: (3, 3) world-to-camera; None looks at the body's front. Bodies in camera axes (+y down) take the identity.

    Raises:
        InputError: a scale is not positive.
    """
    check_size(width, height)
    rows = check_shape("scale", scale, "B")["B"]
    if not bool((scale > 0).all()):
        raise InputError("scale", scale.min().item(), "is not positive", "Give the camera's scale, for example 0.9.")
    rotation = (view_rotation() if rotation is None else rotation).to(scale)
    distance = 2 * focal / (width * scale)
    ones = torch.ones_like(scale)
    return Camera(ones * focal, ones * focal, ones * width / 2, ones * height / 2, rotation.expand(rows, 3, 3),
                  torch.stack([tx, ty, distance], -1), width, height)


def world_to_camera(points: Tensor, camera: Camera) -> Tensor:
    """World points (B, N, 3) to camera axes (B, N, 3), metres."""
    return torch.baddbmm(camera.t[:, None].to(points.dtype), points, camera.R.to(points.dtype).mT)


def project(points: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Projects world points.

    Args:
        points: (B, N, 3) metres; NaN stays NaN.
        camera: B rows.

    Returns:
        (B, N, 2) pixels and (B, N) depth along the camera axis, metres. Points at or behind the camera have depth <= 0, and
        their pixels mean nothing.
    """
    check_shape("points", points, "B N 3", B=len(camera))
    x, y, z = world_to_camera(points, camera).unbind(-1)
    inverse = 1 / torch.where(z == 0, torch.full_like(z, 1e-9), z)
    u = x * inverse * camera.fx[:, None] + camera.cx[:, None]
    v = y * inverse * camera.fy[:, None] + camera.cy[:, None]
    return torch.stack([u, v], -1), z


def camera_to_opengl_pose(camera: Camera) -> Tensor:
    """Camera-to-world matrices (B, 4, 4) in OpenGL's axes: +x right, +y up, looking along -z."""
    R = camera.R.mT
    pose = torch.eye(4, dtype=R.dtype, device=R.device).repeat(len(camera), 1, 1)
    pose[:, :3, :3] = R * R.new_tensor([1.0, -1.0, -1.0])
    pose[:, :3, 3] = -(R @ camera.t[..., None])[..., 0]
    return pose


def match_rows(camera: Camera, rows: int) -> Camera:
    """Returns the camera with ``rows`` rows; one camera serves any number.

    Raises:
        InputError: the numbers do not match.
    """
    if len(camera) not in (1, rows):
        raise InputError("camera", len(camera), f"rows do not match the figure's {rows}", "Frame the figure again, or use one camera.")
    return camera if len(camera) == rows else camera[[0] * rows]


def _checked_view(width, height, yaw, pitch, fov, margin):
    check_size(width, height)
    check_range("yaw", yaw, -100.0, 100.0, "radians")
    check_range("pitch", pitch, -math.pi / 2, math.pi / 2, "radians")
    check_range("fov", fov, math.radians(1), math.radians(150), "radians")
    check_range("margin", margin, 0.0, 0.45)
    return view_rotation(yaw, pitch)


def _slopes(aspect, fov, margin):
    """Slopes of the side planes: |x| <= kx z and |y| <= ky z inside the margin."""
    ky = math.tan(fov / 2)
    return ky * aspect * (1 - 2 * margin), ky * (1 - 2 * margin)


def _extents(points, rotation, aspect, fov, margin):
    """How far the points (B, N, 3) reach beyond each plane through the origin: right, left, bottom, top, near. (B, 5)"""
    x, y, z = (points @ rotation.to(points.dtype).T).unbind(-1)
    kx, ky = _slopes(aspect, fov, margin)
    reach = torch.stack([(x - kx * z).amax(1), (-x - kx * z).amax(1), (y - ky * z).amax(1), (-y - ky * z).amax(1), -z.amin(1)], 1)
    if not bool(torch.isfinite(reach).all()):
        raise InputError("figure", "points", "are not all finite numbers", "Look for NaN in the pose or in the body file.")
    return reach


def _fit(extents, rotation, width, height, fov, margin, shared):
    rows = len(extents)
    if shared:
        extents = extents.amax(0, keepdim=True).expand(rows, 5)
    right, left, bottom, top, near = extents.unbind(1)
    kx, ky = _slopes(width / height, fov, margin)
    # both planes of a pair hold: c_x - k c_z >= right and -c_x - k c_z >= left, so c_z <= -(right + left) / 2k
    depth = torch.minimum(torch.minimum(-(right + left) / (2 * kx), -(bottom + top) / (2 * ky)), -near - _CLOSEST)
    centre = torch.stack([(right - left) / 2, (bottom - top) / 2, depth], -1)
    focal = torch.full_like(depth, height / 2 / math.tan(fov / 2))
    half = torch.ones_like(depth)
    return Camera(focal, focal, half * width / 2, half * height / 2, rotation.to(depth).expand(rows, 3, 3), -centre, width, height)
