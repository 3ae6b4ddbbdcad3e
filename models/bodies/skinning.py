"""The kinematic chain and linear blend skinning of SMPL-format bodies, on plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS_AT_ONCE = 64  # bodies per multiplication with the blend shapes, which are read from memory once for all of them
_VERTICES_AT_ONCE = 1 << 17  # vertices whose blended transforms (48 bytes each) stay in the processor's cache


def chain(local: Tensor, parents) -> Tensor:
    """Composes parent-relative rotations or transforms along the skeleton. (B, J, N, N) -> (B, J, N, N) in the world.

    ``world[j] = world[parent[j]] @ local[j]``; the root's local value is already in the world.
    """
    world = [local[:, 0]]
    for joint in range(1, local.shape[1]):
        world.append(world[parents[joint]] @ local[:, joint])
    return torch.stack(world, 1)


def skin(model, betas, rest_joints: Tensor, local_rotmats: Tensor, T_world_joint: Tensor, out: Tensor, ids: Tensor | None = None):
    """Linear blend skinning (SMPL equations 2 to 10) with the vertices along the last axis, where memory is read in order.

    Args:
        model: a BodyModel.
        betas: (B or 1, K) shape coefficients, or None for the mean shape.
        rest_joints: (B or 1, J, 3) rest joints of that shape, metres.
        local_rotmats: (B, M, 3, 3) rotations relative to the parent of the first M joints, on which pose blend shapes depend; the others
            are identity and add nothing.
        T_world_joint: (B, J, 4, 4) posed joints.
        out: (B, V, 3), or (B, N, 3) with ids; receives the vertices, metres, world.
        ids: (N,) the vertices wanted, or None for all.
    """
    template, shapedirs, posedirs, weights = (part if part is None or ids is None else part[ids] for part in
                                              (model.v_template, model.shapedirs, model.posedirs, model.weights))
    rest = rest_vertices(template, shapedirs, posedirs, betas, local_rotmats)
    rotation = T_world_joint[..., :3, :3]
    offset = T_world_joint[..., :3, 3] - (rotation @ rest_joints[..., None])[..., 0]
    joint_maps = torch.cat([rotation, offset[..., None]], -1).permute(0, 2, 3, 1)  # (B, 3, 4, J)
    step = max(1, _VERTICES_AT_ONCE // out.shape[1])
    for start in range(0, len(out), step):
        rows = slice(start, start + step)
        out[rows] = blend(rest if len(rest) == 1 else rest[rows], joint_maps[rows], weights)


def rest_vertices(template, shapedirs, posedirs, betas, local_rotmats) -> Tensor:
    """(B or 1, 3, V) template plus shape blend shapes plus, where there are any, pose blend shapes."""
    rest = template.T.flatten()[None]  # (1, 3 V): all x, then all y, then all z
    if betas is not None:
        rest = torch.addmm(rest, betas, shapedirs.permute(2, 1, 0)[: betas.shape[1]].flatten(1))
    if posedirs is not None:
        feature = (local_rotmats[:, 1:] - torch.eye(3, dtype=rest.dtype, device=rest.device)).flatten(1)
        rest = torch.addmm(rest, feature, posedirs.permute(2, 1, 0)[: feature.shape[1]].flatten(1))
    return rest.unflatten(1, (3, -1))


def blend(rest, joint_maps, weights) -> Tensor:
    """(B, V, 3) vertices from rest vertices (B or 1, 3, V), joint maps (B, 3, 4, J) and weights (V, J)."""
    blended = joint_maps @ weights.T  # (B, 3, 4, V)
    posed = blended[:, :, 3]
    for axis in range(3):
        posed = torch.addcmul(posed, blended[:, :, axis], rest[:, None, axis])
    return posed.transpose(1, 2)
