"""Pictures with texts as data of single poses: PAS's image-text pseudo-poses (section 3.2).

A folder of texts (NAME.txt beside the pictures, or captions.jsonl) meets the result file of any human mesh recovery: an ``.npz`` with

    image   (N,) names of the pictures, one row per person found
    poses, or global_orient and body_pose, ...   (N, ...) SMPL rotations in the camera's or any frame, as ``motion/amass.py`` reads them
    score   (N,) how sure the detection is, optional
    people  (N,) how many people a key point detector finds in the picture, optional

Pictures with a single person are kept, as in the paper; the pseudo-pose stands on the floor, because one picture does not tell its height.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ...assets.files import read_npz
from ...bodies.body import load_body_model
from ...checks import InputError
from ...motion.amass import smpl_to_pose
from .authored_captions import hashed_split
from .pose_rows import PoseRows
from .sentences import read_caption_list, read_captions
from .text_pose import Problem

SURE = 0.5  # detections below are not counted as people
PAGE = 4096  # rows that are converted together


def read_image_poses(folder, results, problems: list[Problem], source=None) -> Iterator[PoseRows]:
    """Reads pseudo-poses.

    Args:
        folder: holds the texts; the pictures themselves are not read.
        results: the result file.
        problems: what was left out is added here, but for pictures with several people, which are many.
        source: name of the data set; None is the folder's name.

    Raises:
        InputError: the result file cannot be read or names no pictures, or no row has both a text and a sound pose.
    """
    folder, results = Path(folder), Path(results)
    content = read_npz(results, "HMR results")
    if "image" not in content or content["image"].dtype.kind != "U":
        raise InputError("HMR results", results, "names no pictures", "Save their names as `image`, an array of text.")
    names = [Path(str(name)).stem for name in content.pop("image")]
    rows = sorted(alone(names, content.pop("score", None), content.pop("people", None)))
    arrays = {name: value for name, value in content.items() if value.shape[:1] == (len(names),) and value.dtype.kind in "iuf"}
    listed, broken = read_caption_list(folder / "captions.jsonl")
    problems += broken
    sound = np.all([np.isfinite(value.reshape(len(names), -1)).all(1) for value in arrays.values()], 0) if arrays else []
    kept = []
    for row in rows:
        beside = folder / f"{names[row]}.txt"
        sentences, broken = read_captions(beside) if beside.is_file() else ([], [])
        problems += broken
        texts = [sentence.text for sentence in sentences + listed.get(names[row], [])]
        if not texts or not sound[row]:
            problems.append(Problem(results.name, row, f"{names[row]} has no text" if not texts else "holds NaN or infinite numbers"))
        else:
            kept.append((row, texts))
    if not kept:
        raise InputError("HMR results", results, f"share no usable picture with {folder}", "Give the texts of these very pictures.")
    body = load_body_model()
    for start in range(0, len(kept), PAGE):
        part = kept[start : start + PAGE]
        poses, _ = smpl_to_pose({name: value[[row for row, _ in part]] for name, value in arrays.items()}, body, False, results.name)
        rotmats = torch.cat([poses.global_orient[:, None], poses.body_pose], 1)
        for number, (row, texts) in enumerate(part):
            yield PoseRows(names[row], source or folder.name, rotmats[number : number + 1], tuple((text, (0,)) for text in texts),
                           hashed_split(names[row], 5, 5))


def alone(names, score=None, people=None):
    """Rows of the pictures that show a single person: one sure detection, and one person where a detector counted them."""
    sure = [row for row in range(len(names)) if score is None or float(score[row]) >= SURE]
    found = {}
    for row in sure:
        found.setdefault(names[row], []).append(row)
    return [rows[0] for rows in found.values() if len(rows) == 1 and (people is None or int(people[rows[0]]) == 1)]
