"""Motions with captions as data of single poses: folders of motion files, and AMASS with HumanML3D's texts.

As PAS does (section 4), a long caption is cut into sentences, each takes its share of the motion in order, and the frames of that share
that show it best are kept: ten in the train split, one elsewhere. PAS finds them with CLIP on pictures, we with the pose scorer.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...bodies.body import BodyModel, load_body_model
from ...bodies.posture import measure_posture
from ...checks import InputError
from ...motion.edit import resample
from ...motion.floor import lowest_points
from ...motion.load import SUFFIXES, load_motion
from ...text_to_pose.ranking import PoseScorer
from ...types import BodyPose
from .authored_captions import hashed_split
from .pose_rows import PoseRows
from .sentences import Sentence, read_caption_list, read_captions, sub_sentences
from .text_pose import Problem

FPS = 10.0
KEEP = {"train": 10, "val": 1, "test": 1}
HUMANML3D_FPS = 20.0
# HumanML3D drops the calibration pose at the beginning of some sets, seconds.
TRIMMED = {"Eyes_Japan_Dataset": 3.0, "MPI_HDM05": 3.0, "TotalCapture": 1.0, "MPI_Limits": 1.0, "Transitions_mocap": 0.5}
Chooser = Callable[[str, BodyPose], Tensor]  # (sentence, poses) -> (N,) scores, higher fits better


def scored_by(scorer: PoseScorer) -> Chooser:
    """Returns a chooser that ranks frames with the pose scorer."""
    return lambda text, poses: (scorer.embed_poses(poses) @ scorer.embed_texts([text])[0]).cpu()


def read_motion_folder(folder, choose: Chooser, problems: list[Problem], source=None, body: BodyModel | None = None) -> Iterator[PoseRows]:
    """Reads a folder of motion files (.bvh, .npz and so on), each with NAME.txt beside it or lines in captions.jsonl.

    Args:
        folder: searched with its subfolders.
        choose: which frames show a sentence.
        problems: what was left out is added here.
        source: name of the data set; None is the folder's name.
        body: plays the motions; None is the open body.

    Raises:
        InputError: the folder holds no motion file.
    """
    folder, body = Path(folder), load_body_model() if body is None else body
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError("motion folder", folder, "holds no motion file", f"Put {', '.join(SUFFIXES)} files into it.")
    listed, broken = read_caption_list(folder / "captions.jsonl")
    problems += broken
    for number, path in enumerate(paths):
        sentences, broken = read_captions(path.with_suffix(".txt")) if path.with_suffix(".txt").is_file() else ([], [])
        problems += broken
        sentences += listed.get(path.stem, [])
        if not sentences:
            problems.append(Problem(path.name, number, "has no caption"))
            continue
        try:
            motion, _ = load_motion(path, body)
        except InputError as error:
            problems.append(Problem(path.name, number, f"{error.problem}"))
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        rows = moments(name, source or folder.name, motion, sentences, hashed_split(name, 5, 5), choose, body)
        if rows is None:
            problems.append(Problem(path.name, number, "is described only outside its length"))
        else:
            yield rows


def read_humanml3d(amass, texts, choose: Chooser, problems: list[Problem], body: BodyModel | None = None) -> Iterator[PoseRows]:
    """Reads AMASS archives with HumanML3D's texts.

    Args:
        amass: folder with the archives as AMASS ships them, one folder per set.
        texts: HumanML3D's folder: index.csv, texts/, and train.txt, val.txt, test.txt where it has them.
        choose, problems, body: as for ``read_motion_folder``.

    Raises:
        InputError: there is no index.csv or no texts.
    """
    amass, texts, body = Path(amass), Path(texts), load_body_model() if body is None else body
    if not (texts / "index.csv").is_file() or not (texts / "texts").is_dir():
        raise InputError("HumanML3D folder", texts, "lacks index.csv or texts", "Give HumanML3D's own folder, its texts unpacked.")
    splits = {name: split for split in ("train", "val", "test") if (texts / f"{split}.txt").is_file()
              for name in (texts / f"{split}.txt").read_text(encoding="utf-8").split()}
    with open(texts / "index.csv", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            try:
                rows, broken = _humanml3d_clip(row, amass, texts, splits, choose, body)
                problems += broken
                yield rows
            except InputError as error:
                problems.append(Problem("index.csv", number, f"{row.get('source_path')}: {error.problem}"))
            except (KeyError, TypeError, ValueError) as error:
                problems.append(Problem("index.csv", number, f"cannot be read ({error})"))


def _humanml3d_clip(row, amass, texts, splits, choose, body):
    """Returns (PoseRows, broken lines of its text) of one line of index.csv."""
    name, inside = Path(row["new_name"]).stem, Path(row["source_path"])
    place = Path(*inside.parts[inside.parts.index("pose_data") + 1 :]) if "pose_data" in inside.parts else inside
    stem = place.name.removesuffix(".npy").removesuffix("_poses")
    paths = [amass / place.parent / f"{stem}{ending}" for ending in ("_poses.npz", "_stageii.npz")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError("AMASS file", paths[0], "is not there", "Download that part of AMASS.")
    first, last = int(row["start_frame"]), int(row["end_frame"])
    sentences, broken = read_captions(texts / "texts" / f"{name}.txt")
    motion, _ = load_motion(path, body)
    late = next((seconds for part, seconds in TRIMMED.items() if part in place.parts), 0.0)
    begin, end = late + first / HUMANML3D_FPS, late + last / HUMANML3D_FPS
    moved = [Sentence(s.text, begin + s.start, min(end, begin + s.end) if s.end is not None else end) for s in sentences]
    split = splits.get(name) or hashed_split(name, 5, 5)
    rows = moments(name, "HumanML3D", motion, moved, split, choose, body)
    if rows is None:
        raise InputError("HumanML3D", name, "has no text within the motion", "Leave it out.")
    return rows, broken


def moments(name, source, motion: BodyPose, sentences, split, choose: Chooser, body: BodyModel) -> PoseRows | None:
    """Picks the frames of a motion that show its sentences, or returns None when no sentence falls into it."""
    motion = resample(motion, FPS) if motion.fps and motion.fps > FPS else motion
    rate, picked = motion.fps or FPS, []
    for sentence in sentences:
        begin, end = round(sentence.start * rate), len(motion) if sentence.end is None else min(len(motion), round(sentence.end * rate) + 1)
        pieces = sub_sentences(sentence.text)
        for number, text in enumerate(pieces):
            first, last = (begin + (end - begin) * part // len(pieces) for part in (number, number + 1))
            if last > first:
                scores = choose(text, motion[first:last])
                best = scores.argsort(descending=True)[: KEEP[split]] + first
                picked.append((text, best.tolist()))
    if not picked:
        return None
    frames = sorted({frame for _, found in picked for frame in found})
    place = {frame: row for row, frame in enumerate(frames)}
    poses = replace(motion[frames], betas=None)
    height = measure_posture(poses).height("pelvis") + lowest_points(poses, body)
    return PoseRows(name, source, torch.cat([poses.global_orient[:, None], poses.body_pose], 1),
                    tuple((text, tuple(sorted(place[frame] for frame in found))) for text, found in picked), split, height)
