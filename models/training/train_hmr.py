"""Finetunes a body estimator on real pictures with 2D points and synthetic pairs with bodies (Weng et al. 2023, section 3.3, equation 7).

    python scripts/finetune_hmr.py --real real.npz --synthetic pairs/pairs.npz [--preset paper] [--steps N]

``L = L2D(real) + L3D(synthetic)``. The "paper" preset is equation 7 as printed, the "released" one the weighted sum of the released code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..assets.files import write_safetensors
from ..bodies.body import load_body_model
from ..checks import InputError, check_choice, check_range
from ..metrics.joint_errors import box_size, mpjpe, pa_mpjpe, pck
from .body_estimator import LIMBS, BodyEstimate, BodyEstimator, estimated_joints, limb_points, weak_perspective
from .datasets.body_crops import BodyCrops, CropBatch, stack_crops
from .loop import LoopConfig, RunFolder, train

WEIGHTS = "body_estimator.safetensors"
SOURCES = ("models/training/body_estimator.py", "models/training/datasets/body_crops.py", "models/training/loop.py",
           "models/training/train_hmr.py")
PCK_SHARE = 0.1  # of the box around the person


@dataclass(frozen=True)
class HmrTraining:
    """Everything that decides the weights.

    Args:
        loop: LoopConfig; 64 crops and 1e-4 as in the paper.
        preset: "paper" or "released".
        synthetic_share: of each batch.
        turn: radians, up to which crops are turned either way.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=10_000, batch=64, lr=1e-4, warmup=100, weight_decay=0.0, ema=0.99))
    preset: str = "paper"
    synthetic_share: float = 0.5
    turn: float = math.radians(30)

    def __post_init__(self):
        check_choice("preset", self.preset, tuple(LOSSES))
        check_range("synthetic share", self.synthetic_share, 0.0, 1.0)
        check_range("turn", self.turn, 0.0, math.pi, "radians")


def reprojection_error(estimate: BodyEstimate, batch: CropBatch, body) -> tuple[Tensor, Tensor]:
    """(B, L) distance of projected joints from the annotated points, in half crops, and (B, L) which are annotated."""
    points = weak_perspective(limb_points(estimated_joints(estimate, body)), estimate.camera)
    truth = batch.part[:, list(LIMBS)]
    seen = truth[..., 2]
    squared = (points - truth[..., :2]).square().sum(-1)
    return (torch.where(seen > 0, squared, torch.zeros_like(squared)) + 1e-12).sqrt() * seen, seen


def paper_loss(estimate: BodyEstimate, batch: CropBatch, body) -> dict:
    """Equation 7 as printed: mean point distance on real crops, ``|beta^ - beta| + |theta^ - theta|`` on synthetic ones.

    Theta is compared as rotation matrices, which have no seams.
    """
    real, known = 1 - batch.known, batch.known
    distance, seen = reprojection_error(estimate, batch, body)
    points = _mean((distance.sum(1) / seen.sum(1).clamp(min=1)), real)
    shape = _mean(_length(estimate.betas - batch.betas), known)
    turns = torch.cat([(estimate.root - batch.root)[:, None], estimate.body_pose - batch.body_pose], 1)
    pose = _mean(_length(turns.flatten(1)), known)
    return {"loss": points + shape + pose, "points": points, "shape": shape, "pose": pose}


def released_loss(estimate: BodyEstimate, batch: CropBatch, body) -> dict:
    """The released code's sum: ``60 (5 L2D + 5 L3D + Lpose + 0.001 Lbeta) + camera``.

    2D points count on every crop. Lpose leaves out the root, Lbeta the first coefficient; the camera's term keeps its scale positive.
    """
    known = batch.known
    distance, seen = reprojection_error(estimate, batch, body)
    points = distance.square().sum() / (2 * seen.numel())  # mean over both coordinates of all points, unannotated ones as zero
    truth = BodyEstimate(batch.root, batch.body_pose, batch.betas, estimate.camera)
    apart = limb_points(estimated_joints(estimate, body) - estimated_joints(truth, body)).square().mean((1, 2))
    joints = _mean(apart, known)
    pose = _mean((estimate.body_pose - batch.body_pose).square().mean((1, 2, 3)), known)
    shape = _mean((estimate.betas - batch.betas)[:, 1:].square().mean(1), known)
    camera = torch.exp(-10 * estimate.camera[:, 0]).square().mean()
    return {"loss": 60 * (5 * points + 5 * joints + pose + 0.001 * shape) + camera, "points": points, "joints": joints, "pose": pose,
            "shape": shape, "camera": camera}


LOSSES: dict[str, Callable] = {"paper": paper_loss, "released": released_loss}


