"""From a glTF 2.0 file to nodes, skinned triangles and materials: all that is drawn at rest, in one list of vertices.

Conventions kept from the format: +Y up, matrices act on column vectors, texture coordinates start at the top left,
colours and base colour factors are linear, textures are sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..checks import InputError
from .gltf_file import GltfFile, finite

MAX_NODES = 4096
MAX_VERTICES = 4_000_000
MAX_FACES = 8_000_000
MAX_PARTS = 4096
MAX_TEXELS = 2 << 30  # bytes of all textures
MAX_MORPHS = 64_000_000  # vertices times the expressions that are blended into them
WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
DAMAGE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError)


@dataclass
class GltfMaterial:
    """A look, still in numpy. Fields as in ``types.Material``; ``texture`` is (H, W, 4) uint8 or None."""

    name: str = "default"
    base_color: tuple = (1.0, 1.0, 1.0, 1.0)
    texture: np.ndarray | None = None
    alpha_mode: str = "opaque"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    wrap: tuple = ("repeat", "repeat")
    uv_set: int = 0
    uv_matrix: np.ndarray = field(default_factory=lambda: np.eye(3))


@dataclass
class GltfPart:
    """One drawn primitive. A vertex follows ``weights``-blended nodes: ``world[joints] @ binds`` moves it from its own space.

    ``vertices`` (V, 3), ``faces`` (F, 3), ``normals`` (V, 3) or None, ``uv`` (V, 2) or None, ``colors`` (V, 4) or None,
    ``joints`` (V, K) node numbers, ``weights`` (V, K) summing to 1, ``binds`` {node: (4, 4)}, ``material`` number.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    uv: np.ndarray | None
    colors: np.ndarray | None
    joints: np.ndarray
    weights: np.ndarray
    binds: dict
    material: int
    skinned: bool


@dataclass
class GltfScene:
    """A read file: ``names``, ``parents`` (N,) -1 at roots, ``local`` and ``world`` (N, 4, 4) at rest, parents before children
    in ``order``; ``parts``; ``materials``; ``vrm_bones`` {VRM bone name: node} when the file carries a humanoid map."""

    names: list
    parents: np.ndarray
    order: list
    local: np.ndarray
    world: np.ndarray
    parts: list
    materials: list
    vrm_bones: dict


def read_gltf(path):
    """Reads a ``.glb``, ``.vrm`` or ``.gltf`` file into a GltfScene.

    Raises:
        InputError: the file is damaged, compressed, too large or holds nothing to draw.
    """
    file = GltfFile(path)
    try:
        file.refuse_compression()
        return _read_scene(file)
    except InputError:
        raise
    except DAMAGE as error:  # a field of the wrong type somewhere in the document
        raise file.error(f"is damaged ({type(error).__name__}: {str(error)[:80]})") from None


def _read_scene(file):
    nodes = file.json.get("nodes") or []
    if len(nodes) > MAX_NODES:
        raise file.error(f"has {len(nodes)} nodes", f"Export the character alone, with at most {MAX_NODES} bones and objects.")
    parents, order = _tree(file, nodes)
    local = np.stack([_local_matrix(file, node) for node in nodes]) if nodes else np.zeros((0, 4, 4))
    world = local.copy()
    for i in order:
        if parents[i] >= 0:
            world[i] = world[parents[i]] @ local[i]
    materials = _Materials(file)
    parts = _parts(file, nodes, _shown(file, nodes, order, parents), world, materials)
    if not parts:
        raise file.error("holds no triangles to draw", "Export the character with its mesh.")
    names = [str(node.get("name") or f"node {i}") for i, node in enumerate(nodes)]
    return GltfScene(names, parents, order, local, world, parts, materials.read, _vrm_bones(file, len(nodes)))


def _tree(file, nodes):
    parents = np.full(len(nodes), -1)
    for i, node in enumerate(nodes):
        for child in node.get("children") or []:
            file.item("nodes", child)
            if parents[child] >= 0 or child == i:
                raise file.error(f"has nodes in a circle or with two parents (node {child})")
            parents[child] = i
    order = [i for i in range(len(nodes)) if parents[i] < 0]
    for i in order:  # grows while it is walked: breadth first
        order.extend(nodes[i].get("children") or [])
    if len(order) != len(nodes):
        raise file.error("has nodes in a circle")
    return parents, order


def _local_matrix(file, node):
    if "matrix" in node:
        values = finite(node["matrix"], 16)
        if values is None:
            raise file.error("has a node matrix that is not 16 numbers")
        return np.array(values).reshape(4, 4).T
    translation, scale = finite(node.get("translation", [0, 0, 0]), 3), finite(node.get("scale", [1, 1, 1]), 3)
    rotation = finite(node.get("rotation", [0, 0, 0, 1]), 4)
    if translation is None or scale is None or rotation is None:
        raise file.error("has a node transform that is not made of finite numbers")
    matrix = np.eye(4)
    matrix[:3, :3] = _unitquat_to_rotmat(np.array(rotation)) * scale
    matrix[:3, 3] = translation
    return matrix


