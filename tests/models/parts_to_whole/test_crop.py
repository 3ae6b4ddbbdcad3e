import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.parts_to_whole.crop import FACE_SIDE, LEFT_EYE, RIGHT_EYE, align_face, crop_to_mask


def face(angle=0.0, distance=10.0):
    """Points of a face whose eyes lie on a line turned by ``angle``, and a picture with a bright and a dark eye."""
    middle, along = torch.tensor([60.0, 50.0]), torch.tensor([torch.tensor(angle).cos(), torch.tensor(angle).sin()]) * distance / 2
    points, scores = torch.zeros(18, 2), torch.zeros(18)
    points[RIGHT_EYE], points[LEFT_EYE] = middle - along, middle + along
    scores[[RIGHT_EYE, LEFT_EYE]] = 1
    y, x = torch.meshgrid(torch.arange(100) + 0.5, torch.arange(120) + 0.5, indexing="ij")
    picture = torch.full((100, 120, 3), 0.5)
    for point, level in ((points[RIGHT_EYE], 1.0), (points[LEFT_EYE], 0.0)):
        picture[((x - point[0]) ** 2 + (y - point[1]) ** 2) < 9] = level
    return picture, torch.ones(100, 120), points, scores


@pytest.mark.parametrize("angle", [0.0, 0.5, -0.9])
def test_eyes_are_level_at_the_same_place_whatever_the_tilt(angle):
    cut, mask = align_face(*face(angle))
    side = cut.shape[0]
    assert cut.shape == (side, side, 3) and side == FACE_SIDE * 10 and mask.min() > 0.99
    spots = [(cut[..., 0] - level).abs().lt(0.2).nonzero().float().mean(0) / side for level in (1.0, 0.0)]
    for spot, column in zip(spots, (0.4, 0.6)):
        assert spot[0].item() == pytest.approx(0.38, abs=0.03) and spot[1].item() == pytest.approx(column, abs=0.03)


def test_beyond_the_picture_it_is_white_and_not_of_the_part():
    picture, mask, points, scores = face(distance=30.0)
    cut, cut_mask = align_face(picture, mask, points, scores)
    assert cut_mask[-1].eq(0).all() and cut[-1].eq(1).all()


def test_faces_that_cannot_be_levelled():
    picture, mask, points, scores = face()
    with pytest.raises(InputError, match="without both eyes"):
        align_face(picture, mask, points, scores * 0)
    with pytest.raises(InputError, match="from behind"):
        align_face(picture, mask, points[[*range(14), LEFT_EYE, RIGHT_EYE, 16, 17]], scores)


def test_a_mask_is_cut_out_with_a_margin():
    mask = torch.zeros(40, 60)
    mask[10:30, 20:30] = 1
    picture, cut = crop_to_mask(torch.rand(40, 60, 3), mask)
    assert picture.shape == (24, 14, 3) and cut.sum() == 200
    with pytest.raises(InputError, match="no part"):
        crop_to_mask(torch.rand(4, 4, 3), torch.zeros(4, 4))
