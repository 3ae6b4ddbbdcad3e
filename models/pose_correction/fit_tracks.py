"""Who is who from picture to picture: pose detectors number people anew in each."""

from __future__ import annotations

import torch
from torch import Tensor

from ..types import Keypoints

FARTHEST = 0.5  # mean distance of the points, in sizes of the person, beyond which it is somebody else
LOST_AFTER = 15  # pictures after which somebody who is gone comes back as somebody else


def track_people(keypoints: Keypoints, frame_index: Tensor) -> Tensor:
    """(B,) int64 person of each row: the nearest pairs of neighbouring pictures first, each person once in a picture.

    Args:
        keypoints: B rows.
        frame_index: (B,) picture of each row.
    """
    person = torch.full((len(keypoints),), -1, dtype=torch.int64)
    last: dict[int, int] = {}  # person -> its latest row
    for frame in frame_index.unique(sorted=True).tolist():
        rows = (frame_index == frame).nonzero()[:, 0].tolist()
        alive = {who: row for who, row in last.items() if frame - int(frame_index[row]) <= LOST_AFTER}
        pairs = sorted((_distance(keypoints, seen, row), who, row) for who, seen in alive.items() for row in rows)
        for distance, who, row in pairs:
            if distance < FARTHEST and person[row] < 0 and last[who] not in rows:
                person[row], last[who] = who, row
        for row in rows:
            if person[row] < 0:
                person[row] = len(last)
                last[len(last)] = row
    return person


def _distance(keypoints, a, b):
    """Mean distance of the points that both rows have, in sizes of the first; infinite when they share none."""
    both = (keypoints.scores[a] > 0) & (keypoints.scores[b] > 0)
    if not bool(both.any()):
        return float("inf")
    points = keypoints.keypoints_2d[a][keypoints.scores[a] > 0]
    size = (points.amax(0) - points.amin(0)).norm().clamp(min=1.0)
    return float((keypoints.keypoints_2d[a][both] - keypoints.keypoints_2d[b][both]).norm(dim=-1).mean() / size)
