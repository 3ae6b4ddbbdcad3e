"""An avatar: a user's textured character with its skeleton read as a human's, ready to be posed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ..assets.registry import DEFAULT_AVATAR, bundled
from ..assets.search import find_file
from ..checks import LARGEST, InputError
from ..types import Material
from .bone_map import find_bone_map
from .fbx import read_fbx
from .gltf import read_gltf
from .gltf_file import NAME
from .rig import Rig, build_rig, with_twists
from .skinning import SPARSE_DEVICES, skin_dense, skin_sparse, weighted_points

MAX_WEIGHTS = 1 << 29  # vertices times moving bones: 2 GB


@dataclass(frozen=True, eq=False)
class Avatar:
    """A character at rest, in the body frame (+Y up, +Z front, +X left) but in its file's units.

    A *driver* is a bone that plays a human joint (``rig.humanoid``, D of them); every other bone follows one rigidly.
    A vertex is a blend of S *slots*, each a driver with a rest map from the vertex's own space: ``X_driver @ T_rest_slot``.

    Args:
        name: the file's stem.
        rig: the skeleton.
        vertices: (V, 3) in their own space. faces: (F, 3) int64.
        normals: (V, 3) in their own space.
        weights: (V, S) rows sum to 1.
        slot_driver: (S,) int64. T_rest_slot: (S, 4, 4) own space to the rest pose.
        rest: (V, 3) skinned rest vertices.
        contacts: (C,) vertices that touch the floor first, whatever the pose.
        uv, colors, face_material, materials: as in ``types.Mesh``.
    """

    name: str
    rig: Rig
    vertices: Tensor
    faces: Tensor
    normals: Tensor
    weights: Tensor
    slot_driver: Tensor
    T_rest_slot: Tensor
    rest: Tensor
    contacts: Tensor
    uv: Tensor | None
    colors: Tensor | None
    face_material: Tensor
    materials: tuple[Material, ...]

    @property
    def device(self):
        return self.vertices.device

    @property
    def height(self):
        """Rest height in the file's units."""
        return float(self.rest[:, 1].max() - self.rest[:, 1].min())

    @cached_property
    def skinners(self):
        """Two functions from slot maps to skinned positions and to skinned normals (of any length), prepared once."""
        positions = torch.nn.functional.pad(self.vertices, (0, 1), value=1.0)
        if self.device.type not in SPARSE_DEVICES:
            return tuple(partial(skin_dense, self.weights, points) for points in (positions, self.normals))
        return tuple(partial(skin_sparse, weighted_points(self.weights, points)) for points in (positions, self.normals))

    @cached_property
    def pairings(self):
        """What was worked out for this avatar with bodies; see `pairing.pair`."""
        return WeakKeyDictionary()

    def to(self, device):
        """Returns the avatar with every tensor on ``device``; itself, with all that it has prepared, if it is there already."""
        if torch.device(device) == self.device:
            return self
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **moved)


def load_avatar(source=None, device="cpu", bone_map=None):
    """Loads a rigged humanoid character.

    Args:
        source: None for the bundled default avatar; a Path; or a name (str) inside the avatar folders: .glb, .vrm, .gltf, or .fbx,
            which needs the package ufbx.
        device: where the tensors go.
        bone_map: which bone plays which joint, where the file's own names are wrong: a dict, JSON text or the Path of a JSON file.
            None takes ``<avatar>.bones.json`` beside the file, if there is one.

    Raises:
        InputError: the file is missing, damaged, compressed, has no skeleton, or is not a humanoid.
    """
    path = bundled(DEFAULT_AVATAR) if source is None else source if isinstance(source, Path) else find_file("avatars", source)
    entries = find_bone_map(path, bone_map)
    scene = read_fbx(path) if path.suffix.lower() == ".fbx" else read_gltf(path)
    rig = with_twists(build_rig(scene, path, entries), scene)
    return _assemble(scene, rig, path).to(device)


