"""Fitting 64 people in one batch against one after another, and against 100 steps of Adam on the same energy."""

from __future__ import annotations

import math

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.pose_correction import fit_stages
from contrapposto.models.pose_correction.fit import fit_body, front_camera, make_target
from contrapposto.models.pose_correction.fit_points import PointMap
from contrapposto.models.pose_correction.fit_terms import Problem, Unknowns, Weights
from contrapposto.models.pose_correction.gate import difficulty, judge, measure_framing
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import project
from contrapposto.models.rotations import rotation_about, rotvec_to_rotmat
from contrapposto.models.types import BodyPose, Keypoints

PEOPLE, ALONE = 64, 8
ADAM_STEPS, ADAM_PEOPLE = 100, 8


def run(rounds=3):
    """Rows for people whose poses are drawn from the prior, turned any way round."""
    body, prior = load_body_model(), load_pose_prior()
    keypoints, camera = _people(body, prior)

    def alone():
        for number in range(ALONE):
            fit_body(keypoints[number], body, prior)

    ours, reference, ratio = interleaved(lambda: fit_body(keypoints, body, prior), alone, rounds)
    share = PEOPLE / ALONE
    rows = [row(f"fitting {PEOPLE} people at once, vs one after another ({ALONE} timed)", ours, share * reference, ratio / share,
                "at least 10x the speed", 1 / 10)]
    few, scores = keypoints[list(range(ADAM_PEOPLE))], []
    ours, adam = lambda: scores.append(fit_body(few, body, prior).energy.median()), lambda: _adam(few, camera, body, prior)
    rows.append(row(f"fitting {ADAM_PEOPLE} people, vs {ADAM_STEPS} steps of Adam from the same starts (median energy "
                    f"{_energy(ours, scores):.1f} vs {float(adam().median()):.1f})", *interleaved(ours, adam, rounds), "-"))
    result = fit_body(few, body, prior)

    def gate():
        cut = measure_framing(result.pose, result.camera, body).cut_off()
        judge(difficulty(prior, result.pose), torch.arange(ADAM_PEOPLE), ADAM_PEOPLE, 30.0, cut)

    rows.append(row(f"the gate on {ADAM_PEOPLE} pictures, vs fitting their bodies", *interleaved(gate, ours, rounds), "at most 5 %", 0.05))
    return rows


def _people(body, prior):
    generator = torch.Generator().manual_seed(0)
    yaw = 2 * math.pi * torch.rand(PEOPLE, generator=generator)
    poses = prior.decode(0.8 * torch.randn(PEOPLE, prior.latent_size, generator=generator))
    places = torch.tensor([0.0, 0.0, -3.0]).expand(PEOPLE, 3)
    posed = pose_body(body, BodyPose(rotation_about("y", yaw), poses, places))
    camera = front_camera(512, 512)
    pixels, _ = project(posed.keypoints_3d(), camera[[0] * PEOPLE])
    return Keypoints(pixels, torch.ones(PEOPLE, 18), "openpose18", 512, 512), camera


def _energy(ours, scores):
    ours()
    return float(scores[-1])


def _adam(keypoints, camera, body, prior):
    """Energies after Adam on root, place, code and shape, from the fit's own starts, the best start of each person."""
    points, target = PointMap(body, 10), make_target(keypoints, camera[[0] * len(keypoints)])
    start, _, starts = fit_stages.make_starts(points, prior, target)
    many = target[torch.arange(len(keypoints)).repeat_interleave(starts)]
    problem = Problem(points, prior, many, Weights())
    free = [torch.zeros(len(start), size, requires_grad=True) for size in (3, 3, start.latents.shape[1], points.shapes)]
    optimizer = torch.optim.Adam(free, 0.03)

    def moved():
        turn, step, code, betas = free
        return Unknowns(rotvec_to_rotmat(turn) @ start.root, start.transl + step, start.latents + code, start.turns, start.betas + betas)

    for _ in range(ADAM_STEPS):
        optimizer.zero_grad()
        problem.energy(moved()).sum().backward()
        optimizer.step()
    with torch.no_grad():
        return problem.energy(moved()).unflatten(0, (-1, starts)).amin(1)
