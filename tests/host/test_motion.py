"""The motion nodes inside a real ComfyUI: still poses become a motion, which goes out as GLB and BVH, and comes back."""

import json
import struct

import pytest

FRAMES = 13


def node(name, **inputs):
    return {"class_type": name if name.startswith("Preview") else f"Contrapposto{name}", "inputs": inputs}


EDIT = {"between": 0.0, "hold": 0.0, "start": 0, "end": 0, "blend": 10, "speed": 1.0, "fps": 0.0, "smooth": 0.0, "mirror": False, "loop": 0,
        "floor": "keep"}


@pytest.fixture
def prompt(server):
    """Two random poses, the motion between them on an avatar, saved as GLB and BVH."""
    drawn = {"prior": node("LoadPosePrior", file="open pose prior (bundled)")}
    drawn["keys"] = node("DecodeVPoser", pose_prior=["prior", 0], count=2, seed=4)
    drawn["motion"] = node("EditMotion", body_pose=["keys", 0], **(EDIT | {"between": 1.0, "fps": 12.0, "floor": "each frame"}))
    drawn["avatar"] = node("LoadAvatar", file="default avatar (bundled)")
    drawn["posed"] = node("RetargetPose", body_pose=["motion", 0], avatar=["avatar", 0])
    saved = {"body_pose": ["motion", 0], "filename_prefix": "motion/a"}
    drawn["glb"] = node("SaveMotion", posed_avatar=["posed", 0], format="GLB (animated)", **saved)
    drawn["bvh"] = node("SaveMotion", format="BVH", **saved)
    old = "FILE_3D_GLB" not in str(server.get_json("/object_info/Preview3D"))
    drawn["preview"] = node("Preview3D", model_file=["glb", 2 if old else 1])
    return drawn


def shown(run, name):
    return run.entry["outputs"][name]["text"][0]


def test_still_poses_become_files_that_come_back(server, prompt):
    run = server.run(prompt)
    assert run.succeeded, run.error
    data = open(shown(run, "glb"), "rb").read()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    clock = document["accessors"][document["animations"][0]["samplers"][0]["input"]]
    assert clock["count"] == FRAMES and abs(clock["max"][0] - 1.0) < 1e-4
    previewed = run.entry["outputs"]["preview"]["result"][0]
    assert (server.base / "output" / previewed).read_bytes() == data
    assert str(server.base) in shown(run, "bvh")  # ComfyUI's own output folder, wherever it was put
    again = {"file": node("LoadMotion", motion_file="(take the path below)", path=shown(run, "bvh"))}
    again["copy"] = node("SaveMotion", body_pose=["file", 0], format="NPZ (AMASS)", filename_prefix="motion/b")
    run = server.run(again)
    assert run.succeeded, run.error
    assert server.run(again).cached >= {"file"}


def test_a_missing_file_is_named_on_the_node(server):
    prompt = {"file": node("LoadMotion", motion_file="(take the path below)", path="/nowhere/walk.bvh")}
    prompt["copy"] = node("SaveMotion", body_pose=["file", 0], format="BVH", filename_prefix="motion/c")
    error = server.run(prompt).error
    assert error["node_id"] == "file" and "motion file" in error["exception_message"] and "does not exist" in error["exception_message"]


def test_only_a_glb_can_be_previewed(server, prompt):
    prompt["preview"]["inputs"]["model_file"] = ["bvh", prompt["preview"]["inputs"]["model_file"][1]]
    run = server.run(prompt)
    assert shown(run, "bvh").endswith(".bvh") and "preview" not in run.entry["outputs"]
