"""Interleaved timing, so that a machine that slows down slows both sides."""

from __future__ import annotations

import statistics
import time


def interleaved(ours, reference, rounds=9, warmup=1):
    """Runs two callables in turn and returns (median seconds of ours, of the reference, median of the pairwise ratios)."""
    for _ in range(warmup):
        ours()
        reference()
    a, b = [], []
    for _ in range(rounds):
        a.append(_seconds(ours))
        b.append(_seconds(reference))
    return statistics.median(a), statistics.median(b), statistics.median(x / y for x, y in zip(a, b))


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(name, ours, reference, ratio, goal, at_most=None):
    """A result row. ``ours`` and ``reference`` are seconds; ``at_most`` is the bound on ours/reference, None for no goal."""
    return {"name": name, "value": f"{ours * 1e3:.2f} ms", "reference": f"{reference * 1e3:.2f} ms", "ratio": ratio, "goal": goal,
            "met": None if at_most is None else bool(ratio <= at_most)}
