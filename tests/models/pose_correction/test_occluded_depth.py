"""The depth map against scenes whose depth is known: planes and spheres before a pinhole camera."""

import math
from dataclasses import dataclass

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.fit import front_camera
from contrapposto.models.pose_correction.occluded_depth import depth_to_level, occluded_depth, picture_depth, shrink_camera, with_scene
from contrapposto.models.types import Mesh

SIZE = 64


@dataclass
class Solids:
    """A Figure of meshes, one per row."""

    vertices: torch.Tensor
    faces: torch.Tensor
    device = torch.device("cpu")

    def __len__(self):
        return len(self.vertices)

    def mesh(self, rows):
        return Mesh(self.vertices[rows], self.faces)

    def keypoints_3d(self):
        return torch.full((len(self), 18, 3), torch.nan)


def boards(*places):
    """Upright square boards: (x, y, distance, half side) metres each."""
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    rows = [torch.cat([torch.tensor([x, y]) + half * corners, torch.full((4, 1), -distance)], 1) for x, y, distance, half in places]
    return Solids(torch.stack(rows), torch.tensor([[0, 1, 2], [0, 2, 3]]))


def ball(distance, radius, rings=48):
    up, around = torch.meshgrid(torch.linspace(0, math.pi, rings), torch.linspace(0, 2 * math.pi, 2 * rings), indexing="ij")
    place = torch.stack([up.sin() * around.cos(), up.cos(), up.sin() * around.sin()], -1).flatten(0, 1) * radius
    place = place + torch.tensor([0.0, 0.0, -distance])
    row, column = (x.flatten() for x in torch.meshgrid(torch.arange(rings - 1), torch.arange(2 * rings - 1), indexing="ij"))
    a, width = row * 2 * rings + column, 2 * rings
    return Solids(place[None], torch.cat([torch.stack([a, a + 1, a + width], 1), torch.stack([a + 1, a + width + 1, a + width], 1)]))


@pytest.fixture(scope="module")
def camera():
    return front_camera(SIZE, SIZE)


