"""Characters made up on the spot: raw glTF bytes, stick figures under any bone names, the default avatar in another rest pose."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from contrapposto.models.avatars.gltf import GltfMaterial, GltfPart, GltfScene
from contrapposto.models.avatars.gltf_writer import write_glb
from contrapposto.models.bodies.body import load_body_model

STICK = {  # role: (parent role, position in metres), a T-pose facing +Z
    "pelvis": (None, (0, 1.0, 0)), "spine": ("pelvis", (0, 1.2, 0)), "chest": ("spine", (0, 1.35, 0)), "neck": ("chest", (0, 1.5, 0)),
    "head": ("neck", (0, 1.6, 0)),
    **{f"{side}_{part}": (parent and f"{side}_{parent}", (sign * x, y, z)) for side, sign in (("left", 1), ("right", -1))
       for part, parent, (x, y, z) in (
           ("hip", None, (0.1, 0.95, 0)), ("knee", "hip", (0.1, 0.5, 0)), ("ankle", "knee", (0.1, 0.08, -0.02)),
           ("foot", "ankle", (0.1, 0.02, 0.1)),
           ("collar", None, (0.03, 1.45, 0)), ("shoulder", "collar", (0.18, 1.45, 0)), ("elbow", "shoulder", (0.45, 1.45, 0)),
           ("wrist", "elbow", (0.7, 1.45, 0)))},
}  # fmt: skip
STICK |= {name: (above or ("pelvis" if "hip" in name else "chest"), at) for name, (above, at) in STICK.items() if "_" in name}


def _stick_scene(names, positions=None):
    """A scene whose every bone carries one small tetrahedron. ``names`` {role: bone name}; roles without one are left out."""
    roles = [role for role in STICK if role in names]
    at = {role: np.array((positions or {}).get(role, STICK[role][1]), float) for role in roles}
    parents = []
    for role in roles:
        above = STICK[role][0]
        while above is not None and above not in roles:
            above = STICK[above][0]
        parents.append(-1 if above is None else roles.index(above))
    world = np.stack([_translation(at[role]) for role in roles])
    local = np.stack([_translation(at[role] - (at[roles[p]] if p >= 0 else 0)) for role, p in zip(roles, parents)])
    corner = 0.03 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
    vertices = np.concatenate([at[role] + corner for role in roles])
    faces = np.concatenate([np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]) + 4 * i for i in range(len(roles))])
    joints = np.repeat(np.arange(len(roles)), 4)[:, None]
    binds = {i: np.linalg.inv(world[i]) for i in range(len(roles))}
    part = GltfPart(vertices, faces, None, None, None, joints, np.ones((len(vertices), 1)), binds, 0, True)
    order = sorted(range(len(roles)), key=lambda i: _depth(i, parents))
    return GltfScene([names[role] for role in roles], np.array(parents), order, local, world, [part], [GltfMaterial()], {})


def _depth(i, parents):
    return 0 if parents[i] < 0 else 1 + _depth(parents[i], parents)


def _translation(offset):
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


@pytest.fixture
def stick_glb(tmp_path):
    """Writes a stick figure with the given bone names; returns its path."""

    def make(names, positions=None, name="stick.glb", edit=None):
        path = tmp_path / name
        write_glb(path, _stick_scene(names, positions))
        if edit is not None:
            document, binary = split_glb(path.read_bytes())
            edit(document)
            path.write_bytes(join_glb(document, binary))
        return path

    return make


def split_glb(data):
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def join_glb(document, binary=b""):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


@pytest.fixture
def glb_tools():
    return split_glb, join_glb


@pytest.fixture
def triangle_glb(tmp_path):
    """A file with one triangle: (document, binary) are handed to ``edit``, which may change both and returns the binary."""

    def make(edit=None, name="triangle.glb"):
        binary = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], "<f4").tobytes() + np.array([0, 1, 2, 0], "<u2").tobytes()
        document = {
            "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
                          {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"}],
            "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 8}],
            "buffers": [{"byteLength": 44}],
        }  # fmt: skip
        if edit is not None:
            binary = edit(document, binary) or binary
        path = tmp_path / name
        path.write_bytes(json.dumps(document).encode() if name.endswith(".gltf") else join_glb(document, binary))
        return path

    return make


@pytest.fixture(scope="session")
def body():
    return load_body_model()


@pytest.fixture(scope="session")
def real_avatars():
    """Folder of rigged characters nobody here made, given by CONTRAPPOSTO_TEST_AVATARS or lying in ../shared/data/avatars."""
    import os

    folder = Path(os.environ.get("CONTRAPPOSTO_TEST_AVATARS", Path(__file__).parents[4] / "shared/data/avatars"))
    if not folder.is_dir():
        pytest.skip(f"no rigged characters at {folder} (CONTRAPPOSTO_TEST_AVATARS names another folder)")
    return folder
