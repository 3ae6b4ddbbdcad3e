"""Small whole inputs of every format, made by our own writers."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import torch

from contrapposto.models.bodies.joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

JOINTS, VERTICES = 24, 52


@cache
def body_arrays() -> dict:
    """An SMPL-format body of two vertices for each joint, about a metre and a half tall."""
    from contrapposto.models.bodies.body import load_body_model

    rest = load_body_model().with_shape(None).joints[0, :JOINTS].numpy()
    places = np.concatenate([rest, rest + (0.02, 0.03, 0.04), rest[:4] + (0.05, 0, 0)])
    regressor = np.eye(JOINTS, VERTICES)
    weights = np.zeros((VERTICES, JOINTS))
    weights[np.arange(VERTICES), np.arange(VERTICES) % JOINTS] = 1
    corners = np.arange(VERTICES)
    draw = np.random.default_rng(0)
    return {
        "v_template": places,
        "f": np.stack([corners, (corners + 1) % VERTICES, (corners + 7) % VERTICES], 1).astype(np.uint32),
        "shapedirs": draw.normal(size=(VERTICES, 3, 10)) * 0.01,
        "posedirs": draw.normal(size=(VERTICES, 3, 9 * (JOINTS - 1))) * 1e-3,
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:JOINTS]], range(JOINTS)], np.uint32),
    }


@cache
def body():
    """The BodyModel of `body_arrays`."""
    import tempfile

    from contrapposto.models.bodies.body import load_body_model

    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "small.npz", **body_arrays())
        return load_body_model(Path(folder) / "small.npz")


@cache
def motion(rows=3) -> BodyPose:
    draw = torch.Generator().manual_seed(0)
    turns = 0.3 * torch.randn(rows, BODY_JOINTS, 3, generator=draw)
    rotmats = rotvec_to_rotmat(turns)
    return BodyPose(
        rotmats[:, 0],
        rotmats[:, 1:],
        torch.randn(rows, 3, generator=draw),
        torch.zeros(rows, 10),
        torch.eye(3).expand(rows, 30, 3, 3),
        torch.arange(rows),
        fps=30.0,
    )


def written(write, name) -> bytes:
    """The bytes that ``write(path)`` has put into a file of that name."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def arrays_in(data: bytes) -> dict:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


@cache
def stick(texture=False):
    """A GltfScene of a T-posed stick figure, its skin a small tetrahedron at each bone."""
    from contrapposto.models.avatars.gltf import GltfMaterial, GltfPart, GltfScene

    at = body().with_shape(None).joints[0, :BODY_JOINTS].numpy().astype(float)
    at = at - at.min(0) * (0, 1, 0)
    parents = np.array(PARENTS[:BODY_JOINTS])
    local, world = np.tile(np.eye(4), (2, BODY_JOINTS, 1, 1))
    world[:, :3, 3] = at
    local[:, :3, 3] = at - np.where(parents[:, None] >= 0, at[parents], 0)
    corner = 0.03 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
    vertices = (at[:, None] + corner).reshape(-1, 3)
    faces = np.concatenate([np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]) + 4 * i for i in range(BODY_JOINTS)])
    joints = np.repeat(np.arange(BODY_JOINTS), 4)[:, None]
    picture = np.random.default_rng(0).integers(0, 255, (4, 4, 4), dtype=np.uint8) if texture else None
    uv = np.random.default_rng(1).random((len(vertices), 2)) if texture else None
    part = GltfPart(
        vertices, faces, None, uv, None, joints, np.ones((len(vertices), 1)), {i: np.linalg.inv(m) for i, m in enumerate(world)}, 0, True
    )
    return GltfScene(
        list(JOINT_NAMES[:BODY_JOINTS]), parents, list(range(BODY_JOINTS)), local, world, [part], [GltfMaterial(texture=picture)], {}
    )


@cache
def glb(texture=False) -> bytes:
    from contrapposto.models.avatars.gltf_writer import write_glb

    return written(lambda path: write_glb(path, stick(texture)), "stick.glb")


@cache
def vrm():
    """(document, binary) of a VRM 1.0 avatar."""
    from . import boxes

    document, binary = boxes.split_glb(glb())
    bones = {"hips": 0, "leftUpperLeg": 1, "rightUpperLeg": 2, "spine": 3, "leftLowerLeg": 4, "rightLowerLeg": 5, "head": 15}
    document["extensions"] = {
        "VRMC_vrm": {"specVersion": "1.0", "humanoid": {"humanBones": {name: {"node": i} for name, i in bones.items()}}}
    }
    document["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]}]
    document["meshes"][0]["weights"] = [0.5]
    return document, binary


def png(size=(6, 5), mode="RGB") -> bytes:
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], len(mode)), dtype=np.uint8), mode).save(packed, "PNG")
    return packed.getvalue()


def keypoints_document(pictures=2):
    draw = np.random.default_rng(0)
    people = [
        {"pose_keypoints_2d": np.concatenate([draw.random((n, 2)) * 400, np.ones((n, 1))], 1).ravel().round(2).tolist()} for n in (18, 25)
    ]
    return [{"canvas_width": 512, "canvas_height": 512, "people": people} for _ in range(pictures)]


def mhr_document(people=1):
    """MHR_POSE_DATA as plain JSON."""
    from contrapposto.models.motion.core_rig import MHR_POINTS

    joints = body().with_shape(None).joints[0].numpy()
    points = np.tile(joints[15], (70, 1)) + np.random.default_rng(0).normal(size=(70, 3)) * 0.05
    for name, index in MHR_POINTS.items():
        points[index] = joints[JOINT_NAMES.index(name)]
    points = (points * (1, -1, -1)).round(4).tolist()
    person = {"pred_keypoints_3d": points, "pred_cam_t": [0.1, 0.2, 3.0], "focal_length": 600.0}
    return {"frames": [[person] * people, [person]], "image_size": [512, 512]}


def pairs():
    """ImageMeshPairs of two rows."""
    from contrapposto.models.bodies.body import pose_body
    from contrapposto.models.pose_correction.pairs import make_pairs
    from contrapposto.models.render.camera import frame_figure

    pose = motion()[:2]
    camera = frame_figure(pose_body(body(), pose), 16, 16)
    return make_pairs(torch.rand(2, 16, 16, 3), pose, camera, body(), torch.ones(2, 16, 16), {"prompt": "a"})


def vposer(version) -> dict:
    """A tiny state dict of VPoser: "open", "v1" or "V02_05"."""
    from contrapposto.models.pose_prior.vposer import PosePrior
    from contrapposto.models.pose_prior.vposer_file import V1_LAYERS, V2_LAYERS, VPoserConfig

    torch.manual_seed(0)
    prior = PosePrior(VPoserConfig(version, linear_encoder_out=version == "V02_05", width=12))
    layers = {"v1": V1_LAYERS, "V02_05": V2_LAYERS}.get(version)
    state = prior.state_dict()
    return (
        state
        if layers is None
        else {f"{layers[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in state.items()}
    )
