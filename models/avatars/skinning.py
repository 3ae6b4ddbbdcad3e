"""Linear blend skinning of avatars: a fast sparse path, and the readable dense one that it is tested against.

A vertex follows a few slots, each a driver bone with a rest map. All weights times all vertices make one sparse matrix that
does not depend on the pose, so skinning any number of meshes is one sparse product.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

SPARSE_DEVICES = ("cpu", "cuda")  # elsewhere torch has no sparse products


def slot_maps(T_driver: Tensor, slot_driver: Tensor, T_rest_slot: Tensor) -> Tensor:
    """(B, S, 3, 4) from each slot's own space to the world.

    Args:
        T_driver: (B, D, 3, 4) posed drivers. slot_driver: (S,) driver of each slot. T_rest_slot: (S, 4, 4) own space to the rest pose.
    """
    driver = T_driver[:, slot_driver]
    maps = driver[..., :3] @ T_rest_slot[:, :3]
    return torch.cat([maps[..., :3], maps[..., 3:] + driver[..., 3:]], -1)


def weighted_points(weights: Tensor, points: Tensor) -> Tensor:
    """(V, S K) sparse: the weight of each slot times each vertex, the constant factor of skinning.

    Args:
        weights: (V, S). points: (V, K), homogeneous positions (K = 4) or directions (K = 3).
    """
    vertex, slot = weights.nonzero().T
    values = weights[vertex, slot, None] * points[vertex]
    width = points.shape[1]
    columns = slot[:, None] * width + torch.arange(width, device=slot.device)
    index = torch.stack([vertex.repeat_interleave(width), columns.flatten()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR layout a beta
        return torch.sparse_coo_tensor(index, values.flatten(), (len(weights), weights.shape[1] * width)).coalesce().to_sparse_csr()


def skin_sparse(weighted: Tensor, maps: Tensor) -> Tensor:
    """(B, V, 3) from ``weighted_points`` (V, S K) and slot maps (B, S, 3, K)."""
    rows = len(maps)
    stacked = maps.permute(1, 3, 0, 2).reshape(-1, rows * 3)
    return (weighted @ stacked).view(-1, rows, 3).permute(1, 0, 2).contiguous()


def skin_dense(weights: Tensor, points: Tensor, maps: Tensor) -> Tensor:
    """(B, V, 3), as it is written down: ``sum_s w_vs (M_s p_v)``.

    Args:
        weights: (V, S). points: (V, K). maps: (B, S, 3, K).
    """
    return torch.einsum("bvik,vk->bvi", torch.einsum("vs,bsik->bvik", weights, maps), points)


def heights(weights: Tensor, points: Tensor, rows: Tensor) -> Tensor:
    """(B, C) heights of a few skinned points: only the second rows of the maps are needed.

    Args:
        weights: (C, S). points: (B or 1, C, 3). rows: (B, S, 4).
    """
    blended = rows.transpose(1, 2) @ weights.T  # (B, 4, C)
    return (blended[:, :3] * points.transpose(1, 2)).sum(1) + blended[:, 3]
