"""Trains the open pose lifter, which starts the fit of pose correction: 18 key points -> code of the pose, turn of the body.

    python -m contrapposto.models.training.train_pose_lifter --data DIR [--run NAME] [--bundle]

Poses of ``text_pose`` on the open body, in random shapes, are seen by random cameras. Key points get noise, go missing, or are cut off by
the picture's edge. To show more poses than there are, arms or legs are exchanged between poses of a batch, and codes are varied.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ..assets.registry import OPEN_POSE_LIFTER, bundle
from ..bodies.body import load_body_model, pose_body
from ..bodies.joints import BODY_JOINTS, JOINT_NAMES
from ..checks import InputError
from ..pose_correction.lifter import LifterConfig, PoseLifter, load_lifter, view_features, write_lifter
from ..pose_prior.vposer import load_pose_prior
from ..rotations import rotation_about, rotvec_to_rotmat
from ..types import BodyPose, Camera
from .datasets.text_pose import UNCLEAR_ORIGIN, load_text_pose, mirror_rotvec
from .loop import LoopConfig, RunFolder, TrainingStopped, step_report, train
from .losses import geodesic_angle, skeleton_joints
from .train_pose_prior import DATA, describe_data

COMMAND = "python -m contrapposto.models.training.train_pose_lifter --bundle"
SOURCES = ("models/pose_correction/lifter.py", "models/pose_prior", "models/rotations.py", "models/training/datasets/text_pose.py",
           "models/training/loop.py", "models/training/losses.py", "models/training/train_pose_lifter.py")
_ARMS = [JOINT_NAMES.index(f"{side}_{name}") - 1 for side in ("left", "right") for name in ("collar", "shoulder", "elbow", "wrist")]
_LEGS = [JOINT_NAMES.index(f"{side}_{name}") - 1 for side in ("left", "right") for name in ("hip", "knee", "ankle", "foot")]
_NOSE_AND_EYES, _FACING_AWAY = [0, 14, 15], 0.2


@dataclass(frozen=True)
class LifterTraining:
    """Everything that decides the weights.

    Args:
        network: LifterConfig.
        loop: LoopConfig.
        captured_share: share of captured poses in a batch; the rest is authored.
        exchanged_share: share of poses that take another pose's arms, and as many its legs.
        varied: standard deviation of the change of half of the codes.
        noise: largest standard deviation of key points, as a share of the person's size.
        missing: largest share of missing points.
        cut_share: share of people whose lower or left or right part is cut off.
        joint_weight: of the mean joint distance, per metre.
        root_weight: of the root's angle, per radian.
        exclude_sources: sources of the data that are left out.
    """

    network: LifterConfig = LifterConfig()
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, batch=256, lr=1.5e-3, warmup=300, weight_decay=1e-3))
    captured_share: float = 0.5
    exchanged_share: float = 0.25
    varied: float = 0.25
    noise: float = 0.02
    missing: float = 0.35
    cut_share: float = 0.15
    joint_weight: float = 10.0
    root_weight: float = 1.0
    exclude_sources: tuple[str, ...] = UNCLEAR_ORIGIN


class LifterTask:
    """Batches and losses of one training, and the scores of its result."""

    def __init__(self, data, config, device="cpu"):
        self.data, self.config, self.device = data, config, torch.device(device)
        self.body, self.prior = load_body_model(device=device), load_pose_prior(device=device)
        self.pools = [rows for rows in (data.rows("train", authored=False), data.rows("train", authored=True)) if len(rows)]
        if not self.pools:
            raise InputError("data folder", "", "holds no poses in its train split", "Give the whole text_pose folder.")

    def draw(self, generator):
        """Rows (B,) of a batch."""
        batch = self.config.loop.batch
        captured = round(batch * self.config.captured_share) if len(self.pools) == 2 else batch
        counts = (captured, batch - captured)
        return torch.cat([pool[torch.randint(len(pool), (count,), generator=generator)] for pool, count in zip(self.pools, counts)])

    def loss(self, lifter, rows, step, generator):
        """Negative log-likelihood of the code, distance of the joints, angle of the root."""
        with torch.no_grad():
            features, codes, root, body_pose = self.views(rows, generator, varied=True)
        mean, std, turned = lifter(features)
        likelihood = (0.5 * ((codes - mean) / std).square() + std.log()).sum(-1).mean()
        joints = self._distance(turned, self.prior.decode(mean), root, body_pose).mean()
        angle = geodesic_angle(turned, root).mean()
        config = self.config
        total = 0.05 * likelihood + config.joint_weight * joints + config.root_weight * angle
        return {"loss": total, "likelihood": likelihood, "joints": joints, "angle": angle}

    def views(self, rows, generator, varied):
        """Key points of poses as random cameras see them: features, codes, root in the turned camera, body_pose."""
        rotvec, root = self.data.body_rotvec[rows].to(self.device), self.data.root_rotvec[rows].to(self.device)
        if varied:
            rotvec, root = self._mirrored(rotvec, root, generator)
            rotvec = self._exchanged(rotvec, generator)
        body_pose = rotvec_to_rotmat(rotvec)
        codes = self.prior.encode_rotvec(rotvec).mean
        if varied:
            half = torch.rand(len(rows), 1, generator=generator, device=self.device) < 0.5
            moved = codes + self.config.varied * torch.randn(codes.shape, generator=generator, device=self.device)
            body_pose = torch.where(half[..., None, None], self.prior.decode(moved), body_pose)
            codes = torch.where(half, moved, codes)
        root = _random_turn(len(rows), generator, self.device) @ rotvec_to_rotmat(root)
        betas = 0.8 * torch.randn(len(rows), 10, generator=generator, device=self.device)
        posed = pose_body(self.body, BodyPose(root, body_pose, betas=betas))
        points, camera = _before_camera(posed.keypoints_3d(), generator)
        seen = points[..., :2] / points[..., 2:]
        there = self._seen(seen, root, generator)
        size = (seen.amax(1) - seen.amin(1)).norm(dim=-1)[:, None, None]
        spread = self.config.noise * torch.rand(len(rows), 1, 1, generator=generator, device=self.device) * size
        seen = seen + spread * torch.randn(seen.shape, generator=generator, device=self.device)
        features, turn = view_features(seen, there.float(), camera)
        return features, codes, turn @ root, body_pose

    def _mirrored(self, rotvec, root, generator):
        swapped = torch.rand(len(rotvec), 1, 1, generator=generator, device=self.device) < 0.5
        mirrored = mirror_rotvec(rotvec, self.data.mirror[1:].to(self.device) - 1)
        return torch.where(swapped, mirrored, rotvec), torch.where(swapped[:, 0], root * root.new_tensor([1.0, -1.0, -1.0]), root)

    def _exchanged(self, rotvec, generator):
        rotvec = rotvec.clone()
        for limbs in (_ARMS, _LEGS):
            taken = torch.rand(len(rotvec), 1, 1, generator=generator, device=self.device) < self.config.exchanged_share
            other = rotvec[torch.randperm(len(rotvec), generator=generator, device=self.device)][:, limbs]
            rotvec[:, limbs] = torch.where(taken, other, rotvec[:, limbs])
        return rotvec

    def _seen(self, points, root, generator):
        """(B, 18) bool: which points a detector would give."""
        config, count = self.config, len(points)
        draw = torch.rand(count, 1, generator=generator, device=self.device)
        there = torch.rand(points.shape[:2], generator=generator, device=self.device) >= config.missing * draw
        away = root[:, 2, 2] > _FACING_AWAY  # the body's front points along the view
        hidden = away & (torch.rand(count, generator=generator, device=self.device) < 0.7)
        there[:, _NOSE_AND_EYES] &= ~hidden[:, None]
        low, high = points.amin(1), points.amax(1)
        part = 0.35 + 0.5 * torch.rand(count, 1, generator=generator, device=self.device)
        kind = torch.rand(count, 1, generator=generator, device=self.device)
        below = points[..., 1] > low[:, 1:] + part * (high - low)[:, 1:]
        aside = points[..., 0] > low[:, :1] + part * (high - low)[:, :1]
        there &= ~torch.where(kind < 0.7 * config.cut_share, below, (kind < config.cut_share) & aside)
        few = there.sum(1) < 5
        return there | few[:, None]

    def _distance(self, root_a, pose_a, root_b, pose_b):
        """(B, 21) metres between joints, the pelvis held still."""
        offsets = self.data.rest_offsets.to(self.device)
        places = [skeleton_joints(torch.cat([root[:, None], pose], 1), self.data.parents, offsets)[:, 1:BODY_JOINTS]
                  for root, pose in ((root_a, pose_a), (root_b, pose_b))]
        return ((places[0] - places[1]).square().sum(-1) + 1e-12).sqrt()

    def scores(self, lifter, split="val", count=2000):
        """Held-out scores, captured and authored poses apart: joint distance in millimetres and the root's angle in degrees, by means."""
        found = {}
        for part, authored in (("captured", False), ("authored", True)):
            rows = self.data.rows(split, authored=authored)
            if not len(rows):
                continue
            generator = torch.Generator(self.device).manual_seed(0)
            rows = rows[torch.linspace(0, len(rows) - 1, min(count, len(rows))).long()]
            features, _, root, body_pose = self.views(rows, generator, varied=False)
            mean, _, turned = lifter(features)
            found[f"{split}_{part}_joint_mm"] = 1000 * self._distance(turned, self.prior.decode(mean), root, body_pose).mean().item()
            found[f"{split}_{part}_root_deg"] = geodesic_angle(turned, root).rad2deg().mean().item()
        return found


