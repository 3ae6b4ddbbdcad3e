"""Animated, skinned GLB files of avatars and of the bare body, which any viewer of glTF 2.0 plays.

The character is written in the body frame at rest, in metres, with one node per joint whose axes lie along the world's; so a joint's
animated rotation is ``R_parent^T R``. All joints turn; those whose distance to their parent changes also move (the root, as a rule).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..assets.files import atomic_write
from ..avatars.gltf import GltfMaterial, GltfPart, GltfScene
from ..avatars.gltf_file import BINARY_CHUNK, JSON_CHUNK, MAGIC
from ..avatars.gltf_writer import write_glb
from ..avatars.posed_avatar import PosedAvatar
from ..bodies.body import PosedBody
from ..bodies.joints import JOINT_NAMES
from ..checks import InputError
from ..types import Material

DEFAULT_FPS = 30.0
GRAY = Material("body", (0.36, 0.38, 0.40, 1.0))
MOVES = 1e-5  # metres by which a joint must leave its rigid place to be given a track of its own
FLOAT = 5126


@dataclass(frozen=True)
class SkinnedMotion:
    """What a GLB holds: a skinned mesh at rest, and its joints over time. World +Y up, metres.

    Args:
        names, parents: of the J joints, parents before children, -1 at the root.
        rest: (J, 3) joints at rest, their axes along the world's.
        rotmats, joints: (T, J, 3, 3) and (T, J, 3) posed joints, in the world.
        vertices, normals, faces, uv, colors, weights (V, J), face_material, materials: the mesh at rest, as in ``types.Mesh``.
    """

    names: list
    parents: list
    rest: Tensor
    rotmats: Tensor
    joints: Tensor
    vertices: Tensor
    normals: Tensor | None
    faces: Tensor
    uv: Tensor | None
    colors: Tensor | None
    weights: Tensor
    face_material: Tensor
    materials: tuple


def write_animated_glb(path, figure: PosedAvatar | PosedBody, fps: float | None = None, name="motion"):
    """Writes a posed avatar or body as an animated GLB; a single row gives a still pose with one key frame.

    Args:
        path: the .glb to write.
        figure: T rows in time order. A body is written in the shape of its first row.
        fps: frames per second of the rows; None means 30.
        name: of the animation.

    Raises:
        InputError: there is nothing to write, or the file cannot be written.
    """
    if len(figure) == 0:
        raise InputError("figure", 0, "rows hold nothing to write", "Give at least one pose.")
    motion = _of_avatar(figure) if isinstance(figure, PosedAvatar) else _of_body(figure)
    tracks = _tracks(motion)
    times = np.arange(len(figure)) / (fps or DEFAULT_FPS)
    with atomic_write(path) as part:
        write_glb(part, _scene(motion))
        part.write_bytes(_with_animation(part.read_bytes(), times, tracks, name))


def _of_avatar(posed):
    avatar, scale = posed.avatar, posed.scale
    roles = list(avatar.rig.humanoid)
    parents = [avatar.rig.parent_role(role) for role in roles]
    weights = torch.zeros(len(avatar.vertices), len(roles), device=avatar.device)
    weights.index_add_(1, avatar.slot_driver, avatar.weights)
    rest = torch.stack([torch.as_tensor(avatar.rig.position(role), dtype=torch.float32) for role in roles]) * scale
    return SkinnedMotion(
        [avatar.rig.names[node] for node in avatar.rig.humanoid.values()], [-1 if p is None else roles.index(p) for p in parents],
        rest, posed.T_driver[..., :3] / scale, posed.joints, avatar.rest * scale, _rest_normals(avatar), avatar.faces, avatar.uv,
        avatar.colors, weights, avatar.face_material, avatar.materials or (GRAY,))


def _rest_normals(avatar):
    blended = torch.einsum("vs,sij,vj->vi", avatar.weights, avatar.T_rest_slot[:, :3, :3], avatar.normals)
    return torch.nn.functional.normalize(blended, dim=-1)


def _of_body(posed):
    model, shaped = posed.model, posed.shaped
    names = list(JOINT_NAMES) if model.kind == "smpl" else [*JOINT_NAMES[:22], *(f"joint{i}" for i in range(22, len(model.parents)))]
    faces, vertices = model.faces, shaped.v_shaped[0]
    return SkinnedMotion(names, list(model.parents), shaped.joints[0], posed.T_world_joint[..., :3, :3], posed.joints, vertices,
                         _vertex_normals(vertices, faces), faces, None, None, model.weights, torch.zeros_like(faces[:, 0]), (GRAY,))


def _vertex_normals(vertices, faces):
    """(V, 3) area-weighted; without them viewers draw flat triangles."""
    corners = vertices[faces]
    across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(vertices).index_add_(0, faces.flatten(), across.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(total, dim=-1)


def _scene(motion):
    count = len(motion.names)
    rest = _numpy(motion.rest)
    local, world, binds = (np.tile(np.eye(4), (count, 1, 1)) for _ in range(3))
    world[:, :3, 3] = rest
    binds[:, :3, 3] = -rest
    local[:, :3, 3] = rest - np.stack([rest[p] if p >= 0 else np.zeros(3) for p in motion.parents])
    binds = dict(enumerate(binds))
    parts = [_part(motion, material, binds) for material in torch.unique(motion.face_material).tolist()]
    materials = [_material(material) for material in motion.materials]
    return GltfScene(list(motion.names), np.array(motion.parents), list(range(count)), local, world, parts, materials, {})


def _part(motion, material, binds):
    """The triangles of one look, with the vertices they use."""
    faces = motion.faces[motion.face_material == material]
    used, corners = torch.unique(faces, return_inverse=True)
    weights = _numpy(motion.weights[used])
    picked = {key: None if getattr(motion, key) is None else _numpy(getattr(motion, key)[used]) for key in ("normals", "uv", "colors")}
    slots = np.broadcast_to(np.arange(weights.shape[1]), weights.shape)
    return GltfPart(vertices=_numpy(motion.vertices[used]), faces=_numpy(corners.reshape(-1, 3)), **picked, joints=slots, weights=weights,
                    binds=binds, material=material, skinned=True)


def _material(look):
    texture = None if look.texture is None else _numpy(look.texture)
    return GltfMaterial(look.name, look.base_color, texture, look.alpha_mode, look.alpha_cutoff, look.double_sided, look.wrap)


def _tracks(motion):
    """[(node, "rotation" or "translation", (T, 4 or 3))]."""
    rotmats, joints, rest = _numpy(motion.rotmats).astype(np.float64), _numpy(motion.joints).astype(np.float64), _numpy(motion.rest)
    tracks = []
    for node, parent in enumerate(motion.parents):
        local, place = rotmats[:, node], joints[:, node]
        if parent >= 0:
            inverse = rotmats[:, parent].transpose(0, 2, 1)
            local, place = inverse @ local, (inverse @ (place - joints[:, parent])[..., None])[..., 0]
        tracks.append((node, "rotation", _unitquats(local)))
        if parent < 0 or np.abs(place - (rest[node] - rest[parent])).max() > MOVES:
            tracks.append((node, "translation", place))
    return tracks


def _unitquats(rotmats):
    """Rotmats (T, 3, 3) to the format's quaternions (T, 4) xyzw. Neighbours have one sign, so that viewers take the short way."""
    import roma

    quats = roma.rotmat_to_unitquat(torch.from_numpy(rotmats)).numpy()
    flips = np.where((quats[1:] * quats[:-1]).sum(1) < 0, -1.0, 1.0)
    quats[1:] *= np.cumprod(flips)[:, None]
    return quats


