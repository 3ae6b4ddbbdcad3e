"""``contrapposto video``: a motion and an avatar become a film."""

from __future__ import annotations

import math

from ..checks import InputError, check_choice, check_range
from .film_arguments import check_film_arguments, film_arguments

LONGEST = 1280  # pixels; a photograph from a camera is shrunk to what a film needs


def add_video(commands, shared, pick_device, read_size):
    """Adds the command.

    Args:
        commands: argparse sub-parsers.
        shared: parent parser with --json and --device.
        pick_device: name -> torch.device.
        read_size: "N or WxH" -> (width, height).
    """
    film = film_arguments("three-quarter")
    video = commands.add_parser("video", parents=[shared, film], help="a motion and an avatar to a film, over a picture or in a studio")
    option = video.add_argument
    option("--avatar", metavar="FILE", help="avatar to move (.glb, .vrm); default: the bundled one")
    option("--background", metavar="IMAGE", help="picture to dance in; default: a plain studio")
    option("--text", default="", metavar="TEXT", help="instead of --background: what an image model paints there, once for all frames")
    option("--model", metavar="DIR", help="for --text: Stable Diffusion 1.5 or its inpainting model, in diffusers' folder layout")
    option("--size", metavar="N or WxH", help=f"size in pixels (default 768); with --background: longer side, at most (default {LONGEST})")
    option("--camera", default="still", metavar="MOVE", help="studio: still, or follow the avatar (default still)")
    option("--horizon", type=float, default=0.4, help="background: row of the horizon, 0 top to 1 bottom (default 0.4)")
    option("--feet-x", type=float, default=0.5, help="background: where the avatar stands, 0 left to 1 right (default 0.5)")
    option("--feet-y", type=float, help="background: 0 top to 1 bottom (default: the nearest place that keeps all of it in the picture)")
    option("--camera-height", type=float, default=1.6, help="background: height of its photographer's camera, metres (default 1.6)")
    option("--field-of-view", type=float, default=40.0, help="background: vertical opening angle, degrees (default 40)")
    option("--shadow", type=float, default=1.0, help="darkness of the shadow on the floor, 0 to 1 (default 1)")
    option("--engine", default="torch", help="torch (default) or pyrender")
    video.set_defaults(run=lambda arguments, progress: run_video(arguments, progress, pick_device(arguments.device), read_size))


def run_video(arguments, progress, device, read_size):
    """Arguments -> a film; everything is checked before the heavy work."""
    from ..dancing_avatar.shot import MOVES
    from ..render.engine import ENGINES

    given = arguments
    check_film_arguments(given)
    check_choice("--camera", given.camera, MOVES)
    check_choice("--engine", given.engine, ENGINES)
    check_range("--shadow", given.shadow, 0.0, 1.0)
    check_range("--field-of-view", given.field_of_view, 5.0, 120.0, "degrees")
    if given.text and not given.model:
        raise InputError("--text", given.text, "needs an image model", "Give --model DIR, or a picture with --background.")
    size = read_size(given.size) if given.size else None
    from .pictures import read_picture
    from .video import Floor, make_video, shrink_picture, split_sentences

    background = read_picture(given.background, "--background") if given.background else None
    if background is not None:
        background = shrink_picture(background, max(size) if size else LONGEST).to(device)
    model = None
    if given.text:
        from .diffusers_backend import load_diffusers_model

        model = load_diffusers_model(given.model, device)
    floor = Floor(given.horizon, given.feet_x, given.feet_y, given.camera_height, math.radians(given.field_of_view))
    told = make_video(
        given.out, given.motion, split_sentences(given.poses), given.avatar, background, given.text, model, size=size or (768, 768),
        fps=given.fps, seconds=given.seconds, view=given.view, move=given.camera, floor=floor, shadow=given.shadow, engine=given.engine,
        crf=given.quality, seed=given.seed, steps=given.steps, guidance=given.guidance, negative=given.negative, body_file=given.body,
        device=device, on_stage=progress)
    return told | {"text": told["video"]}
