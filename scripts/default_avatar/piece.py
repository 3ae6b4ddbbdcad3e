"""What the modules of this package hand over: a finished piece of surface with its look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Piece:
    """``v`` (V, 3), ``f`` (F, 3), ``n`` (V, 3) normals, ``weights`` (V, 24), ``colors`` (V, 3) linear, ``uv`` (V, 2), ``material`` name."""

    v: np.ndarray
    f: np.ndarray
    n: np.ndarray
    weights: np.ndarray
    colors: np.ndarray
    uv: np.ndarray
    material: str


def srgb(text):
    """"#rrggbb" to linear (3,)."""
    value = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def ramp(x, low, high):
    """Smooth 0..1 as x goes from ``low`` to ``high``."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def plain(patch, n, color, material="cloth"):
    """A piece in one colour, or in (V, 3) colours."""
    colors = np.broadcast_to(color, (len(patch.v), 3)).copy()
    return Piece(patch.v, patch.f, n, patch.data[:, :24], colors, np.zeros((len(patch.v), 2)), material)