def _with_animation(data, times, tracks, name):
    """The bytes of a GLB with one more animation."""
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), bytearray(data[20 + size + 8 :])

    def accessor(values, kind):
        values = np.ascontiguousarray(values, dtype=np.float32)
        document["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": values.nbytes})
        binary.extend(values.tobytes())
        entry = {"bufferView": len(document["bufferViews"]) - 1, "componentType": FLOAT, "count": len(values), "type": kind}
        if kind == "SCALAR":
            entry |= {"min": [float(values.min())], "max": [float(values.max())]}
        document["accessors"].append(entry)
        return len(document["accessors"]) - 1

    clock = accessor(times, "SCALAR")
    samplers = [{"input": clock, "output": accessor(values, f"VEC{values.shape[1]}"), "interpolation": "LINEAR"} for _, _, values in tracks]
    channels = [{"sampler": i, "target": {"node": node, "path": path}} for i, (node, path, _) in enumerate(tracks)]
    document["animations"] = [{"name": name, "samplers": samplers, "channels": channels}]
    document["buffers"][0]["byteLength"] = len(binary)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<III", MAGIC, 2, 28 + len(text) + len(binary))
    return head + struct.pack("<II", len(text), JSON_CHUNK) + text + struct.pack("<II", len(binary), BINARY_CHUNK) + bytes(binary)


def _numpy(tensor):
    return tensor.detach().cpu().numpy()
