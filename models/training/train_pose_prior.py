"""Trains the open pose prior: VPoser's network and losses (Pavlakos et al. 2019, section 3.2) on the ``text_pose`` data.

    python -m contrapposto.models.training.train_pose_prior --data DIR [--run NAME] [--bundle]

Each step draws captured and authored poses in a fixed proportion, because the few captures are the natural ones, and mirrors half of
them. The loss is VPoser's: rotations, joint places and the divergence from the unit Gaussian, whose weight rises from zero.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ..assets.registry import OPEN_POSE_PRIOR, bundle
from ..checks import InputError
from ..pose_prior.vposer import JOINTS, PosePrior, load_pose_prior
from ..pose_prior.vposer_file import VPoserConfig, write_vposer
from ..rotations import rotmat_to_rot6d, rotvec_to_rotmat
from .datasets.text_pose import UNCLEAR_ORIGIN, load_text_pose, mirror_rotvec
from .loop import LoopConfig, RunFolder, TrainingStopped, step_report, train
from .losses import gaussian_kl, geodesic_angle, skeleton_joints
from .processes import open_processes

DATA = "../shared/data/text_pose"
COMMAND = "python -m contrapposto.models.training.train_pose_prior --bundle"
SOURCES = ("models/pose_prior", "models/rotations.py", "models/training/datasets/text_pose.py", "models/training/loop.py",
           "models/training/losses.py", "models/training/train_pose_prior.py")


@dataclass(frozen=True)
class PriorTraining:
    """Everything that decides the weights.

    Args:
        network: VPoserConfig.
        loop: LoopConfig.
        captured_share: share of captured poses in a batch; the rest is authored.
        mirrored_share: share of poses that are mirrored.
        rotation_weight: of the mean joint angle, per radian.
        joint_weight: of the mean joint distance, per metre.
        kl_weight: of the divergence, per nat, once it is fully on.
        kl_warmup: steps over which it rises from zero.
        exclude_sources: sources of the data that are left out.
    """

    network: VPoserConfig = VPoserConfig(version="open", slope=0.2, linear_encoder_out=False)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=12000, batch=512, lr=2e-3, warmup=500, weight_decay=1e-4))
    captured_share: float = 0.5
    mirrored_share: float = 0.5
    rotation_weight: float = 2.0
    joint_weight: float = 10.0
    kl_weight: float = 0.005
    kl_warmup: int = 3000
    exclude_sources: tuple[str, ...] = UNCLEAR_ORIGIN


class PriorTask:
    """Batches and losses of one training, and the scores of its result.

    Args:
        data: TextPoseData.
        config: PriorTraining.
        device: where the network trains.
    """

    def __init__(self, data, config, device="cpu"):
        self.data, self.config, self.device = data, config, torch.device(device)
        self.pools = [rows for rows in (data.rows("train", authored=False), data.rows("train", authored=True)) if len(rows)]
        if not self.pools:
            raise InputError("data folder", "", "holds no poses in its train split", "Give the whole text_pose folder.")

    def draw(self, generator):
        """Rows (B,) of a batch, captured ones first; a source that the data lacks leaves its share to the other."""
        batch = self.config.loop.batch
        captured = round(batch * self.config.captured_share) if len(self.pools) == 2 else batch
        counts = (captured, batch - captured)
        return torch.cat([pool[torch.randint(len(pool), (count,), generator=generator)] for pool, count in zip(self.pools, counts)])

    def loss(self, prior, rows, step, generator):
        """VPoser's losses on one batch."""
        rotvec = self.data.body_rotvec[rows].to(self.device)
        swapped = torch.rand(len(rows), 1, 1, generator=generator, device=self.device) < self.config.mirrored_share
        rotvec = torch.where(swapped, mirror_rotvec(rotvec, self.data.mirror[1:].to(self.device) - 1), rotvec)
        latents = prior.encode_rotvec(rotvec)
        rotation, joints = reconstruction_errors(prior.decode(latents.sample(generator)), rotvec_to_rotmat(rotvec), self.data)
        kl = gaussian_kl(latents.mean, latents.std).sum(-1).mean()
        config, rising = self.config, min(1.0, step / self.config.kl_warmup)
        total = config.rotation_weight * rotation.mean() + config.joint_weight * joints.mean() + config.kl_weight * rising * kl
        return {"loss": total, "rotation": rotation.mean(), "joints": joints.mean(), "kl": kl}

    def scores(self, prior, split="val"):
        """Held-out scores, captured and authored poses apart: see ``score_prior``."""
        parts = {"captured": self.data.rows(split, authored=False), "authored": self.data.rows(split, authored=True)}
        return {f"{split}_{part}_{name}": value for part, rows in parts.items() if len(rows)
                for name, value in score_prior(prior, self.data, rows).items()}


