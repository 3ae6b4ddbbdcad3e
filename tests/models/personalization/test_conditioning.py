from dataclasses import replace

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.personalization.conditioning import (
    AvatarConditioning,
    AvatarEncoding,
    change_mask,
    encode_avatar,
    input_channels,
    latent_alpha,
    over_gray,
    soften_texture,
)
from contrapposto.models.types import Camera, Render


def camera(rows, width, height):
    ones = torch.ones(rows)
    return Camera(ones, ones, ones, ones, torch.eye(3).expand(rows, 3, 3), torch.zeros(rows, 3), width, height)


def render(rows=2, size=64, width=None):
    width = width or size
    y, x = torch.meshgrid(torch.arange(size), torch.arange(width), indexing="ij")
    alpha = (20.5 - ((x - width / 2) ** 2 + (y - size / 2) ** 2).sqrt()).clamp(0, 1).expand(rows, size, width)
    return Render(torch.rand(rows, size, width, 3), alpha, alpha * 2, camera(rows, width, size))


class Cells:
    """A VAE that averages cells of 8 x 8 pixels, and counts its batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        means = torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2), 8)
        return torch.cat([means, means[:, :1]], 1)


def test_shapes_and_one_batch():
    encode = Cells()
    encoded = encode_avatar(render(), render(), encode, 0.3)
    assert encode.batches == [4]
    assert encoded.avatar_latents.shape == encoded.gray_latents.shape == (2, 4, 8, 8)
    assert encoded.alpha.shape == (2, 8, 8) and encoded.change_mask.shape == (2, 64, 64)
    assert encoded.downsample_rate == 0.3 and len(encoded) == 2


def test_nothing_is_encoded_before_or_more_than_it_is_read():
    encode, avatar, gray = Cells(), render(), render(1)
    encoding = AvatarEncoding(avatar, gray, encode, 0.3)
    assert encode.batches == []
    plain = encoding.read(gray=False)
    assert encode.batches == [2] and plain.gray_latents is None
    full = encoding.read(gray=True)
    assert encode.batches == [2, 1] and torch.equal(full.avatar_latents, plain.avatar_latents)  # one gray body serves both rows
    encoding.read(gray=False), encoding.read(gray=True)
    assert encode.batches == [2, 1]
    together = encode_avatar(avatar, gray, Cells(), 0.3)
    assert torch.equal(together.gray_latents, full.gray_latents) and torch.equal(together.change_mask, full.change_mask)


def test_what_the_vae_sees_at_full_detail():
    avatar, gray = render(), render()
    seen = []
    encode_avatar(avatar, gray, lambda images: seen.append(images) or torch.zeros(4, 4, 8, 8))
    (images,) = seen
    for picture, figure in zip(images.split(2), (avatar, gray)):
        assert torch.equal(picture[figure.alpha == 0], torch.full_like(picture[figure.alpha == 0], 0.5)), "mid-gray around it"
        assert torch.allclose(picture[figure.alpha == 1], figure.rgb[figure.alpha == 1], atol=1e-6)


def test_one_gray_body_serves_all_rows():
    encoded = encode_avatar(render(3), render(1), Cells())
    assert torch.equal(encoded.gray_latents[0], encoded.gray_latents[2])


def test_softening_at_zero_is_bit_exact_and_grows_with_w():
    figure = render(1)
    assert torch.equal(soften_texture(figure.rgb, figure.alpha, 0.0), figure.rgb)
    solid = figure.alpha == 1
    spread = [soften_texture(figure.rgb, figure.alpha, w)[solid].std().item() for w in (0.0, 0.25, 0.5, 1.0)]
    assert spread == sorted(spread, reverse=True) and spread[-1] < 0.35 * spread[0]


def test_softening_lets_no_background_bleed_in():
    """A white figure on black stays white up to its outline."""
    figure = render(1)
    white = figure.alpha[..., None].expand(-1, -1, -1, 3).gt(0).float()
    soft = soften_texture(white, figure.alpha, 1.0)
    assert soft[figure.alpha > 0].min() > 0.999


def test_softening_is_a_resize_where_the_figure_fills_the_picture():
    """Against torch's own antialiased resize, where coverage is 1 everywhere."""
    rgb, alpha = torch.rand(1, 64, 64, 3), torch.ones(1, 64, 64)
    small = torch.nn.functional.interpolate(rgb.permute(0, 3, 1, 2), (8, 8), mode="bilinear", antialias=True)
    expected = torch.nn.functional.interpolate(small, (64, 64), mode="bilinear").permute(0, 2, 3, 1)
    assert torch.allclose(soften_texture(rgb, alpha, 1.0), expected, atol=1e-5)


def test_each_row_has_its_own_rate():
    figure = render(2)
    mixed = soften_texture(figure.rgb, figure.alpha, torch.tensor([0.0, 1.0]))
    assert torch.equal(mixed[0], figure.rgb[0])
    assert torch.equal(mixed[1], soften_texture(figure.rgb[1:], figure.alpha[1:], 1.0)[0])


def test_masks():
    alpha = torch.zeros(1, 16, 24)
    alpha[:, :8, :8] = 1
    alpha[:, 8:, 8:16] = 0.5
    assert torch.equal(latent_alpha(alpha, (2, 3)), torch.tensor([[[1.0, 0, 0], [0, 0.5, 0]]]))
    expected = torch.ones(1, 16, 24)
    expected[:, :8, :8] = 0
    assert torch.equal(change_mask(alpha, (2, 3)), expected)


def test_channels_in_an_inpainting_models_order():
    encoded = encode_avatar(render(), render(), Cells())
    channels = input_channels(encoded, lambda latents: 2 * latents)
    assert channels.shape == (2, 9, 8, 8)
    assert torch.equal(channels[:, 0], 1 - encoded.alpha), "1 where the model paints"
    assert torch.equal(channels[:, 1:5], 2 * encoded.avatar_latents) and torch.equal(channels[:, 5:], 2 * encoded.gray_latents)


def test_over_gray_is_gray_where_nothing_is():
    assert torch.equal(over_gray(torch.rand(1, 2, 2, 3), torch.zeros(1, 2, 2)), torch.full((1, 2, 2, 3), 0.5))


def empty(figure):
    return replace(figure, alpha=torch.zeros_like(figure.alpha))


@pytest.mark.parametrize("avatar, gray, rate, said", [
    (empty(render()), render(), 0.0, "not in the picture"),
    (replace(render(), alpha=torch.ones(2, 64, 64)), render(), 0.0, "fills the whole picture"),
    (render(size=60), render(size=60), 0.0, "60 x 60 is not a multiple of 8|'60 x 60' is not a multiple of 8"),
    (render(), render(size=72), 0.0, "has not the avatar's size"),
    (render(3), render(2), 0.0, "rows do not match"),
    (render(), render(), 1.01, "downsample rate"), (render(), render(), -0.1, "downsample rate"),
    (render(), render(), float("nan"), "downsample rate"),
])
def test_unusable_pictures(avatar, gray, rate, said):
    def encode(images):
        raise AssertionError("the VAE must not run")

    with pytest.raises(InputError, match=said):
        encode_avatar(avatar, gray, encode, rate)


def test_parts_must_fit_together():
    with pytest.raises(InputError, match="gray_latents"):
        AvatarConditioning(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 7), torch.zeros(1, 8, 8), torch.zeros(1, 64, 64))
