import pytest
import torch
from torch.nn.functional import interpolate

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.previous_frame import Guidance, flow_to_rgb, guide_picture, hold_colours, optical_flow


def texture(side=128):
    rough = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(1))
    return interpolate(rough, (side, side), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)


def test_flow_finds_a_shift():
    picture = texture()
    flow = optical_flow(picture, picture.roll((2, -3), (0, 1)))[24:-24, 24:-24]
    assert torch.allclose(flow.flatten(0, 1).median(0).values, torch.tensor([-3.0, 2.0]), atol=0.1)
    assert optical_flow(picture, picture).abs().max() < 0.05


def test_flow_colours_are_middleburys():
    """Right red, left cyan, down yellow, up violet, as in the legend of Baker et al.; still white; half as long, half as strong."""
    rgb = flow_to_rgb(torch.tensor([[[2.0, 0], [-2, 0], [0, 2], [0, -2], [0, 0], [1, 0]]]))[0]
    right, left, down, up, still, half = rgb
    assert right.tolist() == [1, 0, 0] and still.tolist() == [1, 1, 1] and half.tolist() == [1, 0.5, 0.5]
    assert left[0] == 0 and left[1:].min() > 0.8
    assert down[0] == 1 and down[1] > 0.8 and down[2] == 0
    assert up[2] == 1 and up[1] == 0 and 0 < up[0] < 1
    assert (flow_to_rgb(torch.zeros(4, 4, 2)) == 1).all()


def test_guide_pictures():
    frame, motion = torch.rand(1, 64, 64, 3), texture(64)[None]
    assert guide_picture(frame) is frame
    both = guide_picture(frame, 6, motion, motion.roll(2, 2))
    assert both.shape == (1, 64, 64, 6) and torch.equal(both[..., :3], frame)
    with pytest.raises(InputError, match="motion None"):
        guide_picture(frame, 6)
    with pytest.raises(InputError, match="reads 4 channels"):
        guide_picture(frame, 4)


def test_colours_go_back_to_the_first_frames():
    first, mask = torch.rand(1, 32, 32, 3) * 0.5 + 0.25, torch.zeros(1, 32, 32)
    mask[:, 8:24, 8:24] = 1
    drifted = first * 0.8 + 0.15
    held, inside = hold_colours(drifted, mask, first, mask, 1.0), mask == 1
    assert torch.allclose(held[inside], first[inside], atol=1e-5)
    assert torch.equal(held[~inside], drifted[~inside])
    half = hold_colours(drifted, mask, first, mask, 0.5)
    assert torch.allclose(half[inside], (first[inside] + drifted[inside]) / 2, atol=1e-5)
    assert hold_colours(drifted, mask, first, mask, 0.0) is drifted
    assert hold_colours(drifted, mask * 0, first, mask, 1.0) is drifted, "nobody is there"


def test_a_flat_colour_is_not_made_noisy():
    flat, mask = torch.full((1, 16, 16, 3), 0.4), torch.ones(1, 16, 16)
    noisy = flat + 0.001 * torch.randn(1, 16, 16, 3)
    held = hold_colours(noisy, mask, torch.rand(1, 16, 16, 3), mask, 1.0)
    assert (held.std((0, 1, 2)) <= 2.1 * noisy.std((0, 1, 2))).all()


def test_guidance_out_of_range():
    with pytest.raises(InputError, match="colour hold"):
        Guidance(colour_hold=1.5)
    with pytest.raises(InputError, match="reanchor"):
        Guidance(reanchor_every=-1)
