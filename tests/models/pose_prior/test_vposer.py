"""The VPoser network against independent implementations, and what users do with it."""

import importlib
import sys
import types

import pytest
import roma
import torch
import vposer_weights as oracle

from contrapposto.models.assets.registry import BUNDLED, OPEN_POSE_PRIOR
from contrapposto.models.checks import InputError
from contrapposto.models.pose_prior.vposer import PosePrior, load_pose_prior
from contrapposto.models.pose_prior.vposer_file import VPoserConfig

SEEDED = torch.Generator().manual_seed(5)
ROTVEC = torch.randn(16, 21, 3, generator=SEEDED) * 0.7
POSES = roma.rotvec_to_rotmat(ROTVEC)
CODES = torch.randn(16, 32, generator=SEEDED)
VERSIONS = {"v1": (oracle.V1, 0.2, False), "V02_05": (oracle.V2, 0.01, True)}
needs_bundled = pytest.mark.skipif(not (BUNDLED / OPEN_POSE_PRIOR).exists(), reason="the open pose prior is not bundled yet")


@pytest.fixture(params=VERSIONS)
def version(request, tmp_path):
    """(name, loaded prior, its state dict, layer names, slope, has the extra layer)."""
    names, slope, extra = VERSIONS[request.param]
    state = oracle.random_weights(names)
    path = tmp_path / "snapshot.pt"
    torch.save(state, path)
    return request.param, load_pose_prior(path), state, names, slope, extra


def test_shapes_and_facts(version):
    name, prior, *_ = version
    latents = prior.encode(POSES)
    assert latents.mean.shape == latents.std.shape == (16, 32) and (latents.std > 0).all()
    assert prior.decode(CODES).shape == (16, 21, 3, 3)
    assert prior.version == name and prior.latent_size == 32 and len(prior.sha256) == 64 and not prior.training


