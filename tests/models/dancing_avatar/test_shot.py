"""Before the camera: all of a motion is seen, a following camera goes along, feet meet the floor and jumps stay jumps."""

from dataclasses import dataclass, replace

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.shot import follow_path, photo_shot, standing_heights, studio_shot, survey
from contrapposto.models.render.camera import project
from contrapposto.models.types import Mesh

FRAMES = 40


@dataclass(frozen=True)
class Walker:
    """A box of 1.8 m that walks along x; a ports.Figure."""

    places: torch.Tensor  # (B, 3)
    device = torch.device("cpu")

    def __len__(self):
        return len(self.places)

    def mesh(self, rows):
        corners = torch.cartesian_prod(torch.tensor([-0.3, 0.3]), torch.tensor([0.0, 1.8]), torch.tensor([-0.2, 0.2]))
        return Mesh(corners.repeat_interleave(3, 0) + self.places[rows][:, None], torch.tensor([[0, 3, 6]]))

    def keypoints_3d(self):
        return self.places[:, None].expand(-1, 18, 3)


@pytest.fixture
def walker():
    x = torch.linspace(2.0, 6.0, FRAMES)
    return Walker(torch.stack([x, torch.zeros(FRAMES), torch.sin(x)], -1))


def shares(shot):
    """Where the stage's vertices lie in the picture, 0..1."""
    pixels, depth = project(shot.mesh(slice(0, len(shot))).vertices, shot.camera[[0] * len(shot)])
    assert (depth > 0).all()
    return pixels / torch.tensor([shot.camera.width, shot.camera.height])


def test_a_still_camera_sees_the_whole_motion(walker):
    seen = shares(studio_shot(walker, 320, 240, margin=0.08))
    assert seen.min() > 0.079 and seen.max() < 0.921
    assert (seen.amin((0, 1)) < 0.081).any(), "and no more than it needs"


def test_a_following_camera_shows_the_figure_larger_and_in_the_middle(walker):
    still, follow = (shares(studio_shot(walker, 320, 240, move=move)) for move in ("still", "follow"))
    height = lambda seen: (seen[..., 1].amax(1) - seen[..., 1].amin(1)).mean()
    assert height(follow) > 1.3 * height(still)
    assert (follow[..., 0].mean(1) - 0.5).abs().max() < 0.15 and follow.min() > 0.05 and follow.max() < 0.95


def test_world_cameras_see_the_figure_where_the_shot_shows_it(walker):
    shot = studio_shot(walker, 320, 240, move="follow")
    pixels, _ = project(walker.mesh(slice(0, FRAMES)).vertices, shot.world_camera())
    assert torch.allclose(pixels / torch.tensor([320, 240]), shares(shot), atol=1e-4)


def test_rows_of_a_shot_are_the_same_rows(walker):
    shot = studio_shot(walker, 320, 240)
    part = shot[10:20][2:5]
    assert len(part) == 3
    assert torch.equal(part.mesh(slice(1, 3)).vertices, shot.mesh(slice(13, 15)).vertices)
    assert torch.equal(part.keypoints_3d(), shot.keypoints_3d()[12:15])


def test_in_a_photograph_the_motion_takes_the_nearest_place_that_keeps_it_whole(walker):
    shot = photo_shot(walker, 640, 360, horizon=0.4, camera_height=1.5, margin=0.04)
    seen = shares(shot)
    assert seen.min() > 0.039 and seen.max() < 0.961
    assert min(seen.min(), 1 - seen.max()) < 0.045, "and none farther"
    origin = -(shot.camera.R[0].mT @ shot.camera.t[0])
    assert origin[1] == pytest.approx(1.5, abs=1e-4)
    given = photo_shot(walker, 640, 360, feet_x=0.3, feet_y=0.9)
    pixel, _ = project(torch.zeros(1, 1, 3), given.camera)
    assert torch.allclose(pixel[0, 0], torch.tensor([0.3 * 640, 0.9 * 360]), atol=0.01)


def test_a_motion_that_fits_nowhere_is_refused(walker):
    with pytest.raises(InputError, match="does not fit"):
        photo_shot(replace(walker, places=walker.places * 40), 64, 360, horizon=0.4)
    with pytest.raises(InputError, match="camera move"):
        studio_shot(walker, 320, 240, move="fly")
    with pytest.raises(InputError, match="hold nothing"):
        survey(Walker(torch.zeros(0, 3)))


def test_drifting_feet_are_settled_and_a_jump_stays_a_jump():
    time = torch.arange(120) / 30
    drift = 0.05 - 0.02 * time
    jump = torch.where((time > 1.5) & (time < 2.0), 0.5 * torch.sin((time - 1.5) / 0.5 * torch.pi), 0.0)
    floor = standing_heights(drift + jump, fps=30)
    assert (floor - drift).abs().max() < 0.01
    assert (drift + jump - floor).max() > 0.48
    assert torch.equal(standing_heights(torch.full((5,), 0.6)), torch.zeros(5)), "who never stands is left in the air"


def test_a_followed_path_is_smooth_and_keeps_a_steady_walk():
    line = torch.stack([torch.linspace(0, 3, 90), torch.zeros(90)], -1)
    assert torch.allclose(follow_path(line, 30), line, atol=1e-4)
    shaken = line + 0.05 * torch.randn(line.shape, generator=torch.Generator().manual_seed(0))
    assert follow_path(shaken, 30).diff(dim=0).diff(dim=0).abs().max() < 0.01
    assert torch.equal(follow_path(line[:1]), line[:1])
