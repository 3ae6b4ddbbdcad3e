import math

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.compose.contact import darken, visible_points, visible_shadow
from contrapposto.models.compose.ground import ground_camera, standing_places
from contrapposto.models.compose.harmonise import harmonise
from contrapposto.models.compose.occluder import occluder_from_depth
from contrapposto.models.compose.paste_back import decontaminate, paste_back
from contrapposto.models.render.camera import frame_figure, project
from contrapposto.models.render.engine import render_figure
from contrapposto.models.render.shade import linear_to_srgb
from contrapposto.models.types import BodyPose, Camera, Render

SIZE = 96


@pytest.fixture(scope="module")
def figure():
    return pose_body(load_body_model(), BodyPose.rest(1))


@pytest.fixture(scope="module")
def seen(figure):
    """The figure from above its eyes, so that the floor is in the picture."""
    return render_figure(figure, frame_figure(figure, SIZE, SIZE, pitch=0.5, margin=0.25))


def flat(alpha, rgb):
    rows, height, width = alpha.shape
    ones = torch.ones(rows)
    camera = Camera(ones, ones, ones, ones, torch.eye(3).expand(rows, 3, 3), torch.zeros(rows, 3), width, height)
    return Render(torch.as_tensor(rgb).expand(*alpha.shape, 3).float(), alpha, alpha, camera)


def test_linear_light_mixes_as_light_does():
    half = flat(torch.full((1, 2, 2), 0.5), [1.0, 1.0, 1.0])
    black = torch.zeros(1, 2, 2, 3)
    assert torch.allclose(paste_back(black, half, linear_light=True), linear_to_srgb(torch.tensor(0.5)).expand(1, 2, 2, 3), atol=1e-6)
    assert torch.allclose(paste_back(black, half), torch.full((1, 2, 2, 3), 0.5))


def test_every_option_leaves_solid_and_empty_pixels_alone(seen):
    picture = torch.rand(1, SIZE, SIZE, 3)
    pasted = paste_back(picture, seen, linear_light=True, clean_edges=True)
    assert torch.equal(pasted[seen.alpha >= 1], seen.rgb[seen.alpha >= 1])
    assert torch.equal(pasted[seen.alpha <= 0], picture[seen.alpha <= 0])


def test_decontamination_takes_a_green_fringe_away():
    alpha = torch.zeros(1, 9, 9)
    alpha[:, :, :4], alpha[:, :, 4] = 1, 0.5
    rgb = torch.zeros(1, 9, 9, 3)
    rgb[:, :, :4, 0], rgb[:, :, 4, 1] = 1, 1
    clean = decontaminate(rgb, alpha)
    assert torch.allclose(clean[0, :, 4], torch.tensor([1.0, 0, 0]).expand(9, 3), atol=1e-5)
    assert torch.equal(clean[alpha == 1], rgb[alpha == 1])


def test_harmonised_scene_comes_nearer_to_the_avatar():
    alpha = torch.zeros(1, 8, 8)
    alpha[:, 2:6, 2:6] = 1
    avatar, scene = flat(alpha, [0.8, 0.5, 0.3]), torch.full((1, 8, 8, 3), 0.5)
    distance = [(harmonise(scene, avatar, s) - avatar.rgb).abs().mean() for s in (0.0, 0.5, 1.0)]
    assert distance[0] > distance[1] > distance[2]
    assert harmonise(scene, avatar, 0.0) is scene
    assert torch.allclose(harmonise(scene, flat(alpha, [0.5, 0.5, 0.5]), 1.0), scene, atol=1e-3), "nothing to do"


def test_visible_points_are_where_the_body_is(figure, seen):
    points = visible_points(seen, 0)
    vertices = figure.vertices()[0]
    assert torch.cdist(points[::7], vertices).amin(1).max() < 0.05
    pixels, _ = project(points[None], seen.camera)
    rows, columns = ((seen.alpha[0] > 0.5) & (seen.depth[0] > 0)).nonzero().unbind(1)
    assert torch.allclose(pixels[0], torch.stack([columns, rows], 1) + 0.5, atol=0.01)


