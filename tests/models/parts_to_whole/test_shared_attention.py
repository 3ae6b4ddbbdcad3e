"""Masks, the reading rule, and what must change nothing at all."""

import pytest
import tiny_parts
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.parts_to_whole.appearance_encoder import join
from contrapposto.models.parts_to_whole.image_tokens import pad_tokens
from contrapposto.models.parts_to_whole.parts import LABELS, STRETCH, acting, acts_at, fit_reference, make_reference
from contrapposto.models.parts_to_whole.shared_attention import attend_rows, masked_features, strength_bias, token_mask, with_references


def test_one_token_of_the_mask_grows_by_one_on_every_side():
    mask = torch.zeros(1, 1, 64, 48)
    mask[:, :, 16:24, 16:24] = 1  # token (2, 2) of 8 x 6
    grid = token_mask(mask, 48).view(8, 6)
    assert grid[1:4, 1:4].eq(1).all() and grid.sum() == 9
    features = torch.ones(1, 48, 5)
    assert masked_features(features, mask).view(8, 6, 5)[0].eq(0).all()


def test_the_middle_pixel_of_a_token_decides_as_nearest_does_and_odd_grids_are_met():
    mask = torch.zeros(1, 1, 64, 48)
    mask[:, :, 1:8, 1:8] = 1  # misses the pixel (0, 0) that nearest reads
    assert token_mask(mask, 48).sum() == 0
    assert token_mask(torch.ones(1, 1, 72, 40), 9 * 5).shape[1] == 45
    assert token_mask(torch.ones(1, 1, 72, 40), 5 * 3).shape[1] == 15


def attention(query, key, value, bias):
    logits = query @ key.mT / query.shape[-1] ** 0.5
    return torch.softmax(logits if bias is None else logits + bias, -1) @ value


def test_conditional_rows_read_references_and_others_only_themselves():
    generator = torch.Generator().manual_seed(0)
    target, references = torch.randn(3, 4, 8, generator=generator), [torch.randn(1, 4, 8, generator=generator) for _ in range(2)]
    context = with_references(target, references)
    out = attend_rows(attention, target, context, context, (True, False, True), None)
    for row, conditional in enumerate((True, False, True)):
        read = torch.cat([target[row], *(r[0] for r in references)]) if conditional else target[row]
        weights = torch.softmax(target[row] @ read.T / 8**0.5, -1)
        assert torch.allclose(out[row], weights @ read, atol=1e-6)
    assert torch.equal(attend_rows(attention, target, context, context, (False,) * 3, None), attention(target, target, target, None))


def test_strength_counts_tokens_so_many_times():
    generator = torch.Generator().manual_seed(1)
    target, reference = torch.randn(1, 4, 8, generator=generator), torch.randn(1, 4, 8, generator=generator)
    once, twice = with_references(target, [reference]), with_references(target, [reference, reference])
    bias = strength_bias([reference], [2.0], 4)
    assert torch.allclose(attend_rows(attention, target, once, once, (True,), bias), attention(target, twice, twice, None), atol=1e-6)
    assert strength_bias([reference], [1.0], 4) is None


def test_schedule():
    late = make_reference(torch.ones(4, 4, 3), "face", start=0.5)
    assert [acts_at(late, t) for t in (999, 600, 499, 0)] == [False, False, True, True]
    whole = make_reference(torch.ones(4, 4, 3), "face")
    assert acts_at(whole, 999) and acts_at(whole, 0)
    assert acting([make_reference(torch.ones(4, 4, 3), "face", start=0.5, end=0.5)]) == ()


def test_references_keep_their_proportions_or_fill_the_picture():
    image = torch.zeros(10, 10, 3)
    picture, mask = fit_reference(make_reference(image, "face"), 48, 32)
    assert picture.shape == (1, 3, 48, 32) and mask.shape == (1, 1, 48, 32)
    assert mask[0, 0, 8:40].gt(0.99).all() and mask[0, 0, :8].eq(0).all() and mask[0, 0, 40:].eq(0).all()
    assert picture[0, :, :8].eq(1).all() and picture[0, :, 8:40].lt(0.01).all()
    assert fit_reference(make_reference(image, "face", fit=STRETCH), 48, 32)[1].gt(0.99).all()


def test_alpha_is_put_onto_white_and_is_the_mask():
    image = torch.zeros(4, 4, 4)
    image[:2, :, 3] = 1
    made = make_reference(image, "shoes")
    assert made.image[:2].eq(0).all() and made.image[2:].eq(1).all() and made.mask.sum() == 8


@pytest.mark.parametrize("options, said", [
    ({"label": "nose"}, "upper body clothes"), ({"strength": -1.0}, "between 0.0"), ({"start": 0.6, "end": 0.4}, "end 0.4"),
    ({"mask": torch.ones(3, 3)}, "its picture's size"), ({"strength": float("nan")}, "strength"),
])
def test_mistakes_are_named(options, said):
    with pytest.raises(InputError, match=said):
        make_reference(torch.ones(4, 4, 3), **{"label": "face", **options})


def test_twenty_references():
    with pytest.raises(InputError, match="20 are more than the 6"):
        acting([make_reference(torch.ones(4, 4, 3), "face")] * 20)


def wanted(references, features, tokens, given, strengths=None):
    """The denoiser's answer for a conditional row."""
    denoiser = tiny_parts.denoiser()
    denoiser.use(join(references, features))
    with torch.no_grad():
        return denoiser(given["noise"], 500, torch.cat([given["positive"], pad_tokens(tokens)], 1)).sample


@pytest.fixture(scope="module")
def case():
    given = tiny_parts.inputs()
    return given, tiny_parts.references(given), tiny_parts.features(given)


@torch.no_grad()
def test_no_reference_is_the_plain_model_bit_for_bit(case):
    given, references, features = case
    plain = tiny_parts.unet("denoiser")(given["noise"], 500, encoder_hidden_states=given["positive"]).sample
    assert torch.equal(wanted((), [], given["image_tokens"] * 0, given), plain)
    assert not torch.allclose(wanted(references, features, given["image_tokens"], given), plain)
    empty = make_reference(torch.ones(8, 8, 3), "face", torch.zeros(8, 8)), make_reference(torch.ones(8, 8, 3), "face", strength=0.0)
    assert acting(empty) == ()


def test_the_order_changes_nothing(case):
    given, references, features = case
    one = wanted(references, features, given["image_tokens"], given)
    other = wanted(references[::-1], features[::-1], given["image_tokens"].flip(1), given)
    assert torch.allclose(one, other, atol=1e-5)
    shuffled = [make_reference(torch.ones(2, 2, 3), label) for label in LABELS[::-1]]
    assert [reference.label for reference in acting(shuffled)] == list(LABELS)


def test_half_precision_stays_finite(case):
    given, references, features = case
    denoiser = tiny_parts.denoiser().to(torch.bfloat16)
    denoiser.use(join(tuple(tiny_parts.references(given, strength=0.4)), features))
    with torch.no_grad():
        states = torch.cat([given["positive"], pad_tokens(given["image_tokens"])], 1).bfloat16()
        out = denoiser(given["noise"].bfloat16(), 500, states).sample
    assert out.dtype == torch.bfloat16 and out.isfinite().all()
