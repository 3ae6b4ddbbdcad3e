"""MPJPE, PA-MPJPE and PCK against closed forms and another implementation."""

import numpy as np
import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.metrics.joint_errors import align, box_size, mpjpe, pa_mpjpe, pck
from contrapposto.models.rotations import rotvec_to_rotmat


@pytest.fixture
def joints():
    return torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def moved(joints, scale=1.7):
    R = rotvec_to_rotmat(torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    return scale * joints @ R.mT + torch.randn(5, 1, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_similarity_transforms_count_nothing_after_alignment(joints):
    assert pa_mpjpe(moved(joints), joints).max() < 1e-12
    assert mpjpe(joints + 3.0, joints).max() < 1e-12, "the root's place does not count"
    assert mpjpe(joints + torch.tensor([0.0, 3.0, 4.0]), joints, root=None) == pytest.approx([5.0] * 5)


def test_alignment_equals_scipys(joints):
    scipy_spatial = pytest.importorskip("scipy.spatial")
    noisy = moved(joints) + 0.3 * torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for row in range(5):
        target = joints[row].numpy()
        centred = target - target.mean(0)
        size = np.linalg.norm(centred)
        _, found, _ = scipy_spatial.procrustes(centred, noisy[row].numpy())
        expected = np.linalg.norm(found * size - centred, axis=1).mean()
        assert float(pa_mpjpe(noisy[row : row + 1], joints[row : row + 1])) == pytest.approx(expected, rel=1e-9)


def test_alignment_equals_romas(joints):
    roma = pytest.importorskip("roma")
    noisy = moved(joints) + 0.3 * torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    R, t, scale = roma.rigid_points_registration(noisy, joints, compute_scaling=True)
    assert torch.allclose(align(noisy, joints), scale[:, None, None] * noisy @ R.mT + t[:, None], atol=1e-9)


def test_a_mirrored_body_is_not_turned_into_a_fit(joints):
    assert pa_mpjpe(joints * torch.tensor([-1.0, 1, 1]), joints).min() > 0.1


def test_joints_that_are_not_seen_do_not_count(joints):
    estimated, seen = joints.clone(), torch.ones(5, 17)
    estimated[:, 16], seen[:, 16] = torch.nan, 0
    estimated[:, 1] += torch.tensor([0.0, 0.16, 0.0])
    assert mpjpe(estimated, joints, seen=seen) == pytest.approx([0.01] * 5)
    assert torch.isfinite(pa_mpjpe(estimated, joints, seen=seen)).all()
    with pytest.raises(InputError, match="NaN"):
        mpjpe(estimated, joints)
    with pytest.raises(InputError, match="row without"):
        mpjpe(joints, joints, seen=torch.zeros(5, 17))


def test_pck():
    true = torch.zeros(2, 4, 2)
    true[:, 3] = 100.0
    estimated = true + torch.tensor([[0.0, 0], [3, 4], [6, 8], [0, 30]])
    assert pck(estimated, true, 5.0).tolist() == [0.5, 0.5]
    assert pck(estimated, true, 0.1, box_size(true, torch.ones(2, 4))).tolist() == [0.75, 0.75]
    assert pck(estimated, true, 5.0, seen=torch.tensor([[1.0, 1, 0, 0]] * 2)).tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match="threshold"):
        pck(estimated, true, 0.0)


def test_points_that_coincide_are_only_shifted():
    same = torch.ones(1, 5, 3)
    assert float(pa_mpjpe(same * 4, same)) == 0.0
