"""What every reader of this room hands over, and the ``text_pose`` folder that it is written to.

A ``PoseRows`` is one clip, picture or authored group: some poses and the sentences that describe some of them. ``write_text_pose`` joins
any number of them to the folder that the trainings read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...assets.files import atomic_write
from ...bodies.joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from ...bodies.posture import REFERENCE_OFFSETS, measure_posture, remove_heading
from ...checks import InputError
from ...rotations import rotmat_to_rotvec
from ...types import BodyPose
from .text_pose import AUTHORED, SPLITS, Problem

MIRROR = tuple(JOINT_NAMES.index(name.replace("left", "-").replace("right", "left").replace("-", "right"))
               for name in JOINT_NAMES[:BODY_JOINTS])


@dataclass(frozen=True)
class PoseRows:
    """Some poses with sentences.

    Args:
        name: of the clip, picture or group; unique within its source.
        source: name of the data set.
        rotmats: (N, 22, 3, 3) the root first, +Y up.
        captions: (sentence, rows it describes) pairs.
        split: "train", "val" or "test".
        root_height: (N,) metres of the pelvis above the floor; None where the lowest point touches it.
        kind: "clip", "stance" or "combo", as in ``Caption``.
        subject: who was captured.
        group: the entry of groups.jsonl without its range, for authored poses.
    """

    name: str
    source: str
    rotmats: Tensor
    captions: tuple[tuple[str, tuple[int, ...]], ...]
    split: str
    root_height: Tensor | None = None
    kind: str = "clip"
    subject: str = ""
    group: dict | None = None


def write_text_pose(folder, parts: Iterable[PoseRows]):
    """Writes poses.npz, captions.jsonl, clips.jsonl and groups.jsonl.

    A caption of an authored combination that also occurs in the train split is left out of the others. Parts with numbers that are not
    finite are left out.

    Args:
        folder: where to; it must not hold poses.npz yet.
        parts: in the order of the rows.

    Returns:
        (number of poses, number of captions, problems).

    Raises:
        InputError: the folder holds poses already or cannot be written, or there is no pose.
    """
    folder = Path(folder)
    if (folder / "poses.npz").exists():
        raise InputError("--out", folder, "holds a data set already", "Choose another folder.")
    arrays, captions, clips, groups, sources, problems, total = {}, [], [], [], [], [], 0
    for part in parts:
        if not part.rotmats.isfinite().all():
            problems.append(Problem(part.source, total, f"{part.name} holds numbers that are not finite"))
            continue
        if part.source not in sources:
            sources.append(part.source)
        clip = -1 if part.source == AUTHORED else len(clips)
        for name, value in _rows(part, sources.index(part.source), clip).items():
            arrays.setdefault(name, []).append(value)
        about = {"source": part.source, "id": part.name, "subject": part.subject, "kind": part.kind, "split": part.split}
        captions += [{"caption": text, "ranges": _ranges(rows, total), **about} for text, rows in part.captions if rows]
        span = [total, total + len(part.rotmats)]
        if clip >= 0:
            clips.append({"clip": part.name, "source": part.source, "subject": part.subject, "range": span, "split": part.split})
        if part.group is not None:
            groups.append({"range": span, **part.group, "split": part.split})
        total = span[1]
    if not total:
        raise InputError("data", folder, "would hold no poses", "Give a source that has some.")
    captions = _without_leaks(captions)
    joined = {name: np.concatenate(values) for name, values in arrays.items()}
    with atomic_write(folder / "poses.npz", "--out") as part_file, open(part_file, "wb") as file:
        np.savez_compressed(file, **joined, source_names=np.array(sources), joint_names=np.array(JOINT_NAMES[:BODY_JOINTS]),
                            parents=np.array(PARENTS[:BODY_JOINTS], np.int8), mirror=np.array(MIRROR, np.int8),
                            rest_offsets=np.array(REFERENCE_OFFSETS, np.float32))
    for name, rows in (("captions", captions), ("clips", clips), ("groups", groups)):
        numbered = ({"uid": i, **row} for i, row in enumerate(rows)) if name == "captions" else rows
        with atomic_write(folder / f"{name}.jsonl") as part_file:
            part_file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in numbered), encoding="utf-8")
    return total, len(captions), problems


def _rows(part, source, clip):
    """The arrays of one part, as poses.npz has them."""
    root = part.rotmats[:, 0]
    upright = root if part.source == AUTHORED else remove_heading(root)  # authored poses face the front by design
    yaw = rotmat_to_rotvec(root @ upright.mT)[:, 1]
    rotvec = rotmat_to_rotvec(torch.cat([upright[:, None], part.rotmats[:, 1:]], 1))
    height = part.root_height
    if height is None:
        height = measure_posture(BodyPose(part.rotmats[:, 0], part.rotmats[:, 1:])).height("pelvis")
    count = len(part.rotmats)
    return {"pose_aa": rotvec.numpy().astype(np.float16), "root_yaw": yaw.numpy().astype(np.float16),
            "root_height": height.numpy().astype(np.float16), "source": np.full(count, source, np.uint8),
            "split": np.full(count, SPLITS.index(part.split), np.uint8), "clip": np.full(count, clip, np.int32)}


def _ranges(rows, offset):
    """Half-open ranges [[a, b), ...] of sorted row numbers."""
    ranges = []
    for row in sorted(rows):
        if ranges and ranges[-1][1] == row + offset:
            ranges[-1][1] += 1
        else:
            ranges.append([row + offset, row + offset + 1])
    return ranges


def _without_leaks(captions):
    """Captions whose words are in no other split, as far as they describe authored combinations; equal ones joined."""
    trained = {c["caption"].lower() for c in captions if c["split"] == "train" and c["kind"] != "clip"}
    joined = {}
    for caption in captions:
        if caption["split"] == "train" or caption["kind"] != "combo" or caption["caption"].lower() not in trained:
            key = tuple(caption[name] for name in ("caption", "split", "source", "id"))
            joined.setdefault(key, {**caption, "ranges": []})["ranges"].extend(caption["ranges"])
    return list(joined.values())
