"""``contrapposto parts``: one person from several reference pictures, with Parts2Whole on this machine."""

from __future__ import annotations

from pathlib import Path

from ..checks import InputError


def add_parts(commands, shared, pick_device):
    """Adds the command.

    Args:
        commands: argparse sub-parsers.
        shared: parent parser with --json and --device.
        pick_device: name -> torch.device.
    """
    parts = commands.add_parser("parts", parents=[shared], help="one person from several reference pictures, with Parts2Whole")
    option = parts.add_argument
    option("text", metavar="TEXT", help="what the picture shows")
    option("--model", required=True, metavar="DIR", help="the released folder, with image_encoder, text_encoder, tokenizer, vae")
    option("--weights", metavar="FILE", help="converted or trained Parts2Whole weights; default: those of the folder")
    option("--reference", nargs="+", action="append", required=True, metavar="LABEL FILE [MASK]", help="a part and its picture, and a mask "
           "that is white where the part is (default: the picture's alpha, else all of it); repeat for more parts, up to six")
    option("--strength", type=float, action="append", metavar="S", help="attention of the parts in their order (default 1 each)")
    option("--pose", metavar="FILE", help="picture of the pose in DensePose colours, from Render Part Map")
    option("--negative", default="", metavar="TEXT", help="what the picture shall not show")
    option("--width", type=int, default=512, help="pixels (default 512)")
    option("--height", type=int, default=768, help="pixels (default 768)")
    option("--count", type=int, default=1, help="pictures (default 1)")
    option("--seed", type=int, default=0, help="of the noise (default 0)")
    option("--steps", type=int, default=50, help="sampling steps (default 50)")
    option("--guidance", type=float, default=3.5, help="classifier-free guidance scale (default 3.5)")
    option("--out", required=True, metavar="DIR", help="folder for the pictures")
    parts.set_defaults(run=lambda arguments, progress: run_parts(arguments, progress, pick_device(arguments.device)))


def run_parts(arguments, progress, device):
    """References, text and pose -> pictures."""
    if not arguments.text.strip():
        raise InputError("TEXT", arguments.text, "is empty", "Write what the picture shows.")
    from .parts import load_parts_model, paint_person
    from .pictures import read_picture, write_png

    references = read_references(arguments.reference, arguments.strength)
    pose = read_picture(arguments.pose, "pose") if arguments.pose else None
    progress("loading", 0, 1)
    model = load_parts_model(arguments.model, arguments.weights, device)
    pictures = paint_person(model, references, arguments.text, arguments.negative, pose, arguments.height, arguments.width, arguments.count,
                            arguments.seed, arguments.steps, arguments.guidance, on_step=lambda i, n: progress("painting", i, n))
    paths = [Path(arguments.out) / f"person_{row:03}.png" for row in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        write_png(path, picture, metadata={"prompt": arguments.text})
    return {"pictures": [str(path) for path in paths]}


def read_references(given, strengths=None):
    """References of (label, file) or (label, file, mask) entries.

    Raises:
        InputError: an entry is no such pair, a file cannot be read, or numbers do not fit.
    """
    from ..parts_to_whole.parts import acting, make_reference
    from .pictures import read_picture

    strengths = strengths or [1.0] * len(given)
    if len(strengths) != len(given):
        raise InputError("--strength", strengths, f"is not given for each of {len(given)} references", "Repeat it once per reference.")
    references = []
    for entry, strength in zip(given, strengths):
        if len(entry) not in (2, 3):
            raise InputError("--reference", " ".join(entry), "is not LABEL FILE [MASK]", "Quote a label of several words.")
        mask = read_picture(entry[2], "mask")[0].mean(-1) if len(entry) == 3 else alpha_of(entry[1])
        references.append(make_reference(read_picture(entry[1], "reference")[0], entry[0], mask, strength))
    acting(references)
    return references


def alpha_of(path):
    """The alpha channel (H, W) of a picture file, or None where it has none."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from ..assets.files import check_file

    try:
        with Image.open(check_file("reference", path)) as opened:
            if "A" not in opened.getbands() and "transparency" not in opened.info:
                return None
            return torch.from_numpy(np.asarray(ImageOps.exif_transpose(opened).convert("RGBA"))[..., 3].copy()).float() / 255
    except OSError as error:
        raise InputError("reference", path, f"is not a readable picture ({error})", "Save it again as PNG or JPEG.") from None
