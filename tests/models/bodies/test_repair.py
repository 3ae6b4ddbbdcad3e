"""Repairing implausible poses with the smallest change."""

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, place_on_floor
from contrapposto.models.bodies.joints import JOINT_NAMES
from contrapposto.models.bodies.plausibility import implausibility, is_plausible
from contrapposto.models.bodies.repair import BELOW, hands_below_seat, repair
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

SEATED = {"left_hip": (-90, 0, 0), "right_hip": (-90, 0, 0), "left_knee": (90, 0, 0), "right_knee": (90, 0, 0)}
ARM_IN_CHEST = {"left_shoulder": (0, -90, 0), "left_elbow": (0, -150, -60), "left_collar": (0, -35, 0)}
LEGS_CROSSED = {"left_hip": (0, 0, -11), "right_hip": (0, 0, 11)}
ON_HANDS = {"left_hip": (-90, 0, 0), "right_hip": (-90, 0, 0), "left_shoulder": (0, 0, -80), "right_shoulder": (0, 0, 80)}
KNEE_FORWARD = {"left_knee": (-60, 0, 0)}


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.fixture(scope="module")
def mixed():
    rotvec = torch.zeros(5, 22, 3)
    for row, joints in enumerate((SEATED, ARM_IN_CHEST, {}, LEGS_CROSSED, KNEE_FORWARD)):
        for name, degrees in joints.items():
            rotvec[row, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    rotmats = rotvec_to_rotmat(rotvec)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def test_broken_rows_are_mended_and_the_others_stay(body, mixed):
    mended, done = repair(mixed, body)
    assert done.broken.tolist() == [False, True, False, True, True] and not done.left.any()
    assert is_plausible(implausibility(mended, body)).all()
    assert torch.equal(mended.body_pose[[0, 2]], mixed.body_pose[[0, 2]])
    assert torch.equal(mended.global_orient, mixed.global_orient)
    torch.testing.assert_close(mended.transl, place_on_floor(body, mended).transl)
    assert str(done) == "5 poses, 3 implausible: 3 repaired"


def test_little_is_moved(body, mixed):
    _, done = repair(mixed, body)
    assert (done.moved[[0, 2]] == 0).all() and 0.005 < done.moved[3] < 0.1 and done.moved.max() < 0.5


def test_a_row_does_not_depend_on_the_others(body, mixed):
    together, alone = repair(mixed, body)[0], repair(mixed[3], body)[0]
    torch.testing.assert_close(together.body_pose[3], alone.body_pose[0], atol=1e-4, rtol=1e-4)


def test_locked_joints_do_not_turn(body, mixed):
    legs = (1, 4, 7, 10)  # the left one
    mended, done = repair(mixed[3], body, locked=legs)
    assert torch.equal(mended.body_pose[:, [joint - 1 for joint in legs]], mixed[3].body_pose[:, [joint - 1 for joint in legs]])
    assert not done.left.any()


def test_a_repair_runs_where_gradients_are_off(body, mixed):
    with torch.inference_mode():
        mended, done = repair(mixed[3], body)
    assert done.broken.all() and not done.left.any()


def test_a_pose_that_cannot_be_mended_is_told(body, mixed):
    _, done = repair(mixed[3], body, locked=tuple(range(22)))
    assert done.left.all() and str(done) == "1 poses, 1 implausible: 0 repaired, 1 could not be"


def posed(joints):
    rotvec = torch.zeros(1, 22, 3)
    for name, degrees in joints.items():
        rotvec[0, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    rotmats = rotvec_to_rotmat(rotvec)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def test_who_sits_does_not_hover_on_the_hands(body):
    """Legs straight out, arms down: the fingers reach below the seat."""
    hovering = place_on_floor(body, posed(ON_HANDS))
    below = hands_below_seat(hovering, body)
    assert below.shape == (1, 4) and below.max() > 0.05
    mended, done = repair(hovering, body)
    assert done.broken.all() and not done.left.any() and hands_below_seat(mended, body).max() <= BELOW
    legs = [JOINT_NAMES.index(name) - 1 for name in ("left_hip", "right_hip", "left_knee", "right_knee")]
    torch.testing.assert_close(mended.body_pose[:, legs], hovering.body_pose[:, legs], atol=0.02, rtol=0)  # only the arms give way
    skin = mended.transl[0, 1] - hovering.transl[0, 1]
    assert skin < -0.02  # so the seat comes down


def test_hands_that_are_meant_to_carry_stay(body):
    upside_down = {"pelvis": (180, 0, 0), "left_shoulder": (0, 0, 85), "right_shoulder": (0, 0, -85)}
    assert hands_below_seat(place_on_floor(body, posed(upside_down)), body).max() == 0
