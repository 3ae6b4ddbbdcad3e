"""Probes: natural sentences with geometric conditions that every right pose must meet.

The sentences were written and frozen before any training read them, and none of their wording is in the training captions. A condition
is a comparison of measures from ``bodies/posture.py`` in metres and degrees, such as ``height(each_hand) > height(head_top)``:

* ``each_hand`` must hold for the left and the right one, ``any_hand`` for at least one of them;
* ``front(left_hand)``, ``up(...)``, ``left(...)`` are in the chest's frame, ``ahead(...)`` and ``height(...)`` in the world's;
* ``and``, ``or``, ``+``, ``-``, ``abs(...)`` and chained comparisons mean what they mean in Python.

A probe whose sentence names no side passes if the pose or its mirror image meets all conditions.
"""

from __future__ import annotations

import ast
import json
import operator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..bodies.joints import mirror_pose
from ..bodies.posture import Posture, measure_posture
from ..types import BodyPose

PROBES = Path(__file__).with_name("probes.jsonl")
MEASURES = ("height", "distance", "apart", "bend", "elevation", "tilt", "faces_up", "turn", "lean_left", "left", "up", "front", "ahead",
            "spread")
_COMPARE = {ast.Lt: operator.lt, ast.Gt: operator.gt}
_COMBINE = {ast.Add: operator.add, ast.Sub: operator.sub}


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
    met = _all_hold(probe.conditions, posture)
    return met if probe.sided or mirrored is None else met | _all_hold(probe.conditions, mirrored)


def _all_hold(conditions, posture):
    return torch.stack([holds(condition, posture) for condition in conditions]).all(0)


def holds(condition: str, posture: Posture) -> Tensor:
    """(B,) bool, where a condition is true. Only comparisons of measures are understood; nothing is executed.

    Raises:
        ValueError: the condition says something else.
    """
    for word, combine in (("each_", torch.logical_and), ("any_", torch.logical_or)):
        if word in condition:
            return combine(holds(condition.replace(word, "left_"), posture), holds(condition.replace(word, "right_"), posture))
    return _truth(ast.parse(condition, mode="eval").body, posture)


def _truth(node, posture):
    if isinstance(node, ast.BoolOp):
        parts = torch.stack([_truth(value, posture) for value in node.values])
        return parts.all(0) if isinstance(node.op, ast.And) else parts.any(0)
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        values = [_number(part, posture) for part in (node.left, *node.comparators)]
        return torch.stack([_COMPARE[type(op)](a, b) for op, a, b in zip(node.ops, values, values[1:])]).all(0)
    raise ValueError(f"{ast.unparse(node)} is no comparison of measures")


def _number(node, posture):
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return torch.as_tensor(float(node.value), device=posture.points.device)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, posture)
    if isinstance(node, ast.BinOp) and type(node.op) in _COMBINE:
        return _COMBINE[type(node.op)](_number(node.left, posture), _number(node.right, posture))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id == "abs":
            return _number(node.args[0], posture).abs()
        if node.func.id in MEASURES and all(isinstance(arg, ast.Name) for arg in node.args):
            return getattr(posture, node.func.id)(*(arg.id for arg in node.args))
    raise ValueError(f"{ast.unparse(node)} is no measure")