def reconstruction_errors(decoded, body_pose, data):
    """Errors of poses (B, 21, 3, 3) on the data's skeleton.

    Returns:
        (angles (B, 21) in radians, distances (B, 21) of the joints in metres with the root held still).
    """
    offsets = data.rest_offsets.to(decoded)
    root = torch.eye(3).to(decoded).expand(len(decoded), 1, 3, 3)
    places = [skeleton_joints(torch.cat([root, pose], 1), data.parents, offsets)[:, 1:] for pose in (decoded, body_pose)]
    squared = (places[0] - places[1]).square().sum(-1)
    return geodesic_angle(decoded, body_pose), (squared + 1e-12).sqrt()  # the constant keeps the gradient finite where nothing differs


@torch.no_grad()
def score_prior(prior, data, rows):
    """Reconstruction through the mean code, and how Gaussian the codes are.

    Returns:
        dict: ``angle_deg`` and ``joint_mm`` mean errors, ``kl`` nats per pose, ``norm2`` mean squared length of sampled codes (a unit
        Gaussian has the number of its dimensions).
    """
    device = next(prior.parameters()).device
    rotvec = data.body_rotvec[rows].to(device)
    latents = prior.encode_rotvec(rotvec)
    angles, distances = reconstruction_errors(prior.decode(latents.mean), rotvec_to_rotmat(rotvec), data)
    return {"angle_deg": angles.mean().rad2deg().item(), "joint_mm": 1000 * distances.mean().item(),
            "kl": gaussian_kl(latents.mean, latents.std).sum(-1).mean().item(),
            "norm2": (latents.mean.square() + latents.std.square()).sum(-1).mean().item()}


def train_prior(data_dir, run_dir, config, device="cpu", on_step=None):
    """Trains (or continues) a run and writes ``open_pose_prior.safetensors`` into its folder.

    Returns:
        (path of the weights, held-out test scores of those weights as written; empty in all processes but the first, which writes them).

    Raises:
        InputError: the data or the run folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    processes, data = open_processes(device), load_text_pose(data_dir, config.exclude_sources)
    task = PriorTask(data, config, device)
    prior = fresh_prior(config).to(device)
    run = RunFolder(Path(run_dir), asdict(config), SOURCES)
    trained = train(prior, task.draw, task.loss, config.loop, run, validate=task.scores, on_step=on_step)
    path = run.path / OPEN_POSE_PRIOR
    if not processes.main:
        return path, {}
    about = {"training": asdict(config), "commit": run.commit, "data": describe_data(data)}
    write_vposer(path, config.network, trained.state_dict(), about)
    scores = {name: round(value, 3) for name, value in task.scores(load_pose_prior(path), "test").items()}
    write_vposer(path, config.network, trained.state_dict(), {**about, "scores": scores})
    return path, scores


def fresh_prior(config):
    """Returns an untrained prior whose decoder starts near the rest pose: a joint that starts half a turn off may stay there for good."""
    with torch.random.fork_rng():
        torch.manual_seed(config.loop.seed)
        prior = PosePrior(config.network)
    with torch.no_grad():
        prior.decoder_out.weight *= 0.1
        prior.decoder_out.bias.copy_(rotmat_to_rot6d(torch.eye(3)).repeat(JOINTS))
    return prior


def describe_data(data):
    """What the weights were trained on, for their metadata."""
    train_rows = data.rows("train")
    counts = torch.bincount(data.source[train_rows], minlength=len(data.source_names)).tolist()
    return {"name": "text_pose", "joints": JOINTS, "train_poses": {name: n for name, n in zip(data.source_names, counts) if n}}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="train_pose_prior", description="Trains the open pose prior.")
    parser.add_argument("--data", default=DATA, help="the text_pose folder (default: %(default)s)")
    parser.add_argument("--run", default="pose_prior", help="name of the run folder below runs/ (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--bundle", action="store_true", help="make the result the bundled prior")
    options = parser.parse_args(arguments)
    config = PriorTraining()
    try:
        path, scores = train_prior(options.data, Path("runs") / options.run, config, options.device, step_report(config.loop.steps))
        if options.bundle:
            bundle(path, OPEN_POSE_PRIOR, "Apache-2.0 (docs/model_cards/open_pose_prior.md)", COMMAND)
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(json.dumps({"weights": str(path), **scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
