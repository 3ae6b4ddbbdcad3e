"""Shaping, posing and skinning the open body against smplx's lbs, on the same arrays and the same rotation matrices."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

AT_MOST = {1: (1.2, "at most 1.2x the time"), 64: (1 / 1.5, "at least 1.5x the speed")}


def run(rounds=15):
    """Rows for one body and for 64, with and without pose blend shapes.

    Without them smplx is given one row of zeros for all vertices, its cheapest way: it always multiplies by them.
    """
    plain, generator = load_body_model(), torch.Generator().manual_seed(0)
    posedirs = torch.randn(len(plain.v_template), 3, 207, generator=generator) * 1e-3
    rows = []
    for label, model in (("without posedirs", plain), ("with posedirs", replace(plain, posedirs=_vertices_last(posedirs)))):
        for bodies, (at_most, goal) in AT_MOST.items():
            pose = _poses(bodies, generator)
            with torch.no_grad():
                ours = lambda model=model, pose=pose: pose_body(model, pose).vertices()
                reference = _smplx_lbs(model, pose)
                difference = (ours() - reference()).abs().max()
                assert difference < 1e-5, f"not the same body: {difference} m apart"
                seconds, reference_seconds, ratio = interleaved(ours, reference, rounds, warmup=2)
            rows.append(row(f"skinning {bodies} x 13.5k vertices {label}, vs smplx lbs", seconds, reference_seconds, ratio, goal, at_most))
    return rows


def _vertices_last(tensor):
    """The memory layout of load_body_model."""
    return tensor.permute(2, 1, 0).contiguous().permute(2, 1, 0)


def _poses(rows, generator):
    def rotmats(*shape):
        return rotvec_to_rotmat(torch.randn(*shape, 3, generator=generator) * 0.4)

    return BodyPose(rotmats(rows), rotmats(rows, 21), torch.zeros(rows, 3), betas=torch.randn(rows, 10, generator=generator))


def _smplx_lbs(model, pose):
    from smplx.lbs import lbs

    posedirs = torch.zeros(207, 3) if model.posedirs is None else model.posedirs.reshape(-1, 207).T.contiguous()
    shapedirs, weights, parents = model.shapedirs.contiguous(), model.weights.contiguous(), torch.tensor(model.parents)
    rotmats = torch.cat([pose.global_orient[:, None], pose.body_pose, torch.eye(3).expand(len(pose), 2, 3, 3)], 1)
    return lambda: lbs(pose.betas, rotmats, model.v_template, shapedirs, posedirs, model.J_regressor, parents, weights, pose2rot=False)[0]


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print(table(run()))
