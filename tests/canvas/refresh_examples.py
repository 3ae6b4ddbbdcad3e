"""Rewrites the API twins and thumbnails of the example workflows. Run it after editing a workflow on the canvas:

python tests/canvas/refresh_examples.py [name ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
sys.path.insert(0, str(Path(__file__).parent))

import comfy_host
import comfy_page
import numpy as np

EXAMPLES = comfy_host.PACK / "example_workflows"
SIDE = 512  # pixels
PAPER = (0.30, 0.33, 0.38)  # behind transparent previews


def main(names):
    """Refreshes the named workflows, or all, with the first ComfyUI found."""
    from playwright.sync_api import sync_playwright

    hosts = comfy_host.find_hosts()
    if not hosts:
        sys.exit(comfy_host.NO_HOST)
    server = comfy_host.serve(hosts[0])
    with comfy_page.chromium(sync_playwright) as browser, comfy_page.comfy_page(browser, server.url) as page:
        for path in sorted(EXAMPLES.glob("*.json")):
            if not names or path.stem in names:
                refresh(path, page, server)


def refresh(path, page, server):
    """Writes one workflow's API twin as the canvas queues it, and a thumbnail of what it makes."""
    comfy_page.load_workflow(page, path)
    prompt = comfy_page.queued_prompt(page)
    twin = json.dumps(prompt, indent=1, ensure_ascii=False)
    (EXAMPLES / "api" / path.name).write_text(twin + "\n", encoding="utf-8")
    try:
        run = server.run(prompt)
    except comfy_host.PromptRejected as refused:  # it needs files that are not here, a checkpoint for example
        print(f"{path.stem}: API twin written, thumbnail kept; {refused}")
        return
    if not run.succeeded:
        sys.exit(f"{path.name}: {run.error}")
    thumbnail(server, run, prompt).save(path.with_suffix(".jpg"), quality=90)
    print(f"{path.stem}: API twin and thumbnail written")


def thumbnail(server, run, prompt):
    """Returns the saved picture, or else the first batch of previews as a square of tiles."""
    from PIL import Image

    saved = [key for key in run.entry["outputs"] if prompt[key]["class_type"] == "SaveImage"]
    shown = run.images(saved[0]) if saved else run.images(min(run.entry["outputs"], key=int))
    across = int(len(shown) ** 0.5)
    tiles = [on_paper(server.picture(image)) for image in shown[: across * across]]
    rows = [np.concatenate(tiles[i : i + across], 1) for i in range(0, len(tiles), across)]
    return Image.fromarray(np.concatenate(rows)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def on_paper(picture):
    """Returns an opaque (H, W, 3) uint8 picture."""
    if picture.shape[-1] == 3:
        return picture
    alpha = picture[..., 3:] / 255
    return np.uint8(np.rint(picture[..., :3] * alpha + np.multiply(PAPER, 255) * (1 - alpha)))


if __name__ == "__main__":
    main(sys.argv[1:])
