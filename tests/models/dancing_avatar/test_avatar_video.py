"""The film: the avatar's own pixels, an untouched background around it, the same frames however they are cut."""

from dataclasses import replace

import pytest
import torch

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies import load_body_model
from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.avatar_video import film
from contrapposto.models.dancing_avatar.shot import photo_shot
from contrapposto.models.rotations import rotation_about
from contrapposto.models.types import BodyPose

SIZE = (96, 64)
FRAMES = 10


@pytest.fixture(scope="module")
def shot():
    rest = BodyPose.rest(FRAMES)
    pose = replace(rest, global_orient=rotation_about("y", torch.linspace(0, 2, FRAMES)), fps=10.0)
    return photo_shot(retarget_pose(pose, load_body_model(), load_avatar()), *SIZE, horizon=0.4)


@pytest.fixture(scope="module")
def background():
    return torch.rand(1, SIZE[1], SIZE[0], 3, generator=torch.Generator().manual_seed(0))


def filmed(shot, background, **options):
    pictures, renders = zip(*film(shot, background, **options))
    return torch.cat(pictures), torch.cat([render.rgb for render in renders]), torch.cat([render.alpha for render in renders])


@pytest.fixture(scope="module")
def plain(shot, background):
    return filmed(shot, background, shadow=0.0)


def test_the_avatar_is_pixel_exact_and_the_background_untouched(background, plain):
    frames, rgb, alpha = plain
    assert frames.shape == (FRAMES, SIZE[1], SIZE[0], 3)
    solid, empty = alpha >= 1, alpha <= 0
    assert solid.flatten(1).sum(1).min() > 20
    assert torch.equal(frames[solid], rgb[solid])
    assert torch.equal(frames[empty], background.expand_as(frames)[empty])


def test_the_shadow_darkens_the_floor_and_never_the_avatar(shot, background):
    frames, rgb, alpha = filmed(shot, background)
    solid = alpha >= 1
    assert torch.equal(frames[solid], rgb[solid])
    change = (frames - background)[alpha <= 0]
    assert change.max() <= 0 and change.min() < -0.1
    assert torch.equal(frames[:, 0], background.expand_as(frames)[:, 0]), "nothing above the horizon"


def test_frames_do_not_depend_on_their_neighbours(shot, background, plain):
    part = filmed(shot[8:10], background, shadow=0.0)[0]
    assert torch.equal(part, plain[0][8:10])


def test_the_background_may_move(shot, background):
    moving = torch.cat([background, background * 0.5])
    frames, _, alpha = filmed(shot[:2], moving, shadow=0.0)
    assert torch.equal(frames[1][alpha[1] <= 0], moving[1][alpha[1] <= 0])


def test_a_studio_without_a_background_and_progress(shot):
    told = []
    frames, *_ = filmed(shot[:3], None, on_row=lambda *done: told.append(done))
    assert frames.std() > 0.02 and told == [(3, 3)]


@pytest.mark.parametrize("wrong, said", [
    ({"background": torch.zeros(1, 32, 32, 3)}, "32 x 32"), ({"background": torch.zeros(3, 64, 96, 3)}, "3 pictures"),
    ({"background": torch.zeros(64, 96, 3)}, "background"), ({"shadow": 2.0}, "shadow"), ({"engine": "ink"}, "engine"),
])
def test_mistakes_are_named(shot, background, wrong, said):
    with pytest.raises(InputError, match=said):
        next(film(shot, **({"background": background} | wrong)))
