"""Builds a text_pose folder for the trainings: the authored part in full, and what you have of captures and pictures.

    python scripts/build_text_pose.py --out DIR                                    the authored part alone, about 120,000 poses
    python scripts/build_text_pose.py --out DIR --motions BVH_FOLDER ...           with folders of captioned motions
    python scripts/build_text_pose.py --out DIR --amass AMASS --humanml3d FOLDER   with AMASS under HumanML3D's texts
    python scripts/build_text_pose.py --out DIR --images TEXTS --hmr RESULTS.npz   with pseudo-poses of pictures

Then `make train-text-to-pose DATA=DIR`. See models/training/datasets/ for what the folders hold. Broken rows are named and left out.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from contrapposto.models.checks import InputError, check_range
from contrapposto.models.text_to_pose.ranking import load_pose_scorer
from contrapposto.models.training.datasets.authored_captions import authored_rows
from contrapposto.models.training.datasets.authored_poses import LIBRARY
from contrapposto.models.training.datasets.captured import read_humanml3d, read_motion_folder, scored_by
from contrapposto.models.training.datasets.image_poses import read_image_poses
from contrapposto.models.training.datasets.pose_rows import write_text_pose


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the data set")
    parser.add_argument("--combinations", type=int, default=12_000, help="authored groups, 0 for none (default %(default)s)")
    parser.add_argument("--samples", type=int, default=9, help="poses of each group (default %(default)s)")
    parser.add_argument("--plain", type=float, default=1.0, help="share of the plain stances' samples, 0 for none (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the authored part (default 0)")
    parser.add_argument("--motions", type=Path, nargs="*", default=[], help="folders of motion files with captions")
    parser.add_argument("--amass", type=Path, help="AMASS archives; together with --humanml3d")
    parser.add_argument("--humanml3d", type=Path, help="HumanML3D's folder with index.csv and texts")
    parser.add_argument("--images", type=Path, help="texts of pictures; together with --hmr")
    parser.add_argument("--hmr", type=Path, help="result file (.npz) of a human mesh recovery")
    options = parser.parse_args(arguments)
    problems = []
    try:
        check_range("--combinations", options.combinations, 0, 10**6)
        check_range("--samples", options.samples, 1, 1000)
        poses, captions, broken = write_text_pose(options.out, parts(options, problems))
    except InputError as error:
        sys.exit(f"error: {error}")
    for problem in (*problems, *broken):
        sys.stderr.write(f"{problem.file} row {problem.row} {problem.what}; left out\n")
    if options.combinations or options.plain:
        (options.out / "paraphrases").mkdir(exist_ok=True)
        for file in LIBRARY.glob("*.jsonl"):
            shutil.copy(file, options.out / "paraphrases" / file.name)
    sys.stdout.write(f"{options.out}: {poses} poses, {captions} captions, {len(problems) + len(broken)} rows left out\n")


def parts(options, problems):
    """Everything that was asked for, one part after another; captures first, as their clips count from 0."""
    if (options.amass is None) != (options.humanml3d is None):
        raise InputError("--amass", options.amass, "needs --humanml3d beside it, and the other way round", "Give both.")
    if (options.images is None) != (options.hmr is None):
        raise InputError("--images", options.images, "needs --hmr beside it, and the other way round", "Give both.")
    choose = scored_by(load_pose_scorer()) if options.motions or options.amass else None
    for folder in options.motions:
        yield from read_motion_folder(folder, choose, problems)
    if options.amass:
        yield from read_humanml3d(options.amass, options.humanml3d, choose, problems)
    if options.images:
        yield from read_image_poses(options.images, options.hmr, problems)
    if options.plain > 0 or options.combinations:
        yield from authored_rows(options.combinations, options.samples, options.seed, options.plain)


if __name__ == "__main__":
    main()
