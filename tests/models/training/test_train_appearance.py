"""The headless training of an appearance module, with the smallest Stable Diffusion."""

import pytest
import torch
from tiny_diffusion import tiny_model

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.appearance import AppearanceTraining
from contrapposto.models.training.train_appearance import DiffusersDenoiser, train_appearance

TRAINING = AppearanceTraining(steps=5, rank=2, learning_rate=1e-2)


@pytest.fixture
def images():
    return torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))


def test_the_denoiser_is_the_model_at_its_own_noise_levels(images):
    model = tiny_model()
    denoiser = DiffusersDenoiser(model, "red")
    clean, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    sigma = denoiser.sigmas[[300]]
    found = denoiser.denoise(clean + sigma * noise, sigma, torch.tensor([0]))
    noisy = model.scheduler.add_noise(clean, noise, torch.tensor([300]))
    eps = model.predict_noise(noisy, torch.tensor([300]), model.encode_text(["red"]))
    assert torch.allclose((clean + sigma * noise - found) / sigma, eps, atol=1e-4)


def test_an_interrupted_training_keeps_its_state_and_finishes(images, tmp_path):
    model, out = tiny_model(), tmp_path / "clothes.safetensors"

    def stop(done, total, loss):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_appearance(model, images, "red", TRAINING, out, stop)
    assert [path.name for path in tmp_path.iterdir()] == ["clothes.unfinished.safetensors"]
    seen = []
    train_appearance(model, images, "red", TRAINING, out, lambda done, total, loss: seen.append(done))
    assert seen == [4, 5] and [path.name for path in tmp_path.iterdir()] == ["clothes.safetensors"]
    other = tmp_path / "whole" / "clothes.safetensors"
    train_appearance(model, images, "red", TRAINING, other)
    one, two = read_safetensors(out)[0], read_safetensors(other)[0]
    assert all(torch.equal(one[name], two[name]) for name in one) and any(one[name].abs().max() > 0 for name in one if "up" in name)


def test_mistakes_are_named(images, tmp_path):
    with pytest.raises(InputError, match="9 input channels"):
        train_appearance(tiny_model(9), images, "red", TRAINING, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="prompt"):
        train_appearance(tiny_model(), images, " ", TRAINING, tmp_path / "a.safetensors")
