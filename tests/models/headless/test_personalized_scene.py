import sys
from pathlib import Path

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.headless.diffusers_backend import load_diffusers_model, shrink_mask
from contrapposto.models.headless.personalized_scene import channels_for, personalize_scene, text_states
from contrapposto.models.personalization.conditioning import encode_avatar
from contrapposto.models.personalization.unet import RateToken
from contrapposto.models.ports import ImageDiffusion
from contrapposto.models.types import Camera, Render

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_diffusion import tiny_model

SIDE = 64


@pytest.fixture
def avatar():
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    alpha = (20 - ((x - 32.0) ** 2 + (y - 32.0) ** 2).sqrt()).clamp(0, 1)[None]
    ones = torch.ones(1)
    camera = Camera(ones, ones, ones, ones, torch.eye(3)[None], torch.zeros(1, 3), SIDE, SIDE)
    return Render(torch.rand(1, SIDE, SIDE, 3), alpha, alpha, camera)


@pytest.mark.parametrize("channels", [4, 9, 13])
def test_any_kind_of_model_paints_around_the_avatar(avatar, channels):
    model, token = tiny_model(channels), RateToken(32) if channels == 13 else None
    assert isinstance(model, ImageDiffusion)
    steps = []
    scene = personalize_scene(model, avatar, avatar, "a scene", rate_token=token, steps=3, on_step=lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(scene[avatar.alpha == 1], avatar.rgb[avatar.alpha == 1])
    assert torch.isfinite(scene).all()
    again, other = (personalize_scene(model, avatar, avatar, "a scene", rate_token=token, steps=3, seed=seed) for seed in (0, 1))
    assert torch.equal(scene, again) and not torch.equal(scene, other)


def test_kept_cells_stay_as_they_were(avatar):
    model = tiny_model(4)
    encoded = encode_avatar(avatar, avatar, model.encode)
    mask = shrink_mask(encoded.change_mask, encoded.alpha.shape[1:])
    states = model.encode_text(["a"])
    painted = model.sample(states, states, encoded.avatar_latents, mask, steps=2)
    kept = (mask == 0)[:, None].expand_as(painted)
    assert kept.any() and torch.allclose(painted[kept], encoded.avatar_latents[kept], atol=1e-5)
    assert not torch.allclose(painted[~kept], encoded.avatar_latents[~kept], atol=1e-2)


def test_without_a_mask_sampling_is_diffusers_own_loop():
    """Against a plain loop over diffusers' scheduler with two separate passes."""
    model = tiny_model(4)
    yes, no, latents = model.encode_text(["yes"]), model.encode_text(["no"]), torch.zeros(1, 4, 8, 8)
    ours = model.sample(yes, no, latents, seed=3, steps=4, guidance=2.0)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for time in model.scheduler.timesteps:
            wanted, unwanted = (model.unet(x, time, encoder_hidden_states=text).sample for text in (yes, no))
            x = model.scheduler.step(unwanted + 2 * (wanted - unwanted), time, x).prev_sample
    assert torch.allclose(ours * 0.18215, x, atol=1e-4)


def test_what_each_model_reads(avatar):
    counts = {}
    for channels in (4, 9, 13):
        model = tiny_model(channels)
        beside = channels_for(model, encode_avatar(avatar, avatar, model.encode))
        counts[channels] = None if beside is None else beside.shape[1]
    assert counts == {4: None, 9: 5, 13: 9}


def test_mistakes(avatar, tmp_path):
    with pytest.raises(InputError, match="5 input channels"):
        personalize_scene(tiny_model(5), avatar, avatar, "a")
    with pytest.raises(InputError, match="rate token"):
        text_states(tiny_model(13), ["a"])
    model = tiny_model(4)
    states = model.encode_text(["a"])
    for wrong in ({"steps": 0}, {"guidance": 0.5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            model.sample(states, states, torch.zeros(1, 4, 8, 8), **wrong)
    with pytest.raises(InputError, match="has no unet, vae"):
        load_diffusers_model(tmp_path)


def test_command_paints_around_a_drawn_avatar(avatar, tmp_path, monkeypatch, capsys):
    from PIL import Image

    from contrapposto.__main__ import main
    from contrapposto.models.headless import diffusers_backend
    from contrapposto.models.headless.pictures import write_png

    for name in ("avatar", "gray_body"):
        write_png(tmp_path / f"{name}.png", avatar.rgb[0], avatar.alpha[0])
    monkeypatch.setattr(diffusers_backend, "load_diffusers_model", lambda folder, device: tiny_model(9))
    arguments = ["paint", "a lake", "--scene", str(tmp_path), "--model", "tiny", "--steps", "2", "--out", str(tmp_path / "scene.png")]
    assert main(arguments) == 0 and capsys.readouterr().out.strip() == str(tmp_path / "scene.png")
    solid = avatar.alpha[0] == 1
    with Image.open(tmp_path / "scene.png") as made:
        pixels = torch.tensor(list(made.convert("RGB").getdata())).view(SIDE, SIDE, 3)
    assert torch.equal(pixels[solid], (avatar.rgb[0][solid] * 255).round().long())


@pytest.mark.parametrize("change, said", [({1: " "}, "is empty"), ({-1: "scene.bmp"}, ".png"), ({5: "gone"}, "has no unet"),
                                          ({3: "gone"}, "avatar.png"), ({7: "-1"}, "--downsample-rate")])
def test_mistakes_on_the_command_line(avatar, tmp_path, change, said, capsys):
    from contrapposto.__main__ import main
    from contrapposto.models.headless.pictures import write_png

    for name in ("avatar", "gray_body"):
        write_png(tmp_path / f"{name}.png", avatar.rgb[0], avatar.alpha[0])
    arguments = ["paint", "a lake", "--scene", str(tmp_path), "--model", str(tmp_path), "--downsample-rate", "0.5", "--out",
                 str(tmp_path / "scene.png")]
    for place, value in change.items():
        arguments[place] = value
    assert main(arguments) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "scene.png").exists()
