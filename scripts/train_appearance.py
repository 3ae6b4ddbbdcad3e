"""Trains an appearance module of Dancing Avatar: a folder of crops and their prompt to a LoRA file.

    python scripts/train_appearance.py --model DIR --images DIR --prompt "crimson, cotton, ..." --out FILE.safetensors
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

import torch

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.appearance import AppearanceTraining, crop_parts
from contrapposto.models.headless.cli import pick_device
from contrapposto.models.headless.diffusers_backend import load_diffusers_model
from contrapposto.models.headless.pictures import SUFFIXES, read_picture
from contrapposto.models.headless.progress import Progress
from contrapposto.models.training.train_appearance import train_appearance


def main(argv=None):
    """Reads the arguments, trains, says where the file is; returns the exit code."""
    command = argparse.ArgumentParser(prog="train_appearance", description=__doc__.splitlines()[0])
    command.add_argument("--model", required=True, metavar="DIR", help="Stable Diffusion 1.5 in diffusers' layout")
    command.add_argument("--images", required=True, metavar="DIR", help="folder of crops")
    command.add_argument("--prompt", required=True, help="the refined prompt")
    command.add_argument("--out", required=True, metavar="FILE.safetensors")
    command.add_argument("--size", type=int, default=512, help="side of the crops in pixels (default 512)")
    command.add_argument("--device", default="auto")
    for field in fields(AppearanceTraining):
        command.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given, progress = command.parse_args(argv), Progress()
    try:
        training = AppearanceTraining(**{field.name: getattr(given, field.name) for field in fields(AppearanceTraining)})
        paths = sorted(path for path in Path(given.images).glob("*") if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError("--images", given.images, "holds no pictures", f"Give a folder with {', '.join(SUFFIXES)} files.")
        images = torch.cat([crop_parts(read_picture(path), None, "whole picture", given.size) for path in paths])
        model = load_diffusers_model(given.model, pick_device(given.device))
        train_appearance(model, images.to(model.device), given.prompt, training, given.out, lambda i, n, loss: progress("training", i, n))
    except InputError as error:
        progress.close()
        print(f"error: {error}", file=sys.stderr)
        return 2
    progress.close()
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
