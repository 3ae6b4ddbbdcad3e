"""ComfyUI's pictures and key points <-> the library's types. Everything stays on the device it is on."""

from __future__ import annotations

import math

import torch
from comfy_api.v0_0_2 import ui

from ..models.bodies.body import load_body_model, pose_body
from ..models.checks import InputError
from ..models.types import BodyPose
from . import host

PREVIEW_ROWS = 16  # a preview of a long motion would cost more than its rendering


def image_to_rgb(image):
    """Returns (B, H, W, 3) from an IMAGE, whose alpha channel, if any, is dropped."""
    return image[..., :3]


def mask_to_bhw(mask):
    """Returns (B, H, W) from a MASK, which may come without its batch axis; None stays None."""
    return mask[None] if mask is not None and mask.ndim == 2 else mask


def figure_on(device, figure, body_model=None):
    """Returns a Figure on ``device`` from a figure socket: poses are put on the body model, a posed avatar is one."""
    if isinstance(figure, BodyPose):
        model = body_model if body_model is not None else load_body_model()
        return pose_body(model.to(device), figure.to(device))
    return figure.to(device)


def figure_to_mesh(figure):
    """Returns a Figure as ComfyUI's MESH, one per row, on the intermediate device."""
    mesh = figure.mesh(slice(0, len(figure)))
    faces = mesh.faces.expand(len(figure), -1, -1)
    return host.core_mesh(host.to_intermediate(mesh.vertices), host.to_intermediate(faces))


def camera_info_to_view(info, field_of_view):
    """Returns ({"yaw": radians, "pitch": radians}, vertical field of view in degrees) of a LOAD3D_CAMERA.

    Only its direction and lens are taken: 3D viewers scale what they show, so their distances mean nothing here.

    Raises:
        InputError: it has no position, or stands on its target.
    """
    try:
        x, y, z = (float(info["position"][axis]) - float((info.get("target") or {}).get(axis, 0)) for axis in "xyz")
        fov = float(info.get("fov") or field_of_view)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise InputError("camera_info", str(info)[:60], "is not a camera", "Connect the camera of a ComfyUI 3D node.") from None
    flat = math.hypot(x, z)
    if not math.isfinite(x + y + z) or not math.isfinite(flat) or not math.isfinite(fov) or flat + abs(y) < 1e-9:
        raise InputError("camera_info", str(info)[:60], "stands on its target", "Move the camera away from it.")
    return {"yaw": math.atan2(x, z), "pitch": math.atan2(y, flat)}, min(max(fov, 5.0), 120.0)


def preview_render(render):
    """Returns the node preview of a Render: its first rows with a transparent background."""
    rgba = torch.cat([render.rgb, render.alpha[..., None]], dim=-1)
    return ui.PreviewImage(rgba[:PREVIEW_ROWS])


def preview_image(image):
    """Returns the node preview of an IMAGE: its first rows."""
    return ui.PreviewImage(image[:PREVIEW_ROWS])
