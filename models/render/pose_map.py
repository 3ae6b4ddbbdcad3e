"""OpenPose-18 pose maps: keypoints of a figure, and their drawing in the colours that pose ControlNets were trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.joints import OPENPOSE18_LIMBS, OPENPOSE18_NAMES
from ..checks import InputError, check_range
from ..types import Camera, Keypoints
from .camera import match_rows, project

COLORS = (  # sRGB 0..255, for joint k and, darkened, for limb k
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85), (0, 255, 170),
    (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)
LIMB_SHADE = 0.6  # limbs are drawn this much darker than joints
_FACE = tuple(OPENPOSE18_NAMES.index(name) for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear"))
_STICK = 4 / 512  # half the width of limbs and radius of joints, as a share of the shorter side
_HIDDEN = 0.03  # metres behind the surface at which a point of the face counts as hidden


def project_keypoints(figure, camera: Camera, depth: Tensor | None = None) -> Keypoints:
    """Projects a figure's OpenPose-18 points.

    Args:
        figure: ports.Figure.
        camera: the figure's number of rows, or one.
        depth: (B, H, W) metric depth of the same figure and camera (`Render.depth`). With it, points of the face that lie behind
            the surface get score 0, as a detector would miss them; joints inside the body always stay.

    Returns:
        Keypoints; score 0 for points that are missing, behind the camera or outside the picture, else 1.
    """
    camera = match_rows(camera, len(figure)).to(figure.device)
    points, z = project(figure.keypoints_3d(), camera)
    limit = points.new_tensor([camera.width, camera.height])
    seen = (z > 0) & torch.isfinite(points).all(-1) & (points >= 0).all(-1) & (points < limit).all(-1)
    if depth is not None:
        seen &= ~_behind(points, z, seen, depth.to(points))
    return Keypoints(points, seen.to(points.dtype), "openpose18", camera.width, camera.height)


def _behind(points, z, seen, depth):
    """Points of the face (B, 18) that lie behind the rendered surface, even behind the farthest of the nine pixels around them."""
    x, y = torch.where(seen[..., None], points, torch.zeros_like(points)).long().unbind(-1)
    step = torch.tensor([-1, 0, 1], device=depth.device)
    rows = torch.arange(len(depth), device=depth.device)[:, None, None, None]
    lines = (y[..., None, None] + step[:, None]).clamp(0, depth.shape[1] - 1)
    columns = (x[..., None, None] + step).clamp(0, depth.shape[2] - 1)
    around = depth[rows, lines, columns]
    surface = torch.where(around > 0, around, torch.inf).amax((-2, -1))
    face = torch.zeros_like(seen)
    face[:, list(_FACE)] = True
    return face & (z > surface + _HIDDEN)


def draw_pose_map(keypoints: Keypoints, stick=1.0) -> Tensor:
    """Draws limbs as ellipses and joints as discs on black, antialiased (Cao et al. 2017, figure 1; OpenPose's colour table).

    Args:
        keypoints: order "openpose18"; points with score 0 or NaN, and limbs that lack an end, are left out.
        stick: width factor; 1 gives limbs 8 pixels wide when the shorter side is 512.

    Returns:
        (B, H, W, 3) sRGB 0..1.

    Raises:
        InputError: another order of keypoints.
    """
    image = keypoints.keypoints_2d.new_zeros(len(keypoints), keypoints.height, keypoints.width, 3)
    limbs = [[LIMB_SHADE * level / 255 for level in color] for color in COLORS]
    return _paint_skeletons(image, keypoints, stick, limbs, [[level / 255 for level in color] for color in COLORS])


def draw_skeleton(image: Tensor, keypoints: Keypoints, color, stick=0.3) -> Tensor:
    """Returns pictures (B, H, W, 3) with the limbs and joints of the keypoints over them in one colour, sRGB 0..1.

    Arguments and errors are those of `draw_pose_map`.
    """
    return _paint_skeletons(image.clone(), keypoints, stick, [color] * len(COLORS), [color] * len(COLORS))


def _paint_skeletons(image, keypoints, stick, limb_colors, joint_colors):
    """Paints each row of keypoints onto its row of ``image`` (B, H, W, 3), in place."""
    if keypoints.order != "openpose18":
        raise InputError("keypoints", keypoints.order, "is not in OpenPose-18 order", "Convert the keypoints to openpose18 first.")
    check_range("stick", stick, 0.1, 20.0)
    radius = max(_STICK * min(keypoints.width, keypoints.height) * stick, 0.75)
    points = keypoints.keypoints_2d.double().cpu()
    there = (keypoints.scores.cpu() > 0) & torch.isfinite(points).all(-1)
    for canvas, row, shown in zip(image, points.tolist(), there.tolist()):
        for color, (a, b) in zip(limb_colors, OPENPOSE18_LIMBS):
            if shown[a] and shown[b]:
                _paint_ellipse(canvas, row[a], row[b], radius, color)
        for color, point, visible in zip(joint_colors, row, shown):
            if visible:
                _paint_ellipse(canvas, point, point, radius, color)
    return image


def _paint_ellipse(canvas, begin, end, radius, color):
    """Paints the ellipse whose long axis runs between two points (a disc if they coincide) onto canvas (H, W, 3), in place."""
    (x0, y0), (x1, y1) = begin, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    across, along = radius, max(length / 2, radius if length == 0 else 0.5)
    cosine, sine = ((x1 - x0) / length, (y1 - y0) / length) if length else (1.0, 0.0)
    reach = max(along, across) + 1
    left, right = _clip((x0 + x1) / 2, reach, canvas.shape[1])
    top, bottom = _clip((y0 + y1) / 2, reach, canvas.shape[0])
    if left >= right or top >= bottom:
        return
    x = torch.arange(left, right, device=canvas.device) + 0.5 - (x0 + x1) / 2
    y = torch.arange(top, bottom, device=canvas.device)[:, None] + 0.5 - (y0 + y1) / 2
    u, v = (x * cosine + y * sine) / along, (y * cosine - x * sine) / across
    level = (u * u + v * v).sqrt()
    slope = ((u / along).square() + (v / across).square()).sqrt().clamp(min=1e-6)
    # level - 1 over its gradient is the distance from the outline in pixels, to first order
    coverage = (0.5 - (level - 1) * level.clamp(min=1e-6) / slope).clamp(0, 1)[..., None].to(canvas.dtype)
    area = canvas[top:bottom, left:right]
    area.copy_(area + coverage * (canvas.new_tensor(color) - area))


def _clip(centre, reach, size):
    return max(0, int(max(centre - reach, 0))), min(size, int(min(centre + reach, size)) + 1)
