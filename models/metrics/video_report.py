"""The scores of a video as a table, as JSON, and as a picture of their course over time."""

from __future__ import annotations

import json
import math

import torch
from torch import Tensor

from .video import METRICS, VideoScores

PANEL, COLUMNS = (330, 170), 3  # pixels of a panel
_LEFT, _TOP, _RIGHT, _BOTTOM = 16, 46, 16, 18
_PAPER, _INK, _SOFT, _PALE, _LINE = (250, 250, 250), (40, 40, 40), (110, 110, 110), (215, 215, 215), (31, 95, 153)


def as_table(scores: VideoScores) -> str:
    """A Markdown table of the thirteen means, then the choices behind them."""
    lines = ["| metric | mean | better | lowest | highest |", "|---|---|---|---|---|"]
    for name, mean in scores.means.items():
        known = [value for value in scores.over_time.get(name, ()) if not math.isnan(value)]
        values = [f"{mean:.3f}", "higher" if METRICS[name] else "lower", f"{min(known):.3f}", f"{max(known):.3f}"] if known else \
            [f"- ({scores.missing[name]})", "higher" if METRICS[name] else "lower", "-", "-"]
        lines.append(f"| {name} | {' | '.join(values)} |")
    how = (f"* {what}: {choice}" for what, choice in scores.choices.items())
    return "\n".join([*lines, "", f"{scores.frames} frames. How it was measured:", *how])


def as_json(scores: VideoScores) -> str:
    """Everything as JSON; frames without a value are null."""
    over_time = {name: [None if math.isnan(value) else value for value in row] for name, row in scores.over_time.items()}
    return json.dumps({"frames": scores.frames, "means": scores.means, "missing": scores.missing, "choices": scores.choices,
                       "over_time": over_time}, indent=1)


def as_picture(scores: VideoScores, fps=None) -> Tensor:
    """The course of each measured metric, (H, W, 3) 0..1; time in seconds when ``fps`` is given, else in frames."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    names = list(scores.over_time)
    rows = max(1, -(-len(names) // COLUMNS))
    picture = Image.new("RGB", (COLUMNS * PANEL[0], rows * PANEL[1]), _PAPER)
    pen, fonts = ImageDraw.Draw(picture), (ImageFont.load_default(15), ImageFont.load_default(12))
    for number, name in enumerate(names):
        corner = number % COLUMNS * PANEL[0], number // COLUMNS * PANEL[1]
        _draw_panel(pen, fonts, corner, name, scores.over_time[name], scores.means[name], fps)
    return torch.from_numpy(np.asarray(picture).copy()).float() / 255


def _draw_panel(pen, fonts, corner, name, row, mean, fps):
    """One metric: its name and mean, the curve, its range, and where time ends."""
    x0, y0 = corner[0] + _LEFT, corner[1] + _TOP
    x1, y1 = corner[0] + PANEL[0] - _RIGHT, corner[1] + PANEL[1] - _BOTTOM
    known = [value for value in row if not math.isnan(value)]
    low, high = min(known), max(known)
    pen.text((x0, corner[1] + 6), f"{name}  {mean:.2f}", fill=_INK, font=fonts[0])
    better = "higher is better" if METRICS[name] else "lower is better"
    pen.text((x1, corner[1] + 8), better, fill=_SOFT, font=fonts[1], anchor="ra")
    pen.text((x0, corner[1] + 27), f"{low:.2f} to {high:.2f}", fill=_SOFT, font=fonts[1])
    end = f"{len(row) / fps:.1f} s" if fps else f"frame {len(row) - 1}"
    pen.text((x1, corner[1] + 27), end, fill=_SOFT, font=fonts[1], anchor="ra")
    pen.rectangle((x0, y0, x1, y1), outline=_PALE)
    to_x = lambda index: x0 + (x1 - x0) * index / max(1, len(row) - 1)
    to_y = lambda value: y1 - 4 - (y1 - y0 - 8) * ((value - low) / (high - low) if high > low else 0.5)
    points = [(to_x(index), to_y(value)) for index, value in enumerate(row) if not math.isnan(value)]
    if len(points) > 1:
        pen.line(points, fill=_LINE, width=2, joint="curve")
    else:
        pen.ellipse((points[0][0] - 3, points[0][1] - 3, points[0][0] + 3, points[0][1] + 3), fill=_LINE)