def test_contact_shadow_lies_at_the_feet(figure, seen):
    shadow = visible_shadow(seen)
    feet, _ = project(standing_places(figure)[None], seen.camera)
    x, y = (shadow[0].sum(dim) for dim in (0, 1))
    centre = [(axis * (torch.arange(SIZE) + 0.5)).sum() / axis.sum() for axis in (x, y)]
    assert math.dist([float(v) for v in centre], feet[0, 0].tolist()) < 0.15 * SIZE
    assert shadow.max() > 0.5 and shadow[0, : SIZE // 4].max() < 0.05
    picture = torch.rand(1, SIZE, SIZE, 3)
    assert torch.equal(darken(picture, shadow, 0.0), picture) and (darken(picture, shadow, 0.5) <= picture).all()


def test_shadow_needs_distances_and_a_view_from_above(figure, seen):
    with pytest.raises(InputError, match="holds no distances"):
        visible_shadow(flat(torch.zeros(1, 8, 8), [1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="cannot be seen"):
        visible_shadow(seen, floor=10.0)


@pytest.mark.parametrize("horizon, feet_x, feet_y, height, yaw", [
    (0.4, 0.5, 0.9, 1.6, 0.0), (0.2, 0.1, 0.7, 3.0, 1.0), (-0.5, 0.8, 1.1, 8.0, -2.0),
])
def test_ground_camera_sees_feet_and_horizon_where_they_were_asked_for(horizon, feet_x, feet_y, height, yaw):
    feet = torch.tensor([[0.3, 0.0, -0.2], [1.0, 0.5, 2.0]])
    camera = ground_camera(feet, 200, 100, horizon, feet_x, feet_y, height, yaw, math.radians(40))
    pixels, depth = project(feet[:, None], camera)
    assert torch.allclose(pixels[:, 0], torch.tensor([feet_x * 200, feet_y * 100]).expand(2, 2), atol=0.02) and (depth > 0).all()
    origin = -(camera.R.mT @ camera.t[..., None])[..., 0]
    assert torch.allclose(origin[:, 1] - feet[:, 1], torch.tensor(height).expand(2), atol=1e-4)
    forward = camera.R[:, 2] * torch.tensor([1.0, 0, 1.0])
    far, _ = project((origin + 1e5 * forward)[:, None], camera)
    assert torch.allclose(far[:, 0, 1], torch.tensor(horizon * 100).expand(2), atol=0.2)


def test_a_head_at_the_cameras_height_reaches_the_horizon():
    feet = torch.zeros(1, 3)
    camera = ground_camera(feet, 100, 100, 0.3, 0.4, 0.8, 1.7)
    pixels, _ = project(torch.tensor([[[0.0, 1.7, 0.0]]]), camera)
    assert pixels[0, 0, 1].item() == pytest.approx(30, abs=0.01)


def test_standing_place_is_on_the_soles(figure):
    place = standing_places(figure)[0]
    vertices = figure.vertices()[0]
    assert place[1] == vertices[:, 1].min() and abs(place[0]) < 0.02


@pytest.mark.parametrize("options, said", [({"feet_y": 0.3}, "not below the horizon"), ({"camera_height": 0.0}, "camera height"),
                                           ({"feet_x": 7.0}, "feet x"), ({"width": 0}, "width|size")])
def test_ground_mistakes(options, said):
    with pytest.raises(InputError, match=said):
        ground_camera(torch.zeros(1, 3), **({"width": 64, "height": 64} | options))


def test_what_is_nearer_than_the_feet_occludes():
    alpha = torch.zeros(1, 40, 40)
    alpha[:, 5:30, 15:25] = 1
    nearness = (torch.arange(40) / 40)[None, :, None].repeat(1, 1, 40)  # a floor that comes nearer towards the bottom
    nearness[:, 10:28, 20:30] = 0.95  # a pole in front
    occluder = occluder_from_depth(nearness, flat(alpha, [1.0, 1.0, 1.0]))
    assert (occluder[0, 12:26, 21:29] == 1).all() and (occluder[0, :28, :18] == 0).all()
    assert (occluder[0, 36:] == 1).all() and (occluder[0, 28:30] < 0.5).all(), "the floor itself hides only what is behind it"


def test_occluder_mistakes():
    with pytest.raises(InputError, match="depth picture"):
        occluder_from_depth(torch.zeros(1, 4, 4), flat(torch.ones(1, 8, 8), [1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="is empty"):
        occluder_from_depth(torch.zeros(1, 8, 8), flat(torch.zeros(1, 8, 8), [1.0, 1.0, 1.0]))