def _assemble(scene, rig, path):
    """Joins all parts into one list of vertices, in the body frame."""
    parts = scene.parts
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts)])
    if len(faces) == 0:
        raise InputError(NAME, path, "holds no triangles to draw", "Export the character with its mesh.")
    weights, slot_driver, T_rest_slot = _slots(parts, rig, path)
    rest = np.einsum("vs,sij,vj->vi", weights, T_rest_slot[:, :3, :3], vertices, optimize=True) + weights @ T_rest_slot[:, :3, 3]
    if np.ptp(rest, axis=0).max() < 1e-9 or not all((np.abs(array) <= LARGEST).all() for array in (rest, vertices, T_rest_slot)):
        raise InputError(NAME, path, "has no size at rest, or no end", "Export the character again with its skeleton in rest pose.")
    own = [part.normals for part in parts]
    normals = np.concatenate([_vertex_normals(p.vertices, p.faces) if n is None else n for p, n in zip(parts, own)])
    return Avatar(
        name=path.stem, rig=rig, vertices=_float(vertices), faces=torch.from_numpy(faces), normals=_float(normals),
        weights=_float(weights), slot_driver=torch.from_numpy(slot_driver), T_rest_slot=_float(T_rest_slot), rest=_float(rest),
        contacts=contact_vertices(_float(rest), _float(_driver_weights(weights, slot_driver, len(rig.humanoid)))),
        uv=_joined(parts, "uv", 2, 0.0), colors=_joined(parts, "colors", 4, 1.0),
        face_material=torch.from_numpy(np.repeat([p.material for p in parts], [len(p.faces) for p in parts])),
        materials=tuple(_material(m) for m in scene.materials))


def _slots(parts, rig, path):
    """Merges the influences of all parts: bones that follow one driver with one rest map are one slot.

    Returns:
        weights (V, S), slot_driver (S,), T_rest_slot (S, 4, 4).
    """
    driver_of = rig.drivers()
    R = np.eye(4)
    R[:3, :3] = rig.R_body
    numbers, maps, rows = {}, [], []
    for part in parts:
        table = np.zeros(len(rig.names), np.int64)
        for node in np.unique(part.joints):
            T = R @ rig.world[node] @ part.binds[int(node)]
            scale = np.abs(T[:3]).max()
            key = (int(driver_of[node]), *np.round(T[:3] / max(scale, 1e-12), 5).ravel(), float(f"{scale:.4g}"))
            if key not in numbers:
                numbers[key] = len(maps)
                maps.append((driver_of[node], T))
            table[node] = numbers[key]
        rows.append((table[part.joints], part.weights))
    count = sum(len(slots) for slots, _ in rows)
    if count * len(maps) > MAX_WEIGHTS:
        raise InputError(NAME, path, f"has {count} vertices under {len(maps)} moving bones, too many", "Reduce the character's mesh.")
    weights = np.zeros((count, len(maps)), np.float32)
    start = 0
    for slots, part_weights in rows:
        np.add.at(weights, (np.arange(start, start + len(slots))[:, None], slots), part_weights)
        start += len(slots)
    return weights, np.array([driver for driver, _ in maps]), np.stack([T for _, T in maps])


def _driver_weights(weights, slot_driver, count):
    merged = np.zeros((len(weights), count), np.float32)
    for slot, driver in enumerate(slot_driver):
        merged[:, driver] += weights[:, slot]
    return merged


def contact_vertices(rest, weights):
    """Indices of the vertices that lie outermost in 26 directions among those that each bone moves most.

    Whatever the pose, the lowest vertex of the figure is among them, but for a few millimetres.

    Args:
        rest: (V, 3) rest vertices. weights: (V, J) skinning weights.
    """
    steps = torch.tensor([-1.0, 0.0, 1.0], device=rest.device)
    directions = torch.cartesian_prod(steps, steps, steps)
    directions = torch.nn.functional.normalize(directions[directions.abs().sum(1) > 0], dim=1)
    reach, owner = rest @ directions.T, weights.T.contiguous().argmax(0)
    by_bone = owner.argsort().split(owner.bincount().tolist())
    return torch.cat([mine[reach[mine].argmax(0)] for mine in by_bone if len(mine)]).unique()


def _vertex_normals(vertices, faces):
    """Area-weighted vertex normals; vertices at one place share theirs, so that seams stay smooth."""
    _, shared = np.unique(vertices.round(6), axis=0, return_inverse=True)
    shared = shared.reshape(-1)
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((shared.max() + 1 if len(shared) else 0, 3))
    for corner in range(3):
        np.add.at(total, shared[faces[:, corner]], across)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))[shared]


def _joined(parts, name, width, missing):
    """One attribute of all parts, filled with ``missing`` where a part lacks it; None if every part does."""
    if all(getattr(part, name) is None for part in parts):
        return None
    filled = [np.full((len(p.vertices), width), missing) if getattr(p, name) is None else getattr(p, name) for p in parts]
    return _float(np.concatenate(filled))


def _material(read):
    texture = None if read.texture is None else torch.from_numpy(read.texture)
    return Material(read.name, read.base_color, texture, read.alpha_mode, read.alpha_cutoff, read.double_sided, read.wrap)


def _float(array):
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
