"""Short hair with volume: a shell over the skull, combed from the crown in locks, cut along a smooth hairline."""

from __future__ import annotations

import numpy as np

from .mesh_tools import Patch, clip, hem, normals, triangles
from .piece import plain, ramp, srgb
from .source import HEAD

ROOT, TIP = srgb("#2a1810"), srgb("#6b4329")
CENTRE = np.array([0.0, 0.480, 0.062])
CROWN = np.array([0.10, 0.92, -0.38])  # direction of the whorl
AROUND, DOWN = 160, 46
LOCKS = 17


def hair(source):
    theta = np.linspace(0, 1, DOWN)[1:] ** 0.85 * 2.35
    phi = np.arange(AROUND) * 2 * np.pi / AROUND
    T, P = np.meshgrid(theta, phi, indexing="ij")
    directions = _directions(np.r_[0, T.ravel()], np.r_[0, P.ravel()])
    skull = _skull(source, directions)
    scalp = CENTRE + directions * skull[:, None]
    angle = np.r_[0, (P + 0.55 * T).ravel()]
    lock, strand = _locks(angle, np.r_[0, T.ravel()])
    down = np.r_[0, T.ravel()]
    tips = 0.003 + 0.007 * ramp(scalp[:, 2], 0.11, 0.14) + 0.003 * ramp(-scalp[:, 2], -0.03, 0.01)  # ragged in front and at the nape
    field = hairline(scalp) + tips * (lock - 0.5) * ramp(down, 0.6, 1.2)
    lift = _volume(scalp, field) + (0.0055 * (lock - 0.6) + 0.0012 * strand) * ramp(field, 0.0, 0.02) * ramp(down, 0.05, 0.5)
    v = scalp + directions * np.maximum(lift, 0.0025)[:, None]
    tone = np.clip(0.25 + 0.55 * lock + 0.25 * strand, 0, 1) * (0.55 + 0.45 * ramp(field, 0, 0.03))
    data = np.c_[np.zeros((len(v), 24)), tone, field]
    data[:, HEAD] = 1
    patch = clip(Patch(v, _grid_faces(), data), field)
    under, below = hem(patch, patch.data[:, 25], 0.0025, 0.02)
    shade = 1 - 0.6 * ramp(below, 0.001, 0.01)[:, None]
    return [plain(part, normals(part.v, part.f), dim * (ROOT + part.data[:, 24:25] * (TIP - ROOT)), "hair")
            for part, dim in ((patch, 1.0), (under, shade))]


def hairline(v):
    """Metres inside (+) the hair: over the forehead, down in front of the ear, round it, and to the nape."""
    x, y, z = v.T
    temple = ((0.44, 0.094), (0.46, 0.098), (0.48, 0.102), (0.50, 0.108), (0.515, 0.121), (0.53, 0.143), (0.54, 0.168), (0.56, 0.30))
    front = np.interp(y + 0.06 * x, *zip(*temple)) - z
    bottom = y - np.interp(z, [-0.04, 0.0, 0.02, 0.04, 0.075, 0.10], [0.388, 0.396, 0.408, 0.430, 0.446, 0.452])
    ear = (np.hypot((z - 0.064) / 0.017, (y - 0.446) / 0.034) - 1) * 0.025
    ear = np.where(np.abs(x) > 0.045, ear, 1.0)
    return _soft_min(_soft_min(0.7 * front, bottom), ear)


def _soft_min(a, b, k=0.006):
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def _volume(v, field):
    """Metres between scalp and the hair's surface: close at the sides, full on top, fullest above the forehead."""
    y, z = v[:, 1], v[:, 2]
    full = 0.007 + 0.012 * ramp(y, 0.47, 0.56) + 0.012 * ramp(y, 0.53, 0.57) * ramp(z, 0.06, 0.13) + 0.004 * ramp(0.01 - z, 0, 0.04)
    return 0.0025 + full * ramp(field, 0.0, 0.030) ** 0.7


def _locks(angle, theta):
    """(N,) 0..1 height across a lock, and -1..1 finer strands: asymmetric waves round the crown."""
    warped = angle + 0.10 * np.sin(3 * angle + 1.0) + 0.05 * np.sin(7 * angle + 2.0 * theta)
    lock = np.abs(np.cos(LOCKS * warped / 2)) ** 0.7
    strand = np.sin(4 * LOCKS * warped + 1.5 * np.sin(5 * warped)) * 0.6 + np.sin(2.5 * LOCKS * warped + 3 * theta) * 0.4
    return lock, strand


def _directions(theta, phi):
    pole = CROWN / np.linalg.norm(CROWN)
    front = np.array([0, 0, 1.0]) - pole * pole[2]
    front /= np.linalg.norm(front)
    side = np.cross(pole, front)
    return np.cos(theta)[:, None] * pole + np.sin(theta)[:, None] * (np.cos(phi)[:, None] * front + np.sin(phi)[:, None] * side)


def _grid_faces():
    ring = lambda i: 1 + i * AROUND + np.arange(AROUND)
    f = [np.stack([np.zeros(AROUND, int), ring(0), np.roll(ring(0), -1)], 1)]
    for i in range(DOWN - 2):
        a, b = ring(i), ring(i + 1)
        c, d = np.roll(a, -1), np.roll(b, -1)
        f += [np.stack([a, b, c], 1), np.stack([c, b, d], 1)]
    return np.concatenate(f)


def _skull(source, directions):
    """Distance from CENTRE to the skull, ears left out and their holes filled by the surroundings."""
    f = triangles(source.groups["body"])
    v = source.v
    f = f[(source.weights[f].sum((1, 2)) > 2.9) & (v[f][:, :, 1].min(1) > 0.33)]
    middle = v[f].mean(1)
    ear = np.hypot((middle[:, 2] - 0.060) / 0.024, (middle[:, 1] - 0.462) / 0.046) < 1
    f = f[~(ear & (np.abs(middle[:, 0]) > 0.058))]
    distance = np.zeros(len(directions))
    for start in range(0, len(directions), 256):
        rows = slice(start, start + 256)
        distance[rows] = _ray_length(directions[rows], v[f] - CENTRE)
    grid = distance[1:].reshape(-1, AROUND)
    hit = grid > 0
    grid = np.where(hit, grid, grid[hit].mean())
    for step in range(200):
        mean = (np.roll(grid, 1, 1) + np.roll(grid, -1, 1) + np.vstack([grid[:1], grid[:-1]]) + np.vstack([grid[1:], grid[-1:]])) / 4
        grid = np.where(hit & (step < 190), grid, mean)
    return np.r_[grid[0].mean(), grid.ravel()]


def _ray_length(directions, corners):
    """(R,) distance along each direction from the origin to the farthest triangle, 0 where there is none (Möller-Trumbore)."""
    a, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(directions[:, None], e2[None])
    determinant = (e1 * p).sum(-1)
    scale = 1 / np.where(np.abs(determinant) < 1e-14, np.inf, determinant)
    u = (-a * p).sum(-1) * scale
    q = np.cross(-a, e1)
    w = (directions[:, None] * q).sum(-1) * scale
    t = (e2 * q).sum(-1) * scale
    return np.where((u >= -1e-6) & (w >= -1e-6) & (u + w <= 1 + 1e-6) & (t > 0), t, 0).max(1)
