import math

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.render.depth import depth_to_image


def ramp():
    depth = torch.zeros(2, 4, 5)
    depth[0, 1] = torch.tensor([0.0, 2, 2.5, 4, 0])
    depth[1, 2] = torch.tensor([0.0, 1, 2, 3, 0])
    return depth


def test_inverse_depth_is_white_near_and_linear_in_one_over_z():
    image = depth_to_image(ramp(), far=0.2)
    assert image.shape == (2, 4, 5, 3)
    row = image[0, 1, :, 0]
    assert row[1] == 1 and row[3] == pytest.approx(0.2) and row[0] == row[4] == 0
    assert row[2].item() == pytest.approx(0.2 + 0.8 * (1 / 2.5 - 1 / 4) / (1 / 2 - 1 / 4))
    assert image[1, 2, 1, 0] == 1 and image[1, 2, 3, 0] == pytest.approx(0.2)


def test_linear_depth():
    row = depth_to_image(ramp(), "linear", far=0.0)[1, 2, :, 1]
    assert row.tolist() == pytest.approx([0, 1, 0.5, 0, 0])


def test_shared_range_keeps_order_between_rows():
    image = depth_to_image(ramp(), shared=True, far=0.1)
    assert image.amax() == 1 == image[1, 2, 1, 0] and image[0, 1, 3, 0] == pytest.approx(0.1)
    assert image[0, 1, 1, 0] == image[1, 2, 2, 0]


def test_metric_keeps_metres():
    assert torch.equal(depth_to_image(ramp(), "metric")[..., 2], ramp())


def test_alpha_fades_borders():
    alpha = torch.full((2, 4, 5), 0.5)
    assert torch.allclose(depth_to_image(ramp(), alpha=alpha), depth_to_image(ramp()) / 2)


def test_flat_and_empty():
    flat = torch.zeros(1, 3, 3)
    assert (depth_to_image(flat) == 0).all()
    flat[0, 1, 1] = 2.0
    assert depth_to_image(flat)[0, 1, 1, 0] == 1 and depth_to_image(flat).isfinite().all()


@pytest.mark.parametrize("change", [{"mode": "midas"}, {"far": 1.5}, {"far": math.nan}, {"alpha": torch.zeros(1, 4, 5)}])
def test_bad_arguments(change):
    with pytest.raises(InputError):
        depth_to_image(ramp(), **change)
