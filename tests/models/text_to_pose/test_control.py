"""Start poses, kept parts and redrawn candidates: exact where promised, effective elsewhere, one error per mistake."""

from dataclasses import replace

import pytest
import torch
from small_model import encode, fake_prior, same, write_model

from contrapposto.models.bodies.body import pose_body
from contrapposto.models.bodies.posture import heading
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses
from contrapposto.models.text_to_pose.control import KEEP_CHOICES, PARTS, parse_redraw, parts_to_joints
from contrapposto.models.text_to_pose.diffusion import SAMPLERS, add_noise, cosine_alphas_bar, sample, sampling_timesteps
from contrapposto.models.types import BodyPose


@pytest.fixture
def start():
    """Two people with everything a pose can hold, one lying, turned and off the floor."""
    torch.manual_seed(3)
    turned = rotvec_to_rotmat(torch.tensor([[0.0, 2.0, 0.0], [1.2, 0.3, 0.0]]))
    return BodyPose(turned, rotvec_to_rotmat(0.4 * torch.randn(2, 21, 3)), torch.randn(2, 3), torch.randn(2, 10),
                    rotvec_to_rotmat(0.2 * torch.randn(2, 30, 3)), torch.tensor([4, 9]), torch.tensor([0, 1]), 25.0)


def test_strength_zero_returns_the_pose_bit_for_bit(model, body, start):
    result = sample_poses(model, "jump", count=2, start_pose=start, strength=0, body=body)
    for name in ("global_orient", "body_pose", "transl", "betas", "hands", "frame_index", "person_index"):
        assert torch.equal(getattr(result, name), getattr(start, name)), name
    assert result.fps == start.fps


def test_strength_one_ignores_the_pose(model, body, start):
    plain = sample_poses(model, "jump", count=2, body=body)
    given = sample_poses(model, "jump", count=2, start_pose=start, strength=1, body=body)
    assert torch.equal(plain.body_pose, given.body_pose) and torch.equal(plain.transl, given.transl)


def test_less_strength_stays_nearer_to_the_pose_with_the_shipped_weights(body):
    shipped = load_text_to_pose()
    turn = rotvec_to_rotmat(torch.tensor([[0.0, 2.0, 0.0]]))
    sitting = replace(sample_poses(shipped, "a person sits on the floor", body=body), global_orient=turn)
    drawn = [sample_poses(shipped, "a person raises both arms", count=6, start_pose=sitting, strength=strength, body=body)
             for strength in (0.02, 0.5, 0.9)]
    gaps = [float((pose.body_pose - sitting.body_pose).abs().mean()) for pose in drawn]
    assert 0 < gaps[0] < gaps[1] and 2 * gaps[1] < gaps[2] and gaps[0] < 0.06
    assert (heading(drawn[0].global_orient) - 2.0).abs().max() < 0.3


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("keep", ["arms", "left leg, head", ["all but torso"], "root", "lower body"])
def test_kept_joints_are_exact_and_the_others_move(model, body, start, sampler, strength, keep):
    result = sample_poses(model, "jump", count=2, start_pose=start, strength=strength, keep=keep, sampler=sampler, body=body)
    joints = parts_to_joints(keep)
    both = [torch.cat([pose.global_orient[:, None], pose.body_pose], 1) for pose in (result, start)]
    moved = (both[0] - both[1]).abs().amax((2, 3))
    for joint in range(22):
        assert (moved[:, joint] == 0).all() if joint in joints else (moved[:, joint] > 1e-3).all(), joint


def test_the_free_parts_grow_to_fit_the_kept_ones(model, body, start):
    one, other = (sample_poses(model, "jump", start_pose=start[row], keep="arms", body=body) for row in (0, 1))
    legs = [joint - 1 for joint in parts_to_joints("legs")]
    assert (one.body_pose[:, legs] - other.body_pose[:, legs]).abs().max() > 1e-4


def test_place_shape_and_hands_stay_and_the_floor_is_found(model, body, start):
    result = sample_poses(model, "jump", count=2, start_pose=start, strength=0.02, body=body)
    assert torch.equal(result.transl[:, [0, 2]], start.transl[:, [0, 2]])
    assert torch.equal(result.betas, start.betas) and torch.equal(result.hands, start.hands) and result.fps == 25
    lowest = pose_body(body, result).vertices()[..., 1].amin(1)
    torch.testing.assert_close(lowest, torch.zeros(2), atol=1e-4, rtol=0)


def test_a_turned_start_gives_the_turned_result(model, body, start):
    turn = rotvec_to_rotmat(torch.tensor([0.0, -1.1, 0.0]))
    turned = BodyPose(turn @ start.global_orient, start.body_pose)
    for options in ({"strength": 0.5}, {"keep": "arms"}):
        one, other = (sample_poses(model, "jump", count=2, start_pose=pose, body=body, **options) for pose in (start, turned))
        torch.testing.assert_close(turn @ one.global_orient, other.global_orient, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.body_pose, other.body_pose, atol=1e-4, rtol=0)


