"""The film's shadow: its projection is the slow one's, it lies where floor_shadow's lies, and feet darken the floor."""

import pytest
import torch

from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.compose.moving_shadow import MovingShadow, darken_floor, floor_projection
from contrapposto.models.compose.shadow import flatten, floor_shadow, light_directions
from contrapposto.models.render.camera import frame_figure, project
from contrapposto.models.types import BodyPose


@pytest.fixture(scope="module")
def standing():
    body = load_body_model()
    figure = pose_body(body, BodyPose.rest(1))
    lowest = figure.mesh(slice(0, 1)).vertices[..., 1].min()
    return figure, frame_figure(figure, 192, 192, view="three-quarter"), float(lowest)


def test_projection_is_falling_and_then_seeing(standing):
    _, camera, floor = standing
    lights = light_directions(camera.R[0], 5, 0.3)
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, floor, 0.0])
    slow, _ = project(flatten(points, lights, floor), camera[[0] * 5])
    points = torch.nn.functional.pad(points, (0, 1), value=1.0)
    across, down, away = (points @ floor_projection(lights, camera, floor)).T.unflatten(0, (3, 5))
    assert torch.allclose(torch.stack([across / away, down / away], -1), slow, atol=1e-2)


def test_it_lies_where_the_slow_shadow_lies(standing):
    figure, camera, floor = standing
    mesh = figure.mesh(slice(0, 1))
    patch = MovingShadow(mesh, camera, floor).draw(mesh.vertices[0])
    ours = torch.zeros(192, 192)
    ours[patch.top : patch.top + patch.shadow.shape[0], patch.left : patch.left + patch.shadow.shape[1]] = patch.shadow
    slow = floor_shadow(figure, camera, floor)[0]
    assert 0 <= ours.min() and ours.max() <= 1
    both = torch.corrcoef(torch.stack([ours.flatten(), slow.flatten()]))[0, 1]
    assert both > 0.9


def test_darkening_touches_the_patch_alone(standing):
    figure, camera, floor = standing
    mesh = figure.mesh(slice(0, 1))
    patch = MovingShadow(mesh, camera, floor).draw(mesh.vertices[0])
    picture = torch.ones(192, 192, 3)
    darken_floor(picture, patch, 0.0)
    assert (picture == 1).all()
    darken_floor(picture, patch, 1.0)
    assert picture.min() < 0.4 and picture[0].min() == 1
    assert MovingShadow(mesh, camera, floor).draw(mesh.vertices[0] + torch.tensor([50.0, 0.0, 0.0])) is None
