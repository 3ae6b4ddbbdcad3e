import math
from dataclasses import replace

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.compose import canvas
from contrapposto.models.compose import window as window_of
from contrapposto.models.compose.canvas import Placement
from contrapposto.models.types import Camera, Render


def render(alpha, rgb=None, depth=2.0):
    rows, height, width = alpha.shape
    ones = torch.ones(rows)
    camera = Camera(ones * 50, ones * 50, ones * width / 2, ones * height / 2, torch.eye(3).expand(rows, 3, 3), torch.zeros(rows, 3),
                    width, height)
    rgb = torch.rand(rows, height, width, 3) if rgb is None else rgb.expand(rows, height, width, 3)
    return Render(rgb, alpha, torch.where(alpha > 0.5, depth, 0.0), camera)


def box(height=20, width=16, rows=1):
    """A render whose pixels are covered in columns 4 to 9 and rows 3 to 14."""
    alpha = torch.zeros(rows, height, width)
    alpha[:, 3:15, 4:10] = 1
    return alpha


def test_standing_point():
    assert canvas.standing_point(box()[0]) == (7.0, 15.0)


def test_moving_keeps_every_pixel():
    figure = render(box())
    placed = canvas.place(figure, Placement(0.5, 0.75), 40, 32)
    assert torch.equal(placed.rgb[0, 12:24, 17:23], figure.rgb[0, 3:15, 4:10])
    assert placed.alpha.sum() == 72 and placed.depth[placed.alpha > 0].unique().tolist() == [2.0]
    assert (placed.camera.width, placed.camera.height, placed.camera.cx.item()) == (40, 32, 20.0)


def test_half_outside_is_cut_off():
    placed = canvas.place(render(box()), Placement(0.0, 1.0), 40, 32)
    assert placed.alpha.sum() == 36 and placed.alpha[0, 20:, :3].all()
    assert canvas.place(render(box()), Placement(-0.9, 1.0), 40, 32).alpha.sum() == 0


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scaling_changes_size_and_distance_but_not_the_standing_point(scale):
    placed = canvas.place(render(box(), torch.tensor([0.2, 0.4, 0.6])), Placement(0.5, 0.75, scale), 64, 64)
    assert placed.alpha.sum().item() == pytest.approx(72 * scale * scale, rel=0.02)
    assert canvas.standing_point(placed.alpha[0]) == pytest.approx((32, 48), abs=1.01)
    solid = placed.alpha[0] > 0.99
    assert torch.allclose(placed.rgb[0][solid], torch.tensor([0.2, 0.4, 0.6]), atol=1e-5), "no background in the outline"
    assert torch.allclose(placed.depth[0][solid], torch.tensor(2 / scale), atol=1e-4)


def test_turning_by_a_quarter_lays_the_figure_down():
    placed = canvas.place(render(box()), Placement(0.5, 0.5, rotation=math.pi / 2), 64, 64)
    columns, rows = (placed.alpha[0] > 0.5).any(0).nonzero(), (placed.alpha[0] > 0.5).any(1).nonzero()
    assert columns.max() - columns.min() + 1 == 12 and rows.max() - rows.min() + 1 == 6
    assert columns.max() < 33, "counter-clockwise: the head goes to the left"


def test_turning_all_the_way_round_changes_little():
    figure = render(box(), torch.tensor([0.5, 0.1, 0.9]))
    turned = canvas.place(figure, Placement(0.5, 0.75, rotation=2 * math.pi), 40, 32)
    assert (turned.alpha - canvas.place(figure, Placement(0.5, 0.75), 40, 32).alpha).abs().max() < 0.6
    assert turned.alpha.sum().item() == pytest.approx(72, rel=0.02)


def test_the_nearer_is_in_front_whatever_the_order():
    red, blue = (render(box(), torch.tensor(colour), depth) for colour, depth in (([1.0, 0, 0], 3.0), ([0, 0, 1.0], 2.0)))
    for layers in ([red, blue], [blue, red]):
        both = canvas.merge(layers)
        assert torch.equal(both.rgb[0, 5, 5], torch.tensor([0, 0, 1.0])) and both.depth[0, 5, 5] == 2


def test_soft_pixels_let_what_is_behind_through():
    soft = render(box() * 0.25, torch.tensor([1.0, 0, 0]))
    soft = replace(soft, depth=box() * 1.0)
    behind = render(box(), torch.tensor([0, 0, 1.0]), 5.0)
    both = canvas.merge([behind, soft])
    assert both.alpha[0, 5, 5] == 1 and torch.allclose(both.rgb[0, 5, 5], torch.tensor([0.25, 0, 0.75]))