def _length(rows):
    return (rows.square().sum(1) + 1e-12).sqrt()


def _mean(values, weights):
    """Mean of (B,) over the rows that count; 0 when none does."""
    return (values * weights).sum() / weights.sum().clamp(min=1)


class HmrTask:
    """Batches and the loss.

    Args:
        real: BodyCrops whose points alone are used, or None.
        synthetic: BodyCrops with bodies, or None.
        config: HmrTraining.
        body: BodyModel on the estimator's device.

    Raises:
        InputError: neither is given.
    """

    def __init__(self, real: BodyCrops | None, synthetic: BodyCrops | None, config: HmrTraining, body):
        if real is None and synthetic is None:
            raise InputError("data", None, "is neither real nor synthetic", "Give at least one of the two.")
        self.real, self.synthetic, self.config, self.body = real, synthetic, config, body

    def draw(self, generator):
        """Rows (B,): real ones first in number, synthetic ones behind them, mixed by ``synthetic_share``."""
        batch, first = self.config.loop.batch, len(self.real or ())
        share = 1.0 if self.real is None else 0.0 if self.synthetic is None else self.config.synthetic_share
        made = round(batch * share)
        rows = [torch.randint(first, (batch - made,), generator=generator)] if batch > made else []
        rows += [first + torch.randint(len(self.synthetic), (made,), generator=generator)] if made else []
        return torch.cat(rows)

    def batch(self, rows, generator=None) -> CropBatch:
        """The crops of some rows; with a generator they are turned at random."""
        first, crops = len(self.real or ()), []
        for row in rows.tolist():
            turn = 0.0 if generator is None else float(torch.rand((), generator=generator) * 2 - 1) * self.config.turn
            crops.append(self.real.row(row, turn) if row < first else self.synthetic.row(row - first, turn))
        return stack_crops(crops).to(self.body.device)

    def loss(self, model, rows, step, generator):
        """See ``loop.train``."""
        cpu = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        batch = self.batch(rows, cpu)
        return LOSSES[self.config.preset](model(batch.images), batch, self.body)


def finetune(model: BodyEstimator, real, synthetic, run_dir, config: HmrTraining | None = None, body=None, validation=None, on_step=None):
    """Finetunes an estimator, or continues the run in the folder.

    Args:
        model: any BodyEstimator, on its device.
        real, synthetic: BodyCrops or None.
        run_dir: the run's folder; receives ``body_estimator.safetensors``.
        config: HmrTraining.
        body: BodyModel; None takes the open body, which the bundled pairs are made with.
        validation: BodyCrops scored along the way.
        on_step: called with the steps done.

    Returns:
        (averaged model, path of its weights).

    Raises:
        InputError: data or folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    config = config or HmrTraining()
    body = (body or load_body_model()).to(next(model.parameters()).device)
    task = HmrTask(real, synthetic, config, body)
    run = RunFolder(Path(run_dir), asdict(config) | {"model": type(model).__name__}, SOURCES)
    scores = None if validation is None else lambda average: evaluate(average, validation, body)
    averaged = train(model, task.draw, task.loss, config.loop, run, scores, on_step)
    path = run.path / WEIGHTS
    write_safetensors(path, averaged.state_dict(), {"model": type(model).__name__, "training": asdict(config), "commit": run.commit,
                                                    "body": body.name})
    return averaged, path


@torch.no_grad()
def evaluate(model: BodyEstimator, crops: BodyCrops, body, batch=32) -> dict:
    """PCK at a tenth of the box on the points; MPJPE and PA-MPJPE in millimetres where the bodies are known."""
    task, scores = HmrTask(None, crops, HmrTraining(), body), {"pck": [], "mpjpe": [], "pa_mpjpe": []}
    model.eval()
    for start in range(0, len(crops), batch):
        given = task.batch(torch.arange(start, min(start + batch, len(crops))))
        estimate = model(given.images)
        joints, truth = estimated_joints(estimate, body), given.part[:, list(LIMBS)]
        points, seen = weak_perspective(limb_points(joints), estimate.camera), truth[..., 2]
        some = seen.sum(1) > 0
        if bool(some.any()):
            box = box_size(truth[some, :, :2], seen[some]).clamp(min=1e-6)
            scores["pck"].append(pck(points[some], truth[some, :, :2], PCK_SHARE, box, seen[some]))
        if crops.bodies:
            true = estimated_joints(BodyEstimate(given.root, given.body_pose, given.betas, estimate.camera), body)
            scores["mpjpe"].append(1000 * mpjpe(joints, true))
            scores["pa_mpjpe"].append(1000 * pa_mpjpe(joints, true))
    return {name: torch.cat(values).mean().item() for name, values in scores.items() if values}