def test_encoder_and_decoder_equal_a_straight_implementation(version):
    _, prior, state, names, slope, extra = version
    mean, std = oracle.plain_encode(state, names, ROTVEC.flatten(1), slope, extra)
    latents = prior.encode(POSES)
    torch.testing.assert_close(latents.mean, mean, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(latents.std, std, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(prior.decode(CODES), oracle.plain_decode(state, names, CODES, slope), atol=1e-5, rtol=0)


def test_v1_equals_human_body_prior(monkeypatch, tmp_path):
    pytest.importorskip("human_body_prior", reason="human_body_prior is not installed (requirements-reference.txt)")
    for name in ("torchgeometry", "configer", "human_body_prior.tools.omni_tools", "human_body_prior.body_model.body_model"):
        stub = types.ModuleType(name)
        stub.Configer = stub.copy2cpu = stub.log2file = stub.makepath = stub.BodyModel = None
        monkeypatch.setitem(sys.modules, name, stub)
    monkeypatch.delitem(sys.modules, "human_body_prior.train.vposer_smpl", raising=False)
    reference = importlib.import_module("human_body_prior.train.vposer_smpl").VPoser(512, 32, [1, 21, 3])
    reference.load_state_dict(oracle.random_weights(oracle.V1, seed=4))
    reference.eval()
    torch.save(reference.state_dict(), tmp_path / "TR00_E096.pt")
    prior = load_pose_prior(tmp_path / "TR00_E096.pt")
    with torch.no_grad():
        gaussian, decoded = reference.encode(ROTVEC), reference.decode(CODES).reshape(-1, 21, 3, 3)
    torch.testing.assert_close(prior.encode(POSES).mean, gaussian.mean, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(prior.encode(POSES).std, gaussian.scale, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(prior.decode(CODES), decoded, atol=1e-6, rtol=0)


def test_samples_follow_the_gaussian_and_the_seed(version):
    _, prior, *_ = version
    latents = prior.encode(POSES[:1].expand(20000, 21, 3, 3))
    codes = latents.sample(torch.Generator().manual_seed(1))
    assert torch.equal(codes, latents.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(codes, latents.sample(torch.Generator().manual_seed(2)))
    spread = latents.std[0]
    assert ((codes.mean(0) - latents.mean[0]) / spread).abs().max() < 0.04
    assert (codes.std(0) / spread - 1).abs().max() < 0.03


def test_regularise_goes_along_the_arc(version):
    _, prior, *_ = version
    likely = prior.decode(prior.encode(POSES).mean)
    assert prior.regularise(POSES, 0.0) is POSES
    assert torch.equal(prior.regularise(POSES, 1.0), likely)
    third = prior.regularise(POSES, 1 / 3)
    whole = roma.rotmat_geodesic_distance(POSES, likely)
    torch.testing.assert_close(roma.rotmat_geodesic_distance(POSES, third), whole / 3, atol=2e-3, rtol=0)
    torch.testing.assert_close(roma.rotmat_geodesic_distance(third, likely), whole * 2 / 3, atol=2e-3, rtol=0)


def test_gradients_reach_codes_and_poses(version):
    _, prior, *_ = version
    codes, poses = CODES.clone().requires_grad_(), POSES.clone().requires_grad_()
    (prior.decode(codes).square().sum((0, 1)) * torch.arange(9.0).view(3, 3)).sum().backward()
    prior.encode(poses).mean.sum().backward()
    assert codes.grad.abs().sum() > 0 and poses.grad.isfinite().all() and poses.grad.abs().sum() > 0


def test_no_poses_and_one_pose(version):
    _, prior, *_ = version
    for rows in (0, 1):
        assert prior.regularise(POSES[:rows], 0.5).shape == (rows, 21, 3, 3)


def test_dropout_and_batch_statistics_rest_outside_training(version):
    _, prior, *_ = version
    alone = prior.encode(POSES[:1]).mean
    torch.testing.assert_close(alone, prior.encode(POSES).mean[:1], atol=1e-5, rtol=1e-5)
    assert torch.equal(prior.decode(CODES), prior.decode(CODES))


def test_a_host_may_give_its_own_linear_layers():
    class Counted(torch.nn.Linear):
        made = 0

        def __init__(self, *sizes):
            super().__init__(*sizes)
            Counted.made += 1

    PosePrior(VPoserConfig(), operations=types.SimpleNamespace(Linear=Counted))
    assert Counted.made == 7


@pytest.mark.parametrize("call", [
    lambda prior: prior.encode(torch.eye(3).expand(2, 23, 3, 3)),
    lambda prior: prior.decode(torch.zeros(2, 31)),
    lambda prior: prior.regularise(POSES, 1.5),
    lambda prior: prior.regularise(POSES, float("nan")),
])
def test_wrong_input_is_named(call):
    with pytest.raises(InputError):
        call(PosePrior(VPoserConfig(width=8)).eval())


@needs_bundled
def test_the_bundled_prior_knows_common_poses():
    """Regularising keeps everyday poses; the bounds are twice the held-out error that the model card states."""
    prior = load_pose_prior()
    assert prior.version == "open"
    rest = torch.eye(3).expand(1, 21, 3, 3)
    arms_down = roma.rotvec_to_rotmat(torch.zeros(1, 21, 3).index_put(
        (torch.zeros(2, dtype=torch.int64), torch.tensor([15, 16])), torch.tensor([[0.0, 0, -1.2], [0.0, 0, 1.2]])))
    for pose in (rest, arms_down):
        moved = roma.rotmat_geodesic_distance(prior.regularise(pose), pose).rad2deg()
        assert moved.mean() < 10 and moved.max() < 45


@needs_bundled
def test_bundled_codes_of_its_own_poses_come_back():
    prior = load_pose_prior()
    poses = prior.decode(CODES)
    again = prior.decode(prior.encode(poses).mean)
    assert roma.rotmat_geodesic_distance(again, poses).rad2deg().mean() < 10
    assert not torch.allclose(poses[0], poses[1], atol=0.1)
