"""A pose stands, or it would fall over."""

import math

import numpy as np
import pytest
import torch

from contrapposto.models.bodies.balance import CONTACT, off_balance
from contrapposto.models.bodies.body import load_body_model, place_on_floor, pose_body
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


@pytest.fixture(scope="module")
def body():
    return load_body_model()


def leaning(degrees):
    """Rest poses tipped forward about the feet."""
    rotvec = torch.zeros(len(degrees), 3)
    rotvec[:, 0] = torch.tensor(degrees) * math.pi / 180
    return BodyPose(rotvec_to_rotmat(rotvec), torch.eye(3).expand(len(degrees), 21, 3, 3))


def test_standing_upright_and_lying_are_in_balance(body):
    assert off_balance(place_on_floor(body, leaning([0.0, 90.0])), body).tolist() == [0, 0]


def test_who_leans_is_off_balance_by_the_sine_of_the_angle(body):
    poses = place_on_floor(body, leaning([30.0, 45.0]))
    found = off_balance(poses, body)
    middle = body.v_template.mean(0)[1] - body.v_template[:, 1].min()
    toes = body.v_template[:, 2].max() - body.v_template.mean(0)[2]
    for value, degrees in zip(found.tolist(), (30, 45)):
        angle = math.radians(degrees)
        expected = float(middle) * math.sin(angle) - float(toes) * math.cos(angle)  # the feet tip on the toes
        assert value == pytest.approx(expected, abs=0.06)


def hull_distance(points, place):
    """From a place to the convex hull of points in the plane, by scipy."""
    hull = pytest.importorskip("scipy.spatial").ConvexHull(points)
    if (hull.equations @ [*place, 1] <= 0).all():
        return 0.0
    start, end = points[hull.vertices], np.roll(points[hull.vertices], -1, 0)
    along = end - start
    t = (((place - start) * along).sum(1) / (along**2).sum(1)).clip(0, 1)
    return np.linalg.norm(place - start - t[:, None] * along, axis=1).min()


def test_against_the_convex_hull_of_scipy(body):
    rotvec = 0.4 * torch.randn(40, 22, 3)
    rotmats = rotvec_to_rotmat(rotvec)
    poses = place_on_floor(body, BodyPose(rotmats[:, 0], rotmats[:, 1:]))
    ids = torch.arange(0, body.v_template.shape[0], 4)
    vertices = pose_body(body, poses).vertices(ids=ids).double().numpy()
    expected = [hull_distance(v[v[:, 1] <= max(v[:, 1].min(), 0) + CONTACT][:, [0, 2]], v.mean(0)[[0, 2]]) for v in vertices]
    found = off_balance(poses, body).numpy()
    assert np.median(expected) > 0.05 and min(expected) == 0
    np.testing.assert_allclose(found, expected, atol=4e-3)


def test_place_heading_and_batch_do_not_matter(body):
    poses = leaning([25.0, 40.0, 10.0])
    turned = BodyPose(rotvec_to_rotmat(torch.tensor([0.0, 1.1, 0.0])) @ poses.global_orient, poses.body_pose)
    plain = off_balance(place_on_floor(body, poses), body)
    torch.testing.assert_close(off_balance(place_on_floor(body, turned), body), plain, atol=5e-3, rtol=0)
    torch.testing.assert_close(off_balance(place_on_floor(body, poses[1:2]), body), plain[1:2])
