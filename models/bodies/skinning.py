"""The kinematic chain and linear blend skinning of SMPL-format bodies, on plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS_AT_ONCE = 32  # beyond this the blended transforms of 13,000 vertices fall out of the cache and each row costs more


def chain(local: Tensor, parents) -> Tensor:
    """Composes parent-relative rotations or transforms along the skeleton. (B, J, N, N) -> (B, J, N, N) in the world.

    ``world[j] = world[parent[j]] @ local[j]``; the root's local value is already in the world.
    """
    world = [local[:, 0]]
    for joint in range(1, local.shape[1]):
        world.append(world[parents[joint]] @ local[:, joint])
    return torch.stack(world, 1)


def skin(model, betas, rest_joints: Tensor, local_rotmats: Tensor, T_world_joint: Tensor, ids: Tensor | None = None) -> Tensor:
    """Linear blend skinning (SMPL equations 2 to 10) with the vertices along the last axis, where memory is read in order.

    Args:
        model: a BodyModel.
        betas: (B or 1, K) shape coefficients, or None for the mean shape.
        rest_joints: (B or 1, J, 3) rest joints of that shape, metres.
        local_rotmats: (B, J, 3, 3) joint rotations relative to the parent; pose blend shapes depend on them.
        T_world_joint: (B, J, 4, 4) posed joints.
        ids: (N,) the vertices wanted, or None for all.

    Returns:
        (B, V or N, 3) metres, world.
    """
    template, shapedirs, posedirs, weights = (
        None if part is None else part if ids is None else part[ids]
        for part in (model.v_template, model.shapedirs, model.posedirs, model.weights))
    rest = template.T.flatten()[None]  # (1, 3 V): all x, then all y, then all z
    if betas is not None:
        rest = torch.addmm(rest, betas, shapedirs.permute(2, 1, 0)[: betas.shape[1]].flatten(1))
    if posedirs is not None:
        feature = (local_rotmats[:, 1:] - torch.eye(3, dtype=rest.dtype, device=rest.device)).flatten(1)
        rest = torch.addmm(rest, feature, posedirs.permute(2, 1, 0).flatten(1))
    x, y, z = rest.unflatten(1, (3, 1, -1)).unbind(1)  # (B or 1, 1, V) each
    rotation = T_world_joint[..., :3, :3]
    offset = T_world_joint[..., :3, 3] - (rotation @ rest_joints[..., None])[..., 0]
    joint_maps = torch.cat([rotation, offset[..., None]], -1).permute(0, 2, 3, 1)  # (B, 3, 4, J)
    blended = joint_maps @ weights.T  # (B, 3, 4, V)
    posed = torch.addcmul(blended[:, :, 3], blended[:, :, 0], x)
    posed = torch.addcmul(posed, blended[:, :, 1], y)
    posed = torch.addcmul(posed, blended[:, :, 2], z)
    return posed.transpose(1, 2).contiguous()
