"""Operations on a patch of surface: cut along a level set, subdivide, smooth, thicken a hem."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass
class Patch:
    """``v`` (V, 3), ``f`` (F, 3) triangles, ``data`` (V, K) anything that is interpolated along (skin weights, fields)."""

    v: np.ndarray
    f: np.ndarray
    data: np.ndarray


def triangles(quads):
    """(Q, 4) quads, or triangles with a repeated corner, to (F, 3)."""
    both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return both[(both[:, 0] != both[:, 1]) & (both[:, 1] != both[:, 2]) & (both[:, 0] != both[:, 2])]


def compact(patch):
    """Drops vertices that no triangle uses."""
    used, f = np.unique(patch.f, return_inverse=True)
    return Patch(patch.v[used], f.reshape(-1, 3), patch.data[used])


def clip(patch, field):
    """Keeps the part where ``field`` (V,) > 0, cutting triangles exactly along its zero line.

    Vertices within a small distance of the line are moved onto it first, so that no slivers are left.
    """
    v, data, field = patch.v.copy(), patch.data.copy(), field.astype(float).copy()
    v, data, field = _snap(v, data, field, patch.f)
    inside = field[patch.f] > 0
    whole = patch.f[inside.all(1)]
    cut, kept = {}, [whole]
    new_v, new_data = [], []

    def crossing(a, b):
        key = (min(a, b), max(a, b))
        if key not in cut:
            t = field[a] / (field[a] - field[b])
            cut[key] = len(v) + len(new_v)
            new_v.append(v[a] + t * (v[b] - v[a]))
            new_data.append(data[a] + t * (data[b] - data[a]))
        return cut[key]

    extra = []
    for corners in patch.f[inside.any(1) & ~inside.all(1)]:
        ring = []
        for a, b in zip(corners, np.roll(corners, -1)):
            if field[a] > 0:
                ring.append(a)
            if (field[a] > 0) != (field[b] > 0):
                ring.append(crossing(a, b) if field[a] != 0 and field[b] != 0 else (a if field[a] == 0 else b))
        extra += [(ring[0], ring[i], ring[i + 1]) for i in range(1, len(ring) - 1)]
    kept.append(np.array(extra, int).reshape(-1, 3))
    v = np.concatenate([v, np.array(new_v).reshape(-1, 3)])
    data = np.concatenate([data, np.array(new_data).reshape(-1, data.shape[1])])
    f = np.concatenate(kept)
    f = f[(f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 0] != f[:, 2])]
    return compact(Patch(v, f, data))


def _snap(v, data, field, f, share=0.18):
    """Moves vertices that lie within ``share`` of an edge from the zero line onto it."""
    edges = unique_edges(f)
    a, b = edges.T
    crossing = (field[a] > 0) != (field[b] > 0)
    a, b = a[crossing], b[crossing]
    t = field[a] / (field[a] - field[b])
    moved = {}
    for i, j, s in zip(np.r_[a, b], np.r_[b, a], np.r_[t, 1 - t]):
        if s < share and s < moved.get(i, (1, 0))[0]:
            moved[i] = (s, j)
    before_v, before_data = v.copy(), data.copy()
    for i, (s, j) in moved.items():
        v[i] = before_v[i] + s * (before_v[j] - before_v[i])
        data[i] = before_data[i] + s * (before_data[j] - before_data[i])
        field[i] = 0
    return v, data, field


def unique_edges(f):
    return np.unique(np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), 1), axis=0)


def border_edges(f):
    """(E, 2) directed edges that belong to one triangle only, in the triangle's direction."""
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    key = np.sort(edges, 1)
    _, index, count = np.unique(key, axis=0, return_index=True, return_counts=True)
    return edges[index[count == 1]]


def smooth(patch, steps, amount=0.5, keep=None, along_border=True):
    """Laplacian smoothing of the positions. Border vertices move along the border only. ``keep`` (V,) in 0..1 holds vertices back."""
    v = patch.v.copy()
    edges = unique_edges(patch.f)
    border = border_edges(patch.f)
    rim = np.zeros(len(v), bool)
    rim[border.ravel()] = True
    inner = edges[~(rim[edges[:, 0]] & rim[edges[:, 1]])]
    rows = np.concatenate([inner, inner[:, ::-1], border, border[:, ::-1]])
    rows = rows[~(rim[rows[:, 0]] & ~rim[rows[:, 1]])]
    hold = np.zeros(len(v)) if keep is None else keep
    if not along_border:
        hold = np.where(rim, 1, hold)
    for _ in range(steps):
        total, count = np.zeros_like(v), np.zeros(len(v))
        np.add.at(total, rows[:, 0], v[rows[:, 1]])
        np.add.at(count, rows[:, 0], 1)
        mean = total / np.maximum(count, 1)[:, None]
        v += (amount * (1 - hold) * (count > 0))[:, None] * (mean - v)
    return replace(patch, v=v)


