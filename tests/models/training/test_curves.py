"""The picture of a training's curves."""

import math

from PIL import Image

from contrapposto.models.training.curves import LINE, PANEL, draw_curves


def test_a_falling_curve_falls_in_the_picture(tmp_path):
    draw_curves([{"step": step, "loss": 1.0 - step / 100} for step in range(0, 100, 5)], tmp_path / "curve.png")
    picture = Image.open(tmp_path / "curve.png").convert("RGB")
    assert picture.size == PANEL
    heights = {}
    for x in range(70, PANEL[0] - 18):
        line = [y for y in range(36, PANEL[1] - 31) if picture.getpixel((x, y)) == LINE]
        if line:
            heights[x] = sum(line) / len(line)
    assert len(heights) > 250 and heights[min(heights)] < 40 and heights[max(heights)] > 180


def test_every_number_has_a_panel_and_what_is_not_a_number_is_left_out(tmp_path):
    lines = [{"step": 1, "loss": 1.0, "lr": 0.1, "val": 5.0}, {"step": 2, "loss": math.nan, "lr": 0.2, "gradient": 3.0},
             {"step": 3, "loss": 0.5, "lr": 0.001, "gradient": 1.0}]
    draw_curves(lines, tmp_path / "curve.png")  # "val" has a single point
    assert Image.open(tmp_path / "curve.png").size == (3 * PANEL[0], PANEL[1])


def test_nothing_is_drawn_of_nothing(tmp_path):
    draw_curves([{"step": 1, "loss": 1.0}], tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()
