"""Many small pictures as one sheet, each with a caption."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import InputError, check_shape

PAPER = (247, 247, 247)
INK = (35, 35, 35)


def draw_contact_sheet(images: Tensor, captions, columns: int | None = None) -> Tensor:
    """Lays pictures out row by row and writes a caption under each.

    Args:
        images: (B, H, W, 3) sRGB 0..1.
        captions: B short lines; what is wider than its picture is cut off.
        columns: pictures per row; None makes the sheet about square.

    Returns:
        (H', W', 3) sRGB 0..1 on the device of ``images``.

    Raises:
        InputError: there is no picture, or not one caption for each.
    """
    sizes = check_shape("images", images, "B H W 3")
    count, width = sizes["B"], sizes["W"]
    if not count or len(captions) != count:
        raise InputError("captions", len(captions), f"do not match {count} pictures", "Give at least one picture, and a caption for each.")
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    strips = torch.stack([_caption(text, width) for text in captions]).to(images)
    cells = torch.cat([images, strips], 1)
    blank = (torch.tensor(PAPER).to(images) / 255).expand(rows * columns - count, *cells.shape[1:])
    return torch.cat([cells, blank]).unflatten(0, (rows, columns)).transpose(1, 2).reshape(rows * cells.shape[1], columns * width, 3)


def _caption(text, width):
    """(h, width, 3) one line of text; its height follows the picture's width."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    size = max(10, width // 18)
    strip = Image.new("RGB", (width, 2 * size), PAPER)
    ImageDraw.Draw(strip).text((width / 2, size), text, fill=INK, font=ImageFont.load_default(size), anchor="mm")
    return torch.from_numpy(np.asarray(strip).copy()).float() / 255
