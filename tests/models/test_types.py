import dataclasses

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.types import BodyPose, Camera, Keypoints, Mesh, Render


def camera(rows=1):
    ones = torch.ones(rows)
    return Camera(ones * 100, ones * 100, ones * 32, ones * 24, torch.eye(3).expand(rows, 3, 3), torch.zeros(rows, 3), 64, 48)


def test_defaults_are_filled_and_rows_picked():
    pose = dataclasses.replace(BodyPose.rest(4), transl=torch.arange(12.0).view(4, 3))
    assert len(pose) == 4 and pose.frame_index.tolist() == [0] * 4
    assert pose[2].transl.tolist() == [[6.0, 7.0, 8.0]]
    assert len(pose[1:3]) == 2 and pose[torch.tensor([3, 0])].transl[0, 0] == 9


def test_cat_keeps_only_what_all_have():
    shaped = dataclasses.replace(BodyPose.rest(2), betas=torch.zeros(2, 10))
    joined = BodyPose.cat([shaped, BodyPose.rest(3)])
    assert len(joined) == 5 and joined.betas is None
    assert BodyPose.cat([shaped, shaped]).betas.shape == (4, 10)


def test_render_rows_keep_their_cameras():
    render = Render(torch.zeros(3, 48, 64, 3), torch.zeros(3, 48, 64), torch.zeros(3, 48, 64), camera(3))
    assert len(render[1].camera) == 1 and len(render.to("cpu").camera) == 3


def test_values_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BodyPose.rest().fps = 30


@pytest.mark.parametrize("make", [
    lambda: BodyPose(torch.eye(3).expand(2, 3, 3), torch.eye(3).expand(3, 21, 3, 3)),
    lambda: BodyPose(torch.eye(3), torch.eye(3).expand(1, 21, 3, 3)),
    lambda: BodyPose(torch.eye(3).expand(2, 3, 3), torch.eye(3).expand(2, 21, 3, 3), transl=torch.zeros(1, 3)),
    lambda: Mesh(torch.zeros(1, 4, 3), torch.zeros(2, 3, dtype=torch.int64), uv=torch.zeros(5, 2)),
    lambda: Keypoints(torch.zeros(1, 18, 2), torch.zeros(1, 17), "openpose18", 64, 48),
    lambda: Render(torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 9), torch.zeros(1, 8, 8), camera()),
])
def test_shapes_that_do_not_fit_are_refused(make):
    with pytest.raises(InputError):
        make()
