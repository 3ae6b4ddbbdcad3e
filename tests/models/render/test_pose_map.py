import math

import pytest
import torch

from contrapposto.models.bodies.joints import OPENPOSE18_LIMBS, OPENPOSE18_NAMES
from contrapposto.models.checks import InputError
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.engine import render_figure
from contrapposto.models.render.pose_map import COLORS, draw_pose_map, draw_skeleton, project_keypoints
from contrapposto.models.types import Keypoints

RIGHT_SHOULDER, NOSE, RIGHT_EAR, LEFT_EYE, LEFT_EAR, NECK = 2, 0, 16, 15, 17, 1


def keypoints(points, scores=None, width=128, height=128):
    """A row of 18 points; those not named are absent. points: index -> (x, y)."""
    uv = torch.full((1, 18, 2), math.nan)
    shown = torch.zeros(1, 18)
    for index, place in points.items():
        uv[0, index], shown[0, index] = torch.tensor(place, dtype=torch.float32), 1.0
    return Keypoints(uv, shown if scores is None else scores, "openpose18", width, height)


def test_table_has_openpose_colours_and_limbs():
    """Spot checks against the published figure: right arm orange to yellow, left arm greens, face magentas."""
    named = dict(zip(OPENPOSE18_NAMES, COLORS))
    assert named["nose"] == (255, 0, 0) and named["neck"] == (255, 85, 0) and named["right_wrist"] == (170, 255, 0)
    assert named["left_wrist"] == (0, 255, 85) and named["left_ankle"] == (85, 0, 255) and named["left_ear"] == (255, 0, 85)
    assert len(COLORS) == 18 and len(OPENPOSE18_LIMBS) == 17
    limbs = [(OPENPOSE18_NAMES[a], OPENPOSE18_NAMES[b]) for a, b in OPENPOSE18_LIMBS]
    assert limbs[0] == ("neck", "right_shoulder") and limbs[1] == ("neck", "left_shoulder") and limbs[12] == ("neck", "nose")


def test_a_limb_and_its_joints():
    image = draw_pose_map(keypoints({NECK: (30.5, 64.5), RIGHT_SHOULDER: (98.5, 64.5)}, width=512, height=512))[0]
    assert torch.allclose(image[64, 64] * 255, torch.tensor(COLORS[0]) * 0.6, atol=0.5)
    assert torch.allclose(image[64, 30] * 255, torch.tensor(COLORS[NECK]).float(), atol=0.5)
    assert torch.allclose(image[64, 98] * 255, torch.tensor(COLORS[RIGHT_SHOULDER]).float(), atol=0.5)
    area = (image.amax(-1) > 0.3).sum().item()
    assert area == pytest.approx(math.pi * 4 * 34 + math.pi * 16, rel=0.12)  # an ellipse 68 x 8 and the outer half of two discs


def test_edges_are_soft():
    image = draw_pose_map(keypoints({NOSE: (40.3, 50.7)}))[0, ..., 0]
    assert ((image > 0.05) & (image < 0.95)).sum() >= 4
    disc = draw_pose_map(keypoints({NOSE: (40.3, 50.7)}, width=1024, height=1024))[0, ..., 0]
    assert disc.sum().item() == pytest.approx(math.pi * 64, rel=0.02)
    rows, columns = torch.meshgrid(torch.arange(1024) + 0.5, torch.arange(1024) + 0.5, indexing="ij")
    assert (disc * columns).sum() / disc.sum() == pytest.approx(40.3, abs=0.02)
    assert (disc * rows).sum() / disc.sum() == pytest.approx(50.7, abs=0.02)


def test_stick_width_follows_the_canvas_and_the_factor():
    def area(size, stick=1.0):
        return (draw_pose_map(keypoints({NOSE: (size / 2, size / 2)}, width=size, height=size), stick)[0, ..., 0]).sum().item()

    assert area(1024) == pytest.approx(4 * area(512), rel=0.05) and area(512, 2.0) == pytest.approx(4 * area(512), rel=0.05)


def test_absent_points_are_left_out():
    assert (draw_pose_map(keypoints({})) == 0).all()
    hidden = keypoints({NECK: (30, 64), RIGHT_SHOULDER: (98, 64)}, scores=torch.zeros(1, 18))
    assert (draw_pose_map(hidden) == 0).all()
    lonely = draw_pose_map(keypoints({NECK: (30, 64)}))[0]
    assert (lonely[64, 50:] == 0).all() and lonely.max() > 0.5


def test_points_off_the_canvas_are_cut():
    image = draw_pose_map(keypoints({NECK: (-300.0, 64), RIGHT_SHOULDER: (1e9, 64)}))
    assert image.isfinite().all() and image.shape == (1, 128, 128, 3)


def test_projection_agrees_with_the_doll(scenes):
    figure = scenes.doll()
    camera = frame_figure(figure, 200, 300)
    found = project_keypoints(figure, camera)
    assert found.order == "openpose18" and (found.width, found.height) == (200, 300) and (found.scores == 1).all()
    assert found.keypoints_2d[0, RIGHT_EAR, 0] < found.keypoints_2d[0, NOSE, 0] < found.keypoints_2d[0, LEFT_EAR, 0]


@pytest.mark.parametrize("view, hidden", [
    ("front", ()), ("back", ("nose", "left_eye", "right_eye")), ("side", ("right_ear",)),  # the far eye peeps over the bridge of the nose
])
def test_the_far_side_of_the_face_is_hidden(scenes, view, hidden):
    figure = scenes.doll()
    camera = frame_figure(figure, 256, 256, view=view)
    found = project_keypoints(figure, camera, render_figure(figure, camera).depth)
    missing = {name for name, score in zip(OPENPOSE18_NAMES, found.scores[0]) if score == 0}
    assert missing == set(hidden)


def test_points_outside_or_behind_or_missing_score_zero(scenes):
    figure = scenes.doll()
    camera = frame_figure(figure, 64, 64)
    points = figure.points.clone()
    points[0, 0], points[0, 1], points[0, 2] = torch.nan, torch.tensor([50.0, 0, 0]), torch.tensor([0.0, 1.0, 99.0])
    found = project_keypoints(scenes.Doll(figure.meshes, points), camera, torch.zeros(2, 64, 64))
    assert found.scores[0].tolist() == [0.0, 0.0, 0.0] + [1.0] * 15
    assert draw_pose_map(found).isfinite().all()


def test_bad_arguments():
    with pytest.raises(InputError, match="openpose18"):
        draw_pose_map(Keypoints(torch.zeros(1, 17, 2), torch.zeros(1, 17), "coco17", 64, 64))
    with pytest.raises(InputError, match="stick"):
        draw_pose_map(keypoints({}), stick=0.0)


def test_a_skeleton_in_one_colour_leaves_the_rest_of_the_picture_alone():
    keypoints = Keypoints(torch.rand(2, 18, 2) * 60, torch.ones(2, 18), "openpose18", 64, 64)
    picture = torch.rand(2, 64, 64, 3)
    drawn = draw_skeleton(picture, keypoints, (0.0, 0.5, 1.0))
    lines = draw_pose_map(keypoints, 0.3).sum(-1) > 0
    assert torch.equal(drawn[~lines], picture[~lines]) and not torch.equal(drawn, picture)
    x, y = keypoints.keypoints_2d[0, 4].long().tolist()
    assert torch.allclose(drawn[0, y, x], torch.tensor([0.0, 0.5, 1.0]), atol=0.3)
