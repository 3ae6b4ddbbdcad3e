"""Trains Dancing Avatar's inter-frame module from the command line: `make train-previous-frame DATA=DIR BASE=FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from contrapposto.models.checks import InputError
from contrapposto.models.headless.diffusers_backend import load_diffusers_model
from contrapposto.models.training.datasets.frame_pairs import find_frame_pairs
from contrapposto.models.training.loop import TrainingStopped, step_report
from contrapposto.models.training.train_personalization import describe_base
from contrapposto.models.training.train_previous_frame import PreviousFrameTraining, train_previous_frame


def main(arguments=None):
    defaults = PreviousFrameTraining()
    parser = argparse.ArgumentParser(prog="train_previous_frame", description="Trains Dancing Avatar's inter-frame module.")
    parser.add_argument("--data", required=True, help="folder with clips and captions.jsonl")
    parser.add_argument("--base", required=True, help="Stable Diffusion 1.5 in diffusers' folder layout")
    parser.add_argument("--run", default="previous_frame", help="name of the run folder below runs/ (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--epochs", type=float, default=defaults.epochs, help="passes over the pairs (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=defaults.batch, help="pairs per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=defaults.lr, help="learning rate (default: %(default)s)")
    parser.add_argument("--size", type=int, default=defaults.size, help="pixels of a frame's side (default: %(default)s)")
    options = parser.parse_args(arguments)
    config = PreviousFrameTraining(options.epochs, options.batch, options.lr, options.size)
    try:
        pairs, about = find_frame_pairs(options.data), describe_base(options.base)
        base = load_diffusers_model(options.base, options.device)
        report = step_report(config.loop(len(pairs)).steps)
        path = train_previous_frame(pairs, base, Path("runs") / options.run, config, on_step=report, about=about)
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(json.dumps({"weights": str(path)}) + "\n")


if __name__ == "__main__":
    main()
