"""Retargeting against the body's own kinematics, and skinning the default avatar against dense linear blend skinning."""

from __future__ import annotations

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.avatars.skinning import skin_dense, slot_maps
from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

FRAMES, MESHES = 300, 16


def run(rounds=9):
    """Rows for 300 frames of stage 1 and for 16 skinned meshes."""
    body, avatar = load_body_model(), load_avatar()
    generator = torch.Generator().manual_seed(0)
    R = rotvec_to_rotmat(0.3 * torch.randn(FRAMES, 22, 3, generator=generator))
    pose = BodyPose(R[:, 0], R[:, 1:])
    with torch.no_grad():
        stage1 = interleaved(lambda: retarget_pose(pose, body, avatar), lambda: pose_body(body, pose).T_world_joint, rounds, warmup=2)
        posed = retarget_pose(pose, body, avatar)
        ours, dense = lambda: posed.mesh(slice(0, MESHES)), lambda: _dense(posed, MESHES)
        difference = (ours().vertices - dense()[0]).abs().max()
        assert difference < 1e-4, f"not the same mesh: {difference} m apart"
        skinning = interleaved(ours, dense, rounds, warmup=2)
    return [
        row(f"retarget {FRAMES} frames with floor contact and report, vs the body's kinematic chain", *stage1, "at most 5x the time", 5),
        row(f"skin {MESHES} x {len(avatar.vertices) / 1e3:.1f}k vertices with normals, vs one dense matrix per vertex", *skinning,
            "at least 2x the speed", 0.5),
    ]


def _dense(posed, rows):
    """Linear blend skinning as it is written down: one blended 3x4 matrix for each vertex. Positions and normals."""
    avatar = posed.avatar
    maps = slot_maps(posed.T_driver[:rows], avatar.slot_driver, avatar.T_rest_slot)
    normals = torch.nn.functional.normalize(skin_dense(avatar.weights, avatar.normals, maps[..., :3]), dim=-1)
    return skin_dense(avatar.weights, torch.nn.functional.pad(avatar.vertices, (0, 1), value=1.0), maps), normals
