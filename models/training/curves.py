"""The curves of a training as one picture: a panel for each number that was logged."""

from __future__ import annotations

import math

from ..assets.files import atomic_write

PANEL, MARGIN, COLUMNS = (380, 220), (62, 34, 16, 30), 3  # width and height; left, top, right, bottom
INK, PALE, LINE = (60, 60, 60), (222, 222, 222), (31, 95, 153)
WIDE_RANGE = 30.0  # largest over smallest, from which a logarithmic axis tells more


def draw_curves(lines, path):
    """Draws curves and writes them as PNG; nothing is written when there are fewer than two points.

    Args:
        lines: dicts with "step" and numbers.
        path: where the picture goes.
    """
    from PIL import Image, ImageDraw

    curves = {}
    for line in lines:
        for name, value in line.items():
            if name != "step" and math.isfinite(value):
                curves.setdefault(name, []).append((line["step"], value))
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if not curves:
        return
    columns = min(COLUMNS, len(curves))
    picture = Image.new("RGB", (columns * PANEL[0], -(-len(curves) // columns) * PANEL[1]), "white")
    pen = ImageDraw.Draw(picture)
    for number, (name, points) in enumerate(curves.items()):
        _draw_panel(pen, (number % columns * PANEL[0], number // columns * PANEL[1]), name, points)
    with atomic_write(path) as part:
        picture.save(part, format="PNG")


def _draw_panel(pen, corner, name, points):
    """One curve with its name, the last value, and the ends of both axes."""
    left, top, right, bottom = MARGIN
    x0, y0, x1, y1 = corner[0] + left, corner[1] + top, corner[0] + PANEL[0] - right, corner[1] + PANEL[1] - bottom
    steps, values = [step for step, _ in points], [value for _, value in points]
    logarithmic = min(values) > 0 and max(values) / min(values) > WIDE_RANGE
    scale = math.log10 if logarithmic else float
    low, high = scale(min(values)), scale(max(values))
    first, last = min(steps), max(steps)
    to_x = lambda step: x0 + (x1 - x0) * (step - first) / max(1, last - first)
    to_y = lambda value: y1 - (y1 - y0) * ((scale(value) - low) / (high - low) if high > low else 0.5)
    for share in (0, 0.5, 1):
        y = y1 - (y1 - y0) * share
        value = low + share * (high - low)
        pen.line((x0, y, x1, y), fill=PALE)
        pen.text((x0 - 6, y), f"{10**value if logarithmic else value:.3g}", fill=INK, anchor="rm")
    pen.text((x0, y1 + 6), f"{first:,}", fill=INK, anchor="la")
    pen.text((x1, y1 + 6), f"step {last:,}", fill=INK, anchor="ra")
    pen.text((x0, y0 - 12), name + (" (log)" if logarithmic else ""), fill=INK, anchor="lb")
    pen.text((x1, y0 - 12), f"{values[-1]:.4g}", fill=LINE, anchor="rb")
    pen.line([(to_x(step), to_y(value)) for step, value in points], fill=LINE, width=2, joint="curve")
