"""Finger bones: where the base mesh's own finger joints lie on the T-pose, and how the skin of the open body's hands is shared among them.

The open body moves each hand by two joints, the wrist and all fingers together. Their weights are shared out as the default rig's are.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from .source import data_folder

FINGERS = {"Thumb": 1, "Index": 2, "Middle": 3, "Ring": 4, "Little": 5}  # VRM's names and MakeHuman's numbers
PALM = ("wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4")
SEGMENTS = ("Proximal", "Intermediate", "Distal")
WRISTS, KNUCKLES = {"left": 20, "right": 21}, {"left": 22, "right": 23}  # SMPL joints


def finger_bones(source):
    """Returns [(name, parent's name, (3,) position)] of 30 bones, parents first."""
    found = []
    for side in WRISTS:
        for finger, number in FINGERS.items():
            mine = (finger_weights(len(source.v), side, number) > 0.5) & source.v.any(1)  # helpers without a place stay at zero
            move = _similarity(source.base[mine], source.v[mine])
            parent = f"{side}Hand"
            for n, segment in enumerate(SEGMENTS, 1):
                name = f"{side}{finger}{segment}"
                found.append((name, parent, move(source.marks[f"joint-{side[0]}-finger-{number}-{n}"])))
                parent = name
    return found


def with_fingers(source, v, weights):
    """Shares the weights of wrists and hands out among wrists and finger bones.

    Args:
        v: (V, 3) vertices that lie on the source's. weights: (V, 24) of SMPL's joints.

    Returns:
        (V, 22 + 30): SMPL's joints without the two hands, then the bones of `finger_bones`.
    """
    from scipy.spatial import cKDTree

    _, near = cKDTree(source.v).query(v)
    columns = []
    for side in WRISTS:
        whole = weights[:, WRISTS[side]] + weights[:, KNUCKLES[side]]
        segments = [segment_weights(len(source.v), side, number, n)[near] for number in FINGERS.values() for n in (1, 2, 3)]
        shares = np.stack(segments, 1)
        hand = sum(bone_weights(len(source.v), f"{name}.{side[0].upper()}")[near] for name in PALM)
        columns.append(whole[:, None] * shares / np.maximum(hand + shares.sum(1), 1e-9)[:, None])
    body = weights[:, :22].copy()
    for side, mine in zip(WRISTS, columns):
        body[:, WRISTS[side]] += weights[:, KNUCKLES[side]] - mine.sum(1)
    return np.concatenate([body.clip(0), *columns], 1)


def finger_weights(count, side, number):
    """(count,) weights of a whole finger in the default rig."""
    return sum(segment_weights(count, side, number, n) for n in (1, 2, 3))


def segment_weights(count, side, number, n):
    return bone_weights(count, f"finger{number}-{n}.{side[0].upper()}")


def bone_weights(count, bone):
    """(count,) weights of one bone of MakeHuman's default rig, on the base mesh."""
    dense = np.zeros(count)
    for vertex, weight in _default_weights()[bone]:
        dense[vertex] = weight
    return dense


@cache
def _default_weights():
    return json.loads((data_folder() / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]


def _similarity(source, target):
    """The rotation, scale and shift that takes one set of points best to another (Umeyama), as a function."""
    middle, there = source.mean(0), target.mean(0)
    a, b = source - middle, target - there
    left, size, right = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    R = left * sign @ right
    scale = (size * sign).sum() / (a * a).sum()
    return lambda point: there + scale * R @ (point - middle)
