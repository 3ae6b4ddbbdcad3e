import pytest
import torch

from contrapposto.models.bodies.joints import BODY_JOINTS, JOINT_NAMES, MIRROR, mirror_pose
from contrapposto.models.bodies.posture import POINT_NAMES, REFERENCE_OFFSETS, heading, measure_posture, remove_heading
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


def turned(**joints):
    rotvec = torch.zeros(1, 22, 3)
    for name, turn in joints.items():
        rotvec[0, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(turn, dtype=torch.float32))
    rotmats = rotvec_to_rotmat(rotvec)
    return measure_posture(BodyPose(rotmats[:, 0], rotmats[:, 1:]))


def test_the_skeleton_is_symmetric_and_adult():
    offsets = torch.tensor(REFERENCE_OFFSETS)
    assert torch.equal(offsets[list(MIRROR[:BODY_JOINTS])] * torch.tensor([-1.0, 1.0, 1.0]), offsets)
    assert 1.65 < turned().height("head_top").item() < 1.85


@pytest.mark.parametrize("joints, measure, expected", [
    ({"left_knee": (70, 0, 0)}, lambda p: p.bend("left_knee") - turned().bend("left_knee"), 70),
    ({"right_elbow": (0, 60, 0)}, lambda p: p.bend("right_elbow"), 60),
    ({"left_shoulder": (0, 0, 90)}, lambda p: p.elevation("left_upper_arm"), 90),
    ({"pelvis": (90, 0, 0)}, lambda p: p.tilt(), 90), ({"pelvis": (90, 0, 0)}, lambda p: p.faces_up("chest"), -90),
    ({"pelvis": (-90, 0, 0)}, lambda p: p.faces_up("chest"), 90),
    ({"head": (0, 40, 0)}, lambda p: p.turn("head"), 40), ({"spine1": (0, -25, 0)}, lambda p: p.turn("chest"), -25),
    ({"head": (0, 0, -30)}, lambda p: p.lean_left("head"), 30),
])
def test_measures_in_degrees(joints, measure, expected):
    assert measure(turned(**joints)).item() == pytest.approx(expected, abs=8)  # bones of the rest pose are not quite straight


def test_left_is_the_persons_left_and_front_is_ahead():
    rest = turned()
    assert rest.left("left_hand") > 0.5 and rest.left("right_hand") < -0.5 and rest.ahead("left_toe") > 0.1
    assert turned(left_shoulder=(0, -90, 0)).front("left_hand") > 0.4


def test_heading_is_removed_whatever_the_lean():
    rotmat = rotvec_to_rotmat(torch.randn(50, 3))
    free = remove_heading(rotmat)
    assert heading(free).abs().max() < 1e-5
    turn = rotvec_to_rotmat(torch.tensor([0.0, 1.1, 0.0]))
    assert torch.allclose(remove_heading(turn @ rotmat), free, atol=1e-5)


def test_mirroring_swaps_the_sides():
    rotmats = rotvec_to_rotmat(0.5 * torch.randn(5, 22, 3))
    pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
    here, there = measure_posture(pose), measure_posture(mirror_pose(pose))
    for measure in ("bend", "elevation", "height"):
        names = ("left_knee", "right_knee") if measure != "elevation" else ("left_arm", "right_arm")
        assert torch.allclose(getattr(here, measure)(names[0]), getattr(there, measure)(names[1]), atol=1e-3)
    assert torch.allclose(here.turn("head"), -there.turn("head"), atol=1e-2)


def test_the_lowest_landmark_is_on_the_floor():
    rotmats = rotvec_to_rotmat(torch.randn(8, 22, 3))
    posture = measure_posture(BodyPose(rotmats[:, 0], rotmats[:, 1:]))
    assert posture.points.shape == (8, len(POINT_NAMES), 3) and torch.allclose(posture.points[..., 1].amin(1), torch.zeros(8), atol=1e-6)
