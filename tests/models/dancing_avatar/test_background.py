import painting
import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.background import (
    Brush,
    Sampling,
    grow,
    inpaint,
    masks_by_generation,
    paint_plate,
    paint_region,
    paint_whole,
    soften_inside,
)
from contrapposto.models.ports import ImageDiffusion


def blobs():
    mask = torch.zeros(2, 40, 60)
    mask[0, 10:20, 20:30], mask[0, 0:4, 55:60], mask[1, 39, 0] = 1, 1, 1
    return mask


@pytest.mark.parametrize("pixels", [0, 1, 2, 7, 50])
def test_masks_grow_by_euclidean_distance(pixels):
    from scipy.ndimage import distance_transform_edt

    mask = blobs()
    expected = torch.stack([torch.from_numpy(distance_transform_edt(1 - row.numpy()) <= pixels) for row in mask]).float()
    assert torch.equal(grow(mask, pixels), expected)


@pytest.mark.parametrize("pixels", [1, 4, 9])
def test_soft_edges_stay_inside(pixels):
    grown = grow(blobs(), 10)
    soft = soften_inside(grown, pixels)
    assert (soft[grown == 0] == 0).all() and soft.max() == 1
    assert ((soft > 0) & (soft < 1)).any()
    assert (torch.diff(soft, dim=-1).abs() <= 2 / pixels).all(), "no step in it"
    assert torch.equal(soften_inside(torch.ones(1, 20, 20), pixels), torch.ones(1, 20, 20)), "the border is no edge"


def test_outside_the_region_a_picture_is_kept_bit_by_bit():
    pose_maps, plate, masks = painting.dance()
    model, region = painting.HintPainter({"pose": 3}), paint_region(masks[:1], Brush(6, 3))
    assert isinstance(model, ImageDiffusion)
    painted = inpaint(model, None, None, plate, region, Sampling(), {"pose": pose_maps[:1]})
    outside, inside = region.grown == 0, region.alpha == 1
    assert torch.equal(painted[outside], plate[outside])
    assert inside.any() and (painted[inside] != plate[inside]).all()


def test_an_inpainting_model_sees_mask_and_masked_picture():
    _, plate, masks = painting.dance()
    seen = {}

    class Inpainter(painting.HintPainter):
        def sample(self, *given, **options):
            seen["mask"], seen["beside"] = given[3], given[4]
            return super().sample(*given, **options)

    region = paint_region(masks[:1], Brush(4, 0))
    inpaint(Inpainter(input_channels=9), None, None, plate, region, Sampling())
    mask, beside = seen["mask"], seen["beside"]
    assert beside.shape == (1, 5, 8, 6) and torch.equal(beside[:, 0], mask)
    fully = torch.nn.functional.avg_pool2d(region.grown[:, None], 8)[:, 0] == 1
    assert (beside[:, 1:].permute(0, 2, 3, 1)[fully] == 0.5).all()
    assert mask.sum() >= (region.grown.sum() / 64), "every touched cell is painted"


def test_plate_has_nobody_and_the_background():
    _, plate, masks = painting.dance()
    person = masks[:1, ..., None] * torch.tensor([9.0, 9.0, 9.0])
    picture = torch.where(person > 0, person, plate)
    empty = paint_plate(painting.HintPainter(), None, None, picture, masks[:1], Sampling(), Brush(3, 1))
    assert empty.max() <= 1 and torch.equal(empty[grow(masks[:1], 3) == 0], plate[grow(masks[:1], 3) == 0])


@pytest.mark.parametrize("spoil, said", [
    (lambda picture, mask: (picture, mask * 0), "shows nobody"),
    (lambda picture, mask: (picture, mask * 0 + 1), "leaves nothing"),
    (lambda picture, mask: (picture, mask[:, :-8]), "mask '48 x 56' is not 48 x 64"),
    (lambda picture, mask: (picture[:, :60], mask[:, :60]), "Make it 48 x 56"),
    (lambda picture, mask: (picture.expand(2, -1, -1, -1), mask), "image"),
])
def test_bad_plates(spoil, said):
    _, plate, masks = painting.dance()
    with pytest.raises(InputError, match=said):
        paint_plate(painting.HintPainter(), None, None, *spoil(plate, masks[:1]), Sampling(), Brush(3, 1))


def test_depth_models_are_refused():
    with pytest.raises(InputError, match="5 input channels"):
        paint_whole(painting.HintPainter(input_channels=5), None, None, 64, 48, Sampling())


def test_brush_out_of_range():
    with pytest.raises(InputError, match="feather"):
        Brush(4, -1)


class Bright:
    """Finds what the pose map has made bright."""

    def person_masks(self, image):
        found = (image[..., 0] > 0.4).float()
        return torch.stack([found * 0, found]) if found.any() else torch.zeros(0, *image.shape[:2])


def test_masks_by_generation_follow_the_poses():
    pose_maps, _, masks = painting.dance()
    model = painting.HintPainter({"pose": 3})
    found = masks_by_generation(model, None, None, pose_maps, Bright(), Sampling(steps=1))
    overlap = (found * masks).sum((1, 2)) / masks.sum((1, 2))
    assert found.shape == masks.shape and model.calls == len(masks) and overlap.min() > 0.6
    pose_maps[1] = 0
    with pytest.raises(InputError, match="frame 1"):
        masks_by_generation(model, None, None, pose_maps, Bright(), Sampling(steps=1))
