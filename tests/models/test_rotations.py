import math

import pytest
import torch

from contrapposto.models import rotations
from contrapposto.models.checks import InputError

roma = pytest.importorskip("roma")


def random_rotvecs(n=500, dtype=torch.float64):
    axis = torch.nn.functional.normalize(torch.randn(n, 3, dtype=dtype), dim=-1)
    return axis * (torch.rand(n, 1, dtype=dtype) * math.pi * 0.999)


def test_rotvec_to_rotmat_equals_roma():
    rotvec = random_rotvecs()
    torch.testing.assert_close(rotations.rotvec_to_rotmat(rotvec), roma.rotvec_to_rotmat(rotvec), atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4, 2e-3, math.pi - 1e-7, math.pi])
def test_rotvec_round_trip_and_gradient_at_the_edges(size):
    rotvec = torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64) * size
    back = rotations.rotmat_to_rotvec(rotations.rotvec_to_rotmat(rotvec))
    assert (back - rotvec).norm() < 1e-7 or (back + rotvec).norm() < 1e-7  # at pi both signs are the same rotation
    x = rotvec.clone().requires_grad_()
    rotations.rotvec_to_rotmat(x).sum().backward()
    assert x.grad.isfinite().all()


def test_gradient_equals_finite_differences():
    assert torch.autograd.gradcheck(rotations.rotvec_to_rotmat, random_rotvecs(5).requires_grad_())


def test_rot6d_round_trip_and_column_order():
    R = roma.random_rotmat(50, dtype=torch.float64)
    torch.testing.assert_close(rotations.rot6d_to_rotmat(rotations.rotmat_to_rot6d(R)), R, atol=1e-12, rtol=0)
    six = rotations.rotmat_to_rot6d(R)
    torch.testing.assert_close(six[:, [0, 2, 4]], R[:, :, 0])  # interleaved: VPoser reshapes the six numbers to (3, 2)
    torch.testing.assert_close(rotations.rot6d_to_rotmat(six * 3.0), roma.special_gramschmidt(six.view(-1, 3, 2) * 3.0))


def test_vectors_to_rotmat_turns_one_into_the_other():
    a, b = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 3, dtype=torch.float64)
    b[:3] = -a[:3]  # opposite directions
    b[3:6] = a[3:6]
    R = rotations.vectors_to_rotmat(a, b)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close((R @ unit(a, dim=-1)[..., None])[..., 0], unit(b, dim=-1), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(100, dtype=torch.float64))


def test_rotation_about_axes():
    torch.testing.assert_close(rotations.rotation_about("y", math.pi / 2) @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]))


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="rotvec"):
        rotations.rotvec_to_rotmat(torch.zeros(4))
