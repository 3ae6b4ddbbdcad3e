"""The training loop that every model of ours shares: AdamW, warm-up and cosine learning rate, EMA, curves, exact resuming.

All randomness of step i is a function of (seed, i): the loop seeds a generator and torch's own state (which dropout needs) at each step.
So a resumed run repeats the undisturbed one bit for bit, and any step can be replayed alone to look into it. Started by torchrun, several
processes share each batch (processes.py).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..assets.files import atomic_write, remove_abandoned
from ..checks import InputError
from .curves import draw_curves
from .processes import open_processes

REPOSITORY = Path(__file__).resolve().parents[2]


class TrainingStopped(RuntimeError):
    """The loss or its gradient is no longer a number. ``step`` and ``rows`` name the batch, by which nothing was updated."""

    def __init__(self, step, rows, what):
        self.step, self.rows = step, rows
        shown = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
        super().__init__(f"{what} is not finite at step {step} (batch of {len(rows)} rows: {shown}); nothing was updated by this batch")


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train.

    Args:
        steps: optimiser steps in all.
        batch: rows per step, of all processes together.
        lr: learning rate after the warm-up.
        warmup: steps over which the learning rate rises from zero.
        final_lr: learning rate at the end, as a share of ``lr``.
        weight_decay: of AdamW.
        ema: decay of the averaged weights, per step.
        clip: largest gradient norm.
        seed: of everything.
        log_every: steps between lines of the curve.
        validate_every: steps between validations.
        save_seconds: seconds between checkpoints.
    """

    steps: int
    batch: int
    lr: float = 1e-3
    warmup: int = 200
    final_lr: float = 0.01
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    log_every: int = 50
    validate_every: int = 1000
    save_seconds: float = 120.0


@dataclass(frozen=True)
class RunFolder:
    """Where one training keeps its config, curve and checkpoint.

    Args:
        path: the folder, usually ``runs/<name>``.
        config: everything that decides the result, as plain JSON values.
        sources: files and folders of this repository whose state decides it too; none means all.
    """

    path: Path
    config: dict
    sources: tuple[str, ...] = ()

    @property
    def checkpoint(self):
        return self.path / "checkpoint.pt"

    @property
    def curve(self):
        return self.path / "curve.jsonl"

    @property
    def curve_picture(self):
        return self.path / "curve.png"

    @property
    def commit(self):
        """The commit the run began with."""
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))["commit"]

    def open(self):
        """Makes the folder, or checks that the run in it has this config.

        Raises:
            InputError: the folder holds a run with another config, or cannot be written.
        """
        remove_abandoned(self.path)
        file, wanted = self.path / "config.json", json.loads(json.dumps(self.config))
        if file.exists():
            other = json.loads(file.read_text(encoding="utf-8"))["config"]
            differing = sorted(key for key in {*wanted, *other} if wanted.get(key) != other.get(key))
            if differing:
                raise InputError("run folder", self.path, f"holds a run with another {', '.join(differing)}",
                                 "Choose another run name, or delete the folder to start anew.")
            return
        with atomic_write(self.path / "source.diff", "run folder") as part:
            part.write_text(_git("diff", "HEAD", "--", *self.sources), encoding="utf-8")
        with atomic_write(file, "run folder") as part:  # last, because a folder with a config counts as opened
            part.write_text(json.dumps({"config": wanted, "commit": source_commit(*self.sources)}, indent=1) + "\n", encoding="utf-8")

    def save(self, state):
        """Writes the checkpoint and the picture of the curve so far."""
        with atomic_write(self.checkpoint) as part:
            torch.save(state, part)
        draw_curves(self.lines(), self.curve_picture)

    def load(self, device):
        """Returns the last saved state, or None for a fresh run.

        Raises:
            InputError: the checkpoint cannot be read.
        """
        if not self.checkpoint.exists():
            return None
        try:
            return torch.load(self.checkpoint, map_location=device, weights_only=True)
        except Exception as error:  # a cut file fails in many ways
            raise InputError("checkpoint", self.checkpoint, f"cannot be read ({type(error).__name__})",
                             "Delete it to start the run anew.") from None

    def lines(self):
        """The lines of the curve, as dicts with "step"; without the last one, if a killed run wrote only its beginning."""
        written = self.curve.read_text(encoding="utf-8") if self.curve.exists() else ""
        return [json.loads(line) for line in written[: written.rfind("\n") + 1].splitlines()]

    def forget_after(self, step):
        """Drops lines of the curve that a resumed run will write again."""
        if self.curve.exists():
            with atomic_write(self.curve) as part:
                part.write_text("".join(json.dumps(line) + "\n" for line in self.lines() if line["step"] <= step), encoding="utf-8")

    def log(self, step, **values):
        """Adds a line to the curve."""
        with open(self.curve, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **{k: round(float(v), 6) for k, v in values.items()}}) + "\n")


