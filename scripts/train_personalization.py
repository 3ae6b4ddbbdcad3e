"""Trains personalization from the command line: `make train-personalization DATA=DIR BASE=FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from contrapposto.models.checks import InputError
from contrapposto.models.headless.diffusers_backend import load_diffusers_model
from contrapposto.models.headless.segmenter import load_segmenter
from contrapposto.models.training.datasets.person_images import find_person_images
from contrapposto.models.training.loop import LoopConfig, TrainingStopped, step_report
from contrapposto.models.training.processes import open_processes
from contrapposto.models.training.train_personalization import PersonalizationTraining, describe_base, train_personalization


def main(arguments=None):
    defaults = PersonalizationTraining()
    parser = argparse.ArgumentParser(prog="train_personalization", description="Trains PAS's personalization of a Stable Diffusion model.")
    parser.add_argument("--data", required=True, help="folder with images, masks, captions and gray bodies")
    parser.add_argument("--base", required=True, help="Stable Diffusion 1.5 or its inpainting model, in diffusers' folder layout")
    parser.add_argument("--run", default="personalization", help="name of the run folder below runs/ (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--segmenter", help="finds people in pictures without a mask: a Mask2Former in transformers' folder layout")
    parser.add_argument("--steps", type=int, default=defaults.loop.steps, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=defaults.loop.batch, help="pictures per step (default: %(default)s)")
    parser.add_argument("--rank", type=int, default=defaults.rank, help="of the low-rank changes (default: %(default)s)")
    parser.add_argument("--whole-unet", action="store_true", help="train every weight, as the paper does; writes a checkpoint, no patch")
    parser.add_argument("--bf16", action="store_true", help="run the networks in bfloat16")
    parser.add_argument("--size", type=int, default=defaults.size, help="pixels of a crop's side (default: %(default)s)")
    options = parser.parse_args(arguments)
    loop = LoopConfig(**{**asdict(defaults.loop), "steps": options.steps, "batch": options.batch})
    config = PersonalizationTraining(loop, options.rank, options.size, whole_unet=options.whole_unet, bf16=options.bf16)
    try:
        processes = open_processes(options.device)
        items, about = find_person_images(options.data), describe_base(options.base)
        base = load_diffusers_model(options.base, options.device)
        segmenter = load_segmenter(options.segmenter, options.device) if options.segmenter else None
        paths = train_personalization(items, base, Path("runs") / options.run, config, options.base, segmenter,
                                      on_step=step_report(loop.steps), about=about)
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    if processes.main:
        sys.stdout.write(json.dumps({"patch": str(paths[0]), "checkpoint": str(paths[1])}, indent=1) + "\n")


if __name__ == "__main__":
    main()
