"""Measures against roma, a plain walk along the chain, and sampled divergence."""

import pytest
import roma
import torch

from contrapposto.models.training.losses import gaussian_kl, geodesic_angle, skeleton_joints


def test_geodesic_angle_equals_romas():
    a, b = roma.random_rotmat((2, 200), dtype=torch.float64)
    torch.testing.assert_close(geodesic_angle(a, b), roma.rotmat_geodesic_distance(a, b), atol=1e-6, rtol=0)


@pytest.mark.parametrize("angle, tolerance", [(0.0, 1e-6), (1e-3, 1e-6), (torch.pi, 2e-3)])
def test_geodesic_angle_at_its_ends_keeps_finite_gradients(angle, tolerance):
    a = torch.eye(3).requires_grad_()
    result = geodesic_angle(a, roma.rotvec_to_rotmat(torch.tensor([angle, 0.0, 0.0])))
    result.backward()
    assert abs(result.item() - angle) < tolerance and a.grad.isfinite().all()


def test_skeleton_joints_walk_along_the_chain():
    parents, offsets = (-1, 0, 1, 1), torch.tensor([[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    quarter = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, torch.pi / 2]))
    rotmats = torch.eye(3).expand(2, 4, 3, 3).clone()
    rotmats[1, 0] = rotmats[1, 1] = quarter
    joints = skeleton_joints(rotmats, parents, offsets)
    torch.testing.assert_close(joints[0], torch.tensor([[0.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 1]]))
    torch.testing.assert_close(joints[1], torch.tensor([[0.0, 0, 0], [-1, 0, 0], [-2, 0, 0], [-1, 0, 1]]), atol=1e-6, rtol=0)


def test_gaussian_kl_equals_torch_distributions():
    mean, std = torch.randn(5, 32), torch.rand(5, 32) + 0.1
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(torch.zeros(5, 32), torch.ones(5, 32)))
    torch.testing.assert_close(gaussian_kl(mean, std), expected)
