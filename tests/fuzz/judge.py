"""One input, one verdict: a result, an `InputError` that helps, or a finding."""

from __future__ import annotations

import dataclasses
import random
import resource
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

from contrapposto.models.checks import InputError

from . import avatar_readers, body_readers, canary, motion_readers, other_readers  # noqa: F401 (they register their readers)
from .readers import READERS

SECONDS = 30  # of the processor, for one input of a few kilobytes
GROWTH = 1200 << 20  # bytes by which one input may raise the highest memory ever held: a photograph of 50 million pixels needs 1 GB
ROOM = 6 << 30  # bytes of address space beyond what the process has at its start


class Hang(BaseException):
    """An input took too long. Not an Exception, so that no reader can swallow it."""


def _hang(*_):
    raise Hang(f"took more than {SECONDS} s")


def peak():
    """The most memory that this process ever held, bytes. (What getrusage tells is inherited from the process that started this one.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) << 10


class Judge:
    """A reader with its folder, ready for inputs."""

    def __init__(self, name, folder):
        self.reader = READERS[name]
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.damage, self.read = self.reader.make(self.folder)
        self.results = {"read": 0, "refused": 0}

    def input(self, seed, number) -> bytes:
        """The input of a number: the same one for the same seed."""
        return self.damage(random.Random(f"{self.reader.name} {seed} {number}"))

    def finding(self, data: bytes) -> str | None:
        """Reads an input. Returns what is wrong with the answer, or None."""
        before = peak()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        with canary.watch(self.folder, self.reader.programs) as seen:
            try:
                problem = not_finite(self.read(data))
                self.results["read"] += 1
            except (Exception, Hang) as error:
                problem = self._answer(error)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            happened = list(seen)
        grown = peak() - before
        if problem is None and happened:
            problem = "; ".join(happened)
        if problem is None and grown > GROWTH:
            problem = f"held {grown >> 20} MB more"
        return problem

    def _answer(self, error):
        """What is wrong with an error, or None. Told by its name, since nodes run in a copy of the pack under a name of its own."""
        if type(error).__name__ == InputError.__name__:
            self.results["refused"] += 1
            return None if str(error.remedy).strip() and str(error.name).strip() else f"no remedy: {error}"
        return f"{type(error).__name__}: {error!s:.200} at {_place(error)}"


def not_finite(result, name="result") -> str | None:
    """Where a result, at any depth, holds NaN or infinity; None where all is finite."""
    if isinstance(result, torch.nn.Module):
        result = result.state_dict()
    if dataclasses.is_dataclass(result):
        result = {field.name: getattr(result, field.name, None) for field in dataclasses.fields(result)}
    if isinstance(result, dict):
        parts = result.items()
    elif isinstance(result, (list, tuple)):
        parts = enumerate(result)
    else:
        numbers = result.detach().double().numpy() if isinstance(result, torch.Tensor) else result
        counted = isinstance(numbers, (float, np.floating)) or (isinstance(numbers, np.ndarray) and numbers.dtype.kind in "fc")
        return f"NaN or infinity in {name}" if counted and not np.isfinite(numbers).all() else None
    return next((found for key, part in parts if (found := not_finite(part, f"{name}.{key}"))), None)


def _place(error):
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/tests/" not in frame.filename and str(canary.ROOT) in frame.filename
    ]
    return f"{Path(frames[-1].filename).relative_to(canary.ROOT)}:{frames[-1].lineno}" if frames else "?"


def prepare(limit_memory=True):
    """Makes this process ready to judge: one thread, listener, clock, and a bound of memory."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, _hang)
    canary.install()
    if limit_memory and sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