def _unitquat_to_rotmat(quat):
    x, y, z, w = quat / max(np.linalg.norm(quat), 1e-12)
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def _shown(file, nodes, order, parents):
    """The nodes of the default scene, with everything below them; all nodes when the file names no scene."""
    if not file.json.get("scenes"):
        return set(range(len(nodes)))
    shown = set(file.item("scenes", file.json.get("scene", 0)).get("nodes") or [])
    for i in order:
        if parents[i] in shown:
            shown.add(i)
    return shown


def _parts(file, nodes, shown, world, materials):
    parts, vertices, faces = [], 0, 0
    for i, node in enumerate(nodes):
        if "mesh" not in node or i not in shown:
            continue
        mesh = file.item("meshes", node["mesh"])
        skin = _skin(file, node["skin"], len(nodes)) if "skin" in node else None
        for primitive in mesh["primitives"]:
            part = _part(file, primitive, i, skin, world, node.get("weights") or mesh.get("weights") or [], materials)
            if part is not None:
                vertices, faces = vertices + len(part.vertices), faces + len(part.faces)
                parts.append(part)
            if len(parts) > MAX_PARTS:
                raise file.error(f"has more than {MAX_PARTS} meshes", "Join the character's meshes.")
            if vertices > MAX_VERTICES or faces > MAX_FACES:
                raise file.error(f"has more than {MAX_VERTICES} vertices or {MAX_FACES} triangles", "Reduce the character's mesh.")
    return parts


def _skin(file, index, node_count):
    skin = file.item("skins", index)
    joints = np.array(skin["joints"], dtype=np.int64)
    if joints.ndim != 1 or len(joints) == 0 or joints.min() < 0 or joints.max() >= node_count:
        raise file.error(f"has skins[{index}] with bones that do not exist")
    binds = np.tile(np.eye(4), (len(joints), 1, 1))
    if "inverseBindMatrices" in skin:
        read = file.accessor(skin["inverseBindMatrices"])
        if read.shape[1] != 16 or len(read) < len(joints):
            raise file.error(f"has skins[{index}] with too few bind matrices")
        binds = read[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
    return joints, binds


def _part(file, primitive, node, skin, world, morph_weights, materials):
    attributes = primitive["attributes"]
    mode = primitive.get("mode", 4)
    if mode not in (4, 5, 6) or "POSITION" not in attributes:
        return None
    vertices = _columns(file, attributes["POSITION"], 3)
    if len(vertices) * sum(bool(weight) for weight in morph_weights) > MAX_MORPHS:
        raise file.error("blends too many expressions into its mesh", "Export the character with its expressions at zero.")
    for weight, target in zip(morph_weights, primitive.get("targets") or []):
        if weight and "POSITION" in target:
            vertices = vertices + float(weight) * _columns(file, target["POSITION"], 3, len(vertices))
    faces = _faces(file, primitive, mode, len(vertices))
    optional = {name: _columns(file, attributes[name], width, len(vertices)) if name in attributes else None
                for name, width in (("NORMAL", 3), ("COLOR_0", None))}
    material = materials.number(primitive.get("material"))
    uv = _uv(file, attributes, materials.read[material], len(vertices))
    colors = optional["COLOR_0"]
    if colors is not None and colors.shape[1] == 3:
        colors = np.concatenate([colors, np.ones_like(colors[:, :1])], 1)
    skinned = skin is not None and "JOINTS_0" in attributes and "WEIGHTS_0" in attributes
    if skinned:
        joints, weights, binds = _influences(file, attributes, skin, len(vertices))
    else:  # a rigid part follows its own node
        joints, weights, binds = np.full((len(vertices), 1), node), np.ones((len(vertices), 1)), {node: np.eye(4)}
        if np.linalg.det(world[node][:3, :3]) < 0:
            faces = faces[:, ::-1]
    return GltfPart(vertices, faces, optional["NORMAL"], uv, colors, joints, weights, binds, material, skinned)


def _columns(file, index, width, count=None):
    """An accessor as float64 with ``width`` columns (None: 3 or 4) and ``count`` rows."""
    values = file.accessor(index).astype(np.float64)
    if (values.shape[1] not in (3, 4) if width is None else values.shape[1] != width) or (count is not None and len(values) != count):
        raise file.error(f"has a vertex attribute of the wrong size (accessors[{index}])")
    return values


def _uv(file, attributes, material, count):
    name = f"TEXCOORD_{material.uv_set}"
    if material.texture is None or name not in attributes:
        return None
    uv = _columns(file, attributes[name], 2, count)
    return uv @ material.uv_matrix[:2, :2].T + material.uv_matrix[:2, 2]


def _faces(file, primitive, mode, count):
    if "indices" in primitive:
        read = file.accessor(primitive["indices"])
        if read.dtype.kind != "u" or read.shape[1] != 1:
            raise file.error("has triangle indices of the wrong type")
        corners = read[:, 0].astype(np.int64)
    else:
        corners = np.arange(count)
    if len(corners) and corners.max() >= count:
        raise file.error(f"has a triangle that uses vertex {corners.max()} of {count}")
    if mode == 4:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if len(corners) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == 6:
        return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], 1)
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], 1)
    strip[1::2] = strip[1::2, [1, 0, 2]]
    return strip


