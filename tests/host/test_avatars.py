"""Avatars inside a real ComfyUI: files in the input folder, refining, light, and the way to Preview 3D."""

import shutil

import pytest
from comfy_host import PACK


def node(name, **inputs):
    return {"class_type": name if name.startswith("Preview") else f"Contrapposto{name}", "inputs": inputs}


@pytest.fixture
def prompt(server):
    (server.base / "input").mkdir(exist_ok=True)
    shutil.copy(PACK / "models/assets/bundled/default_avatar.glb", server.base / "input/mine.glb")
    drawn = {"prior": node("LoadPosePrior", file="open pose prior (bundled)")}
    drawn["keys"] = node("DecodeVPoser", pose_prior=["prior", 0], count=2, seed=4)
    drawn["avatar"] = node("LoadAvatar", file="mine.glb [input]", bone_map='{"head": "head"}')
    drawn["posed"] = node("RetargetPose", body_pose=["keys", 0], avatar=["avatar", 0], refine=True, smooth=0.2)
    return drawn


def test_an_uploaded_avatar_is_refined_compared_lit_and_previewed(server, prompt):
    old = "FILE_3D_GLB" not in str(server.get_json("/object_info/Preview3D"))
    prompt["compared"] = node("CompareRetarget", body_pose=["keys", 0], posed_avatar=["posed", 0], size=64, view="front")
    prompt["camera"] = node("FrameBody", figure=["posed", 0], width=64, height=64, view="front", yaw=0.0, pitch=0.0, field_of_view=30.0,
                            margin=0.1, one_camera=False)
    prompt["lit"] = node("RenderAvatar", posed_avatar=["posed", 0], camera=["camera", 0], engine="torch", lights="dramatic", key=0.5)
    prompt["solid"] = node("AvatarTo3D", posed_avatar=["posed", 0], fps=2.0, filename_prefix="3d/hero")
    prompt["preview"] = node("Preview3D", model_file=["solid", 2 if old else 1])
    run = server.run(prompt)
    assert run.succeeded, run.error
    assert len(run.images("compared")) == 2 and server.picture(run.images("lit")[0]).shape[:2] == (64, 64)
    shown = run.entry["outputs"]["preview"]["result"][0]
    assert (server.base / "output" / shown).read_bytes()[:4] == b"glTF"


def test_a_mistake_in_a_bone_map_is_named_on_the_node(server, prompt):
    prompt["avatar"]["inputs"]["bone_map"] = '{"hed": "head"}'
    prompt["compared"] = node("CompareRetarget", body_pose=["keys", 0], posed_avatar=["posed", 0], size=64, view="front")
    error = server.run(prompt).error
    assert error["node_id"] == "avatar" and "not a joint of the body" in error["exception_message"]
