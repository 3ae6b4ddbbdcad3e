"""Conditions on postures as text: comparisons of measures from :mod:`posture`, such as ``height(each_hand) > height(head_top)``.

* ``each_hand`` must hold for the left and the right one, ``any_hand`` for at least one of them;
* ``front(left_hand)``, ``up(...)``, ``left(...)`` are in the chest's frame, ``ahead(...)`` and ``height(...)`` in the world's;
* ``and``, ``or``, ``+``, ``-``, ``abs(...)`` and chained comparisons mean what they mean in Python.
"""

from __future__ import annotations

import ast
import operator

import torch
from torch import Tensor

from .posture import Posture

MEASURES = ("height", "distance", "apart", "bend", "elevation", "tilt", "faces_up", "turn", "lean_left", "left", "up", "front", "ahead",
            "spread")
_COMPARE = {ast.Lt: operator.lt, ast.Gt: operator.gt}
_COMBINE = {ast.Add: operator.add, ast.Sub: operator.sub}


def all_hold(conditions, posture: Posture) -> Tensor:
    """(B,) bool, where every one of the conditions is true; without conditions that is everywhere."""
    met = torch.ones(len(posture), dtype=torch.bool, device=posture.points.device)
    for condition in conditions:
        met = met & holds(condition, posture)
    return met


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
