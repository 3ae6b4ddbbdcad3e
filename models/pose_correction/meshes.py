"""Posed bodies as still mesh files: PLY and GLB, world frame (+Y up), metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from ..assets.files import atomic_write
from ..avatars.gltf import GltfMaterial, GltfPart, GltfScene
from ..avatars.gltf_writer import write_glb
from ..checks import check_choice, check_shape

FORMATS = ("ply", "glb")
GRAY = (0.36, 0.38, 0.40, 1.0)  # linear


def write_mesh(path, vertices: Tensor, faces: Tensor):
    """Writes one mesh in the format that the file's ending names.

    Args:
        path: ``.ply`` or ``.glb``.
        vertices: (V, 3) metres.
        faces: (F, 3).

    Raises:
        InputError: another ending, shapes do not fit, or the file cannot be written.
    """
    check_shape("vertices", vertices, "V 3")
    check_shape("faces", faces, "F 3")
    kind = check_choice("mesh format", Path(path).suffix.lower().removeprefix("."), FORMATS)
    points, corners = vertices.detach().cpu().numpy().astype("<f4"), faces.cpu().numpy().astype("<i4")
    if kind == "glb":
        write_glb(path, _scene(points, corners))
        return
    with atomic_write(path, "mesh file") as part:
        part.write_bytes(_ply(points, corners))


def _ply(points, corners):
    """Binary little-endian PLY 1.0."""
    rows = np.empty(len(corners), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, corners
    head = ("ply\nformat binary_little_endian 1.0\ncomment metres, +Y up, +Z front\n"
            f"element vertex {len(points)}\nproperty float x\nproperty float y\nproperty float z\n"
            f"element face {len(corners)}\nproperty list uchar int vertex_indices\nend_header\n")
    return head.encode("ascii") + points.tobytes() + rows.tobytes()


def _scene(points, corners):
    """One node with one unskinned part."""
    eye = np.eye(4)[None]
    still = np.zeros((len(points), 1), int)
    part = GltfPart(points, corners, _normals(points, corners), None, None, still, np.ones((len(points), 1)), {0: np.eye(4)}, 0, False)
    material = GltfMaterial("body", GRAY, None, "opaque", 0.5, False, ("repeat", "repeat"))
    return GltfScene(["body"], np.array([-1]), [0], eye, eye, [part], [material], {})


def _normals(points, corners):
    """Area-weighted; viewers draw flat triangles without them."""
    a, b, c = (points[corners[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for i in range(3):
        np.add.at(total, corners[:, i], across)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
