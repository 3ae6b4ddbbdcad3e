"""Finetunes Stable Diffusion 2 depth on a target domain from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from contrapposto.models.checks import InputError
from contrapposto.models.headless.diffusers_backend import load_diffusers_model
from contrapposto.models.training.datasets.person_images import find_person_images
from contrapposto.models.training.loop import LoopConfig, TrainingStopped
from contrapposto.models.training.train_depth_model import DepthTraining, finetune_depth_model
from contrapposto.models.training.train_personalization import describe_base


def main(arguments=None):
    defaults = DepthTraining()
    parser = argparse.ArgumentParser(prog="finetune_depth_model", description="Finetunes a depth-to-image model on a target domain.")
    parser.add_argument("--data", required=True, help="folder with images, captions and bodies")
    parser.add_argument("--base", required=True, help="Stable Diffusion 2 depth in diffusers' folder layout")
    parser.add_argument("--run", default="depth_model", help="name of the run folder below runs/ (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="passes over the data (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=defaults.loop.batch, help="pictures per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=defaults.loop.lr, help="learning rate (default: %(default)s)")
    parser.add_argument("--size", type=int, default=defaults.size, help="pixels of the pictures' side (default: %(default)s)")
    options = parser.parse_args(arguments)
    loop = LoopConfig(**{**asdict(defaults.loop), "batch": options.batch, "lr": options.lr})
    try:
        items, about = find_person_images(options.data), describe_base(options.base)
        base, config = load_diffusers_model(options.base, options.device), DepthTraining(loop, options.epochs, options.size)
        folder, single = finetune_depth_model(items, base, Path("runs") / options.run, config, about)
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(json.dumps({"unet": str(folder), "single_file": str(single)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
