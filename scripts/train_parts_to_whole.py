"""Trains Parts2Whole from the command line."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from contrapposto.models.checks import InputError
from contrapposto.models.headless.diffusers_backend import load_diffusers_model
from contrapposto.models.headless.parts import clip_image_encoder
from contrapposto.models.training.datasets.parts import find_parts
from contrapposto.models.training.loop import LoopConfig, TrainingStopped, step_report
from contrapposto.models.training.train_parts_to_whole import PartsTraining, continue_from, train_parts_to_whole
from contrapposto.models.training.train_personalization import describe_base


def main(arguments=None):
    defaults = PartsTraining()
    parser = argparse.ArgumentParser(prog="train_parts_to_whole", description="Trains Parts2Whole.")
    option = parser.add_argument
    option("--data", required=True, help="data set with train.jsonl")
    option("--base", required=True, help="Stable Diffusion 1.5 in diffusers' folder layout, with an image_encoder")
    option("--weights", help="Parts2Whole weights to go on from (default: fresh ones of the base)")
    option("--pose", default="densepose", help="which of the data's structures is the pose (default: %(default)s)")
    option("--run", default="parts_to_whole", help="name of the run folder below runs/ (default: %(default)s)")
    option("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    option("--steps", type=int, default=defaults.loop.steps, help="optimiser steps (default: %(default)s)")
    option("--batch", type=int, default=defaults.loop.batch, help="pairs per step (default: %(default)s)")
    option("--height", type=int, default=defaults.height, help="pixels (default: %(default)s)")
    option("--width", type=int, default=defaults.width, help="pixels (default: %(default)s)")
    options = parser.parse_args(arguments)
    loop = LoopConfig(**{**asdict(defaults.loop), "steps": options.steps, "batch": options.batch})
    config = PartsTraining(loop, options.height, options.width)
    try:
        pairs, about = find_parts(options.data, pose=options.pose), describe_base(options.base)
        base = load_diffusers_model(options.base, options.device)
        see = clip_image_encoder(options.base, options.device)
        network = continue_from(options.weights, base) if options.weights else None
        path = train_parts_to_whole(pairs, base, see, Path("runs") / options.run, config, network, on_step=step_report(loop.steps),
                                    about=about)
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