def test_controlled_poses_are_the_same_every_time_and_prompt_by_prompt(model, body, start, monkeypatch):
    given = {"count": 2, "strength": 0.6, "keep": "arms", "body": body}
    four = BodyPose.cat([start, start])
    together = sample_poses(model, ["jump", "sit down"], start_pose=four, **given)
    assert torch.equal(together.body_pose, sample_poses(model, ["jump", "sit down"], start_pose=four, **given).body_pose)
    assert same(together[2:], sample_poses(model, "sit down", start_pose=start, **given))
    monkeypatch.setattr("contrapposto.models.text_to_pose.sampling.ROWS_AT_ONCE", 2)
    assert same(together, sample_poses(model, ["jump", "sit down"], start_pose=four, **given))


def test_redrawing_one_candidate_leaves_the_others(model, body):
    batch = sample_poses(model, "jump", count=4, seed=5, body=body)
    assert same(batch, sample_poses(model, "jump", count=4, seeds=[5, 5, 5, 5], body=body))
    redrawn = sample_poses(model, "jump", count=4, seed=5, seeds=parse_redraw("3 = 99", 5, 4), body=body)
    assert same(batch[[0, 1, 3]], redrawn[[0, 1, 3]]) and not same(batch[2], redrawn[2])
    assert same(redrawn[2], sample_poses(model, "jump", count=4, seed=99, body=body)[2])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_locked_numbers_follow_their_noised_path(sampler, strength):
    """RePaint replaces them by the forward process at each level; here the solver itself must stay on that path."""
    start, noise = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    locked = torch.tensor([True, False, True, True, False, False])
    levels = cosine_alphas_bar()

    def predict(x, t):
        expected = add_noise(start, noise, levels[t])
        torch.testing.assert_close(x[:, locked], expected[:, locked], atol=1e-9, rtol=0)
        return torch.zeros_like(x)

    result = sample(predict, noise, 12, sampler, start=start, strength=strength, locked=locked)
    assert torch.equal(result[:, locked], start[:, locked]) and not result[:, ~locked].any()


def test_a_small_strength_has_no_more_steps_than_levels():
    for strength, count in ((1e-9, 1), (0.005, 5), (0.5, 20)):
        times = sampling_timesteps(20, "ddim", cosine_alphas_bar(), strength)
        assert len(times) == count and len(set(times.tolist())) == count and times.max() < 1000 * strength + 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_largest_number_of_steps_gives_numbers(sampler):
    result = sample(lambda x, t: 0.5 * x, torch.randn(2, 3), 1000, sampler)
    assert result.isfinite().all()


def test_parts_cover_the_body_and_sides_mirror():
    assert parts_to_joints("upper body, lower body") == tuple(range(22))
    assert parts_to_joints(("all but legs", "legs")) == tuple(range(22))
    assert parts_to_joints("left arm, right arm") == parts_to_joints("arms")
    assert parts_to_joints("none") == parts_to_joints("") == parts_to_joints(()) == ()
    assert len(KEEP_CHOICES) == 2 * len(PARTS)


def test_latent_models_keep_the_root_and_start_from_a_pose(tmp_path, body, start):
    write_model(tmp_path / "latent.safetensors", "latent", prior="abc")
    latent = load_text_to_pose(tmp_path / "latent.safetensors")
    latent.__dict__.update(encoder=encode, pose_prior=fake_prior())
    result = sample_poses(latent, "jump", count=2, start_pose=start, strength=0.5, keep="root", body=body)
    assert torch.equal(result.global_orient, start.global_orient)
    with pytest.raises(InputError, match="keep_parts 'arms' cannot be kept"):
        sample_poses(latent, "jump", count=2, start_pose=start, keep="arms", body=body)


@pytest.mark.parametrize("options, named", [
    ({"keep": "arms"}, "keep_parts"), ({"keep": "tail", "start_pose": BodyPose.rest()}, "keep_parts"),
    ({"strength": 1.5}, "strength"), ({"strength": float("nan")}, "strength"),
    ({"start_pose": BodyPose.rest(3), "strength": 0.5}, "start_pose"), ({"start_pose": BodyPose.rest(0), "strength": 0.5}, "start_pose"),
    ({"seeds": [1]}, "seeds"), ({"seeds": [1, -2]}, "seeds"), ({"seeds": [1, 2**64]}, "seeds"),
])
def test_bad_control_is_one_error_before_any_step(model, options, named):
    with pytest.raises(InputError) as error:
        sample_poses(model, "jump", count=2, on_step=lambda i, n: pytest.fail("sampling began"), **options)
    assert error.value.name == named and error.value.remedy


@pytest.mark.parametrize(("text", "said"), [("x", "'x'"),
                                           ("3", "'3'"), ("0=5", "candidate 0"), ("5=1", "candidate 5 of 4"), ("1=-2", "'1=-2'")])
def test_bad_redraw_is_named(text, said):
    with pytest.raises(InputError, match=f"redraw .*{said}"):
        parse_redraw(text, 0, 4)


def test_redraw_is_read_generously():
    assert parse_redraw(" 2 = 7;4=9\n1=3 ", 0, 4) == [3, 7, 0, 9]
    assert parse_redraw("", 8, 2) == [8, 8]
