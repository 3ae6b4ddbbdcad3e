"""From nodes, skinned triangles and materials back to one ``.glb`` file: the mirror image of ``gltf.read_gltf``."""

from __future__ import annotations

import io
import json
import struct

import numpy as np

from ..assets.files import atomic_write
from .gltf import WRAPS, GltfMaterial, GltfScene
from .gltf_file import BINARY_CHUNK, JSON_CHUNK, MAGIC

FLOAT, BYTES, SHORTS, INTS = 5126, 5121, 5123, 5125
KINDS = {FLOAT: np.float32, BYTES: np.uint8, SHORTS: np.uint16, INTS: np.uint32}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
WRAP_NUMBERS = {name: number for number, name in WRAPS.items()}
VERTEX_DATA, INDEX_DATA = 34962, 34963


def write_glb(path, scene: GltfScene, copyright_note="", generator="Contrapposto"):
    """Writes a GltfScene as a binary glTF 2.0 file.

    All skinned parts share one skin. Vertex colours, weights and texture coordinates within 0..1 are stored as normalized
    16-bit numbers, positions and normals as floats; of more than four influences per vertex the four largest are kept.

    Raises:
        InputError: the file cannot be written.
    """
    writer = _Writer()
    document = {
        "asset": {"version": "2.0", "generator": generator, **({"copyright": copyright_note} if copyright_note else {})},
        "scene": 0,
        "nodes": [_node(scene, i) for i in range(len(scene.names))],
    }
    document["materials"] = [writer.material(material) for material in scene.materials]
    skin = _skin_joints(scene)
    if skin:
        binds = {node: bind for part in scene.parts if part.skinned for node, bind in part.binds.items()}
        matrices = np.stack([binds[node].T.reshape(16) for node in skin])
        document["skins"] = [{"joints": skin, "inverseBindMatrices": writer.accessor(matrices, FLOAT)}]
    document["meshes"] = []
    for group in _mesh_groups(scene.parts):
        first = group[0]
        if first.skinned:
            document["nodes"].append({"name": "mesh", "mesh": len(document["meshes"]), "skin": 0})
        else:
            document["nodes"][int(first.joints[0, 0])]["mesh"] = len(document["meshes"])
        document["meshes"].append({"primitives": [writer.primitive(part, skin) for part in group]})
    roots = [i for i in range(len(document["nodes"])) if i >= len(scene.parents) or scene.parents[i] < 0]
    document["scenes"] = [{"nodes": roots}]
    writer.save(path, document)


def _node(scene, i):
    node = {"name": scene.names[i]}
    local = scene.local[i]
    if np.allclose(local[:3, :3], np.eye(3), atol=1e-9):
        node["translation"] = [float(x) for x in local[:3, 3]]
    else:
        node["matrix"] = [float(x) for x in local.T.ravel()]
    children = [int(c) for c in np.flatnonzero(scene.parents == i)]
    return node | ({"children": children} if children else {})


def _skin_joints(scene):
    return sorted({int(node) for part in scene.parts if part.skinned for node in part.binds})


def _mesh_groups(parts):
    """Skinned parts make one mesh; rigid parts one mesh for each node they follow."""
    groups = {}
    for part in parts:
        groups.setdefault("skinned" if part.skinned else int(part.joints[0, 0]), []).append(part)
    return groups.values()