def _influences(file, attributes, skin, count):
    """Node numbers (V, K) and weights (V, K) that sum to 1, from JOINTS_n and WEIGHTS_n."""
    bones, binds = skin
    joints, weights = [], []
    for n in range(4):
        if f"JOINTS_{n}" in attributes and f"WEIGHTS_{n}" in attributes:
            joints.append(_columns(file, attributes[f"JOINTS_{n}"], 4, count).astype(np.int64))
            weights.append(_columns(file, attributes[f"WEIGHTS_{n}"], 4, count))
    joints, weights = np.concatenate(joints, 1), np.concatenate(weights, 1)
    joints = np.where(weights > 0, joints, 0)
    if joints.size and (joints.min() < 0 or joints.max() >= len(bones)):
        raise file.error(f"has vertices tied to bone {joints.max()} of {len(bones)}")
    if weights.size and weights.min() < -1e-4:
        raise file.error("has negative skin weights", "Normalise the weights and export again.")
    total = weights.sum(1, keepdims=True)
    if count and not (total > 1e-6).any():
        raise file.error("has a mesh whose skin weights are all zero", "Bind the mesh to its skeleton and export again.")
    weights[total[:, 0] <= 1e-6, 0] = 1  # a stray vertex: the skin's first bone takes it
    weights = weights / weights.sum(1, keepdims=True)
    return bones[joints], weights, {int(bone): bind for bone, bind in zip(bones, binds)}


class _Materials:
    """Materials, each read once, in order of first use."""

    def __init__(self, file):
        self.file, self.read, self._numbers, self._images = file, [], {}, {}

    def number(self, index):
        if index not in self._numbers:
            self._numbers[index] = len(self.read)
            self.read.append(GltfMaterial() if index is None else self._material(self.file.item("materials", index)))
        return self._numbers[index]

    def _material(self, entry):
        look = entry.get("pbrMetallicRoughness") or {}
        color = finite(look.get("baseColorFactor", [1, 1, 1, 1]), 4)
        mode = str(entry.get("alphaMode", "OPAQUE")).lower()
        cutoff = finite([entry.get("alphaCutoff", 0.5)], 1)
        if color is None or cutoff is None or mode not in ("opaque", "mask", "blend"):
            raise self.file.error("has a material with a broken base colour or alpha mode")
        color = tuple(min(max(value, 0.0), 1.0) for value in color)
        material = GltfMaterial(str(entry.get("name") or "material"), color, None, mode, cutoff[0], bool(entry.get("doubleSided")))
        if "baseColorTexture" in look:
            self._add_texture(material, look["baseColorTexture"])
        return material

    def _add_texture(self, material, info):
        texture = self.file.item("textures", info["index"])
        webp = (texture.get("extensions") or {}).get("EXT_texture_webp") or {}
        source = texture.get("source", webp.get("source"))
        if source not in self._images:
            self._images[source] = self.file.image(source)
            if sum(image.size for image in self._images.values()) > MAX_TEXELS:
                raise self.file.error("has textures of more than 2 GB together", "Export the character with fewer or smaller textures.")
        material.texture = self._images[source]
        sampler = self.file.item("samplers", texture["sampler"]) if "sampler" in texture else {}
        material.wrap = tuple(WRAPS.get(sampler.get(key, 10497), "repeat") for key in ("wrapS", "wrapT"))
        transform = (info.get("extensions") or {}).get("KHR_texture_transform") or {}
        material.uv_set = self.file.size(transform, "texCoord", self.file.size(info, "texCoord"))
        material.uv_matrix = _texture_transform(transform)


def _texture_transform(entry):
    """KHR_texture_transform: translation * rotation * scale, acting on (u, v, 1)."""
    (x, y), (sx, sy), angle = entry.get("offset", (0, 0)), entry.get("scale", (1, 1)), entry.get("rotation", 0)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine * sx, sine * sy, x], [-sine * sx, cosine * sy, y], [0, 0, 1]], dtype=np.float64)


def _vrm_bones(file, node_count):
    """The humanoid map of VRM 1.0 or 0.x as {bone name: node}."""
    extensions = file.json.get("extensions") or {}
    if "VRMC_vrm" in extensions:
        bones = {name: bone["node"] for name, bone in extensions["VRMC_vrm"]["humanoid"]["humanBones"].items()}
    elif "VRM" in extensions:
        bones = {bone["bone"]: bone["node"] for bone in extensions["VRM"]["humanoid"]["humanBones"]}
    else:
        return {}
    return {name: node for name, node in bones.items() if type(node) is int and 0 <= node < node_count}  # not True, which is an int
