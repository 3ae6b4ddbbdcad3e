"""Finetunes the reference body estimator from the command line; see models/training/body_estimator.py for one of your own."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from contrapposto.models.checks import InputError
from contrapposto.models.training.body_estimator import SmallEstimator
from contrapposto.models.training.datasets.body_crops import BodyCrops
from contrapposto.models.training.loop import LoopConfig, TrainingStopped, step_report
from contrapposto.models.training.train_hmr import HmrTraining, evaluate, finetune, load_body_model


def main(arguments=None):
    defaults = HmrTraining()
    parser = argparse.ArgumentParser(prog="finetune_hmr", description="Finetunes a body estimator on real points and synthetic bodies.")
    parser.add_argument("--real", help="SPIN .npz of real pictures with 2D points")
    parser.add_argument("--synthetic", help="SPIN .npz of pairs, from `contrapposto pairs-export --crops`")
    parser.add_argument("--validation", help="SPIN .npz that is scored along the way; its bodies count if it has them")
    parser.add_argument("--preset", default=defaults.preset, help="paper or released (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=defaults.loop.steps, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=defaults.loop.batch, help="crops per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=defaults.loop.lr, help="learning rate (default: %(default)s)")
    parser.add_argument("--run", default="hmr", help="name of the run folder below runs/ (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        loop = LoopConfig(**{**asdict(defaults.loop), "steps": options.steps, "batch": options.batch, "lr": options.lr})
        real = BodyCrops(options.real, bodies=False) if options.real else None
        synthetic, validation = (BodyCrops(path) if path else None for path in (options.synthetic, options.validation))
        model, path = finetune(SmallEstimator().to(options.device), real, synthetic, Path("runs") / options.run,
                               HmrTraining(loop, options.preset), validation=validation, on_step=step_report(loop.steps))
    except (InputError, TrainingStopped) as error:
        sys.exit(f"error: {error}")
    scores = evaluate(model, validation, load_body_model(device=options.device)) if validation else {}
    sys.stdout.write(json.dumps({"weights": str(path), **scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
