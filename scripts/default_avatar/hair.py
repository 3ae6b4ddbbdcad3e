"""Short hair: a cap of the scalp with volume, cut along a smooth hairline."""

from __future__ import annotations

import numpy as np

from .mesh_tools import Patch, clip, compact, hem, normals, smooth, subdivide, triangles
from .piece import Piece, ramp, srgb
from .source import HEAD

HAIR = srgb("#3b2418")


def hairline(v):
    """Metres inside (+) the hair: over the forehead, down in front of the ear, round it, and to the nape."""
    x, y, z = v.T
    ax = np.abs(x)
    line = np.interp(z, [-0.06, 0.00, 0.028, 0.05, 0.066, 0.085, 0.11, 0.15], [0.395, 0.425, 0.455, 0.452, 0.475, 0.520, 0.533, 0.540])
    return y - line + 0.004 * ramp(ax, 0.05, 0.03)


def hair(source):
    f = triangles(source.groups["body"])
    f = f[source.weights[f].sum((1, 2)) > 2.9]
    v = source.v
    ears = (np.abs(v[:, 0]) > 0.0735) & (v[:, 1] < 0.505) & (v[:, 1] > 0.40)
    keep = ((v[:, 1] > 0.36) & (v[:, 2] < 0.17) & (source.weights[:, HEAD] > 0.3) & ~ears)[f].all(1) & (v[f][:, :, 1].mean(1) > 0.38)
    patch = compact(Patch(v, f[keep], source.weights))
    patch = subdivide(smooth(patch, 6, along_border=False))
    field = hairline(patch.v)
    lift = 0.003 + 0.016 * ramp(field, 0.0, 0.05) + 0.010 * ramp(patch.v[:, 1], 0.52, 0.60)
    worn = Patch(patch.v + normals(patch.v, patch.f) * lift[:, None], patch.f, np.c_[patch.data, field])
    worn = clip(smooth(worn, 3), worn.data[:, 24])
    folded, inside = hem(worn, 0.005, 0.004)
    n = normals(folded.v, folded.f)
    colors = HAIR * (1 - 0.4 * inside)[:, None]
    return [Piece(folded.v, folded.f, n, folded.data[:, :24], colors, np.zeros((len(folded.v), 2)), "hair")]
