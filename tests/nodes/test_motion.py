"""The motion nodes: files in and out of ComfyUI's folders, other packs' motions, editing."""

import json
import struct
from dataclasses import replace

import pytest
import torch


@pytest.fixture(scope="session")
def lib(pack):
    """The library as the loaded pack sees it."""
    import importlib

    root = type(next(iter(pack.values()))).__module__ and next(iter(pack.values())).__module__.rsplit(".nodes.", 1)[0]
    return lambda name: importlib.import_module(f"{root}.models.{name}")


@pytest.fixture
def poses(lib):
    BodyPose = lib("types").BodyPose
    turn = lib("rotations").rotation_about("y", torch.linspace(0, 1, 12))
    rest = BodyPose.rest(12)
    return replace(rest, global_orient=turn, transl=torch.tensor([0.0, 1.0, 0.0]).expand(12, 3), fps=30.0)


def test_save_and_load_again(execute, poses, models_dir):
    for kind, suffix in (("BVH", ".bvh"), ("NPZ (AMASS)", ".npz"), ("NPZ (SMPL-X names)", ".npz")):
        path, *_ = execute("SaveMotion", body_pose=poses, format=kind, filename_prefix="motion/test")
        assert path.startswith(str(models_dir.parent / "output" / "motion")) and path.endswith(suffix)
        pose, fps, frames, report = execute("LoadMotion", motion_file="(take the path below)", path=path)
        assert fps == 30 and frames == 12 and len(pose) == 12 and report
        assert torch.allclose(pose.global_orient, poses.global_orient, atol=1e-3)


def test_nothing_is_overwritten(execute, poses):
    paths = [execute("SaveMotion", body_pose=poses, format="BVH", filename_prefix="twice")[0] for _ in range(2)]
    assert paths[0] != paths[1]


def test_a_glb_shows_the_avatar_when_one_is_given(execute, poses):
    (avatar,) = execute("LoadAvatar", file="default avatar (bundled)")
    posed, _ = execute("RetargetPose", body_pose=poses, avatar=avatar)
    path, *_ = execute("SaveMotion", body_pose=poses, posed_avatar=posed)
    data = open(path, "rb").read()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    assert document["animations"] and len(document["materials"]) > 1
    with pytest.raises(ValueError, match="do not fit 5 poses"):
        execute("SaveMotion", body_pose=poses[slice(0, 5)], posed_avatar=posed)


def test_files_in_the_input_folder_are_listed_and_read(execute, pack, poses, models_dir):
    path, *_ = execute("SaveMotion", body_pose=poses, format="BVH")
    folder = models_dir.parent / "input" / "walks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.bvh").write_bytes(open(path, "rb").read())
    node = pack["ContrappostoLoadMotion"]
    listed = next(given for given in node.define_schema().inputs if given.id == "motion_file")
    assert "walks/a.bvh" in listed.options["options"]
    assert node.validate_inputs("walks/a.bvh") is True and "was not found" in node.validate_inputs("gone.bvh")
    before = node.fingerprint_inputs("walks/a.bvh", "")
    assert execute("LoadMotion", motion_file="walks/a.bvh", path="")[2] == 12
    (folder / "a.bvh").write_text("other")
    assert node.fingerprint_inputs("walks/a.bvh", "") != before
    with pytest.raises(ValueError, match="outside"):
        execute("LoadMotion", motion_file="../output/x.bvh", path="")
    with pytest.raises(ValueError, match="names no file"):
        execute("LoadMotion", motion_file="(take the path below)", path=" ")


def test_motions_of_other_packs(execute, poses):
    zeros = torch.zeros(12, 63)
    data = {"global": {"global_orient": torch.zeros(12, 3), "body_pose": zeros}}
    pose, fps, frames, _ = execute("LoadMotion", pose_data=data, motion_file="", path="")
    assert frames == 12 and fps == 30 and torch.allclose(pose.body_pose, torch.eye(3).expand(12, 21, 3, 3))


def test_edit_changes_nothing_by_default(execute, poses):
    pose, fps, frames = execute("EditMotion", body_pose=poses)
    assert torch.equal(pose.global_orient, poses.global_orient) and (fps, frames) == (30, 12)


def test_two_poses_become_a_motion(execute, poses):
    pose, fps, frames = execute("EditMotion", body_pose=replace(poses[[0, 11]], fps=None), between=1.0, floor="each frame")
    assert (fps, frames) == (30, 31)
    assert torch.allclose(pose.global_orient[[0, -1]], poses.global_orient[[0, 11]], atol=1e-4)


@pytest.mark.parametrize("inputs, frames", [({"start": 2, "end": 8}, 6), ({"speed": 2.0}, 7), ({"fps": 60.0}, 23), ({"loop": 3}, 9),
                                            ({"mirror": True}, 12), ({"smooth": 0.1}, 12), ({"floor": "whole motion"}, 12)])
def test_each_step(execute, poses, inputs, frames):
    assert execute("EditMotion", body_pose=poses, **inputs)[2] == frames


def test_motions_after_one_another(execute, poses):
    assert execute("EditMotion", body_pose=poses, then=poses, blend=4)[2] == 20


def test_core_rig(execute, poses):
    (data,) = execute("ToCoreRig", body_pose=poses, width=640, height=480)
    assert len(data["frames"]) == 12 and data["image_size"] == (480, 640) and "_skeleton_override" in data
