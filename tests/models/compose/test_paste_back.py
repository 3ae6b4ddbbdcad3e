import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.compose.paste_back import paste_back
from contrapposto.models.types import Camera, Render


def render(rows=2, height=6, width=5, alpha=None):
    ones = torch.ones(rows)
    camera = Camera(ones, ones, ones, ones, torch.eye(3).expand(rows, 3, 3), torch.zeros(rows, 3), width, height)
    alpha = torch.rand(rows, height, width) if alpha is None else alpha
    return Render(torch.rand(rows, height, width, 3), alpha, torch.ones(rows, height, width), camera)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_full_and_empty_pixels_are_bit_exact(dtype):
    alpha = (torch.rand(2, 6, 5) * 3 - 1).clamp(0, 1)
    figure, background = render(alpha=alpha), torch.rand(2, 6, 5, 3).to(dtype)
    result = paste_back(background, figure)
    assert result.dtype == dtype
    assert torch.equal(result[alpha == 1], figure.rgb[alpha == 1].to(dtype)) and (alpha == 1).any()
    assert torch.equal(result[alpha == 0], background[alpha == 0]) and (alpha == 0).any()


def test_between_is_straight_alpha_over():
    figure, background = render(), torch.rand(2, 6, 5, 3)
    expected = background + (figure.rgb - background) * figure.alpha[..., None]
    assert torch.allclose(paste_back(background, figure), expected, atol=1e-6)


def test_bit_exact_even_where_background_is_not_finite():
    figure = render(alpha=torch.ones(2, 6, 5))
    assert torch.equal(paste_back(torch.full((2, 6, 5, 3), torch.nan), figure), figure.rgb)


def test_occluder_hides_the_figure():
    figure, background = render(alpha=torch.ones(2, 6, 5)), torch.rand(2, 6, 5, 3)
    occluder = torch.zeros(1, 6, 5)
    occluder[:, :3] = 1
    result = paste_back(background, figure, occluder)
    assert torch.equal(result[:, :3], background[:, :3]) and torch.equal(result[:, 3:], figure.rgb[:, 3:])
    half = paste_back(background, figure, torch.full((2, 6, 5), 0.5))
    assert torch.allclose(half, (background + figure.rgb) / 2, atol=1e-6)


def test_no_occluder_equals_an_empty_one():
    figure, background = render(), torch.rand(2, 6, 5, 3)
    assert torch.equal(paste_back(background, figure), paste_back(background, figure, torch.zeros(2, 6, 5)))


def test_one_row_serves_all():
    figure, background = render(3), torch.rand(1, 6, 5, 3)
    result = paste_back(background, figure)
    assert result.shape == (3, 6, 5, 3)
    assert torch.equal(result[2:], paste_back(background, figure[2]))
    assert paste_back(torch.rand(4, 6, 5, 3), figure[0]).shape == (4, 6, 5, 3)


def test_inputs_stay_as_they_are():
    figure, background, occluder = render(), torch.rand(2, 6, 5, 3), torch.rand(2, 6, 5)
    before = [value.clone() for value in (figure.rgb, figure.alpha, background, occluder)]
    result = paste_back(background, figure, occluder)
    result.add_(1)
    empty = paste_back(background, render(alpha=torch.zeros(2, 6, 5)))
    empty.add_(1)
    assert all(torch.equal(old, new) for old, new in zip(before, (figure.rgb, figure.alpha, background, occluder)))


@pytest.mark.parametrize("background, occluder, name", [
    (torch.rand(2, 5, 6, 3), None, "background"), (torch.rand(3, 6, 5, 3), None, "rows do not match"),
    (torch.rand(2, 6, 5, 4), None, "background"),
    (torch.rand(6, 5, 3), None, "background"), (torch.rand(2, 6, 5, 3), torch.rand(2, 3, 5), "occluder"),
    (torch.rand(2, 6, 5, 3), torch.rand(3, 6, 5), "rows do not match"),
])
def test_mismatches(background, occluder, name):
    with pytest.raises(InputError, match=name):
        paste_back(background, render(), occluder)
