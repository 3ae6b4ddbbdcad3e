"""Retargeting against the body's own kinematics, its stage 2 against Adam, skinning the default avatar against dense skinning."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.avatars.pairing import body_leg_length, pair
from contrapposto.models.avatars.refine import ROOT_FREEDOM, body_goals, refine_pose
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
        stage2 = _stage2(pose, body, avatar)
        posed = retarget_pose(pose, body, avatar)
        ours, dense = lambda: posed.mesh(slice(0, MESHES)), lambda: _dense(posed, MESHES)
        difference = (ours().vertices - dense()[0]).abs().max()
        assert difference < 1e-4, f"not the same mesh: {difference} m apart"
        skinning = interleaved(ours, dense, rounds, warmup=2)
    return [
        row(f"retarget {FRAMES} frames with floor contact, vs the body's kinematic chain", *stage1, "at most 5x the time", 5),
        row(f"stage 2 on {FRAMES} frames, vs 100 steps of Adam to the same goals", *stage2, "at least 20x the speed", 0.05),
        row(f"skin {MESHES} x {len(avatar.vertices) / 1e3:.1f}k vertices with normals, vs one dense matrix per vertex", *skinning,
            "at least 2x the speed", 0.5),
    ]


def _stage2(pose, body, avatar):
    """Times of stage 2 and of Adam for a body of other proportions; Adam must not end nearer to the goals."""
    betas = torch.tensor([1.5, -1.0, 0.7, 1.2, -0.8, 0.5, 0.0, 0.9, 0.0, -0.6])
    pose = replace(pose, betas=betas.expand(len(pose), -1))
    posed, both = pose_body(body, pose), pair(avatar, body)
    reach, scale = both.reach(avatar), 1.0
    plain = retarget_pose(pose, body, avatar, match_height=False)
    D, root = plain.T_driver[..., :3], plain.joints[:, 0]
    steps = both.leg / body_leg_length(posed.shaped.joints)
    ground = plain.mesh(slice(0, len(pose))).vertices[..., 1].amin(1)
    goals = body_goals(posed, both, reach, D, root, scale, steps, ground)
    ours = lambda: refine_pose(D, root, posed, avatar, both, scale, steps, ground, 0.0)
    adam = lambda: _adam(D[:, reach.free], root[:, None] + (D[:, :1] @ reach.fixed[..., None])[..., 0], goals, reach)
    limbs = slice(0, len(reach.limbs))
    missed, slow = torch.stack(list(ours()[2].values()), 1)[:, limbs].mean(), adam()[:, limbs].mean()
    assert missed <= slow and missed < 0.01, f"stage 2 misses by {missed} m, Adam by {slow} m"
    return interleaved(ours, adam, 3, warmup=1)


def _adam(free, start, goals, reach, steps=100):
    """(B, E) metres by which 100 steps of Adam miss the goals of the limbs and the head."""
    turns = torch.zeros_like(free[..., 0], requires_grad=True)
    shift = torch.zeros_like(start[:, :1], requires_grad=True)
    optimizer = torch.optim.Adam([turns, shift], 0.03)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            off = start + shift + torch.einsum("bfij,efj->bei", rotvec_to_rotmat(turns) @ free, reach.bones) - goals
            loss = (off.square().sum(-1) / reach.noise).sum() + (turns.square().sum(-1) / reach.variance).sum()
            (loss + shift.square().sum() / ROOT_FREEDOM).backward()
            optimizer.step()
    return off.detach().norm(dim=-1)


def _dense(posed, rows):
    """Linear blend skinning as it is written down: one blended 3x4 matrix for each vertex. Positions and normals."""
    avatar = posed.avatar
    maps = slot_maps(posed.T_driver[:rows], avatar.slot_driver, avatar.T_rest_slot)
    normals = torch.nn.functional.normalize(skin_dense(avatar.weights, avatar.normals, maps[..., :3]), dim=-1)
    return skin_dense(avatar.weights, torch.nn.functional.pad(avatar.vertices, (0, 1), value=1.0), maps), normals
