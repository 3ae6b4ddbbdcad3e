import pytest
import torch

from contrapposto.models.bodies.joints import JOINT_NAMES, mirror_pose
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose.describe import describe_poses
from contrapposto.models.types import BodyPose

DOWN = {"left_shoulder": (0, 0, -75), "right_shoulder": (0, 0, 75)}


def turned(**joints):
    rotvec = torch.zeros(1, 22, 3)
    for name, turn in joints.items():
        rotvec[0, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(turn, dtype=torch.float32))
    rotmats = rotvec_to_rotmat(rotvec)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


@pytest.mark.parametrize("joints, expected", [
    ({}, "standing, both legs straight, both arms stretched to the side"),
    (DOWN, "standing, both legs straight, both arms hanging"),
    ({**DOWN, "right_shoulder": (0, 0, -80)}, "standing, both legs straight, left arm hanging, right arm raised above the head"),
    ({**DOWN, "head": (0, 40, 0)}, "standing, both legs straight, both arms hanging, looking to the left"),
    ({**DOWN, "left_hip": (-80, 0, 0), "left_knee": (90, 0, 0)},
     "standing, left knee raised, right leg straight, legs apart, both arms hanging"),
    ({"pelvis": (180, 0, 0), "left_shoulder": (0, 0, 85), "right_shoulder": (0, 0, -85)},
     "upside down, both legs stretched up, both arms raised above the head"),
    ({**DOWN, "pelvis": (-90, 0, 0)}, "lying on the back, both legs straight, both arms hanging"),
])
def test_descriptions_by_hand(joints, expected):
    assert describe_poses(turned(**joints)) == [expected]


def test_the_mirror_image_is_described_with_the_sides_swapped():
    rotmats = rotvec_to_rotmat(0.5 * torch.randn(60, 22, 3))
    pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
    for here, there in zip(describe_poses(pose), describe_poses(mirror_pose(pose))):
        swapped = there.replace("left", "?").replace("right", "left").replace("?", "right")
        assert sorted(here.split(", ")) == sorted(swapped.split(", "))


def test_every_row_gets_a_sentence_about_legs_and_arms():
    rotmats = rotvec_to_rotmat(2 * torch.randn(50, 22, 3))
    for text in describe_poses(BodyPose(rotmats[:, 0], rotmats[:, 1:])):
        assert any(word in text for word in ("leg", "knee", "heel")) and any(word in text for word in ("arm", "hand", "elbow"))
        assert "{" not in text and ", ," not in text
