"""Which picture each body is in."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError
from ..types import BodyPose


def picture_of(pose: BodyPose, pictures: int | None = None) -> Tensor:
    """(B,) int64 picture of each row: its ``frame_index`` where the rows are people of pictures, its own number where they are candidates.

    Rows of which two are the same person in the same picture cannot be people of pictures, so they are candidates.

    Args:
        pose: B rows.
        pictures: number of pictures, or None for as many as there are.

    Raises:
        InputError: the rows do not fit that many pictures.
    """
    rows, frame = torch.arange(len(pose)), pose.frame_index.cpu()
    pairs = torch.stack([frame, pose.person_index.cpu()], 1)
    people = len(pairs.unique(dim=0)) == len(pairs) and bool((frame >= 0).all())
    if people and (pictures is None or not len(pose) or int(frame.max()) < pictures):
        return frame
    if pictures is None or pictures == len(pose):
        return rows
    raise InputError("body_pose", f"{len(pose)} rows", f"do not fit {pictures} pictures",
                     "Give the poses that were fitted to these pictures, or one pose for each picture.")
