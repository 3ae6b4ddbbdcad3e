"""The demo: six sentences, every picture of the road, and one overview."""

from __future__ import annotations

import re

import torch

from .pictures import to_bytes, write_png
from .scene import load_models, save_scene, text_to_scene

SIZE = (640, 800)
THUMB = 240  # width of one cell of the overview


def make_demo(prompts, folder, device="cpu", on_stage=None):
    """Makes all pictures for some sentences.

    Args:
        prompts: sentences.
        folder: Path; each sentence gets a folder of its own below, and ``overview.png`` shows all.
        device: where the models run.
        on_stage: called with (stage, done, total).

    Returns:
        The paths written, the overview last.
    """
    models = load_models(device=device)
    paths, rows = [], []
    for number, prompt in enumerate(prompts):
        if on_stage:
            on_stage("sentences", number, len(prompts))
        scene = text_to_scene(prompt, *models, size=SIZE, seed=number)
        paths += save_scene(scene, folder / slug(prompt))
        rows.append(overview_row(scene))
    overview = folder / "overview.png"
    write_png(overview, torch.cat([_with_caption(row, prompt) for row, prompt in zip(rows, prompts)], 0))
    return [*paths, overview]


def slug(text):
    """A folder name made of the letters and digits of a sentence."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "scene"


def overview_row(scene):
    """Gray body, avatar, depth, pose map and picture of the first row, side by side, (h, 5 w, 3)."""
    def on_paper(render):
        return render.rgb[0] * render.alpha[0, ..., None] + 0.96 * (1 - render.alpha[0, ..., None])

    cells = [on_paper(scene.gray_body), on_paper(scene.avatar), scene.depth[0], scene.pose_map[0], scene.picture[0]]
    height = round(THUMB * cells[0].shape[0] / cells[0].shape[1])
    small = torch.nn.functional.interpolate(torch.stack(cells).movedim(-1, 1), (height, THUMB), mode="bilinear", antialias=True)
    return torch.cat(list(small.movedim(1, -1)), 1)


def _with_caption(row, text):
    """Adds a line of text below a strip."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (row.shape[1], 30), (245, 245, 245))
    ImageDraw.Draw(strip).text((10, 6), text, fill=(40, 40, 40), font=ImageFont.load_default(16))
    return torch.cat([to_bytes(row).cpu().float() / 255, torch.from_numpy(np.asarray(strip).copy()).float() / 255], 0)
