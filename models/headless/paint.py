"""``contrapposto paint``: the scene around an avatar that ``contrapposto scene`` has drawn, by an image model on this machine."""

from __future__ import annotations

from pathlib import Path

from ..checks import InputError, check_range


def add_paint(commands, shared, pick_device):
    """Adds the command.

    Args:
        commands: argparse sub-parsers.
        shared: parent parser with --json and --device.
        pick_device: name -> torch.device.
    """
    paint = commands.add_parser("paint", parents=[shared], help="paint the scene around an avatar, with Stable Diffusion")
    option = paint.add_argument
    option("text", metavar="TEXT", help="what the scene shows")
    option("--scene", required=True, metavar="DIR", help="folder with avatar.png and gray_body.png, made by `contrapposto scene`")
    option("--model", required=True, metavar="DIR", help="Stable Diffusion 1.5, inpainting or personalized, in diffusers' folder layout")
    option("--patch", metavar="FILE", help="personalization patch of a personalized model, for its rate token")
    option("--negative", default="", metavar="TEXT", help="what the scene shall not show")
    option("--downsample-rate", type=float, default=0.0, metavar="W", help="texture the model does not see, 0 to 1 (default 0)")
    option("--seed", type=int, default=0, help="of the noise (default 0)")
    option("--steps", type=int, default=25, help="sampling steps (default 25)")
    option("--guidance", type=float, default=7.5, help="classifier-free guidance scale (default 7.5)")
    option("--out", required=True, metavar="FILE.png", help="where the picture goes")
    paint.set_defaults(run=lambda arguments, progress: run_paint(arguments, progress, pick_device(arguments.device)))


def run_paint(arguments, progress, device):
    """avatar.png and gray_body.png -> the painted scene."""
    if not arguments.text.strip():
        raise InputError("TEXT", arguments.text, "is empty", "Write what the scene shows.")
    check_range("--downsample-rate", arguments.downsample_rate, 0.0, 1.0)
    out = Path(arguments.out)
    if out.suffix.lower() != ".png":
        raise InputError("--out", out, "does not end in .png", "Name the file something.png.")
    avatar, gray = (read_render(Path(arguments.scene) / name).to(device) for name in ("avatar.png", "gray_body.png"))
    from ..personalization.patch import load_patch
    from .diffusers_backend import load_diffusers_model
    from .personalized_scene import personalize_scene
    from .pictures import write_png

    token = load_patch(arguments.patch).rate_token if arguments.patch else None
    model = load_diffusers_model(arguments.model, device)
    scene = personalize_scene(model, avatar, gray, arguments.text, arguments.negative, arguments.downsample_rate, token, arguments.seed,
                              arguments.steps, arguments.guidance, on_step=lambda i, n: progress("painting", i, n))
    write_png(out, scene[0], metadata={"prompt": arguments.text})
    return {"pictures": [str(out)]}


def read_render(path):
    """Reads a Render from an RGBA picture of a figure; it has no distances.

    Raises:
        InputError: it is missing, damaged, or has no transparency.
    """
    import numpy as np
    import torch
    from PIL import Image

    from ..assets.files import check_file
    from ..types import Camera, Render

    path = check_file("picture", path, (".png",))
    try:
        with Image.open(path) as opened:
            mode, pixels = opened.mode, np.asarray(opened.convert("RGBA"))
    except Exception as error:  # PIL raises many kinds for damaged files
        raise InputError("picture", path, f"cannot be read ({error})", "Make it anew with `contrapposto scene`.") from None
    if mode != "RGBA":
        raise InputError("picture", path, "has no transparency", "Give the folder that `contrapposto scene` has written.")
    rgba = torch.from_numpy(pixels.copy()).float()[None] / 255
    height, width = rgba.shape[1:3]
    ones = torch.ones(1)
    camera = Camera(ones, ones, ones * width / 2, ones * height / 2, torch.eye(3)[None], torch.zeros(1, 3), width, height)
    return Render(rgba[..., :3], rgba[..., 3], torch.zeros(1, height, width), camera)
