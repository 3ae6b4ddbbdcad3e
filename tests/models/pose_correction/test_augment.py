"""Equations 8 to 10, entry by entry, and the presets of the released code."""

import math
from dataclasses import replace

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.augment import PRESETS, augment_latents, augment_pose
from contrapposto.models.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from contrapposto.models.types import BodyPose


@pytest.fixture
def pose(held_out):
    rows = held_out[:6]
    return BodyPose(rotvec_to_rotmat(rows[:, 0]), rotvec_to_rotmat(rows[:, 1:]), betas=torch.ones(6, 10), frame_index=torch.arange(6))


def test_the_papers_equations(prior, pose):
    """z ~ N(mu, sigma), z' = z (1 + s eps), eps from 0..1, decoded."""
    generator = torch.Generator().manual_seed(3)
    z = prior.encode(pose.body_pose).sample(generator)
    expected = prior.decode(z * (1 + 0.2 * torch.rand(z.shape, generator=generator)))
    augmented = augment_pose(prior, pose, scale=0.2, seed=3)
    assert torch.allclose(augmented.body_pose, expected, atol=1e-6)
    for name in ("global_orient", "betas", "transl", "frame_index"):
        assert torch.equal(getattr(augmented, name), getattr(pose, name))


def test_no_scale_from_the_mean_is_the_pose_as_the_prior_knows_it(prior, pose):
    assert torch.allclose(augment_pose(prior, pose, scale=0.0, sample=False).body_pose, prior.regularise(pose.body_pose), atol=1e-6)


@pytest.mark.parametrize("preset, mean, spread", [("paper", 1.025, 0.05 / 12**0.5), ("released (SPIN)", 1.5, 0.3),
                                                  ("released (BEV)", 1.0, 1.0)])
def test_factors_of_the_presets(preset, mean, spread):
    factor = augment_latents(torch.ones(400, 100), PRESETS[preset], 0.05, torch.Generator().manual_seed(0))
    assert abs(float(factor.mean()) - mean) < 0.02 and abs(float(factor.std()) - spread) < 0.02 * spread + 1e-3


def test_released_presets_turn_the_root_and_change_the_shape(prior, pose):
    many = augment_pose(prior, pose, preset="released (SPIN)", count=200)
    turn = rotmat_to_rotvec(pose.global_orient.repeat(200, 1, 1).mT @ many.global_orient)
    assert abs(float(turn.std()) - math.radians(10)) < math.radians(1) and abs(float(many.betas.std()) - 0.1) < 0.01


def test_jitters_by_hand_replace_the_presets(prior, pose):
    still = augment_pose(prior, pose, preset="released (SPIN)", root_jitter=0.0, shape_jitter=0.0)
    assert torch.equal(still.global_orient, pose.global_orient) and torch.equal(still.betas, pose.betas)
    turned = augment_pose(prior, replace(pose, betas=None), root_jitter=0.5, shape_jitter=1.0)
    assert turned.betas is None and not torch.allclose(turned.global_orient, pose.global_orient)


def test_the_batch_is_repeated_in_pictures_of_its_own(prior, pose):
    many = augment_pose(prior, pose, count=3, seed=1)
    assert many.frame_index.tolist() == list(range(18)) and torch.equal(many.global_orient[6:12], pose.global_orient)
    assert not torch.allclose(many.body_pose[:6], many.body_pose[6:12])
    assert torch.equal(many.body_pose, augment_pose(prior, pose, count=3, seed=1).body_pose)
    assert not torch.equal(many.body_pose, augment_pose(prior, pose, count=3, seed=2).body_pose)


@pytest.mark.parametrize("given, said", [({"preset": "wild"}, "preset"), ({"scale": -1.0}, "scale"), ({"count": 0}, "count"),
                                         ({"scale": math.nan}, "scale"), ({"root_jitter": 9.0}, "root jitter")])
def test_numbers_out_of_range_are_named(prior, pose, given, said):
    with pytest.raises(InputError, match=said):
        augment_pose(prior, pose, **given)