def test_boards_at_known_distances(camera):
    """Near board 2 m, far board 4 m: far is 50 steps above black, near 50 + 255 (1 - 2 / 4), then divided by the nearest."""
    level = occluded_depth(boards((-0.5, 0.0, 2.0, 0.3), (1.0, 0.0, 4.0, 0.5)), camera, torch.tensor([0, 0]))[0]
    left, right = level[SIZE // 2, 18], level[SIZE // 2, 46]
    assert left == 1 and torch.isclose(right, torch.tensor(50 / (50 + 127.5)), atol=1e-4)
    assert level[SIZE // 2, SIZE // 2] == 0 and level.shape == (SIZE, SIZE)


def test_a_ball_has_the_depth_that_geometry_says(camera):
    distance, radius = 3.0, 0.8
    metric = picture_depth(ball(distance, radius), camera)[0]
    focal = float(camera.fx)
    pixel = torch.arange(SIZE) + 0.5 - SIZE / 2
    y, x = torch.meshgrid(pixel / focal, pixel / focal, indexing="ij")
    square = 1 + x * x + y * y  # the ray (x, y, 1) meets |p - c|^2 = r^2 at z = (d - sqrt(d^2 - square (d^2 - r^2))) / square
    inside = distance**2 - square * (distance**2 - radius**2)
    z = torch.where(inside > 0, (distance - inside.clamp(min=0).sqrt()) / square, 0.0)
    core = inside > 0.5
    assert bool(((metric - z).abs()[core] < 5e-3).all()) and core.sum() > 100
    assert bool((metric[inside < -0.2] == 0).all())
    level = occluded_depth(ball(distance, radius), camera)[0]
    far = metric.max()
    assert torch.allclose(level[core], ((305 - 255 * z / far) / (305 - 255 * metric[metric > 0].min() / far))[core], atol=5e-3)


def test_the_nearest_of_several_people_is_seen(camera):
    metric = picture_depth(boards((0.0, 0.0, 4.0, 1.0), (0.0, 0.0, 2.0, 0.2)), camera, torch.tensor([1, 1]), 3)
    assert metric.shape == (3, SIZE, SIZE) and bool((metric[[0, 2]] == 0).all())
    assert torch.isclose(metric[1, SIZE // 2, SIZE // 2], torch.tensor(2.0)) and torch.isclose(metric[1, SIZE // 2, 20], torch.tensor(4.0))


def test_the_fixed_span_runs_from_fifty_to_a_hundred_and_ten():
    metric = torch.tensor([[[0.0, 2.0], [2.5, 3.0]]])
    assert torch.allclose(depth_to_level(metric, "fixed span")[0], torch.tensor([[0.0, 1.0], [80 / 110, 50 / 110]]))


def test_a_flat_board_and_an_empty_picture_are_no_trouble(camera):
    for scale in ("relative", "fixed span"):
        level = occluded_depth(boards((0.0, 0.0, 2.0, 0.3)), camera, torch.tensor([1]), 2, scale=scale)
        assert level[1].max() == 1 and bool((level[0] == 0).all()) and set(level[1].unique().tolist()) == {0.0, 1.0}


def test_what_stands_before_people_is_cut_out_and_nothing_else(camera):
    mask = torch.zeros(1, 2 * SIZE, 2 * SIZE)  # of another size
    mask[:, :, : SIZE] = 1
    figure = boards((0.0, 0.0, 2.0, 0.4))
    whole, cut = occluded_depth(figure, camera), occluded_depth(figure, camera, occluders=mask)
    assert bool((cut[..., : SIZE // 2] == 0).all()) and torch.equal(cut[..., SIZE // 2 :], whole[..., SIZE // 2 :])
    assert torch.equal(occluded_depth(figure, camera, occluders=torch.zeros(SIZE, SIZE)), whole)


def test_the_latent_size_shows_the_same(camera):
    large = front_camera(512, 512)
    small = occluded_depth(ball(3.0, 0.8), large, shrink=8)
    assert small.shape == (1, 64, 64) and torch.equal(small, occluded_depth(ball(3.0, 0.8), camera))
    assert shrink_camera(large, 8).cx == 32


def test_a_scene_is_stretched_to_the_people(camera):
    level = occluded_depth(boards((-0.5, 0.0, 2.0, 0.3), (1.0, 0.0, 4.0, 0.5)), camera, torch.tensor([0, 0]))
    scene = torch.where(level > 0, 0.2 + 0.4 * level, 0.2 + 0.4 * 0.1)
    mixed = with_scene(level, scene, 1.0)
    assert torch.equal(mixed[level > 0], level[level > 0]) and torch.allclose(mixed[level == 0], torch.tensor(0.1), atol=1e-4)
    assert torch.allclose(with_scene(level, scene, 0.5)[level == 0], torch.tensor(0.05), atol=1e-4)
    assert torch.equal(with_scene(level, scene, 0.0), level)
    assert torch.allclose(with_scene(torch.zeros_like(level), scene, 1.0), scene)


@pytest.mark.parametrize("change, said", [
    ({"occluders": torch.zeros(1, SIZE, 2 * SIZE)}, "other proportions"),
    ({"occluders": torch.zeros(3, SIZE, SIZE)}, "do not fit 1"),
    ({"occluders": torch.full((1, SIZE, SIZE), torch.nan)}, "NaN"),
    ({"picture": torch.tensor([2]), "pictures": 2}, "not a picture of 2"),
    ({"shrink": 7}, "multiple of 7"),
    ({"scale": "metric"}, "not known"),
])
def test_what_does_not_fit_is_named(camera, change, said):
    with pytest.raises(InputError, match=said):
        occluded_depth(boards((0.0, 0.0, 2.0, 0.3)), camera, **change)
