"""Frechet distance against a published value, an independent matrix root, and closed forms."""

import numpy as np
import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.metrics.frechet import frechet_distance, frechet_pose_distance


def two_sets(rows=500, width=16):
    draw = np.random.default_rng(0)
    return torch.from_numpy(draw.normal(size=(rows, width))), torch.from_numpy(draw.normal(0.3, 1.2, size=(rows, width)))


def test_equals_clean_fid_and_torch_fidelity():
    assert frechet_distance(*two_sets()) == pytest.approx(2.5399365713, abs=1e-10)


def test_singular_covariances_equal_scipys_root():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = two_sets(12, 16)
    root = linalg.sqrtm(np.cov(a.numpy(), rowvar=False) @ np.cov(b.numpy(), rowvar=False))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + a.T.cov().trace() + b.T.cov().trace() - 2 * np.trace(np.real(root))
    assert frechet_distance(a, b, min_rows=2) == pytest.approx(float(expected), abs=1e-4)


def test_a_shift_counts_its_squared_length_and_nothing_counts_zero():
    a, _ = two_sets()
    assert frechet_distance(a, a) < 1e-9
    assert frechet_distance(a, a + torch.tensor([3.0, 4.0] + [0.0] * 14)) == pytest.approx(25.0, abs=1e-9)


def test_poses_are_compared_by_their_mean_codes():
    class Prior:
        def encode(self, body_pose):
            return type("Latents", (), {"mean": body_pose.flatten(1)[:, :4]})

    poses = torch.randn(300, 21, 3, 3)
    assert frechet_pose_distance(Prior(), poses, poses + 2) == pytest.approx(16.0, abs=1e-4)


@pytest.mark.parametrize("a, b", [
    (torch.zeros(300, 4), torch.zeros(300, 5)),
    (torch.zeros(100, 4), torch.zeros(300, 4)),
    (torch.zeros(300, 4), torch.full((300, 4), float("nan"))),
])
def test_unusable_sets_are_refused(a, b):
    with pytest.raises(InputError):
        frechet_distance(a, b)
