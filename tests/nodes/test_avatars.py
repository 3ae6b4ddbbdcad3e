"""Avatar nodes: files from two folders, bone maps, refining, light, views of 3D nodes, and the way to ComfyUI's own 3D types."""

import json
import math
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import fake_comfy
import pytest
import torch

SIZE = 64


@pytest.fixture(scope="module")
def poses(pack):
    package = sys.modules[pack["ContrappostoFrameBody"].__module__].__package__
    return sys.modules[package.replace(".nodes", ".models.types")].BodyPose.rest(2)


@pytest.fixture(scope="module")
def avatar(execute):
    return execute("LoadAvatar", file="default avatar (bundled)")[0]


@pytest.fixture(scope="module")
def posed(execute, poses, avatar):
    return execute("RetargetPose", body_pose=poses, avatar=avatar)[0]


@pytest.fixture
def in_input(models_dir):
    folder = Path(models_dir).parent / "input"
    folder.mkdir(exist_ok=True)
    shutil.copy(fake_comfy.PACK / "models/assets/bundled/default_avatar.glb", folder / "mine.glb")
    yield "mine.glb [input]"
    (folder / "mine.glb").unlink()


def test_avatars_in_the_input_folder_are_listed_and_load(pack, execute, in_input):
    node = pack["ContrappostoLoadAvatar"]
    assert in_input in node.define_schema().inputs[0].options["options"] and node.validate_inputs(file=in_input) is True
    assert execute("LoadAvatar", file=in_input)[0].name == "mine"
    before = node.fingerprint_inputs(in_input, "")
    assert before != node.fingerprint_inputs(in_input, "{}")
    with pytest.raises(ValueError, match="outside ComfyUI/input"):
        execute("LoadAvatar", file="../secret.glb [input]")
    assert "was not found" in node.validate_inputs(file="gone.glb [input]")


def test_a_bone_map_reaches_the_avatar(execute):
    given = json.dumps({"neck": None})
    assert "neck" not in execute("LoadAvatar", file="default avatar (bundled)", bone_map=given)[0].rig.humanoid
    with pytest.raises(ValueError, match="bone map"):
        execute("LoadAvatar", file="default avatar (bundled)", bone_map="{")


def test_refining_is_told_in_the_report(execute, poses, avatar):
    assert "Refined" in execute("RetargetPose", body_pose=poses, avatar=avatar, refine=True)[1]
    assert "Refined" not in execute("RetargetPose", body_pose=poses, avatar=avatar)[1]


def test_a_comparison_shows_both(execute, poses, posed):
    (image,) = execute("CompareRetarget", body_pose=poses, posed_avatar=posed, size=SIZE)
    assert image.shape == (2, SIZE, SIZE, 3) and image.amax() > 0.1
    with pytest.raises(ValueError, match="rows. do not fit"):
        execute("CompareRetarget", body_pose=poses[:1], posed_avatar=posed, size=SIZE)


def test_lights_change_the_picture_and_their_defaults_do_not(execute, posed):
    (camera,) = execute("FrameBody", figure=posed, width=SIZE, height=SIZE)
    plain = execute("RenderAvatar", posed_avatar=posed, camera=camera)[0]
    assert torch.equal(plain, execute("RenderAvatar", posed_avatar=posed, camera=camera, lights="studio", key=1.0, fill=1.0, rim=1.0)[0])
    dark = execute("RenderAvatar", posed_avatar=posed, camera=camera, key=0.0, fill=0.0, rim=0.0)[0]
    assert dark.amax() < 0.05 < plain.amax()
    assert not torch.equal(plain, execute("RenderAvatar", posed_avatar=posed, camera=camera, lights="dramatic")[0])


def test_the_view_of_a_3d_node_is_taken(execute, posed):
    """A camera at the body's left, two metres up and as far away, is the custom view of yaw 90, pitch 45."""
    info = {"position": {"x": 2, "y": 3, "z": 0}, "target": {"x": 0, "y": 1, "z": 0}, "zoom": 1, "cameraType": "perspective", "fov": 40}
    (seen,) = execute("FrameBody", figure=posed, width=SIZE, height=SIZE, camera_info=info)
    (same,) = execute("FrameBody", figure=posed, width=SIZE, height=SIZE, view="custom", yaw=90.0, pitch=45.0, field_of_view=40.0)
    assert torch.allclose(seen.R, same.R, atol=1e-6) and torch.allclose(seen.t, same.t, atol=1e-5)
    assert float(seen.fy[0]) == pytest.approx(SIZE / 2 / math.tan(math.radians(20)))
    on_target = {"position": {"x": 0, "y": 0, "z": 0}}
    for wrong, said in ((on_target, "stands on its target"), ({}, "is not a camera"), ("x", "is not a camera")):
        with pytest.raises(ValueError, match=f"camera_info.*{said}"):
            execute("FrameBody", figure=posed, width=SIZE, height=SIZE, camera_info=wrong)


@pytest.mark.parametrize("new_host", [False, True])
def test_an_avatar_becomes_a_mesh_and_a_file(execute, posed, models_dir, monkeypatch, new_host):
    util = ModuleType("comfy_api.latest._util")
    util.MESH = lambda vertices, faces: SimpleNamespace(vertices=vertices, faces=faces)
    if new_host:
        util.File3D = lambda source: SimpleNamespace(source=source)
    monkeypatch.setitem(sys.modules, "comfy_api.latest", ModuleType("comfy_api.latest"))
    monkeypatch.setitem(sys.modules, "comfy_api.latest._util", util)
    mesh, model, inside = execute("AvatarTo3D", posed_avatar=posed, fps=10.0, filename_prefix="3d/a")
    assert mesh.vertices.shape[0] == 2 == mesh.faces.shape[0] and int(mesh.faces.max()) < mesh.vertices.shape[1]
    path = Path(models_dir).parent / "output" / inside
    assert path.read_bytes()[:4] == b"glTF" and inside.startswith("3d/a_")
    assert Path(model.source if new_host else model).resolve() == path.resolve()