def _random_turn(count, generator, device):
    """(B, 3, 3) from the world to a camera somewhere around the body, mostly upright, anywhere from below to well above."""
    draw = torch.rand(3, count, generator=generator, device=device)
    roll = math.radians(12) * torch.randn(count, generator=generator, device=device)
    pitch = torch.deg2rad(-25 + 75 * draw[1].square())
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=device))
    turns = [rotation_about(axis, angle.cpu()).to(device) for axis, angle in (("z", roll), ("x", -pitch), ("y", 2 * math.pi * draw[0]))]
    return turns[0] @ flip @ rotation_about("x", pitch.cpu()).to(device) @ turns[2]


def _before_camera(points, generator):
    """Points (B, 18, 3) in camera axes, moved before a camera of focal length one at a random distance and direction."""
    middle = (points.amin(1) + points.amax(1)) / 2
    points = points - middle[:, None]
    radius = points.norm(dim=-1).amax(1)
    draw = torch.rand(3, len(points), generator=generator, device=points.device)
    depth = radius * (1.25 + 6 * draw[0].square())
    aside = 0.8 * (2 * draw[1:] - 1) * depth / (1 + depth / radius / 4)
    points = points + torch.stack([aside[0], aside[1], depth], -1)[:, None]
    one, zero = torch.ones_like(depth), torch.zeros_like(depth)
    eye = torch.eye(3, device=points.device).expand(len(points), 3, 3)
    return points, Camera(one, one, zero, zero, eye, points.new_zeros(len(points), 3), 1, 1)


