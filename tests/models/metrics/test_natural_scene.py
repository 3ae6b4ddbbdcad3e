"""NIQE and BRISQUE against basicsr 1.4.2 and brisque 0.2.0 (values made once with them), in masks, and where there is too little."""

import numpy as np
import pytest
import torch

from contrapposto.models.metrics.natural_scene import brisque, fit_asymmetric_gaussian, model_names, niqe


def fractal(height, width, seed, noise):
    """A picture with the spectrum of natural scenes and a disc in it, plus white noise; (H, W, 3) 0..1 of 8 bits."""
    rng = np.random.default_rng(seed)
    rise = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    layers = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) / np.maximum(rise, 1 / max(height, width))).real for _ in range(3)]
    layers = [(layer - layer.min()) / (layer.max() - layer.min()) for layer in layers]
    image = np.stack(layers, -1) * 0.5 + 0.5 * layers[0][..., None]
    y, x = np.mgrid[:height, :width]
    image[((y - height / 2) ** 2 + (x - width / 3) ** 2) < (height / 5) ** 2] *= 0.5
    image = image + noise * rng.normal(size=image.shape)
    return torch.from_numpy(np.uint8(np.clip(image, 0, 1) * 255 + 0.5)).float() / 255


@pytest.mark.parametrize("given, niqe_reference, brisque_reference", [
    ((288, 384, 0, 0.0), 5.154924, 29.4205), ((288, 384, 0, 0.1), 12.310461, 58.9925), ((240, 320, 1, 0.02), 6.445026, 30.9725),
])
def test_values_of_the_reference_implementations(given, niqe_reference, brisque_reference):
    picture = fractal(*given)
    assert niqe(picture).value == pytest.approx(niqe_reference, abs=0.04)  # another bicubic shrinking
    assert brisque(picture).value == pytest.approx(brisque_reference, abs=0.06)  # a table instead of a root solver


def test_masks_choose_what_is_looked_at():
    picture = fractal(288, 384, 0, 0.0)
    picture[:, 192:] = fractal(288, 384, 0, 0.1)[:, 192:]
    clean, noisy = torch.zeros(288, 384), torch.zeros(288, 384)
    clean[:, :192], noisy[:, 192:] = 1, 1
    assert niqe(picture, clean).value < niqe(picture, noisy).value - 2
    assert brisque(picture, clean).value < brisque(picture, noisy).value - 10
    assert niqe(picture).looked_at == 12 and niqe(picture, clean).looked_at == 6
    everywhere = torch.ones(288, 384)
    assert niqe(picture, everywhere).value == niqe(picture).value


def test_a_mask_without_whole_blocks_falls_back_to_its_box():
    picture, mask = fractal(288, 384, 0, 0.0), torch.zeros(288, 384)
    mask[40:240, 100:300] = torch.eye(200)
    assert niqe(picture, mask).value == niqe(picture[40:240, 100:300]).value and niqe(picture, mask).looked_at == 4


def test_too_little_is_no_score():
    picture = fractal(120, 120, 0, 0.0)
    assert niqe(picture).value is None and niqe(picture[:50]).looked_at == 0
    assert brisque(picture, torch.zeros(120, 120)).value is None and niqe(picture, torch.zeros(120, 120)).value is None
    assert niqe(torch.full((192, 192, 3), 0.5)).value is None and brisque(torch.full((96, 96, 3), 0.5)).value is None


def test_the_fit_finds_the_shape_it_was_drawn_from():
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(1, 200_000, generator=generator).double().abs()
    laplace = -torch.rand(1, 200_000, generator=generator).double().log()
    side = torch.where(torch.rand(1, 200_000, generator=generator) < 2 / 3, 2.0, -1.0)  # the wider side holds more
    for values, shape, deviation in ((normal, 2.0, 1.0), (laplace, 1.0, 2**0.5)):
        alpha, left, right = fit_asymmetric_gaussian(side * values)
        assert alpha.item() == pytest.approx(shape, abs=0.05)
        assert left.item() == pytest.approx(deviation, rel=0.02) and right.item() == pytest.approx(2 * deviation, rel=0.02)


def test_scores_name_their_models():
    assert set(model_names()) == {"NIQE", "BRISQUE"} and all(len(name.split()[1]) == 12 for name in model_names().values())
