"""The studio backdrop and the floor shadow against geometry done by hand."""

import math

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.compose.backdrop import pixel_rays, studio_backdrop
from contrapposto.models.compose.shadow import flatten, floor_shadow, points_on_skin
from contrapposto.models.render.camera import view_rotation
from contrapposto.models.types import Camera, Mesh


def camera(rows=1, place=(0.0, 1.0, 3.0), size=64, pitch=0.0):
    """Looks from a place towards -Z, turned down by ``pitch`` radians."""
    R = view_rotation(0.0, pitch).expand(rows, 3, 3)
    t = -(R @ torch.tensor(place))
    focal = torch.full((rows,), float(size))
    centre = torch.full((rows,), size / 2)
    return Camera(focal, focal, centre, centre, R, t, size, size)


class Board:
    """A square board of 0.6 m, hovering 0.5 m above the origin, facing the camera."""

    device = torch.device("cpu")

    def __len__(self):
        return 1

    def mesh(self, rows):
        corners = torch.tensor([[-0.3, 0.5, 0.0], [0.3, 0.5, 0.0], [0.3, 1.1, 0.0], [-0.3, 1.1, 0.0]])
        return Mesh(corners[None], torch.tensor([[0, 1, 2], [0, 2, 3]]))

    def keypoints_3d(self):
        return torch.full((1, 18, 3), math.nan)


def test_rays_go_through_pixel_centres():
    rays = pixel_rays(camera())
    assert rays.shape == (1, 64, 64, 3)
    torch.testing.assert_close(rays.norm(dim=-1), torch.ones(1, 64, 64))
    middle = rays[0, 31:33, 31:33].mean((0, 1))
    torch.testing.assert_close(middle / middle.norm(), torch.tensor([0.0, 0.0, -1.0]))
    assert rays[0, 63, 32, 1] < 0 < rays[0, 0, 32, 1]


def test_backdrop_is_smooth_bright_and_repeatable():
    image = studio_backdrop(camera(2))
    assert image.shape == (2, 64, 64, 3) and 0 <= float(image.min()) and float(image.max()) <= 1
    assert float((image[:, 1:] - image[:, :-1]).abs().max()) < 0.05
    assert torch.equal(image, studio_backdrop(camera(2)))


def test_flattening_follows_the_light():
    points = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, -1.0, 1.0]])
    flat = flatten(points, torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0]]), 0.0)
    torch.testing.assert_close(flat[0], torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    torch.testing.assert_close(flat[1, 0], torch.zeros(3))


def test_points_lie_evenly_on_the_skin():
    points = points_on_skin(Board().mesh(slice(0, 1)), 4000)
    assert float(points[:, 2].abs().max()) == 0
    counts = torch.histogramdd(points[:, :2], [3, 3], range=[-0.3, 0.3, 0.5, 1.1]).hist
    assert float(counts.min()) > 4000 / 9 * 0.8 and float(counts.sum()) == 4000


def test_hard_shadow_lies_where_the_light_throws_it():
    high = camera(place=(0.3, 3.0, 2.7), size=240, pitch=math.radians(45))
    shadow = floor_shadow(Board(), high, lights=1, spread=0.0)[0]
    rows, columns = (shadow > 0.5).nonzero(as_tuple=True)
    rays = pixel_rays(high)[0, rows, columns]
    hit = torch.tensor([0.3, 3.0, 2.7]) + rays * (-3.0 / rays[:, 1:2])
    # The board spans x -0.3..0.3 and y 0.5..1.1. Height y lands y * 0.45 to the right and, the light being on our side, y * 0.30 back.
    near = 0.08  # a pixel and the blur
    assert abs(float(hit[:, 0].min()) - (-0.3 + 0.5 * 0.45)) < near and abs(float(hit[:, 0].max()) - (0.3 + 1.1 * 0.45)) < near
    assert abs(float(hit[:, 2].max()) - -0.5 * 0.30) < near and abs(float(hit[:, 2].min()) - -1.1 * 0.30) < near


def test_a_bigger_light_gives_a_softer_shadow():
    def steepest(spread):
        shadow = floor_shadow(Board(), camera(place=(0.3, 3.0, 2.7), size=240, pitch=math.radians(45)), lights=32, spread=spread)[0]
        return float((shadow[:, 1:] - shadow[:, :-1]).abs().max())

    assert steepest(0.5) < 0.7 * steepest(0.0)


@pytest.mark.parametrize("wrong", [{"lights": 0}, {"spread": -1.0}, {"spread": math.nan}])
def test_bad_lights_are_refused(wrong):
    with pytest.raises(InputError):
        floor_shadow(Board(), camera(), **wrong)
