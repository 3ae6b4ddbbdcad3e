"""FBX animation (Mixamo, Maya, Blender, motion capture suites) as a SkeletonMotion, read by ufbx."""

from __future__ import annotations

import numpy as np
import torch

from ..avatars.fbx import rest_pose, run_ufbx
from ..checks import InputError
from .bvh import FPS_RANGE, MAX_TRANSFORMS, NAME, SkeletonMotion


def read_fbx_motion(path) -> SkeletonMotion:
    """Reads the longest animation of a file: metres, +Y up. Its zero pose is the bind pose, else the pose the file was saved in.

    Raises:
        InputError: ufbx is not installed; the file is damaged, too large, or holds no animation.
    """
    path, arrays, about = run_ufbx(NAME, path, "motion", MAX_TRANSFORMS)
    parents, fps = about["parents"], float(about["fps"])
    if not np.isfinite(arrays["local"]).all() or not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise InputError(NAME, path, "holds NaN, infinity, or a frame rate that cannot be", "Export the animation again.")
    W, positions = _world(arrays["local"], parents)
    rest = rest_pose(arrays["world"], arrays["bind"], np.array(parents))
    turned = W @ _rotations(rest[None])[0].transpose(0, 2, 1)  # frames of bones become those of the world at rest
    rotmats, translations = turned.copy(), positions.copy()
    offsets = rest[:, :3, 3].copy()
    for node, parent in enumerate(parents):
        if parent >= 0:
            back = turned[:, parent].transpose(0, 2, 1)
            rotmats[:, node] = back @ turned[:, node]
            translations[:, node] = (back @ (positions[:, node] - positions[:, parent])[..., None])[..., 0]
            offsets[node] = rest[node, :3, 3] - rest[parent, :3, 3]
    tensors = (torch.from_numpy(np.ascontiguousarray(values)) for values in (offsets, rotmats, translations))
    offsets, rotmats, translations = tensors
    return SkeletonMotion(tuple(about["names"]), tuple(parents), offsets, {}, rotmats, translations, fps)


def _world(local, parents):
    """World rotations (T, N, 3, 3) and positions (T, N, 3) from (T, N, 10) translation, quaternion xyzw and scale."""
    maps = np.tile(np.eye(4), (*local.shape[:2], 1, 1))
    maps[..., :3, :3] = _quaternions(local[..., 3:7]) * local[..., None, 7:]
    maps[..., :3, 3] = local[..., :3]
    for node, parent in enumerate(parents):
        if parent >= 0:
            maps[:, node] = maps[:, parent] @ maps[:, node]
    return _rotations(maps), maps[..., :3, 3]


def _quaternions(quat):
    x, y, z, w = np.moveaxis(quat / np.maximum(np.linalg.norm(quat, axis=-1, keepdims=True), 1e-12), -1, 0)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
            2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
            2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]  # fmt: skip
    return np.stack(rows, -1).reshape(*quat.shape[:-1], 3, 3)


def _rotations(maps):
    """The rotation in each map, without its scale and shear: the nearest one."""
    left, _, right = np.linalg.svd(maps[..., :3, :3])
    flip = np.sign(np.linalg.det(left @ right))
    left[..., :, 2] *= flip[..., None]
    return left @ right
