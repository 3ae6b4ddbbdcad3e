"""Sampling against the bare network, and the default number of steps against 100.

    python -m benchmarks.bench_text_to_pose [--all-steps]      (--all-steps: Frechet pose distance of every number of steps)
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.metrics.frechet import frechet_pose_distance
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses
from contrapposto.models.text_to_pose.diffusion import candidate_noise
from contrapposto.models.text_to_pose.sampling import sample_vectors
from contrapposto.models.types import BodyPose

PROMPT, COUNT = "a woman kneels on one knee and waves with her left hand", 5
DATA = Path(__file__).parents[2] / "shared/data/text_pose"
CAPTIONS = 250
STEP_COUNTS = (4, 6, 8, 10, 12, 16, 20, 30, 50, 100)


def run(rounds=9):
    model = load_text_to_pose()
    rows = [*speed_rows(model, rounds)]
    if DATA.is_dir():
        rows.append(steps_row(model))
    return rows


def speed_rows(model, rounds):
    """Rows on five candidates with guidance at the model's own number of steps."""
    network, default = model.network, model.defaults
    states, noise = model.encoder([PROMPT]), candidate_noise(0, COUNT, model.network.config.pose_dim)
    settings = default["steps"], default["guidance"], default["sampler"]
    with torch.no_grad():
        prefix = network.encode_prefix(states).cat(network.null_prefix(1))
    x, t = torch.stack([noise, noise]), torch.full((2, COUNT), 500)
    body = load_body_model()

    @torch.no_grad()
    def bare():
        for _ in range(default["steps"]):
            network(x, t, prefix)

    @torch.no_grad()
    def whole_sequence():
        for _ in range(default["steps"]):
            network(x, t, network.encode_prefix(states).cat(network.null_prefix(1)))

    def sampling(noise=noise):
        sample_vectors(model, states, None, noise, *settings)

    name = f"sampling {COUNT} candidates, {default['steps']} steps"
    yield row(f"{name}, vs bare network x steps", *interleaved(sampling, bare, rounds, 2), "<= 1.3", 1.3)
    yield row(f"{name}, vs network with the text run again at each step", *interleaved(sampling, whole_sequence, rounds, 2), "-")
    yield row(f"{name}, one batch vs one after another",
              *interleaved(sampling, lambda: [sampling(noise[i : i + 1]) for i in range(COUNT)], rounds, 2), "< 1", 1.0)
    yield row(f"{COUNT} candidates from text to body on the floor, vs bare network x steps",
              *interleaved(lambda: sample_poses(model, PROMPT, COUNT, body=body), bare, rounds, 2), "-")


def steps_row(model):
    """The Frechet pose distance at the default number of steps against that at 100."""
    steps = model.defaults["steps"]
    distances = step_distances(model, (steps, 100))
    ratio = distances[steps] / distances[100]
    return {"name": f"Frechet pose distance at {steps} steps vs 100 ({CAPTIONS} held-out captions)", "value": f"{distances[steps]:.3f}",
            "reference": f"{distances[100]:.3f}", "ratio": ratio, "goal": "<= 1.05", "met": ratio <= 1.05}


def step_distances(model, step_counts, sampler=None):
    """Returns {steps: Frechet pose distance} to real poses of the same held-out captions, one sample each."""
    from contrapposto.models.training.datasets.text_pose import load_text_pose

    data, rng = load_text_pose(DATA), random.Random(0)
    captions = rng.sample([c for c in data.captions if c.split == "test" and c.kind != "stance"], CAPTIONS)
    real = data.rotmats(torch.cat([caption.rows for caption in captions]))[:, 1:]
    states, prior = model.encoder([caption.text for caption in captions]), load_pose_prior()
    noise = candidate_noise(0, CAPTIONS, model.network.config.pose_dim)
    return {steps: frechet_pose_distance(prior, sampled(model, states, noise, steps, sampler), real) for steps in step_counts}


def sampled(model, states, noise, steps, sampler=None):
    """Returns the body poses (N, 21, 3, 3) of N captions, each from its own noise (N, D)."""
    default, poses = model.defaults, []
    for rows in torch.arange(len(noise)).split(100):
        x = sample_vectors(model, states.rows(rows), None, noise[rows, None], steps, default["guidance"], sampler or default["sampler"])
        poses.append(model.decode(x[:, 0]))
    return BodyPose.cat(poses).body_pose


def print_all_steps():
    model = load_text_to_pose()
    for sampler in ("dpmpp_2m", "ddim"):
        for steps, distance in step_distances(model, STEP_COUNTS, sampler).items():
            print(f"{sampler} {steps:4d} steps: {distance:.4f}", flush=True)


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print_all_steps() if "--all-steps" in sys.argv else print(table(run()))
