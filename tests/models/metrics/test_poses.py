import pytest
import torch

from contrapposto.models.bodies.joints import mirror_pose
from contrapposto.models.checks import InputError
from contrapposto.models.metrics.poses import (
    mirror_points,
    multimodality,
    pose_distance,
    pose_features,
    pose_points,
    side_contrast,
    side_score,
)
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


def random_pose(rows=6, scale=0.4):
    rotmats = rotvec_to_rotmat(scale * torch.randn(rows, 22, 3))
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def with_left_arm_up(rows=6):
    rotvec = 0.05 * torch.randn(rows, 22, 3)
    rotvec[:, 16, 2] += 1.3
    rotvec[:, 17, 2] += 1.3  # the right arm hangs
    rotmats = rotvec_to_rotmat(rotvec)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def test_shapes():
    pose = random_pose()
    assert pose_points(pose).shape == (6, 22, 3) and pose_features(pose).shape == (6, 63)


def test_heading_and_place_do_not_count():
    pose = random_pose()
    turn = rotvec_to_rotmat(torch.tensor([0.0, 2.0, 0.0]))
    moved = BodyPose(turn @ pose.global_orient, pose.body_pose, pose.transl + 3)
    assert pose_distance(pose, moved).max() < 1e-5
    assert pose_distance(pose, random_pose()).min() > 0.02


def test_a_mirrored_pose_has_mirrored_points():
    pose = random_pose()
    assert torch.allclose(pose_points(mirror_pose(pose), 30), mirror_points(pose_points(pose, 30)), atol=1e-5)


def test_multimodality_by_hand():
    points = torch.zeros(2, 3, 22, 3)
    assert multimodality(points) == 0
    points[0, 0, :, 0] = 3.0  # two of the first sentence's three pairs are 3 m apart, none of the second's
    assert multimodality(points) == pytest.approx(1.0)


def test_sides_are_told_apart():
    right, test = pose_points(with_left_arm_up(), 30), with_left_arm_up()
    assert (side_score(pose_points(test, 30), right) > 0).all()
    assert (side_score(pose_points(mirror_pose(test), 30), right) < 0).all()


def test_a_symmetric_pose_has_no_contrast():
    assert side_contrast(pose_points(BodyPose.rest(3), 30)) < 0.01
    assert side_contrast(pose_points(with_left_arm_up(), 30)) > 3


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="points"):
        multimodality(torch.zeros(3, 22, 3))
