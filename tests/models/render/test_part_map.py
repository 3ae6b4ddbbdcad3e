"""Where parts lie and which way their colours run. Directions were read off DensePose pictures of DeepFashion-MultiModal."""

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.render.camera import frame_figure, project
from contrapposto.models.render.part_map import PARTS, render_part_map
from contrapposto.models.types import BodyPose

SIZE = 192
TURN = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
JOINTS = {"spine2": 6, "left_hip": 1, "left_knee": 4, "right_knee": 5, "right_ankle": 8, "left_ankle": 7, "left_shoulder": 16,
          "left_elbow": 18, "left_wrist": 20, "right_shoulder": 17, "right_elbow": 19, "right_wrist": 21, "head": 15}


@pytest.fixture(scope="module")
def seen():
    """The body from the front and from behind, at rest, and where its joints are in the pictures."""
    pose = BodyPose(torch.stack([torch.eye(3), TURN]), torch.eye(3).expand(2, 21, 3, 3))
    figure = pose_body(load_body_model(), pose)
    camera = frame_figure(figure, SIZE, SIZE, view="front")
    image, mask = render_part_map(figure, camera)
    return image, mask, project(figure.joints, camera)[0]


def between(seen, row, first, second):
    """(V, U, part) at the middle of two joints."""
    x, y = seen[2][row, [JOINTS[first], JOINTS[second]]].mean(0).long().tolist()
    v, u, number = (seen[0][row, y, x] * 255).round().tolist()
    return v, u, int(number)


@pytest.mark.parametrize("first, second, front, behind", [
    ("spine2", "spine2", 2, 1), ("left_hip", "left_knee", 10, 8), ("left_knee", "left_ankle", 14, 12),
    ("right_knee", "right_ankle", 13, 11),
])
def test_parts_lie_where_densepose_numbers_them(seen, first, second, front, behind):
    assert between(seen, 0, first, second)[2] == front and between(seen, 1, first, second)[2] == behind


def test_arms_hands_and_halves_of_the_head(seen):
    assert between(seen, 0, "left_shoulder", "left_elbow")[2] in (15, 17) and between(seen, 0, "right_elbow", "right_wrist")[2] in (20, 22)
    x, y = seen[2][0, JOINTS["head"]].long().tolist()
    number = (seen[0][0, y - 2, :, 2] * 255).round()
    left, right = number[number > 0][0], number[number > 0][-1]
    assert (left, right) == (23, 24)  # the body's right is on the picture's left
    assert set((seen[0][..., 2] * 255).round().unique().tolist()) <= {0.0, *map(float, PARTS)}


def test_colours_run_as_densepose_does(seen):
    trunk = (seen[0][0, ..., 2] * 255).round() == 2
    y, x = trunk.nonzero().float().T
    v, u = seen[0][0][trunk][:, 0], seen[0][0][trunk][:, 1]
    assert torch.corrcoef(torch.stack([u, y]))[0, 1] > 0.95 and torch.corrcoef(torch.stack([v, x]))[0, 1] < -0.9
    thigh = (seen[0][0, ..., 2] * 255).round() == 9
    assert torch.corrcoef(torch.stack([seen[0][0][thigh][:, 1], thigh.nonzero()[:, 0].float()]))[0, 1] < -0.9


def test_the_mask_is_where_the_map_is(seen):
    image, mask, _ = seen
    assert torch.equal(mask > 0, image[..., 2] > 0) and 0.02 < float(mask.mean()) < 0.5


def test_an_avatar_has_no_part_numbers():
    with pytest.raises(InputError, match="no known body parts"):
        render_part_map([1], None)