class _Objective(torch.nn.Module):
    """A model with its loss, as one thing to call: several processes average the gradients of what is called."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, rows: list, step, generator):
        return self.loss(self.model, torch.tensor(rows), step, generator)


def train(model, draw, loss, config, run, validate=None, on_step=None):
    """Trains a model, or continues the run that lies in the folder, and returns the averaged model in eval mode.

    Args:
        model: nn.Module, already on its device and freshly initialised.
        draw: (generator) -> (B,) int64 rows of the next batch; the generator is on the CPU.
        loss: (model, rows, step, generator) -> dict of scalar tensors; "loss", a mean over rows, is minimised. The generator is on the
            model's device. Each of N processes is handed every N-th row, and a generator of its own.
        config: LoopConfig.
        run: RunFolder.
        validate: (averaged model) -> dict of numbers for the curve, or None.
        on_step: (steps done) called after each step, or None.

    Raises:
        InputError: the run folder belongs to another config or cannot be used, or the batch cannot be shared by the processes.
        TrainingStopped: the loss or its gradient is NaN or infinite.
    """
    device = next(model.parameters()).device
    processes = open_processes(device)
    if config.batch % processes.count:
        raise InputError("batch", config.batch, f"rows cannot be shared by {processes.count} processes", "Give a multiple.")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    parts = {"model": model, "average": average, "optimizer": optimizer}
    start = _restore(run, parts, device, processes)
    objective = processes.wrap(_Objective(model, loss))
    saved = time.monotonic()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(start + 1, config.steps + 1):
            model.train()
            values, norm = _train_step(objective, optimizer, draw, config, run, step, processes)
            average.update_parameters(model)
            if not processes.main:
                continue
            if step % config.log_every == 0 or step == config.steps:
                run.log(step, **values, gradient=norm, lr=learning_rate(config, step))
            if validate and (step % config.validate_every == 0 or step == config.steps):
                with torch.no_grad():
                    run.log(step, **validate(average.module.eval()))
            if time.monotonic() - saved > config.save_seconds or step == config.steps:
                run.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}})
                saved = time.monotonic()
            if on_step:
                on_step(step)
    processes.wait()
    return average.module.eval()


def learning_rate(config, step):
    """Learning rate of a step: linear warm-up, then half a cosine down to ``final_lr``."""
    if step <= config.warmup:
        return config.lr * step / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * done)))


def _train_step(objective, optimizer, draw, config, run, step, processes):
    """One update. Returns (loss values, gradient norm)."""
    seed = config.seed * 1_000_003 + step
    own = seed + processes.index * 10**12
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    torch.manual_seed(own)
    rows = draw(torch.Generator().manual_seed(seed)).tolist()
    values = objective(rows[processes.index :: processes.count], step, torch.Generator(parameters[0].device).manual_seed(own))
    optimizer.zero_grad(set_to_none=True)
    processes.backward(values["loss"])
    norm, values = torch.nn.utils.clip_grad_norm_(parameters, config.clip), processes.mean(values)
    for what, value in (("the loss", values["loss"]), ("the gradient", norm)):
        if not torch.isfinite(value):
            _note_stop(run, step, rows, what, processes)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    optimizer.step()
    return values, norm


def _note_stop(run, step, rows, what, processes):
    """Writes the batch that broke the training into the run folder and raises, in every process."""
    if processes.main:
        with atomic_write(run.path / "stopped.json") as part:
            part.write_text(json.dumps({"step": step, "what": what, "rows": rows}) + "\n", encoding="utf-8")
    raise TrainingStopped(step, rows, what)


def _restore(run, parts, device, processes):
    """Opens the run folder, loads the last checkpoint into the parts and returns the number of steps done."""
    if processes.main:
        run.open()
    processes.wait()
    state = run.load(device)
    processes.wait()
    if state is None:
        return 0
    if processes.main:
        run.forget_after(state["step"])
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]


def step_report(total, seconds=10.0, stream=None):
    """Returns an ``on_step`` callback that writes the step and the remaining time every few seconds."""
    begun = last = time.monotonic()
    first = None

    def on_step(step):
        nonlocal first, last
        first, now = step if first is None else first, time.monotonic()
        if now - last < seconds and step != total:
            return
        last = now
        left = (total - step) * (now - begun) / max(1, step - first + 1)
        (stream or sys.stderr).write(f"step {step}/{total}, {left / 60:.1f} min left\n")
    return on_step


def source_commit(*paths):
    """Returns the git commit of this code, with "-dirty" when one of the paths (all if none) differs, or "unknown" outside a checkout."""
    commit = _git("rev-parse", "HEAD").strip()
    if not commit:
        return "unknown"
    return commit + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no", "--", *paths).strip() else "")


def _git(*arguments):
    try:
        done = subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
