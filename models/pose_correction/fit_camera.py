"""The camera stage: where a body of known pose stands before a camera of known lens."""

from __future__ import annotations

import torch
from torch import Tensor

from ..types import Camera

NEAREST = 0.4  # metres from the camera to the body's middle, at least


def place_before_camera(points: Tensor, keypoints: Tensor, scores: Tensor, camera: Camera) -> Tensor:
    """The translation that brings points closest to their pixels: linear least squares on ``f (x + t_x) = (u - c) (z + t_z)``.

    Args:
        points: (B, N, 3) world, metres.
        keypoints: (B, N, 2) pixels.
        scores: (B, N) weights.
        camera: B rows.

    Returns:
        (B, 3) to be added to the points, in the world.
    """
    turned = points @ camera.R.mT
    ray = (keypoints - torch.stack([camera.cx, camera.cy], -1)[:, None]) / torch.stack([camera.fx, camera.fy], -1)[:, None]
    weight = scores[..., None]
    rows_x = torch.stack([torch.ones_like(ray[..., 0]), torch.zeros_like(ray[..., 0]), -ray[..., 0]], -1) * weight
    rows_y = torch.stack([torch.zeros_like(ray[..., 1]), torch.ones_like(ray[..., 1]), -ray[..., 1]], -1) * weight
    A = torch.cat([rows_x, rows_y], 1)
    missing = (ray * turned[..., 2:] - turned[..., :2]) * weight
    b = torch.cat([missing[..., 0], missing[..., 1]], 1)[..., None]
    eye = 1e-6 * torch.eye(3, device=A.device)
    seen = torch.linalg.solve(A.mT @ A + eye, A.mT @ b)[..., 0]
    centre = (turned * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    seen = _in_front(seen, centre, keypoints, scores, turned, camera)
    return (camera.R.mT @ (seen - camera.t)[..., None])[..., 0]


def _in_front(seen, centre, keypoints, scores, turned, camera):
    """Bodies that least squares puts behind the camera, or almost into it, are placed by their size instead."""
    weight = scores[..., None] / scores.sum(1)[:, None, None].clamp(min=1e-6)
    middle = (keypoints * weight).sum(1)
    spread_2d = ((keypoints - middle[:, None]).square() * weight).sum((1, 2)).sqrt()
    spread_3d = ((turned - centre[:, None])[..., :2].square() * weight).sum((1, 2)).sqrt()
    depth = (camera.fy * spread_3d / spread_2d.clamp(min=1e-3)).clamp(NEAREST, 1e3)
    ray = (middle - torch.stack([camera.cx, camera.cy], -1)) / torch.stack([camera.fx, camera.fy], -1)
    by_size = torch.cat([ray * depth[:, None], depth[:, None]], -1) - centre
    near = (seen + centre)[:, 2] < NEAREST
    odd = near | ((seen + centre)[:, 2] > 4 * depth) | ((seen + centre)[:, 2] < depth / 4)
    return torch.where(odd[:, None], by_size, seen)
