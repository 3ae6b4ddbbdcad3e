"""The contract with core's SAM3D Body nodes, written down from their source: what they read, in which axes, of which types."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from contrapposto.models.bodies import JOINT_NAMES, OPENPOSE18_NAMES, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.motion.core_rig import FORMAT, MHR_POINTS, core_pose_to_body, pose_to_core_rig
from contrapposto.models.types import BodyPose

PERSON = {"pred_vertices": ("V", 3), "pred_joint_coords": ("J", 3), "pred_global_rots": ("J", 3, 3), "pred_cam_t": (3,),
          "pred_keypoints_3d": (18, 3), "pred_keypoints_2d": (18, 2)}
OVERRIDE = {"parents": (("J",), np.int32), "bind_global_m": (("J", 8), np.float32), "lbs_compact_joints": (("V", 8), np.uint16),
            "lbs_compact_weights": (("V", 8), np.float32), "rest_verts_m": (("V", 3), np.float32), "faces": (("F", 3), np.uint32),
            "openpose18_joint_indices": ((18, 2), np.int32), "openpose18_joint_weights": ((18,), np.float32)}


@pytest.fixture(scope="module")
def data(body, motion):
    return pose_to_core_rig(motion[[0, 10, 20]], body, 640, 480)


def test_the_dictionary_has_what_core_reads(data, body):
    sizes = {"V": len(body.v_template), "J": len(body.parents), "F": len(body.faces)}

    def shape(pattern):
        return tuple(sizes.get(axis, axis) for axis in pattern)

    assert data["contrapposto_format"] == FORMAT == 1 and data["image_size"] == (480, 640) and data["fps"] == 30
    assert len(data["frames"]) == 3 and all(len(people) == 1 for people in data["frames"])
    for name, pattern in PERSON.items():
        assert data["frames"][1][0][name].shape == shape(pattern) and data["frames"][1][0][name].dtype == np.float32, name
    rig = data["_skeleton_override"]
    for name, (pattern, dtype) in OVERRIDE.items():
        assert rig[name].shape == shape(pattern) and rig[name].dtype == dtype, name
    assert rig["per_frame_y_down"] is False and 1 <= rig["lbs_compact_max_inf"] <= 8
    assert np.array_equal(data["faces"], rig["faces"]) and rig["parents"][0] == -1 and (rig["parents"][1:] < np.arange(1, sizes["J"])).all()
    assert np.allclose(rig["lbs_compact_weights"].sum(1), 1, atol=1e-5) and np.allclose(rig["bind_global_m"][:, 3:], [0, 0, 0, 1, 1])


def test_skinning_as_core_does_gives_the_body(data, body, motion):
    """Core: skin matrix = joint transform at the frame times inverse bind, from pred_global_rots and pred_joint_coords."""
    rig, person = data["_skeleton_override"], data["frames"][1][0]
    local = rig["rest_verts_m"][:, None] - rig["bind_global_m"][rig["lbs_compact_joints"], :3]
    moved = np.einsum("vkij,vkj->vki", person["pred_global_rots"][rig["lbs_compact_joints"]], local)
    moved = ((moved + person["pred_joint_coords"][rig["lbs_compact_joints"]]) * rig["lbs_compact_weights"][..., None]).sum(1)
    camera = person["pred_vertices"] * [1, -1, -1]  # pred_vertices are +Y down
    assert np.abs(moved - camera).max() < (1e-4 if body.posedirs is None else 0.05)
    world = pose_body(body, motion[[10]]).vertices()[0].numpy()
    assert np.abs(camera + motion.transl[10].numpy() - world).max() < 1e-4


def test_travel_is_in_the_camera_translation(data, motion):
    """Core's exporters unflip pred_cam_t and take its change as the root's travel."""
    travel = np.stack([people[0]["pred_cam_t"] for people in data["frames"]]) * [1, -1, -1]
    wanted = motion.transl[[0, 10, 20]].numpy()
    assert np.allclose(travel - travel[0], wanted - wanted[0], atol=1e-5)


def test_the_whole_motion_is_in_the_picture_and_points_project(data):
    for people in data["frames"]:
        person = people[0]
        seen = person["pred_keypoints_3d"] + person["pred_cam_t"]
        assert (seen[:, 2] > 0.1).all()
        pixels = seen[:, :2] / seen[:, 2:] * person["focal_length"] + [320, 240]
        assert np.allclose(pixels, person["pred_keypoints_2d"], atol=0.01)
        assert (pixels > 0).all() and (pixels < [640, 480]).all()
    upright = data["frames"][0][0]["pred_keypoints_2d"]
    assert upright[OPENPOSE18_NAMES.index("nose"), 1] < upright[OPENPOSE18_NAMES.index("left_ankle"), 1]  # head at the top of the picture


def test_openpose_points_from_joints(data, body, motion):
    rig, person = data["_skeleton_override"], data["frames"][0][0]
    (a, b), w = rig["openpose18_joint_indices"].T, rig["openpose18_joint_weights"][:, None]
    coords = person["pred_joint_coords"]
    points = np.where((b == -1)[:, None], coords[a], w * coords[a] + (1 - w) * coords[b])
    exact = pose_body(body, motion[[0]]).keypoints_3d()[0].numpy() - motion.transl[0].numpy()
    error = dict(zip(OPENPOSE18_NAMES, np.linalg.norm(points - exact, axis=1)))
    assert error["neck"] < 1e-5 and error["left_wrist"] < 1e-5 and error["nose"] < 0.15


def mhr(body, motion):
    """What SAM 3D Body would say of this motion: 70 points in camera axes around the pelvis, and the camera translation."""
    joints = pose_body(body, motion).joints
    points = torch.zeros(len(motion), 70, 3)
    for name, index in MHR_POINTS.items():
        points[:, index] = joints[:, JOINT_NAMES.index(name)]
    for index, name in ((15, "left_foot"), (16, "left_foot"), (18, "right_foot"), (19, "right_foot"), (69, "neck")):
        points[:, index] = joints[:, JOINT_NAMES.index(name)]
    points[:, [3, 4]] = joints[:, [JOINT_NAMES.index("head")]] + torch.tensor([0.0, 0.05, 0.0])
    flipped = points * torch.tensor([1.0, -1, -1])
    cam_t = torch.tensor([0.0, 1.0, 4.0])
    return {"frames": [[{"pred_keypoints_3d": (row - cam_t).numpy(), "pred_cam_t": cam_t.numpy()}] for row in flipped]}


def test_mhr_people_become_poses(body, motion):
    pose, report = core_pose_to_body(mhr(body, motion), body, 25)
    assert pose.fps == 25 and "approximate" in report
    ours, theirs = pose_body(body, pose).joints, pose_body(body, motion).joints
    ours, theirs = ours - ours[:, :1], theirs - theirs[:, :1]
    for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle", "left_knee", "left_elbow"):
        index = JOINT_NAMES.index(name)
        assert (ours[:, index] - theirs[:, index]).norm(dim=-1).mean() < 0.06, name


@pytest.mark.parametrize("data, message", [
    (None, "no frames"), ({"frames": []}, "no frames"), ({"frames": [[]]}, "nobody"),
    ({"frames": [[{"pred_keypoints_3d": np.zeros((17, 3))}]]}, "70"),
    ({"frames": [[{"pred_keypoints_3d": np.full((70, 3), np.nan)}]]}, "NaN"),
])
def test_each_defect_is_named(body, data, message):
    with pytest.raises(InputError, match=message):
        core_pose_to_body(data, body)


def test_mistakes_of_the_user(body, motion):
    with pytest.raises(InputError, match="width"):
        pose_to_core_rig(motion, body, 0, 100)
    with pytest.raises(InputError, match="Trim the motion"):
        many = BodyPose.rest(20_000)
        pose_to_core_rig(replace(many, fps=30.0), body)
