"""Reading BVH against bvhio, and joints to rotations in closed form against 100 steps of Adam on the same joints."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.motion.bvh import read_bvh
from contrapposto.models.motion.bvh_writer import write_bvh
from contrapposto.models.motion.joints_ik import joints_to_pose
from contrapposto.models.motion.skeleton_to_body import skeleton_to_pose
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

FRAMES = 300
ADAM_STEPS = 100


def run(rounds=7):
    """Rows for a motion of 300 frames."""
    body, pose = load_body_model(), _motion()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bvh"
        write_bvh(path, pose, body)
        rows.append(row(f"BVH of {FRAMES} frames to local rotations, vs bvhio's bare numbers",
                        *interleaved(lambda: read_bvh(path), _bvhio("readAsBvh", path), rounds), "at most the time", 1.0))
        rows.append(row(f"BVH of {FRAMES} frames to poses of the body, vs bvhio's hierarchy",
                        *interleaved(lambda: skeleton_to_pose(read_bvh(path), body), _bvhio("readAsHierarchy", path), rounds),
                        "at most half the time", 0.5))
    joints = pose_body(body, pose).joints[:, :22]
    ours, adam = lambda: joints_to_pose(joints, body), lambda: _adam(joints, body)
    residual, reference = float(ours()[1].joints.mean()), adam()
    assert residual <= reference, f"{residual} m against Adam's {reference} m"
    rows.append(row(f"{FRAMES} frames of joints to rotations, vs Adam x {ADAM_STEPS}", *interleaved(ours, adam, max(rounds // 3, 2)),
                    "at least 20x the speed, at no larger residual", 1 / 20))
    return rows


def _motion():
    generator = torch.Generator().manual_seed(0)
    time = torch.linspace(0, 20, FRAMES)[:, None, None]
    joints = 0.3 * torch.sin(time + 6.3 * torch.rand(21, 3, generator=generator))
    root = torch.cat([torch.zeros(FRAMES, 1), 0.5 * torch.sin(time[:, 0]), torch.zeros(FRAMES, 1)], 1)
    return BodyPose(rotvec_to_rotmat(root), rotvec_to_rotmat(joints), frame_index=torch.arange(FRAMES), fps=30.0)


def _bvhio(reader, path):
    import bvhio

    return lambda: getattr(bvhio, reader)(str(path))


def _adam(joints, body):
    """Mean distance of the joints, metres, after fitting all rotations and the translation at once from the T-pose."""
    rotvecs = torch.zeros(FRAMES, 22, 3, requires_grad=True)
    transl = (joints[:, 0] - body.with_shape(None).joints[:, 0]).detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([rotvecs, transl], 0.05)
    for _ in range(ADAM_STEPS):
        optimizer.zero_grad()
        rotmats = rotvec_to_rotmat(rotvecs)
        posed = pose_body(body, BodyPose(rotmats[:, 0], rotmats[:, 1:], transl)).joints[:, :22]
        loss = (posed - joints).square().sum(-1).mean()
        loss.backward()
        optimizer.step()
    return float((posed - joints).detach().norm(dim=-1).mean())
