"""Sampling with a small random network: order, determinism, options, and one error per bad input."""

import pytest
import torch
from small_model import encode, fake_prior, same, write_model

from contrapposto.models.assets.files import write_safetensors
from contrapposto.models.bodies.body import pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses
from contrapposto.models.text_to_pose.model import pose_to_vector, weights_fingerprint
from contrapposto.models.text_to_pose.sampling import sample_vectors, turn_sides
from contrapposto.models.text_to_pose.text_encoder import CLIP_L
from contrapposto.models.types import BodyPose


def test_rows_are_valid_rotations_prompt_by_prompt(model, body):
    poses = sample_poses(model, ["jump", "sit down"], count=3, body=body)
    assert len(poses) == 6
    product = poses.body_pose @ poses.body_pose.transpose(-1, -2)
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-5, rtol=0)
    assert same(poses[:3], sample_poses(model, "jump", count=3, body=body))
    assert same(poses[3:], sample_poses(model, "sit down", count=3, body=body))
    assert not same(poses[:3], poses[3:])


def test_everybody_stands_on_the_floor(model, body):
    lowest = pose_body(body, sample_poses(model, "jump", count=4, body=body)).vertices()[..., 1].amin(1)
    torch.testing.assert_close(lowest, torch.zeros(4), atol=1e-4, rtol=0)


def test_same_seed_same_pose_another_seed_another(model, body):
    first, again = (sample_poses(model, "jump", count=2, seed=7, body=body) for _ in range(2))
    assert torch.equal(first.body_pose, again.body_pose)
    assert not same(first, sample_poses(model, "jump", count=2, seed=8, body=body))


def test_a_candidate_does_not_depend_on_the_count(model, body):
    assert same(sample_poses(model, "jump", count=2, body=body), sample_poses(model, "jump", count=9, body=body)[:2])


def test_many_prompts_are_sampled_in_parts_with_one_progress(model, body, monkeypatch):
    monkeypatch.setattr("contrapposto.models.text_to_pose.sampling.ROWS_AT_ONCE", 4)
    seen = []
    texts = ["jump", "sit", "run", "lie down", "wave"]
    poses = sample_poses(model, texts, count=2, body=body, on_step=lambda i, n: seen.append((i, n)))
    assert seen == [(i, 9) for i in range(1, 10)]
    monkeypatch.undo()
    assert same(poses, sample_poses(model, texts, count=2, body=body))


def test_guidance_one_ignores_the_negative_prompt_and_more_uses_it(model, body):
    plain = sample_poses(model, "jump", guidance=1.0, body=body)
    assert same(plain, sample_poses(model, "jump", guidance=1.0, negative="sit", body=body))
    strong = sample_poses(model, "jump", guidance=4.0, body=body)
    assert not same(strong, sample_poses(model, "jump", guidance=4.0, negative="sit", body=body))


