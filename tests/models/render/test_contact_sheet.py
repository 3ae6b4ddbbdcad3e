"""Sheets of small pictures: every picture in its place, every caption below its picture."""

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.render.contact_sheet import draw_contact_sheet


def test_pictures_lie_row_by_row_untouched():
    images = torch.rand(5, 40, 60, 3)
    sheet = draw_contact_sheet(images, list("abcde"))
    cell = sheet.shape[0] // 2
    assert sheet.shape == (2 * cell, 3 * 60, 3) and cell > 40
    for number, image in enumerate(images):
        top, left = number // 3 * cell, number % 3 * 60
        assert torch.equal(sheet[top : top + 40, left : left + 60], image)


def test_each_caption_is_under_its_picture_and_the_rest_is_blank():
    sheet = draw_contact_sheet(torch.ones(3, 40, 60, 3), ["1", "", "3"], columns=2)
    cell = sheet.shape[0] // 2
    dark = sheet.amin(-1) < 0.5
    assert dark[40:cell, :60].any() and dark[cell + 40 :, :60].any()
    assert not dark[:, 60:].any()


def test_a_long_caption_does_not_widen_the_sheet():
    assert draw_contact_sheet(torch.ones(1, 40, 60, 3), ["x" * 200]).shape[1] == 60


@pytest.mark.parametrize(("count", "captions"), [(0, []), (2, ["one"])])
def test_captions_must_match(count, captions):
    with pytest.raises(InputError, match="captions"):
        draw_contact_sheet(torch.ones(count, 8, 8, 3), captions)