def train_lifter(data_dir, run_dir, config, device="cpu", on_step=None):
    """Trains (or continues) a run and writes ``open_pose_lifter.safetensors`` into its folder.

    Returns:
        (path of the weights, held-out test scores of those weights as written).

    Raises:
        InputError: the data or the run folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    data = load_text_pose(data_dir, config.exclude_sources)
    task = LifterTask(data, config, device)
    lifter = fresh_lifter(config, task.prior).to(device)
    run = RunFolder(Path(run_dir), asdict(config), SOURCES)
    trained = train(lifter, task.draw, task.loss, config.loop, run, validate=task.scores, on_step=on_step)
    path = run.path / OPEN_POSE_LIFTER
    about = {"training": asdict(config), "commit": run.commit, "data": describe_data(data)}
    write_lifter(path, trained, about)
    scores = {name: round(value, 2) for name, value in task.scores(load_lifter(path), "test").items()}
    write_lifter(path, trained, {**about, "scores": scores})
    return path, scores


def fresh_lifter(config, prior):
    """An untrained lifter that guesses the mean code and an upright body facing the camera."""
    with torch.random.fork_rng():
        torch.manual_seed(config.loop.seed)
        network = LifterConfig(**{**asdict(config.network), "prior_sha256": prior.sha256})
        lifter = PoseLifter(network)
    with torch.no_grad():
        lifter.leave.weight *= 0.1
        lifter.leave.bias.zero_()
    return lifter


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="train_pose_lifter", description="Trains the open pose lifter.")
    parser.add_argument("--data", default=DATA, help="the text_pose folder (default: %(default)s)")
    parser.add_argument("--run", default="pose_lifter", help="name of the run folder below runs/ (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=LifterTraining().loop.steps, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--bundle", action="store_true", help="make the result the bundled lifter")
    options = parser.parse_args(arguments)
    loop = LoopConfig(**{**asdict(LifterTraining().loop), "steps": options.steps})
    config = LifterTraining(loop=loop)
    try:
        path, scores = train_lifter(options.data, Path("runs") / options.run, config, options.device, step_report(config.loop.steps))
        if options.bundle:
            bundle(path, OPEN_POSE_LIFTER, "Apache-2.0 (docs/model_cards/open_pose_lifter.md)", COMMAND)
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(json.dumps({"weights": str(path), **scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