def test_a_side_is_told_from_the_other_side(model):
    noise, texts = torch.randn(2, model.network.config.pose_dim, generator=torch.Generator().manual_seed(0)), ["raise the left arm", "jump"]
    one_step = lambda states, guidance=1.0, turned=None: sample_vectors(model, states, None, noise, 1, guidance, "ddim", None, None, turned)
    asked, other = one_step(encode(texts)), one_step(encode(["raise the right arm"]))
    plain, sided = one_step(encode(texts), 3.0), one_step(encode(texts), 3.0, turn_sides(model, texts, 2.0))
    torch.testing.assert_close(sided[0], plain[0] + 2.0 * (asked[0] - other[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(sided[1], plain[1], atol=1e-5, rtol=0)
    assert not torch.allclose(sided[0], plain[0], atol=1e-2)


def test_sides_matter_to_prompts_that_name_one(model, body):
    texts = ["raise the left arm", "jump"]
    plain, sided = (sample_poses(model, texts, count=2, sides=sides, body=body) for sides in (0.0, 3.0))
    assert not same(plain[:2], sided[:2]) and same(plain[2:], sided[2:])
    assert same(sided[:2], sample_poses(model, texts[0], count=2, sides=3.0, body=body))
    assert turn_sides(model, ["stand upright at a right angle"], 1.0) is None


def test_states_of_the_right_encoder_may_be_given(model, body):
    assert same(sample_poses(model, "jump", text_states=encode(["jump"]), body=body), sample_poses(model, "jump", body=body))


def test_both_samplers_run(model, body):
    assert not same(sample_poses(model, "jump", sampler="ddim", body=body), sample_poses(model, "jump", sampler="dpmpp_2m", body=body))


def test_regularise_goes_through_the_prior(model, body):
    model.__dict__["pose_prior"] = fake_prior()
    poses = sample_poses(model, "jump", regularise=1.0, body=body)
    assert torch.equal(poses.body_pose, torch.eye(3).expand(1, 21, 3, 3))


def test_latent_models_decode_through_the_prior(tmp_path, body):
    write_model(tmp_path / "latent.safetensors", "latent", prior="abc")
    model = load_text_to_pose(tmp_path / "latent.safetensors")
    model.__dict__.update(encoder=encode, pose_prior=fake_prior())
    x = torch.randn(2, 38)
    expected = rotvec_to_rotmat((x * model.std + model.mean)[:, :3])
    torch.testing.assert_close(model.decode(x).body_pose[:, 4], expected)
    assert len(sample_poses(model, "jump", count=2, body=body)) == 2


def test_vectors_and_poses_are_inverse(model):
    pose = BodyPose(rotvec_to_rotmat(torch.randn(3, 3)), rotvec_to_rotmat(torch.randn(3, 21, 3)))
    back = model.decode((pose_to_vector(pose) - model.mean) / model.std)
    assert same(pose, back)
    assert pose_to_vector(pose, fake_prior()).shape == (3, 38)


def test_file_round_trip_in_half_precision(tmp_path):
    network = write_model(tmp_path / "small.safetensors")
    again = load_text_to_pose(tmp_path / "small.safetensors")
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], weight, rtol=1e-3, atol=1e-4)
    assert weights_fingerprint(again.network) != weights_fingerprint(network)


@pytest.mark.parametrize("options, named", [
    ({"texts": ""}, "prompt"), ({"texts": None}, "prompt"), ({"texts": []}, "prompts"),
    ({"texts": "x" * 10_000}, "prompt"), ({"texts": "一个人"}, "prompt"),
    ({"sides": 11}, "sides"),
    ({"count": 0}, "count"), ({"count": 10_000}, "count"), ({"seed": -1}, "seed"), ({"steps": 0}, "steps"), ({"steps": 1001}, "steps"),
    ({"guidance": float("nan")}, "guidance"), ({"guidance": 100}, "guidance"), ({"sampler": "euler"}, "sampler"),
    ({"negative": "y" * 2000}, "negative prompt"), ({"regularise": 2}, "regularise"),
])
def test_bad_input_is_one_error_before_any_step(model, options, named):
    with pytest.raises(InputError) as error:
        sample_poses(model, **{"texts": "jump", "on_step": lambda i, n: pytest.fail("sampling began"), **options})
    assert error.value.name == named and error.value.remedy


def test_states_of_another_encoder_are_refused(model):
    with pytest.raises(InputError, match="text encoder 'clip-l'.*minilm-l6-v2"):
        sample_poses(model, "jump", text_states=encode(["jump"], CLIP_L))
    with pytest.raises(InputError, match="text states 2"):
        sample_poses(model, "jump", text_states=encode(["jump", "sit"]))
    with pytest.raises(InputError, match="negative prompt"):
        sample_poses(model, "jump", text_states=encode(["jump"]), negative="sit")


def test_a_model_for_clip_does_not_take_the_bundled_encoder(tmp_path):
    write_model(tmp_path / "clip.safetensors", encoder=CLIP_L)
    model = load_text_to_pose(tmp_path / "clip.safetensors")
    with pytest.raises(InputError, match="text encoder 'clip-l'.*Connect"):
        sample_poses(model, "jump")
    assert len(sample_poses(model, "jump", text_states=encode(["jump"], CLIP_L))) == 1


def test_a_latent_model_refuses_another_prior(tmp_path, monkeypatch):
    write_model(tmp_path / "latent.safetensors", "latent", prior="0123456789abcdef")
    monkeypatch.setattr("contrapposto.models.pose_prior.vposer.load_pose_prior", lambda device: fake_prior())
    model = load_text_to_pose(tmp_path / "latent.safetensors")
    with pytest.raises(InputError, match="pose prior 'abc'.*0123456789ab"):
        model.decode(torch.zeros(1, 38))


def damaged(tensors, config, kind):
    if kind == "format":
        config["format"] = "other"
    elif kind == "NaN":
        tensors["text_in.weight"][0, 0] = torch.nan
    elif kind == "lacking":
        del tensors["root_out.weight"]
    else:
        config["network"]["depth"] = 3
    return tensors, config


@pytest.mark.parametrize("kind", ["format", "NaN", "lacking", "unknown option"])
def test_wrong_files_are_refused(tmp_path, kind):
    from contrapposto.models.assets.files import read_safetensors

    write_model(tmp_path / "good.safetensors")
    write_safetensors(tmp_path / "bad.safetensors", *damaged(*read_safetensors(tmp_path / "good.safetensors"), kind))
    with pytest.raises(InputError, match="text-to-pose file .*bad.safetensors"):
        load_text_to_pose(tmp_path / "bad.safetensors")
    with pytest.raises(InputError):
        load_text_to_pose(tmp_path / "missing.safetensors")
