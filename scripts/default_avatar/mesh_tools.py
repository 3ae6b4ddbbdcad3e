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


def smooth_data(patch, steps, columns):
    """Evens out interpolated values, such as skin weights, over neighbouring vertices."""
    data = patch.data.copy()
    edges = unique_edges(patch.f)
    rows = np.concatenate([edges, edges[:, ::-1]])
    count = np.bincount(rows[:, 0], minlength=len(data))[:, None]
    for _ in range(steps):
        total = np.zeros((len(data), columns))
        np.add.at(total, rows[:, 0], data[rows[:, 1], :columns])
        data[:, :columns] = 0.5 * data[:, :columns] + 0.5 * total / np.maximum(count, 1)
    return replace(patch, data=data)


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


def hem(patch, edge_distance, thickness, depth):
    """The inside of a garment near its border: a copy of the last strip, pushed in, joined to the outside by a rounded fold.

    Looking into a sleeve then shows cloth and no gap.

    Args:
        patch: the outside. Its data are copied.
        edge_distance: (V,) metres from the border, 0 on it.
        thickness: metres between outside and inside. depth: metres the inside reaches in.

    Returns:
        (Patch, (V,) depth in metres below the border; the fold itself has 0).
    """
    n = normals(patch.v, patch.f)
    border = border_edges(patch.f)
    border = border[(np.abs(edge_distance[border]) < 3e-3).all(1)]  # other borders lie hidden and stay open
    rim, ends = np.unique(border, return_inverse=True)
    ends = ends.reshape(-1, 2)
    strip = patch.f[(edge_distance[patch.f] < depth).all(1)][:, ::-1]
    count = len(patch.v)
    v = [patch.v - thickness * n]
    outward = _across_border(patch, border, rim, ends, n[rim])
    f, a, b = [strip], ends[:, 0], ends[:, 1]
    rings = []
    for out, up in ((0.0, 0.0), (0.35, -0.15), (0.5, -0.5), (0.35, -0.85)):
        rings.append(count + len(rings) * len(rim) + np.arange(len(rim)))
        v.append(patch.v[rim] + thickness * (out * outward + up * n[rim]))
    for low, high in zip(rings, rings[1:] + [rim]):
        f += [np.stack([low[b], low[a], high[a]], 1), np.stack([low[b], high[a], high[b]], 1)]
    data = np.concatenate([patch.data] + [patch.data[rim]] * 4)
    below = np.concatenate([edge_distance, np.zeros(4 * len(rim))])
    folded = compact(Patch(np.concatenate(v), np.concatenate(f), np.c_[data, below]))
    return Patch(folded.v, folded.f, folded.data[:, :-1]), folded.data[:, -1]


def _across_border(patch, border, rim, ends, n):
    """(R, 3) unit vectors that leave the patch across its border, evened out along it."""
    along = np.zeros((len(rim), 3))
    for end in (0, 1):
        np.add.at(along, ends[:, end], patch.v[border[:, 1]] - patch.v[border[:, 0]])
    outward = np.cross(along, n)
    for _ in range(4):
        total = outward.copy()
        np.add.at(total, ends[:, 0], outward[ends[:, 1]])
        np.add.at(total, ends[:, 1], outward[ends[:, 0]])
        outward = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return outward