class _Writer:
    """Collects the binary data and the entries that point into it."""

    def __init__(self):
        self.data = bytearray()
        self.lists = {"accessors": [], "bufferViews": [], "images": [], "textures": [], "samplers": []}
        self._textures = {}

    def add(self, kind, entry):
        self.lists[kind].append(entry)
        return len(self.lists[kind]) - 1

    def view(self, data, target=None):
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)} | ({"target": target} if target else {})
        self.data += data
        return self.add("bufferViews", entry)

    def accessor(self, values, kind, target=None, normalized=False, bounds=False):
        """Stores (count, components) values; normalized ones are given as 0..1."""
        values = np.asarray(values, np.float64).reshape(len(values), -1) if normalized else np.asarray(values).reshape(len(values), -1)
        if normalized:
            values = np.round(values.clip(0, 1) * np.iinfo(KINDS[kind]).max)
        values = np.ascontiguousarray(values, dtype=KINDS[kind])
        view = self.view(values.tobytes(), target)
        entry = {"componentType": kind, "count": len(values), "type": TYPES[values.shape[1]], "bufferView": view}
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        return self.add("accessors", entry)

    def primitive(self, part, skin):
        attributes = {"POSITION": self.accessor(part.vertices, FLOAT, VERTEX_DATA, bounds=True)}
        if part.normals is not None:
            attributes["NORMAL"] = self.accessor(part.normals, FLOAT, VERTEX_DATA)
        if part.uv is not None:
            inside = part.uv.min(initial=0) >= 0 and part.uv.max(initial=0) <= 1
            attributes["TEXCOORD_0"] = self.accessor(part.uv, SHORTS if inside else FLOAT, VERTEX_DATA, normalized=inside)
        if part.colors is not None:
            attributes["COLOR_0"] = self.accessor(part.colors, SHORTS, VERTEX_DATA, normalized=True)
        if part.skinned:
            slots, weights = _four_largest(np.searchsorted(skin, part.joints), part.weights)
            attributes["JOINTS_0"] = self.accessor(slots, BYTES if len(skin) < 256 else SHORTS, VERTEX_DATA)
            attributes["WEIGHTS_0"] = self.accessor(weights, SHORTS, VERTEX_DATA, normalized=True)
        small = len(part.vertices) < 1 << 16
        indices = self.accessor(part.faces.reshape(-1, 1), SHORTS if small else INTS, INDEX_DATA)
        return {"attributes": attributes, "indices": indices, "material": part.material}

    def material(self, material: GltfMaterial):
        look = {"baseColorFactor": list(material.base_color), "metallicFactor": 0, "roughnessFactor": 0.8}
        if material.texture is not None:
            look["baseColorTexture"] = {"index": self.texture(material.texture, material.wrap)}
        entry = {"name": material.name, "pbrMetallicRoughness": look, "doubleSided": material.double_sided}
        if material.alpha_mode != "opaque":
            entry["alphaMode"] = material.alpha_mode.upper()
        return entry | ({"alphaCutoff": material.alpha_cutoff} if material.alpha_mode == "mask" else {})

    def texture(self, pixels, wrap):
        from PIL import Image

        key = (id(pixels), wrap)
        if key not in self._textures:
            packed = io.BytesIO()
            opaque = (pixels[..., 3] == 255).all()
            Image.fromarray(pixels[..., :3] if opaque else pixels).save(packed, "PNG", optimize=True)
            image = self.add("images", {"mimeType": "image/png", "bufferView": self.view(packed.getvalue())})
            sampler = self.add("samplers", {"wrapS": WRAP_NUMBERS[wrap[0]], "wrapT": WRAP_NUMBERS[wrap[1]]})
            self._textures[key] = self.add("textures", {"source": image, "sampler": sampler})
        return self._textures[key]

    def save(self, path, document):
        self.data += b"\0" * (-len(self.data) % 4)
        document |= {kind: entries for kind, entries in self.lists.items() if entries}
        document["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        header = struct.pack("<III", MAGIC, 2, 28 + len(text) + len(self.data))
        chunks = struct.pack("<II", len(text), JSON_CHUNK) + text + struct.pack("<II", len(self.data), BINARY_CHUNK) + bytes(self.data)
        with atomic_write(path, "avatar file") as part:
            part.write_bytes(header + chunks)


def _four_largest(slots, weights):
    """(V, 4) slots and weights that sum to exactly 65535 parts."""
    pad = max(0, 4 - weights.shape[1])
    slots, weights = np.pad(slots, ((0, 0), (0, pad))), np.pad(weights, ((0, 0), (0, pad)))
    largest = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    slots, weights = np.take_along_axis(slots, largest, 1), np.take_along_axis(weights, largest, 1)
    parts = np.floor(weights / weights.sum(1, keepdims=True) * 65535)
    parts[:, 0] += 65535 - parts.sum(1)
    return np.where(parts > 0, slots, 0), parts / 65535
