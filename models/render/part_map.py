"""Body part maps in DensePose's colours (Guler et al. 2018): which of 24 parts a pixel shows, and where on it.

A pixel is (V, U, I) / 255 as (red, green, blue), black where nobody is, as in the pictures that Parts2Whole was trained on. I is the
number of the part, U and V run along and across it. The numbers and the directions of U and V are DensePose's; its exact charts are
licensed for research only, so U and V here are straight measures on the body at rest, which come near them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES
from ..checks import InputError
from ..types import Camera
from .camera import match_rows, world_to_camera
from .near_plane import NEAR
from .rasterize import Window, rasterize

BACK, FRONT = 1, 2
# part -> (joints that move it, which half: direction in the body frame or None, direction of U, direction of V)
_DOWN, _UP, _LEFT, _RIGHT, _FORE, _REAR = (0, -1, 0), (0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar")
_INNER = (0, -0.95, 0.31)  # of an arm stretched to the side: what faces the trunk when it hangs, turned a little to the front
_OUTER = (0, 0.95, -0.31)
PARTS = {
    1: (_TRUNK, _REAR, _DOWN, _RIGHT), 2: (_TRUNK, _FORE, _DOWN, _RIGHT),
    3: (("right_wrist", "right_hand"), None, _FORE, _RIGHT), 4: (("left_wrist", "left_hand"), None, _REAR, _LEFT),
    5: (("left_ankle", "left_foot"), None, _FORE, _RIGHT), 6: (("right_ankle", "right_foot"), None, _FORE, _LEFT),
    7: (("right_hip",), _REAR, _DOWN, _RIGHT), 8: (("left_hip",), _REAR, _DOWN, _LEFT),
    9: (("right_hip",), _FORE, _UP, _LEFT), 10: (("left_hip",), _FORE, _UP, _RIGHT),
    11: (("right_knee",), _REAR, _DOWN, _RIGHT), 12: (("left_knee",), _REAR, _DOWN, _LEFT),
    13: (("right_knee",), _FORE, _UP, _LEFT), 14: (("left_knee",), _FORE, _UP, _RIGHT),
    15: (("left_shoulder",), _INNER, _LEFT, _FORE), 16: (("right_shoulder",), _INNER, _RIGHT, _FORE),
    17: (("left_shoulder",), _OUTER, _LEFT, _RIGHT), 18: (("right_shoulder",), _OUTER, _RIGHT, _LEFT),
    19: (("left_elbow",), _INNER, _RIGHT, _DOWN), 20: (("right_elbow",), _INNER, _LEFT, _DOWN),
    21: (("left_elbow",), _OUTER, _LEFT, _RIGHT), 22: (("right_elbow",), _OUTER, _RIGHT, _LEFT),
    23: (("neck", "head"), _RIGHT, _FORE, _UP), 24: (("neck", "head"), _LEFT, _REAR, _UP),
}
_SPLIT = 0.1  # how strongly a half claims a point, per metre; far less than a joint does
_RANGE = (0.05, 0.95)  # U and V stay off the ends, as most of DensePose's do


def render_part_map(figure, camera: Camera) -> tuple[Tensor, Tensor]:
    """Draws the parts of posed bodies. Not antialiased: a mixture of two part numbers would be a third part.

    Args:
        figure: PosedBody with B rows.
        camera: B rows or one for all.

    Returns:
        ((B, H, W, 3) 0..1, (B, H, W) 1 where the body is).

    Raises:
        InputError: the figure is no body.
    """
    if not hasattr(figure, "model"):
        raise InputError("figure", type(figure).__name__, "has no known body parts", "Connect poses, not an avatar.")
    camera = match_rows(camera, len(figure)).to(figure.device)
    scores = part_scores(figure.model)
    charts = part_charts(figure.model, scores.argmax(1))
    image = torch.zeros(len(figure), camera.height, camera.width, 3, device=figure.device)
    for row in range(len(figure)):
        _draw_row(image[row], figure.vertices(slice(row, row + 1)), figure.model.faces, camera[row], scores, charts)
    return image, (image[..., 2] > 0).float()


def _draw_row(image, vertices, faces, camera, scores, charts):
    points = world_to_camera(vertices.float(), camera)
    x, y, z = points.permute(2, 0, 1)
    kept = (z[0, faces] > NEAR).all(1).nonzero()[:, 0]
    screen = torch.stack([x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy, 1 / z])
    seen = rasterize(screen.nan_to_num(), faces[kept], Window(0, 0, camera.width, camera.height), float(camera.fx.max()))
    pixel = (seen.keys > 0).nonzero()[:, 0]
    if len(pixel) == 0:
        return
    triangle = seen.keys.index_select(0, pixel) & 0xFFFFFFFF
    places = torch.stack([pixel % camera.width, torch.div(pixel, camera.width, rounding_mode="floor")]) + 0.5
    found = seen.triangles.fragments(triangle, places)
    corner, share = faces[kept[found.face]], found.bary.T[..., None]
    number = (scores[corner] * share).sum(1).argmax(1)  # per pixel, so that borders do not follow the triangles
    uv = (charts[number[:, None], corner] * share).sum(1)
    image.view(-1, 3)[pixel] = torch.stack([uv[:, 1], uv[:, 0], number / 255], 1)


def part_scores(model) -> Tensor:
    """(V, 25) how much each vertex belongs to each part: the weights of the joints that move it, and the side of the limb it lies on."""
    segment = torch.tensor([_body_joint(joint, model.parents) for joint in range(model.weights.shape[1])], device=model.device)
    scores = model.v_template.new_full((len(model.v_template), 25), -1.0)
    for number, (names, half, _, _) in PARTS.items():
        own = torch.isin(segment, torch.tensor([JOINT_NAMES.index(name) for name in names], device=model.device))
        scores[:, number] = model.weights[:, own].sum(1) + _SPLIT * _side(model, names, half)
    return scores


def part_charts(model, part: Tensor) -> Tensor:
    """(25, V, 2) U and V of every vertex in the chart of every part, 0..1; ``part`` (V,) is the one that each vertex belongs to."""
    charts = model.v_template.new_zeros(25, len(model.v_template), 2)
    for number, (_, _, along, across) in PARTS.items():
        own = part == number
        for axis, direction in enumerate((along, across)):
            measure = model.v_template @ model.v_template.new_tensor([float(value) for value in direction])
            low, high = (measure[own].min(), measure[own].max()) if own.any() else (0.0, 1.0)
            charts[number, :, axis] = ((measure - low) / (high - low)).clamp(*_RANGE)
    return charts


def _body_joint(joint, parents):
    """Fingers, jaw and eyes count as the joint that they hang on."""
    while joint >= len(JOINT_NAMES) or (joint in (22, 23) and len(parents) > len(JOINT_NAMES)):
        joint = parents[joint]
    return joint


def _side(model, names, half):
    """(V,) metres from the middle of the limb towards ``half``; 0 everywhere if the part is not halved."""
    if half is None:
        return model.v_template.new_zeros(len(model.v_template))
    joints = model.joint_basis[0]
    first = JOINT_NAMES.index(names[0])
    last = next((child for child, parent in enumerate(model.parents) if parent == JOINT_NAMES.index(names[-1])), first)
    if names == _TRUNK:
        last = JOINT_NAMES.index("neck")
    start, bone = joints[first], joints[last] - joints[first]
    offset = model.v_template - start
    if float(bone.norm()) > 1e-6:
        unit = bone / bone.norm()
        offset = offset - (offset @ unit)[:, None] * unit
    return offset @ offset.new_tensor([float(value) for value in half])
