"""Distances between poses in joint space, and what is built on them: features, multimodality, left and right.

All on the heading-free reference skeleton of ``bodies/posture.py``, relative to the pelvis, so neither the way a person faces nor the body
they have counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.joints import BODY_JOINTS
from ..bodies.posture import POINT_NAMES, measure_posture
from ..checks import check_shape
from ..types import BodyPose

_SIDE_FLOOR = 0.05  # metres of spread that a landmark always has: differences far below it say nothing about sides


def pose_points(pose: BodyPose, landmarks=BODY_JOINTS) -> Tensor:
    """(B, P, 3) metres: the first ``landmarks`` points (22 are the joints, 30 add hands, feet, face and crown), relative to the pelvis."""
    points = measure_posture(pose).points
    return (points - points[:, :1])[:, :landmarks]


def pose_distance(pose_a: BodyPose, pose_b: BodyPose) -> Tensor:
    """(B,) metres, mean distance of the 22 joints of poses that belong together row by row."""
    return (pose_points(pose_a) - pose_points(pose_b)).norm(dim=-1).mean(-1)


def pose_features(pose: BodyPose) -> Tensor:
    """(B, 63) metres: the 21 joints besides the pelvis as one vector, for the Frechet distance in joint space."""
    return pose_points(pose)[:, 1:].flatten(1)


def multimodality(points: Tensor) -> float:
    """Mean distance in metres between candidates of one sentence, over all sentences. 0 means all candidates are the same.

    Args:
        points: (S, C, P, 3) points of C candidates for each of S sentences; C is at least 2.
    """
    count = check_shape("points", points, "S C P 3")["C"]
    first, second = torch.triu_indices(count, count, 1, device=points.device)
    return (points[:, first] - points[:, second]).norm(dim=-1).mean().item()


def mirror_points(points: Tensor) -> Tensor:
    """(..., 30, 3) landmarks seen in a mirror: left and right change places, x changes sign."""
    swapped = [name.replace("left_", "?").replace("right_", "left_").replace("?", "right_") for name in POINT_NAMES]
    return points[..., [POINT_NAMES.index(name) for name in swapped], :] * points.new_tensor([-1.0, 1.0, 1.0])


def side_score(points: Tensor, right_points: Tensor) -> Tensor:
    """Above zero where a pose looks more like the right poses than like their mirror images.

    Each coordinate votes by how far the right poses lie from their mirror images, relative to their spread (a linear discriminant
    with a diagonal covariance), so a raised hand decides about "right hand up" whatever the legs do.

    Args:
        points: (B, 30, 3) landmarks of the poses to judge, see ``pose_points(pose, 30)``.
        right_points: (M, 30, 3) landmarks of poses that show the sentence.

    Returns:
        (B,) the discriminant.
    """
    mirrored = mirror_points(right_points)
    mean, other = right_points.mean(0), mirrored.mean(0)
    variance = right_points.var(0, correction=0) + mirrored.var(0, correction=0) + _SIDE_FLOOR**2
    return ((points - (mean + other) / 2) * (mean - other) / variance).flatten(1).sum(1)


def side_contrast(right_points: Tensor) -> float:
    """How well the right poses differ from their mirror images: the largest difference of means in units of the spread."""
    mirrored = mirror_points(right_points)
    spread = (right_points.var(0, correction=0) + _SIDE_FLOOR**2).sqrt()
    return ((right_points.mean(0) - mirrored.mean(0)).abs() / spread).max().item()
