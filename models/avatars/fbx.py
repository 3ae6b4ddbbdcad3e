"""From an FBX file to the same nodes, skinned triangles and materials that `gltf` gives: metres, +Y up, the bind pose as rest pose.

The file is taken apart by ufbx in a process of its own (`fbx_process`), which hands over plain arrays. A bone rests where it was
bound to the mesh, not where the file's author left it; nodes that were never bound keep their place under their parent.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import numpy as np

from ..assets.files import check_file
from ..checks import InputError
from .fbx_process import FAILED, NO_UFBX
from .gltf import MAX_FACES, MAX_NODES, MAX_VERTICES, GltfMaterial, GltfPart, GltfScene
from .gltf_file import MAX_FILE_BYTES, NAME, decode_picture

SUFFIXES = (".fbx",)
TIMEOUT = 300  # seconds
INFLUENCES = 8  # bones for one vertex
PICTURES = ("PNG", "JPEG", "WEBP", "TGA", "BMP", "TIFF")
EXPORT = "Export the character again as FBX 7.4 binary, or as .glb."
CONVERT = "Run: pip install ufbx. Or convert the file to .glb, for example with Blender (File > Export > glTF 2.0)."


def read_fbx(path) -> GltfScene:
    """Reads a character.

    Raises:
        InputError: ufbx is not installed; the file is damaged, too large or holds nothing to draw; a texture is missing.
    """
    path, arrays, about = run_ufbx(NAME, path, "character")
    names, parents = about["names"], np.array(about["parents"])
    if len(names) > MAX_NODES:
        raise InputError(NAME, path, f"has {len(names)} nodes", f"Export the character alone, with at most {MAX_NODES} bones and objects.")
    world = rest_pose(arrays["world"], arrays["bind"], parents)
    materials = [_material(path, entry, arrays, i) for i, entry in enumerate(about["materials"])] + [GltfMaterial()]
    parts = [part for mesh in about["meshes"] for part in _parts(path, mesh, arrays, materials)]
    if not sum(len(part.faces) for part in parts):
        raise InputError(NAME, path, "holds no triangles to draw", "Export the character with its mesh.")
    if sum(len(p.vertices) for p in parts) > MAX_VERTICES or sum(len(p.faces) for p in parts) > MAX_FACES:
        raise InputError(NAME, path, f"has more than {MAX_VERTICES} vertices or {MAX_FACES} triangles", "Reduce the character's mesh.")
    local = np.stack([world[i] if p < 0 else np.linalg.inv(world[p]) @ world[i] for i, p in enumerate(parents)])
    names = [name or f"node {i}" for i, name in enumerate(names)]
    return GltfScene(names, parents, list(range(len(names))), local, world, parts, materials, {})


def run_ufbx(name, path, kind, *more):
    """Returns (path, arrays, what is no array) of a file, read in another process; ``name`` stands in errors.

    Raises:
        InputError: ufbx is not installed, or cannot read the file in reasonable time and memory.
    """
    path = check_file(name, path, SUFFIXES)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(name, path, "is larger than 1 GB", "Export the character with fewer or smaller textures.")
    script = Path(__file__).with_name("fbx_process.py")
    command = [sys.executable, str(script), kind, str(path.resolve()), *map(str, more)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=TIMEOUT, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
    except subprocess.TimeoutExpired:
        raise InputError(name, path, f"takes longer than {TIMEOUT} s to read", EXPORT) from None
    if ran.returncode == NO_UFBX:
        raise InputError(name, path, "cannot be read: FBX files need the package ufbx, which is not installed", CONVERT)
    if ran.returncode == FAILED:
        raise InputError(name, path, f"cannot be read as FBX: {ran.stderr.decode('utf-8', 'replace')[-200:]}", EXPORT)
    if ran.returncode != 0:
        raise InputError(name, path, f"crashed the FBX reader (code {ran.returncode})", EXPORT)
    with np.load(io.BytesIO(ran.stdout), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return path, arrays, json.loads(arrays.pop("json").tobytes())


def rest_pose(world, bind, parents):
    """(N, 4, 4) bind poses where they are known, carried on to the nodes below; parents come before children."""
    rest = world.copy()
    for node, parent in enumerate(parents):
        if np.isfinite(bind[node]).all() and abs(np.linalg.det(bind[node][:3, :3])) > 1e-18:
            rest[node] = bind[node]
        elif parent >= 0 and abs(np.linalg.det(world[parent][:3, :3])) > 1e-18:
            rest[node] = rest[parent] @ np.linalg.inv(world[parent]) @ world[node]
    return rest


def _parts(path, mesh, arrays, materials):
    """One part for each material of a mesh."""
    of = {key.removeprefix(f"{mesh['key']}."): value for key, value in arrays.items() if key.startswith(f"{mesh['key']}.")}
    corners, face = _triangles(of["faces"])
    if len(corners) == 0 or len(of["positions"]) == 0:
        return
    slot = of["face_material"][face] if len(of["face_material"]) else np.zeros_like(face)
    for number in np.unique(slot):
        known = number < len(mesh["materials"])
        material = mesh["materials"][number] if known else len(materials) - 1
        yield _part(path, mesh, of, corners[slot == number], material, materials[material])


def _triangles(faces):
    """(T, 3) corners of fans over polygons, given as (F, 2) first corner and size, and (T,) the polygon of each."""
    count = np.maximum(faces[:, 1] - 2, 0)
    face = np.repeat(np.arange(len(faces)), count)
    step = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    first = faces[face, 0]
    return np.stack([first, first + step + 1, first + step + 2], 1), face


def _part(path, mesh, of, corners, material, look):
    used = corners.ravel()
    columns, at = [of["corners"][used][:, None].astype(np.float64)], {}
    for name, digits in (("normal", 4), ("uv", 6), ("color", 4)):
        if name in of and (name != "uv" or look.texture is not None) and (name != "color" or look.texture is None):
            values = of[name][of[f"{name}_corners"][used]]
            at[name] = slice(sum(c.shape[1] for c in columns), sum(c.shape[1] for c in columns) + values.shape[1])
            columns.append(values.round(digits))
    rows, faces = np.unique(np.concatenate(columns, 1), axis=0, return_inverse=True)
    vertex = rows[:, 0].astype(np.int64)
    uv = rows[:, at["uv"]] @ look.uv_matrix[:2, :2].T + look.uv_matrix[:2, 3] if "uv" in at else None
    if uv is not None:
        uv = uv * (1, -1) + (0, 1)  # FBX counts from the bottom of the picture
    if mesh["skinned"]:
        joints, weights, binds = _influences(path, of)
        joints, weights = joints[vertex], weights[vertex]
    else:
        joints, weights = np.full((len(vertex), 1), mesh["node"]), np.ones((len(vertex), 1))
        binds = {mesh["node"]: of["to_node"]}
    vertices = of["positions"][vertex]
    if not np.isfinite(rows).all() or not np.isfinite(vertices).all() or not np.isfinite(weights).all():
        raise InputError(NAME, path, "holds NaN or infinity in its mesh", EXPORT)
    return GltfPart(vertices, faces.reshape(-1, 3), rows[:, at["normal"]] if "normal" in at else None, uv,
                    rows[:, at["color"]] if "color" in at else None, joints, weights, binds, material, mesh["skinned"])


def _influences(path, of):
    """Node numbers (V, K) and weights (V, K) of all vertices of a mesh, the largest first, and {node: bind matrix}."""
    count = len(of["positions"])
    keep = (of["skin_weight"] > 0) & (of["skin_vertex"] < count)
    vertex, cluster, weight = (of[f"skin_{name}"][keep] for name in ("vertex", "cluster", "weight"))
    if len(vertex) == 0:
        raise InputError(NAME, path, "has a mesh whose skin weights are all zero", "Bind the mesh to its skeleton and export again.")
    order = np.lexsort((-weight, vertex))
    vertex, cluster, weight = vertex[order], cluster[order], weight[order]
    rank = np.arange(len(vertex)) - np.searchsorted(vertex, vertex)
    mine = rank < INFLUENCES
    joints, weights = np.zeros((count, rank[mine].max() + 1), np.int64), np.zeros((count, rank[mine].max() + 1))
    joints[vertex[mine], rank[mine]] = cluster[mine]
    weights[vertex[mine], rank[mine]] = weight[mine]
    weights[weights.sum(1) <= 1e-6, 0] = 1  # a stray vertex: the skin's first bone takes it
    binds = {int(bone): bind for bone, bind in zip(of["bones"][::-1], of["binds"][::-1])}
    return of["bones"][joints], weights / weights.sum(1, keepdims=True), binds


def _material(path, entry, arrays, number):
    """A look. FBX draws both sides of a face; the transparency of hair and lashes is in the base picture's alpha."""
    picture = arrays.get(f"material{number}.picture")
    texture = None
    if "texture" in entry:
        data = picture.tobytes() if picture is not None else _picture_beside(path, entry["texture"])
        texture = decode_picture(data, lambda problem, remedy=EXPORT: InputError(NAME, path, problem, remedy), PICTURES)
    opacity = entry["opacity"] if 0 < entry["opacity"] < 1 else 1.0  # exporters that mean "opaque" write 0 as often as 1
    color = [1.0, 1.0, 1.0] if texture is not None else [float(np.clip(c, 0, 1)) for c in entry["color"]]
    see_through = texture is not None and (texture[..., 3] < 128).any()
    mode = "blend" if opacity < 1 else "mask" if see_through else "opaque"
    matrix = arrays.get(f"material{number}.uv", np.eye(4))
    return GltfMaterial(entry["name"] or "material", (*color, opacity), texture, mode, 0.5, True, tuple(entry.get("wrap", ("repeat",) * 2)),
                        uv_matrix=matrix)


def _picture_beside(path, names):
    """The bytes of a texture that lies in the FBX file's folder, wherever its author kept it."""
    folder = path.parent.resolve()
    wanted = [PureWindowsPath(name) for name in names if name]
    places = [folder.joinpath(*name.parts) for name in wanted if not name.anchor]
    places += [folder / below / name.name for name in wanted for below in ("", f"{path.stem}.fbm", "textures")]
    for place in places:
        if place.name and place.resolve().is_relative_to(folder) and place.is_file() and place.stat().st_size <= MAX_FILE_BYTES:
            return place.read_bytes()
    name = wanted[0].name if wanted else "without a name"
    raise InputError(NAME, path, f"needs the texture {name!r}, which is neither in the file nor beside it",
                     "Put it beside the FBX file, or export with embedded media (in Blender: Path Mode Copy, with the box icon).")
