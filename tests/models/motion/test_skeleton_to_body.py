from pathlib import Path

import pytest
import torch
from fabricate import a_pose, bvh_text, random_rotations

from contrapposto.models.bodies import JOINT_NAMES, pose_body
from contrapposto.models.bodies.body import global_rotations
from contrapposto.models.checks import InputError
from contrapposto.models.motion import load_motion, save_motion
from contrapposto.models.motion.bvh import parse_bvh
from contrapposto.models.motion.floor import lowest_points
from contrapposto.models.motion.skeleton_to_body import skeleton_to_pose

Z_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).double()  # ours -> a file with +Z up that faces -Y, as Blender's
X_FRONT = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]).double()  # ours -> a file that faces +X


def degrees(a, b):
    turn = a.transpose(-1, -2) @ b
    return torch.rad2deg(((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos())


def check_same_motion(body, pose, motion, limit_mm=0.5):
    """Joints agree but for one constant shift (the floor)."""
    ours, theirs = pose_body(body, pose).joints[:, :22], pose_body(body, motion).joints[:, :22]
    shift = (ours - theirs).mean((0, 1))
    assert shift[[0, 2]].abs().max() < 1e-3
    assert 1000 * (ours - theirs - shift).norm(dim=-1).max() < limit_mm


@pytest.mark.parametrize("names", ["cgspeed", "unreal", "smpl"])
@pytest.mark.parametrize("turn, scale", [(None, 100.0), (Z_UP, 1.0), (X_FRONT, 39.37), (None, 17.0)])
def test_t_pose_files_of_any_axes_and_units(body, motion, names, turn, scale):
    pose, report = skeleton_to_pose(parse_bvh(bvh_text(body, motion, names=names, turn=turn, scale=scale)), body)
    check_same_motion(body, pose, motion)
    assert degrees(global_rotations(pose), global_rotations(motion)).max() < 0.1
    assert pose.fps == 30 and pose.frame_index.tolist() == list(range(len(motion)))
    unit = {100.0: "centimetres", 1.0: "metres", 39.37: "inches", 17.0: "no common one"}[scale]
    assert f"Unit: {unit}" in report and ("+Z" if turn is Z_UP else "+Y") in report


def test_a_pose_files(body, motion):
    pose, report = skeleton_to_pose(parse_bvh(bvh_text(body, motion, rest_pose=a_pose(body))), body)
    check_same_motion(body, pose, motion)
    assert degrees(global_rotations(pose), global_rotations(motion)).max() < 6  # twist of an almost straight arm
    assert "the file's zero pose." in report


@pytest.mark.parametrize("turn", [None, Z_UP])
def test_files_whose_zero_pose_means_nothing(body, motion, turn):
    text = bvh_text(body, motion, frames=random_rotations(22), turn=turn)
    pose, report = skeleton_to_pose(parse_bvh(text), body)
    check_same_motion(body, pose, motion)
    error = degrees(global_rotations(pose), global_rotations(motion)).mean(0)
    named = dict(zip(JOINT_NAMES, error.tolist()))
    for limb in ("hip", "knee", "shoulder", "elbow"):  # told by the hinges
        assert named[f"left_{limb}"] < 5 and named[f"right_{limb}"] < 5, named
    assert named["pelvis"] < 0.1 and named["spine3"] < 0.1
    assert "read off the motion" in report


@pytest.mark.parametrize("order", ["XYZ", "ZXY", "YXZ"])
def test_every_order_of_rotation_channels(body, motion, order):
    pose, _ = skeleton_to_pose(parse_bvh(bvh_text(body, motion, order=order)), body)
    check_same_motion(body, pose, motion)


def test_feet_touch_the_floor(body, motion):
    pose, _ = skeleton_to_pose(parse_bvh(bvh_text(body, motion)), body)
    lowest = lowest_points(pose, body)
    assert -0.02 < lowest.min() <= 1e-3


def test_written_files_come_back(tmp_path, body, motion):
    save_motion(tmp_path / "a.bvh", motion, body)
    pose, _ = load_motion(tmp_path / "a.bvh", body)
    check_same_motion(body, pose, motion, 0.05)


def test_missing_joints_follow_their_neighbours(body, motion):
    text = bvh_text(body, motion)
    for name in ("LeftToeBase", "RightToeBase", "LowerBack"):
        text = text.replace(f"JOINT {name}\n", "JOINT zzz\n")
    pose, report = skeleton_to_pose(parse_bvh(text), body)
    assert "Not in this skeleton" in report and "left_foot" in report.split("Not in this skeleton")[1]
    assert torch.allclose(pose.body_pose[:, 9], torch.eye(3), atol=1e-5)


def test_no_human_is_an_error_that_names_bones(body):
    dog = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION\nFrames: 1\nFrame Time: 1\n0 0 0"
    with pytest.raises(InputError, match="motion file 'dog'.*missed"):
        skeleton_to_pose(parse_bvh(dog), body, "dog")


@pytest.mark.parametrize("name, fps, frames", [("cmu_02_03_run_iclone", 60, 86), ("cmu_05_03_dance_iclone", 60, 216),
                                               ("cmu_49_04_daz", 25, 252)])
def test_motion_capture_of_strangers(body, cmu, name, fps, frames):
    if name not in cmu:
        pytest.skip(f"{name}.bvh is not here")
    pose, report = load_motion(cmu[name], body)
    assert len(pose) == frames and pose.fps == fps
    motion = parse_bvh(Path(cmu[name]).read_text())
    _, positions = motion.world()
    joints = pose_body(body, pose).joints
    named = dict(line.split(" = ") for line in report.rpartition("Joints: ")[2].rstrip(".").split(", "))
    at = {role: positions[:, motion.names.index(bone)].float() for role, bone in named.items()}
    for side in ("left", "right"):
        for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            seen = at[f"{side}_{end}"] - at[f"{side}_{start}"]
            ours = joints[:, JOINT_NAMES.index(f"{side}_{end}")] - joints[:, JOINT_NAMES.index(f"{side}_{start}")]
            angle = torch.rad2deg(torch.nn.functional.cosine_similarity(seen, ours, dim=-1).clamp(-1, 1).acos())
            assert angle.median() < 3, (side, start, float(angle.median()))  # both files are +Y up, so directions compare in place
    lowest = lowest_points(pose, body)
    assert lowest.quantile(0.04) > -0.002 and lowest.min() > -0.12 and lowest.median() < 0.12  # the DAZ file starts below its floor


def test_a_runner_runs_forward(body, cmu):
    if "cmu_02_03_run_iclone" not in cmu:
        pytest.skip("cmu_02_03_run_iclone.bvh is not here")
    pose, _ = load_motion(cmu["cmu_02_03_run_iclone"], body)
    step = torch.nn.functional.normalize(pose.transl[-1] - pose.transl[0], dim=0)
    for joint in (0, 9, 15):  # pelvis, chest and head look where he runs
        assert (global_rotations(pose)[:, joint, :, 2] @ step).mean() > 0.85
    left, right = pose_body(body, pose).joints[:, 1], pose_body(body, pose).joints[:, 2]
    up = torch.tensor([0.0, 1, 0])
    assert ((left - right) @ torch.linalg.cross(up, step) > 0).all()  # left is left
