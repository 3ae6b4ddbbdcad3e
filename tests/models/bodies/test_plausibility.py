import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, place_on_floor
from contrapposto.models.bodies.joints import JOINT_NAMES, mirror_pose
from contrapposto.models.bodies.plausibility import (
    LIMITS,
    implausibility,
    is_plausible,
    joint_excess,
    overlap,
    swing_and_twist,
)
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


@pytest.fixture(scope="module")
def body():
    return load_body_model()


def turned(**joints):
    rotvec = torch.zeros(1, 22, 3)
    for name, turn in joints.items():
        rotvec[0, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(turn, dtype=torch.float32))
    rotmats = rotvec_to_rotmat(rotvec)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


EASY = {
    "rest": {}, "arms down": {"left_shoulder": (0, 0, -75), "right_shoulder": (0, 0, 75)},
    "seated": {"left_hip": (-90, 0, 0), "right_hip": (-90, 0, 0), "left_knee": (90, 0, 0), "right_knee": (90, 0, 0)},
    "right fist": {"right_shoulder": (0, 40, 40), "right_elbow": (0, 110, 0)},
    "splits": {"left_hip": (-85, 0, 0), "right_hip": (75, 0, 0)},
}
BROKEN = {
    "knee bent forward": {"left_knee": (-60, 0, 0)}, "elbow bent backward": {"right_elbow": (0, -60, 0)},
    "head turned round": {"neck": (0, 90, 0), "head": (0, 90, 0)}, "thigh behind the back": {"left_hip": (140, 0, 0)},
    "arm through the chest": {"left_shoulder": (0, -90, 0), "left_elbow": (0, -150, -60), "left_collar": (0, -35, 0)},
    "legs through each other": {"left_hip": (0, 0, -11), "right_hip": (0, 0, 11)},
}


@pytest.mark.parametrize("name", EASY)
def test_easy_poses_are_plausible(body, name):
    assert is_plausible(implausibility(place_on_floor(body, turned(**EASY[name])), body)).all()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_poses_are_not(body, name):
    for pose in (turned(**BROKEN[name]), mirror_pose(turned(**BROKEN[name]))):
        assert not is_plausible(implausibility(place_on_floor(body, pose), body)).any()


def test_measures_name_the_fault(body):
    told = implausibility(place_on_floor(body, turned(left_knee=(-60, 0, 0))), body)
    assert told.joint_excess.item() == pytest.approx(50, abs=1) and told.sinking.item() < 0.02
    pose = turned()
    sunk = implausibility(BodyPose(pose.global_orient, pose.body_pose, torch.tensor([[0.0, -2.0, 0.0]])), body)
    risen = implausibility(BodyPose(pose.global_orient, pose.body_pose, torch.tensor([[0.0, 3.0, 0.0]])), body)
    assert sunk.sinking > LIMITS["sinking"] and sunk.floating == 0 and risen.floating > LIMITS["floating"] and risen.sinking == 0


def test_swing_and_twist_compose_to_the_rotation():
    rotmats = rotvec_to_rotmat(torch.randn(40, 21, 3))
    angles = swing_and_twist(rotmats)
    sideways = torch.tensor([name.split("_")[-1] in ("collar", "shoulder", "elbow", "wrist") for name in JOINT_NAMES[1:22]])
    along = torch.where(sideways[:, None], torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
    again = rotvec_to_rotmat(angles * (1 - along)) @ rotvec_to_rotmat(angles * along)
    assert torch.allclose(again, rotmats, atol=1e-4)


def test_the_rest_pose_and_its_mirror_image_have_no_excess():
    assert joint_excess(turned().body_pose).item() == 0
    pose = BodyPose(torch.eye(3).expand(30, 3, 3), rotvec_to_rotmat(torch.randn(30, 21, 3)))
    assert torch.allclose(joint_excess(pose.body_pose), joint_excess(mirror_pose(pose).body_pose), atol=0.1)


def test_overlap_is_what_the_gap_leaves_of_the_radii():
    from contrapposto.models.bodies import plausibility

    parts = len(plausibility.PART_NAMES)
    ends = torch.zeros(1, parts, 2, 3)
    ends[0, :, :, 1] = 10.0 * torch.arange(parts)[:, None]  # all far apart
    ends[0, :, 1, 0] = 1.0
    radii = torch.full((parts,), 0.1)
    assert overlap(ends, radii).item() == 0
    left, right = (plausibility.PART_NAMES.index(side + "shin") for side in ("left_", "right_"))
    ends[0, right] = ends[0, left] + torch.tensor([0.5, 0.15, 0.0])
    assert overlap(ends, radii).item() == pytest.approx(0.25, abs=1e-5)