def subdivide(patch):
    """Loop subdivision: smooth inside, and the border stays a smooth curve of its own."""
    v, f, data = patch.v, patch.f, patch.data
    edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), 1)
    unique, number = np.unique(edges, axis=0, return_inverse=True)
    number = number.reshape(-1) + len(v)
    opposite, faces_per_edge = np.zeros((len(unique), 3)), np.zeros(len(unique))
    for k, corner in enumerate((2, 0, 1)):
        rows = number[k * len(f) : (k + 1) * len(f)] - len(v)
        np.add.at(opposite, rows, v[f[:, corner]])
        np.add.at(faces_per_edge, rows, 1)
    mid = v[unique].mean(1)
    inner = faces_per_edge == 2
    new = np.where(inner[:, None], 0.75 * mid + opposite / 8, mid)
    moved = _loop_vertices(v, unique, inner)
    ab, bc, ca = number[: len(f)], number[len(f) : 2 * len(f)], number[2 * len(f) :]
    a, b, c = f.T
    faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return Patch(np.concatenate([moved, new]), faces, np.concatenate([data, data[unique].mean(1)]))


def _loop_vertices(v, edges, inner):
    total, count = np.zeros_like(v), np.zeros(len(v))
    rim_total, rim_count = np.zeros_like(v), np.zeros(len(v))
    for a, b in (edges.T, edges.T[::-1]):
        np.add.at(total, a, v[b])
        np.add.at(count, a, 1)
        np.add.at(rim_total, a[~inner], v[b[~inner]])
        np.add.at(rim_count, a[~inner], 1)
    n = np.maximum(count, 1)
    beta = (5 / 8 - (3 / 8 + np.cos(2 * np.pi / n) / 4) ** 2) / n
    smooth_inside = (1 - n * beta)[:, None] * v + beta[:, None] * total
    on_rim = 0.75 * v + rim_total / np.maximum(rim_count, 1)[:, None] / 4
    return np.where((rim_count == 2)[:, None], on_rim, np.where((rim_count > 0)[:, None], v, smooth_inside))


def normals(v, f):
    """(V, 3) area-weighted unit normals."""
    across = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    total = np.zeros_like(v)
    for corner in range(3):
        np.add.at(total, f[:, corner], across)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def hem(patch, thickness, depth, direction=None):
    """Folds the border inwards: a rounded edge and a flap inside, so that looking into a sleeve shows cloth and no gap.

    Args:
        thickness: metres between outside and inside. depth: metres the flap reaches in.

    Returns:
        (Patch, (V,) 0 outside, 1 on the fold and the flap), in the order old vertices, fold rings.
    """
    border = border_edges(patch.f)
    rim, inverse = np.unique(border, return_inverse=True)
    inverse = inverse.reshape(-1, 2)
    n = normals(patch.v, patch.f)[rim]
    along = np.zeros((len(rim), 3))
    for a, b in ((0, 1), (1, 0)):
        np.add.at(along, inverse[:, a], (patch.v[border[:, 1]] - patch.v[border[:, 0]]))
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    outward = np.cross(along, n)  # leaves the patch across its border
    for _ in range(4):  # an even fold needs even directions
        for field in (n, outward):
            total = np.zeros_like(field)
            np.add.at(total, inverse[:, 0], field[inverse[:, 1]])
            np.add.at(total, inverse[:, 1], field[inverse[:, 0]])
            field[:] = field + total
            field /= np.maximum(np.linalg.norm(field, axis=1, keepdims=True), 1e-9)
    r = thickness / 2
    steps = [(r * 0.7, -r * 0.3), (r, -r), (r * 0.7, -1.7 * r), (0, -2 * r), (-depth, -2 * r)]
    v, f, data = [patch.v], [patch.f], [patch.data]
    previous, count = rim, len(patch.v)
    for out, up in steps:
        v.append(patch.v[rim] + out * outward + up * n)
        data.append(patch.data[rim])
        ring = np.arange(count, count + len(rim))
        a, b = inverse.T
        f += [np.stack([previous[b], previous[a], ring[a]], 1), np.stack([previous[b], ring[a], ring[b]], 1)]
        previous, count = ring, count + len(rim)
    inside = np.concatenate([np.zeros(len(patch.v)), np.ones(len(rim) * len(steps))])
    return Patch(np.concatenate(v), np.concatenate(f), np.concatenate(data)), inside
