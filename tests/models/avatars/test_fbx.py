"""FBX files written by the test against the same character as GLB, and every way to break them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrapposto.models.assets.registry import DEFAULT_AVATAR, bundled
from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.avatars.fbx import read_fbx
from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

sys.path.insert(0, str(Path(__file__).parent))
from fabricate_fbx import write_fbx  # noqa: E402

pytest.importorskip("ufbx")


@pytest.fixture(scope="module")
def default_scene():
    return read_gltf(bundled(DEFAULT_AVATAR))


@pytest.fixture
def stick_fbx(stick_glb, tmp_path):
    """Writes a Mixamo-named stick figure as FBX; returns its path."""
    names = {"pelvis": "mixamorig:Hips", "spine": "mixamorig:Spine", "chest": "mixamorig:Spine1", "head": "mixamorig:Head"}
    for side in ("left", "right"):
        names |= {f"{side}_{part}": f"mixamorig:{side.title()}{bone}" for part, bone in (
            ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"), ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"))}
    scene = read_gltf(stick_glb(names))
    return lambda **how: write_fbx(tmp_path / "stick.fbx", scene, **how)


def some_poses():
    turns = rotvec_to_rotmat(0.4 * torch.randn(3, 22, 3, generator=torch.Generator().manual_seed(3)))
    return BodyPose(turns[:, 0], turns[:, 1:])


def test_the_same_character_as_glb(default_scene, body, tmp_path):
    path = write_fbx(tmp_path / "default.fbx", default_scene, "z", picture="skin.png")
    Image.fromarray(default_scene.materials[0].texture).save(tmp_path / "skin.png", compress_level=1)
    theirs, ours = load_avatar(), load_avatar(path)
    assert list(ours.rig.humanoid) == list(theirs.rig.humanoid)
    assert ours.height == pytest.approx(theirs.height, rel=1e-5) and len(ours.faces) == len(theirs.faces)
    assert np.array_equal(ours.materials[0].texture, theirs.materials[0].texture)
    pose = some_poses()
    one, other = (retarget_pose(pose, body, avatar).mesh(slice(0, 3)) for avatar in (ours, theirs))
    corners = [mesh.vertices[:, mesh.faces[:10]] for mesh in (one, other)]  # vertices are in another order, triangles are not
    assert torch.allclose(*corners, atol=2e-4)
    assert torch.allclose(*(mesh.vertices[:, mesh.faces].mean((1, 2)) for mesh in (one, other)), atol=1e-4)
    skin = theirs.face_material == 0
    coordinates = [avatar.uv[avatar.faces[mask]] for avatar, mask in ((theirs, skin), (ours, ours.face_material == 0))]
    assert torch.allclose(coordinates[0], coordinates[1], atol=1e-4)


def test_bones_rest_where_they_were_bound(stick_fbx):
    straight = read_fbx(stick_fbx())
    bend = rotvec_to_rotmat(torch.tensor([0.0, 0.0, 1.2])).numpy()
    bent = read_fbx(stick_fbx(default_pose={6: bend, 3: bend}))
    assert np.allclose(straight.world, bent.world, atol=1e-6)


def test_geometry_and_bones_are_metres_with_y_up(stick_fbx, stick_glb):
    for how in ({"up": "z", "centimetres": 2.54}, {"up": "y", "centimetres": 100.0}):
        scene = read_fbx(stick_fbx(**how))
        head = scene.world[scene.names.index("mixamorig:Head"), :3, 3]
        assert np.allclose(head, (0, 1.6, 0), atol=1e-5)
        part = scene.parts[0]
        maps = np.stack([(scene.world[j] @ part.binds[int(j)])[:3] for j in part.joints[:, 0]])
        at = np.einsum("vij,vj->vi", maps, np.c_[part.vertices, np.ones(len(part.vertices))])
        assert at[:, 1].max() == pytest.approx(1.63, abs=1e-4)


def test_polygons_become_fans(stick_fbx):
    """A quad and a pentagon instead of the first triangles."""
    def edit(text):
        start = text.index("PolygonVertexIndex")
        stop = text.index("}", start)
        return text[:start] + "PolygonVertexIndex: *9 {\na: 0,1,2,-4,4,5,6,7,-9\n" + text[stop:]

    scene = read_fbx(stick_fbx(edit=edit))
    assert len(scene.parts[0].faces) == 5


def test_a_missing_texture_is_named(stick_fbx, tmp_path):
    with pytest.raises(InputError, match="needs the texture 'face.png'.*beside it"):
        read_fbx(stick_fbx(picture="face.png"))
    (tmp_path / "stick.fbm").mkdir()
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "stick.fbm/face.png")
    material = read_fbx(stick_fbx(picture="face.png")).materials[0]
    assert material.texture.shape == (4, 4, 4) and material.alpha_mode == "mask"


def test_textures_never_come_from_outside(stick_fbx, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path.parent / "outside.png")
    with pytest.raises(InputError, match="needs the texture 'outside.png'"):
        read_fbx(stick_fbx(picture="../outside.png"))


@pytest.mark.parametrize("data, told", [
    (b"Kaydara FBX Binary  \x00\x1a\x00\xe8\x1c\x00\x00", "cannot be read as FBX"), (b"not a file", "cannot be read as FBX"),
    (b"; FBX 7.4.0 project file\nObjects: {\n}\n", "no triangles")])
def test_damaged_files(tmp_path, data, told):
    (tmp_path / "a.fbx").write_bytes(data)
    with pytest.raises(InputError, match=told):
        read_fbx(tmp_path / "a.fbx")


def test_truncated_file(stick_fbx):
    path = stick_fbx()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError):
        read_fbx(path)


@pytest.mark.parametrize("code, told", [(4, "pip install ufbx"), (-11, "crashed the FBX reader")])
def test_without_ufbx_and_with_a_crash(stick_fbx, monkeypatch, code, told):
    path = stick_fbx()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, code, b"", b""))
    with pytest.raises(InputError, match=told):
        read_fbx(path)