def test_soft_outline_without_a_distance_stays_in_front():
    """The rasteriser gives outline pixels coverage but, where no ray hit, no distance."""
    alpha = box()
    alpha[:, 3:15, 10] = 0.5
    near, far = render(alpha, torch.tensor([1.0, 0, 0]), 1.0), render(torch.ones(1, 20, 16), torch.tensor([0, 0, 1.0]), 9.0)
    assert near.depth[0, 5, 10] == 0
    assert torch.allclose(canvas.merge([far, near]).rgb[0, 5, 10], torch.tensor([0.5, 0, 0.5]))


def test_avatar_and_gray_body_move_alike():
    avatar, gray = render(box(rows=2)), render(torch.roll(box(rows=2), 1, 1))
    placed, body = canvas.place_pair(avatar, gray, Placement(0.4, 0.8), 40, 32)
    assert torch.equal(torch.roll(placed.alpha, 1, 1), body.alpha) and len(placed) == 2
    again, _ = canvas.place_pair(avatar, gray, Placement(0.8, 0.8), 1, 1, placed, body)
    assert again.alpha.shape == (2, 32, 40) and again.alpha.sum() == 4 * 72


def test_window_holds_the_avatar_and_whole_canvas_at_a_wide_margin():
    alpha = torch.zeros(1, 100, 200)
    alpha[:, 40:80, 90:110] = 1
    window = window_of.find_window(alpha, 64, 0.5)
    assert (window.left, window.top, window.width, window.height) == (70, 20, 60, 80)
    assert all(side % 8 == 0 for side in window.painted) and window.painted[0] < window.painted[1]
    whole = window_of.find_window(alpha, 64, 10)
    assert (whole.left, whole.top, whole.width, whole.height) == (0, 0, 200, 100)


def test_crop_and_stitch_give_a_smooth_canvas_back():
    alpha = torch.zeros(1, 96, 128)
    alpha[:, 30:70, 50:80] = 1
    window = window_of.find_window(alpha, 256, 0.3)
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 128), indexing="ij")
    picture = torch.stack([x, y, (x + y) / 2], -1)[None]
    back = window_of.stitch(window_of.crop_picture(picture, window), window, picture, 0.1)
    assert torch.allclose(back, picture, atol=0.02)
    changed = window_of.stitch(torch.zeros(1, *window.painted[::-1], 3), window, picture, 0.1)
    outside = torch.ones(96, 128, dtype=torch.bool)
    outside[window.top : window.top + window.height, window.left : window.left + window.width] = False
    assert torch.equal(changed[0][outside], picture[0][outside]) and changed[0, 50, 65].sum() == 0


def test_cropped_render_is_seen_through_the_cropped_camera():
    figure = render(torch.ones(1, 40, 80))
    window = window_of.Window(20, 10, 40, 20, (80, 40), (80, 40))
    cropped = window_of.crop_render(figure, window)
    assert (cropped.camera.fx / figure.camera.fx).item() == 2 and cropped.alpha.shape == (1, 40, 80)
    assert cropped.camera.cx.item() == 40 and cropped.camera.cy.item() == 20


def test_whole_window_needs_no_canvas_but_a_part_does():
    painted = torch.rand(1, 64, 64, 3)
    assert window_of.stitch(painted, window_of.Window(0, 0, 128, 128, (128, 128), (64, 64))).shape == (1, 128, 128, 3)
    with pytest.raises(InputError, match="is needed"):
        window_of.stitch(painted, window_of.Window(8, 0, 120, 128, (128, 128), (64, 64)))


@pytest.mark.parametrize("call, said", [
    (lambda: Placement(scale=0), "scale"), (lambda: Placement(x=float("nan")), "x"),
    (lambda: canvas.place(render(torch.zeros(1, 8, 8)), Placement(), 8, 8), "is empty"),
    (lambda: window_of.find_window(torch.zeros(1, 8, 8)), "is empty"),
    (lambda: canvas.merge([render(box()), render(box(24))]), "differ"),
    (lambda: canvas.place_pair(render(box()), render(box(24)), Placement(), 8, 8), "gray body"),
    (lambda: canvas.place_pair(render(box()), render(box()), Placement(), 8, 8, render(box())), "Connect both"),
    (lambda: window_of.crop_picture(torch.zeros(1, 9, 9, 3), window_of.Window(0, 0, 8, 8, (8, 8), (8, 8))), "9 x 9"),
    (lambda: window_of.stitch(torch.zeros(1, 9, 9, 3), window_of.Window(0, 0, 8, 8, (8, 8), (8, 8))), "9 x 9"),
])
def test_mistakes(call, said):
    with pytest.raises(InputError, match=said):
        call()
