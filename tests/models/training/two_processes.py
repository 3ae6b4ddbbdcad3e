"""Run by torchrun from test_processes.py: trains the same toy in every process and lets each write what it ended with."""

import sys
from pathlib import Path

import torch

from contrapposto.models.training.loop import LoopConfig, RunFolder, TrainingStopped, train
from contrapposto.models.training.processes import open_processes

CONFIG = LoopConfig(steps=12, batch=8, lr=0.02, warmup=2, ema=0.8, log_every=4, validate_every=6, save_seconds=0.0)
INPUTS = torch.linspace(-1, 1, 64)[:, None].expand(64, 3) * torch.tensor([1.0, -0.5, 0.2]) + torch.eye(3).repeat(22, 1)[:64]
TARGETS = INPUTS.prod(1, keepdim=True)


class Stopped(Exception):
    pass


def toy():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))


def run(folder, stop_before=None, breaks_at=None):
    """Trains; ``stop_before`` a step kills all processes, at ``breaks_at`` the last process gets a loss that is not a number."""
    calls = iter(range(1, 1000))

    def draw(generator):
        if next(calls) == stop_before:
            raise Stopped
        return torch.randint(64, (CONFIG.batch,), generator=generator)

    def loss(model, rows, step, generator):
        value = (model(INPUTS[rows]) - TARGETS[rows]).square().mean()
        last = open_processes().index == open_processes().count - 1
        return {"loss": value * float("nan") if step == breaks_at and last else value}

    return train(toy(), draw, loss, CONFIG, RunFolder(folder, {"toy": 1}), validate=lambda model: {"val": TARGETS.sum()})


def main(home):
    processes, told = open_processes(), {}
    try:
        run(home / "resumed", stop_before=6)
    except Stopped:
        processes.wait()
    told["whole"], told["resumed"] = run(home / "whole").state_dict(), run(home / "resumed").state_dict()
    try:
        run(home / "broken", breaks_at=5)
    except TrainingStopped as error:
        told["stopped"] = [error.step, *error.rows]
    torch.save(told, home / f"{processes.index}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
