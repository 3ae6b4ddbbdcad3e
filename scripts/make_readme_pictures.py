"""Makes the pictures of the README and of ComfyUI's registry with the product itself.

python scripts/make_readme_pictures.py [--out docs/pictures]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from contrapposto.models.headless.cli import DEMO_PROMPTS
from contrapposto.models.headless.pictures import to_bytes
from contrapposto.models.headless.scene import load_models, text_to_scene

ROAD = 0  # the sentence whose whole road is shown
BANNER = (2, 3, 4)  # the sentences of the registry's banner, 21:9
ICON = "a person stands relaxed with the weight on one leg and a hand on the hip"
ICON_SIDE, ICON_GROUND = 400, (0.93, 0.87, 0.78)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=Path("docs/pictures"))
    folder = arguments.parse_args().out
    models = load_models()
    scenes = [text_to_scene(prompt, *models, size=(480, 600), seed=number) for number, prompt in enumerate(DEMO_PROMPTS)]
    save(folder / "hero.jpg", torch.cat([shrink(scene.picture[0], 320) for scene in scenes], 1))
    row = torch.cat([scenes[number].picture[0] for number in BANNER], 1)
    save(folder / "banner.jpg", row[:, : row.shape[0] * 21 // 9])
    icon = text_to_scene(ICON, *models, size=(ICON_SIDE, ICON_SIDE)).avatar
    save(folder / "icon.png", on_ground(icon, torch.tensor(ICON_GROUND)))
    road = scenes[ROAD]
    for name, picture in {"gray_body": on_paper(road.gray_body), "avatar": on_paper(road.avatar), "depth": road.depth[0],
                          "pose_map": road.pose_map[0], "picture": road.picture[0]}.items():
        save(folder / f"{name}.jpg", shrink(picture, 240))


def on_paper(render):
    """The first row over light gray."""
    return on_ground(render, 0.96)


def on_ground(render, colour):
    """The first row over a plain colour."""
    return render.rgb[0] * render.alpha[0, ..., None] + colour * (1 - render.alpha[0, ..., None])


def shrink(picture, width):
    """(H, W, 3) to a given width."""
    height = round(width * picture.shape[0] / picture.shape[1])
    small = torch.nn.functional.interpolate(picture.movedim(-1, 0)[None], (height, width), mode="bilinear", antialias=True)
    return small[0].movedim(0, -1)


def save(path, picture):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_bytes(picture).cpu().numpy()).save(path, quality=88)


if __name__ == "__main__":
    main()
