"""Packs the released Parts2Whole folder into one .safetensors file, which loads faster and can be half as large.

    python scripts/convert_parts_to_whole.py FOLDER FILE.safetensors [--half]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from contrapposto.models.checks import InputError
from contrapposto.models.parts_to_whole.weights import load_weights, save_weights


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="convert_parts_to_whole", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the released folder: unet, reference_unet, pose_guider, decoupled_attn.pth")
    parser.add_argument("file", help="where the one file goes")
    parser.add_argument("--half", action="store_true", help="store half precision")
    options = parser.parse_args(arguments)
    try:
        if Path(options.file).suffix != ".safetensors":
            raise InputError("file", options.file, "does not end in .safetensors", "Name it something.safetensors.")
        weights = load_weights(options.folder)
        if options.half:
            parts = ("denoiser", "appearance_encoder", "pose_guider", "image_projections")
            weights = replace(weights, **{part: {name: weight.half() for name, weight in getattr(weights, part).items()} for part in parts})
        save_weights(options.file, weights)
    except InputError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{options.file}\n")


if __name__ == "__main__":
    main()
