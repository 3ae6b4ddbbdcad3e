"""The bundled character: light, whole, upright, faces outward, weights in order. Rebuild it with scripts/build_default_avatar.py."""

import numpy as np
import pytest
import torch

from contrapposto.models.assets.registry import DEFAULT_AVATAR, bundled, manifest
from contrapposto.models.avatars import load_avatar
from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.avatars.rig import HANDS
from contrapposto.models.bodies.joints import JOINT_NAMES


@pytest.fixture(scope="module")
def avatar():
    return load_avatar()


@pytest.fixture(scope="module")
def scene():
    return read_gltf(bundled(DEFAULT_AVATAR))


def test_it_is_light_and_free():
    assert bundled(DEFAULT_AVATAR).stat().st_size <= 2.5e6
    assert manifest()[DEFAULT_AVATAR]["licence"].startswith("CC0")


def test_it_stands_upright_on_the_floor(avatar):
    assert 1.6 <= avatar.height <= 1.9
    assert abs(float(avatar.rest[:, 1].min())) < 1e-4
    assert torch.allclose(avatar.rest[:, 0].max(), -avatar.rest[:, 0].min(), atol=2e-3)
    assert np.allclose(avatar.rig.R_body, np.eye(3), atol=1e-6)


def test_all_joints_and_face_points_are_there(avatar):
    assert tuple(avatar.rig.humanoid) == JOINT_NAMES[:22] + HANDS
    assert set(avatar.rig.face) == {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}


def test_weights_sum_to_one_with_four_bones_at_most(avatar, scene):
    assert torch.allclose(avatar.weights.sum(1), torch.ones(()), atol=1e-5)
    assert all(((part.weights > 0).sum(1) <= 4).all() for part in scene.parts)


def test_joints_lie_inside_the_body_they_move(avatar, body):
    rest = body.with_shape(None).joints[0]
    ours = torch.tensor(np.stack([avatar.rig.position(role) for role in JOINT_NAMES[:22]]), dtype=torch.float32)
    assert torch.allclose(ours - ours[0], (rest - rest[0])[:22], atol=1e-4)


def test_finger_joints_lie_in_their_fingers(avatar):
    """Each joint is at most a finger's thickness away from skin that its bone moves, and both hands are mirror images."""
    owner = avatar.slot_driver[avatar.weights.argmax(1)]
    for role, driver in zip(avatar.rig.humanoid, range(len(avatar.rig.humanoid))):
        if role in HANDS:
            at = avatar.rig.position(role)
            assert np.linalg.norm(avatar.rest[owner == driver].numpy() - at, axis=1).min() < 0.02, role  # the thumb begins deep in the palm
            twin = avatar.rig.position(role.replace("left", "right") if "left" in role else role.replace("right", "left"))
            assert np.allclose(at, twin * (-1, 1, 1), atol=2e-3), role


def test_faces_wind_outward(scene):
    """The stored normals, which point out, agree with the winding of the faces; slivers aside."""
    for part in scene.parts:
        a, b, c = part.vertices[part.faces].transpose(1, 0, 2)
        across = np.cross(b - a, c - a)
        agree = (across * part.normals[part.faces].mean(1)).sum(1) > 0
        assert (np.linalg.norm(across, axis=1) * agree).sum() > 0.99 * np.linalg.norm(across, axis=1).sum()
        closed = (across * (part.vertices[part.faces].mean(1) - part.vertices.mean(0))).sum()
        assert closed > 0


def test_no_stray_or_repeated_geometry(scene):
    for part in scene.parts:
        assert len(np.unique(part.faces)) == len(part.vertices)
        corners = part.vertices[part.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        assert (area < 1e-12).mean() < 0.002
        assert np.allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-3)


def test_looks(scene):
    looks = {material.name: material for material in scene.materials}
    assert set(looks) == {"skin", "eyes", "cloth", "hair"}
    assert looks["skin"].texture is not None and looks["eyes"].texture is not None
    assert all(material.alpha_mode == "opaque" for material in looks.values())
