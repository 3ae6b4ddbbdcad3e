"""What the commands that make a film out of a motion have in common: their arguments, and the checks of these."""

from __future__ import annotations

import argparse

from ..checks import check_choice, check_range


def film_arguments(view):
    """Returns a parent parser for argparse: the motion, the time, the picture, the file.

    Args:
        view: where the camera stands when nothing is said.
    """
    parser = argparse.ArgumentParser(add_help=False)
    option = parser.add_argument
    option("--motion", metavar="FILE", help="motion file: .bvh, .fbx, .npz, .npy, .pkl, .pt")
    option("--poses", metavar="TEXT", help='instead of --motion: sentences separated by semicolons, such as "she waves; she bows"')
    option("--seconds", type=float, metavar="S", help="film only the first S seconds")
    option("--fps", type=float, help="frames per second (default: the motion's own; 30 for --poses)")
    option("--view", default=view, help=f"front, three-quarter, side, back, top (default {view})")
    option("--negative", default="", metavar="TEXT", help="what an image model shall not paint")
    option("--seed", type=int, default=0, help="of poses and pictures (default 0)")
    option("--steps", type=int, default=25, help="sampling steps of the image model (default 25)")
    option("--guidance", type=float, default=7.5, help="classifier-free guidance scale of the image model (default 7.5)")
    option("--quality", type=float, default=17, metavar="CRF", help="of H.264: 0 is lossless, 51 worst (default 17)")
    option("--body", metavar="FILE", help="SMPL or SMPL-X file; default: the bundled open body")
    option("--out", required=True, metavar="FILE.mp4", help="where the film goes: .mp4, .mkv or .mov")
    return parser


def check_film_arguments(given):
    """Checks what :func:`film_arguments` asked for, but the motion.

    Raises:
        InputError: the file's ending, the view or a number will not do.
    """
    from ..render.camera import VIEWS
    from .video_file import check_video_path

    check_video_path(given.out)
    check_choice("--view", given.view, tuple(VIEWS))
    check_range("--quality", given.quality, 0, 51)
    for name, value, high in (("--fps", given.fps, 240.0), ("--seconds", given.seconds, 36000.0)):
        if value is not None:
            check_range(name, value, 0.1, high)
