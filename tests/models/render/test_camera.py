import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrapposto.models.checks import InputError
from contrapposto.models.render.camera import (
    VIEWS,
    camera_to_opengl_pose,
    frame_figure,
    frame_points,
    match_rows,
    project,
    view_rotation,
    weak_perspective_camera,
    world_to_camera,
)


def points(rows=3, count=50):
    return torch.randn(rows, count, 3) * torch.tensor([0.4, 0.9, 0.3])


@given(st.floats(-4, 4), st.floats(-1.5, 1.5), st.floats(0.05, 1.2), st.floats(0, 0.4), st.integers(16, 900), st.integers(16, 900))
@settings(max_examples=60, deadline=None)
def test_fit_is_inside_and_tight(yaw, pitch, fov, margin, width, height):
    torch.manual_seed(1)
    cloud = points()
    camera = frame_points(cloud, width, height, yaw, pitch, fov, margin)
    uv, depth = project(cloud, camera)
    assert (depth > 0).all()
    pixels = torch.tensor([width, height])
    low, high = uv.amin(1) / pixels, uv.amax(1) / pixels
    assert (low > margin - 1e-3).all() and (high < 1 - margin + 1e-3).all()
    touches = ((low - margin).abs() < 2e-3) & ((high - (1 - margin)).abs() < 2e-3)  # both planes of a pair
    assert touches.any(1).all()


def test_shared_camera_fits_all_rows_and_is_one():
    cloud = points()
    camera = frame_points(cloud, 300, 400, shared=True)
    assert torch.equal(camera.t[0], camera.t[2])
    uv, _ = project(cloud, camera)
    assert uv.min() > 0.08 * 300 - 0.1 and (uv[..., 1] < 0.92 * 400 + 0.1).all()
    alone = frame_points(cloud.reshape(1, -1, 3), 300, 400)
    assert torch.allclose(camera.t[0], alone.t[0], atol=1e-5)


def test_front_view_shows_the_left_hand_on_the_right_and_the_head_above():
    cloud = torch.tensor([[[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]])
    uv, depth = project(cloud, frame_points(cloud, 100, 100))
    assert uv[0, 1, 0] > uv[0, 0, 0] and uv[0, 2, 1] < uv[0, 0, 1] and depth[0, 3] < depth[0, 0]


def test_views_look_from_where_their_names_say():
    place = {name: view_rotation(*angles).T @ torch.tensor([0.0, 0, -1]) for name, angles in VIEWS.items()}  # towards the camera
    assert torch.allclose(place["front"], torch.tensor([0.0, 0, 1]), atol=1e-6)
    assert torch.allclose(place["side"], torch.tensor([1.0, 0, 0]), atol=1e-6)
    assert torch.allclose(place["back"], torch.tensor([0.0, 0, -1]), atol=1e-6)
    assert place["top"][1] > 0.5 and place["three-quarter"][0] > 0.5 and place["three-quarter"][2] > 0.5


@pytest.mark.parametrize("angles", [(0.3, 0.2), (-2.0, 1.5), (3.1, -1.2)])
def test_view_rotation_is_a_rotation(angles):
    R = view_rotation(*angles)
    assert torch.allclose(R @ R.T, torch.eye(3), atol=1e-6) and torch.linalg.det(R) == pytest.approx(1, abs=1e-5)


def test_frame_figure_equals_frame_points_over_chunks(figure, scenes):
    ball, faces, _ = scenes.sphere(4, 8)
    many = ball + torch.randn(35, 1, 3)
    ours = frame_figure(figure(many, faces), 200, 100, view="side", pitch=0.2)
    theirs = frame_points(many, 200, 100, yaw=VIEWS["side"][0], pitch=0.2)
    assert torch.equal(ours.t, theirs.t) and torch.equal(ours.R, theirs.R)


def test_opengl_pose_agrees_with_projection():
    cloud = points(2)
    camera = frame_points(cloud, 320, 200, yaw=0.7, pitch=0.3)
    pose = camera_to_opengl_pose(camera)
    local = torch.linalg.solve(pose[:, None], torch.cat([cloud, torch.ones(2, 50, 1)], -1)[..., None])[..., :3, 0]
    u = camera.fx[:, None] * local[..., 0] / -local[..., 2] + 160
    v = 100 - camera.fy[:, None] * local[..., 1] / -local[..., 2]
    assert torch.allclose(torch.stack([u, v], -1), project(cloud, camera)[0], atol=1e-3)


def test_weak_perspective_lands_where_the_formula_says():
    scale, tx, ty = torch.tensor([0.9]), torch.tensor([0.1]), torch.tensor([-0.2])
    camera = weak_perspective_camera(scale, tx, ty, 224, 224, rotation=torch.eye(3))
    body = torch.tensor([[[0.3, -0.8, 0.05], [-0.2, 0.6, -0.1]]])
    expected = 112 + 0.9 * 112 * (body[..., :2] + torch.tensor([0.1, -0.2]))
    assert torch.allclose(project(body, camera)[0], expected, atol=0.5)


def test_world_to_camera_is_rigid():
    camera = frame_points(points(), 64, 64, yaw=1.0)
    a, b = points(), points()
    before, after = (a - b).norm(dim=-1), (world_to_camera(a, camera) - world_to_camera(b, camera)).norm(dim=-1)
    assert torch.allclose(before, after, atol=1e-5)


def test_match_rows():
    camera = frame_points(points(), 64, 64)
    assert len(match_rows(camera[:1], 5)) == 5
    with pytest.raises(InputError, match="rows do not match"):
        match_rows(camera, 2)


@pytest.mark.parametrize("change", [
    {"width": 0}, {"height": -3}, {"width": 64.0}, {"width": 100000}, {"width": True}, {"yaw": math.nan}, {"pitch": 2.0}, {"fov": 0.0},
    {"fov": 3.1}, {"margin": 0.5}, {"margin": -0.1},
])
def test_bad_arguments(change):
    with pytest.raises(InputError, match=next(iter(change))):
        frame_points(points(), **({"width": 64, "height": 64} | change))


@pytest.mark.parametrize("cloud", [torch.zeros(0, 5, 3), torch.zeros(2, 0, 3), torch.full((1, 4, 3), math.nan), torch.zeros(3, 3)])
def test_bad_points(cloud):
    with pytest.raises(InputError):
        frame_points(cloud, 64, 64)


def test_bad_view(ball):
    with pytest.raises(InputError, match="three-quarter"):
        frame_figure(ball(), 64, 64, view="left")


def test_bad_scale():
    with pytest.raises(InputError, match="scale"):
        weak_perspective_camera(torch.tensor([0.0]), torch.zeros(1), torch.zeros(1), 64, 64)
