"""Probes: natural sentences with geometric conditions that every right pose must meet.

The sentences were written and frozen before any training read them, and none of them is in the training captions. Conditions are those of
``bodies/conditions.py``, in metres and degrees.

A probe whose sentence names no side passes if the pose or its mirror image meets all conditions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..bodies.conditions import all_hold
from ..bodies.joints import mirror_pose
from ..bodies.posture import Posture, measure_posture
from ..types import BodyPose

PROBES = Path(__file__).with_name("probes.jsonl")


@dataclass(frozen=True)
class Probe:
    """A sentence and what must be true of its poses.

    Args:
        text: the sentence.
        family: the kind of sentence, for the table.
        conditions: all must hold.
        sided: the sentence names a side, so the mirror image does not count.
        like: names of authored poses that show it ("squat", "wave_high.left"), each with which the conditions were tried; may be empty.
    """

    text: str
    family: str
    conditions: tuple[str, ...]
    sided: bool = False
    like: tuple[str, ...] = ()


def load_probes(path=PROBES) -> list[Probe]:
    """Returns the frozen probes in the order of the file."""
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [Probe(row["text"], row["family"], tuple(row["conditions"]), row.get("sided", False), tuple(row["like"])) for row in rows]


def probe_passes(probe: Probe, pose: BodyPose) -> Tensor:
    """(B,) bool, which of the poses meet all conditions of the probe."""
    return passes(probe, measure_posture(pose), None if probe.sided else measure_posture(mirror_pose(pose)))


def passes(probe: Probe, posture: Posture, mirrored: Posture | None) -> Tensor:
    """The same for poses that are measured already; ``mirrored`` are their mirror images, or None when they do not count."""
    met = all_hold(probe.conditions, posture)
    return met if probe.sided or mirrored is None else met | all_hold(probe.conditions, mirrored)
