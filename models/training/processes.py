"""One process or several: what the training loop asks of them, and nothing else.

One process needs plain torch. When ``torchrun`` or ``accelerate launch`` has started several, accelerate joins them: every process takes
its share of each batch, gradients are averaged while they are computed, and the first process alone writes files.
"""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from torch import nn

from ..checks import InputError

PATIENCE = timedelta(hours=2)  # the others wait while the first process validates and saves


class OneProcess:
    """The usual case."""

    index, count, main = 0, 1, True

    def wrap(self, objective: nn.Module) -> nn.Module:
        """Returns the objective as it is to be called."""
        return objective

    def backward(self, loss):
        loss.backward()

    def mean(self, values: dict) -> dict:
        """Numbers of one step, averaged over the processes."""
        return {name: value.detach() for name, value in values.items()}

    def wait(self):
        """Returns when every process is here."""


class ManyProcesses:
    """Processes that accelerate has joined."""

    def __init__(self, device):
        from accelerate import Accelerator, InitProcessGroupKwargs

        on_cpu = torch.device(device).type == "cpu"
        self.accelerator = Accelerator(cpu=on_cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
        self.index, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.main = self.accelerator.is_main_process

    def wrap(self, objective: nn.Module) -> nn.Module:
        return self.accelerator.prepare(objective)

    def backward(self, loss):
        self.accelerator.backward(loss)

    def mean(self, values: dict) -> dict:
        stacked = torch.stack([value.detach().float() for value in values.values()])
        return dict(zip(values, self.accelerator.reduce(stacked, "mean")))

    def wait(self):
        self.accelerator.wait_for_everyone()


def open_processes(device="cpu"):
    """Returns the processes of this training. Call it before anything is put on the device: it gives each process its own GPU.

    Args:
        device: "cpu" or "cuda"; of all processes.

    Raises:
        InputError: several processes were started, but accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return OneProcess()
    try:
        import accelerate  # noqa: F401
    except ImportError:
        raise InputError("processes", os.environ["WORLD_SIZE"], "need accelerate, which is not installed",
                         "Install it with `pip install contrapposto[train]`, or start one process.") from None
    return ManyProcesses(device)
