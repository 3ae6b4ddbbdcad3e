"""Diffusion-HPC as a whole job, with models of random weights."""

import sys
from pathlib import Path

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.headless.correction import body_depth, correct_pictures, generate_and_correct, paint_again
from contrapposto.models.pose_correction.depth_to_image import DepthToImage, depth_channel
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_diffusion import tiny_model

SIDE = 64
FAST = DepthToImage(steps=4, strength=0.5, guidance=2.0)


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.fixture(scope="module")
def prior():
    return load_pose_prior()


@pytest.fixture(scope="module")
def found(body):
    """A T-pose in picture 0, a contortion in picture 2; nobody in picture 1."""
    twist = torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(5)) * 1.2
    pose = BodyPose.cat([BodyPose.rest(), BodyPose(torch.eye(3)[None], rotvec_to_rotmat(twist))])
    pose = BodyPose(pose.global_orient, pose.body_pose, pose.transl, frame_index=torch.tensor([0, 2]))
    return pose, frame_figure(pose_body(body, pose), SIDE, SIDE)


@pytest.fixture
def first():
    return torch.rand(3, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))


class Counting:
    """An image model that counts the rows it samples."""

    def __init__(self, model):
        self.model, self.rows = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def sample(self, positive, negative, latents, **options):
        self.rows += len(latents)
        return self.model.sample(positive, negative, latents, **options)


def test_second_pass_is_diffusers_own_loop(first):
    """Against a plain loop over diffusers' scheduler with two separate passes, as StableDiffusionDepth2ImgPipeline runs it."""
    model, depth = tiny_model(5), torch.rand(3, SIDE, SIDE)
    ours = paint_again(model, first, depth, ["a runner"] * 3, DepthToImage(0.7, 10, 3.0, "deformed"), seed=3)
    latents = model.encode(first) * 0.18215
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    model.scheduler.set_timesteps(10)
    times = model.scheduler.timesteps[3:]  # diffusers: t_start = steps - int(steps * strength)
    x, beside = model.scheduler.add_noise(latents, noise, times[:1]), depth_channel(depth, latents.shape[-2:])
    states = [model.encode_text([text] * 3) for text in ("a runner", "deformed")]
    with torch.no_grad():
        for time in times:
            yes, no = (model.unet(torch.cat([x, beside], 1), time, encoder_hidden_states=text).sample for text in states)
            x = model.scheduler.step(no + 3 * (yes - no), time, x).prev_sample
    assert torch.allclose(ours, model.decode(x / 0.18215), atol=1e-4)


def test_only_hard_pictures_are_painted_again(first, found, body, prior):
    model = Counting(tiny_model(5))
    made = correct_pictures(first, model, "a gymnast", lambda pictures: found, body, prior, FAST)
    assert made.verdict.states == ("easy", "nobody", "hard") and model.rows == 1
    assert torch.equal(made.pictures[:2], first[:2]) and not torch.equal(made.pictures[2], first[2])
    assert made.depth[2].max() == 1 and not made.depth[:2].any()


def test_threshold_zero_corrects_everybody_and_a_high_one_nobody(first, found, body, prior):
    model = Counting(tiny_model(5))
    made = correct_pictures(first, model, "a", lambda _: found, body, prior, FAST, threshold=0.0)
    assert made.verdict.correct.tolist() == [True, False, True] and model.rows == 2
    made = correct_pictures(first, model, "a", lambda _: found, body, prior, FAST, threshold=1e5)
    assert model.rows == 2 and made.pictures is first
    assert correct_pictures(first, model, "a", lambda _: None, body, prior, FAST).verdict.states == ("nobody",) * 3


def test_occluders_cut_the_depth(first, found, body, prior):
    occluders = torch.zeros(3, SIDE, SIDE)
    occluders[2, :, : SIDE // 2] = 1
    pose, camera = found
    free, cut = (body_depth(body, pose[[1]], camera[[1]], [2], mask) for mask in (None, occluders))
    assert free[0, :, : SIDE // 2].any() and not cut[0, :, : SIDE // 2].any()
    assert torch.equal(free[0, :, SIDE // 2 :], cut[0, :, SIDE // 2 :])


def test_from_text(found, body, prior):
    made = [generate_and_correct(tiny_model(4), tiny_model(5), "a gymnast", lambda _: found, body, prior, count=3, size=SIDE, steps=2,
                                 settings=FAST, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(made[0].pictures, made[1].pictures) and not torch.equal(made[0].pictures, made[2].pictures)
    assert made[0].first.shape == (3, SIDE, SIDE, 3)


def test_fresh_person_keeps_nothing_of_the_body(first, found, body, prior):
    settings = DepthToImage(0.25, 4, 2.0, fresh_person=True)
    plain = correct_pictures(first, tiny_model(5), "a", lambda _: found, body, prior, DepthToImage(0.25, 4, 2.0))
    fresh = correct_pictures(first, tiny_model(5), "a", lambda _: found, body, prior, settings)
    changed = (fresh.pictures[2] - plain.pictures[2]).abs().mean(-1)
    assert changed[plain.depth[2] > 0].mean() > changed[plain.depth[2] == 0].mean()


def test_mistakes(first, found, body, prior):
    with pytest.raises(InputError, match="4 input channels.*reads no depth"):
        correct_pictures(first, tiny_model(4), "a", lambda _: found, body, prior)
    with pytest.raises(InputError, match="multiple of 8"):
        paint_again(tiny_model(5), first[:, :60], torch.zeros(3, 60, SIDE), ["a"] * 3, FAST)
