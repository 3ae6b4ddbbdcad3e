import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.metrics.reference_similarity import image_similarity, part_on_white, part_similarity


def embed(pictures):
    """The mean colour, as a vector around gray."""
    return pictures.mean((1, 2)) - 0.5


def test_cosines_of_whole_pictures():
    red, blue = torch.tensor([1.0, 0.5, 0.5]).expand(1, 4, 4, 3), torch.tensor([0.5, 0.5, 1.0]).expand(1, 6, 6, 3)
    assert image_similarity(embed, red, red).item() == pytest.approx(1)
    assert image_similarity(embed, red.expand(2, -1, -1, -1), blue).tolist() == pytest.approx([0, 0], abs=1e-6)
    with pytest.raises(InputError, match="do not fit"):
        image_similarity(embed, red, blue.expand(3, -1, -1, -1))


def test_parts_are_compared_without_background_and_place():
    colour = torch.tensor([0.1, 0.7, 0.2])
    picture, mask = torch.rand(20, 20, 3), torch.zeros(20, 20)
    picture[2:8, 3:9], mask[2:8, 3:9] = colour, 1
    other, other_mask = torch.rand(30, 10, 3), torch.zeros(30, 10)
    other[20:26, 1:7], other_mask[20:26, 1:7] = colour, 1
    references = [("face", other, other_mask), ("face", other, other_mask), ("shoes", other, other_mask)]
    found = part_similarity(embed, picture, {"face": mask}, references)
    assert set(found) == {"face"} and found["face"] == pytest.approx(1, abs=1e-6)


def test_a_part_lies_in_the_middle_of_a_white_square():
    mask = torch.zeros(10, 10)
    mask[1:9, 4:6] = 1
    square = part_on_white("face", torch.zeros(10, 10, 3), mask)
    assert square.shape == (8, 8, 3) and square[:, :3].eq(1).all() and square[:, 3:5].eq(0).all()
    for wrong in (torch.zeros(10, 10), torch.ones(3, 3)):
        with pytest.raises(InputError, match="face"):
            part_on_white("face", torch.zeros(10, 10, 3), wrong)
