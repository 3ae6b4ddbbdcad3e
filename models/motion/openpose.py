"""OpenPose key points: the POSE_KEYPOINT dictionaries of ComfyUI and the JSON files of OpenPose. 2D only; a fit makes a body of them.

One dictionary per picture: ``{"canvas_width", "canvas_height", "people": [{"pose_keypoints_2d": [x, y, score, ...]}]}``.
Points with score 0 are not there. Coordinates may be pixels or, as some packs write them, parts of the picture between 0 and 1.
"""

from __future__ import annotations

import json

import torch

from ..assets.files import atomic_write, check_file
from ..checks import InputError
from ..types import Keypoints

NAME = "pose keypoints"
MAX_FRAMES = 100_000
MAX_PEOPLE = 100
MAX_BYTES = 256 << 20
POINTS = 18
# BODY_25 -> the 18 of COCO: the mid hip (8) falls away, feet (19 to 24) are not kept
_FROM_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_REMEDY = "Give the output of a pose detector, or a JSON file of OpenPose."


def pose_keypoint_to_keypoints(frames, width=None, height=None, name=NAME):
    """Returns (keypoints, frame_index (B,), person_index (B,)): one row per person and picture, order openpose18.

    Args:
        frames: list of dictionaries, one per picture, or one dictionary.
        width, height: size in pixels for files that name none.

    Raises:
        InputError: it is something else, holds nobody, or its numbers do not fit.
    """
    frames = [frames] if isinstance(frames, dict) else frames
    if not isinstance(frames, (list, tuple)) or not frames or len(frames) > MAX_FRAMES:
        raise _error(name, f"is a {type(frames).__name__} instead of a list of 1 to {MAX_FRAMES} pictures")
    rows, frame_index, person_index, sizes = [], [], [], set()
    for number, frame in enumerate(frames):
        size, people = _frame(frame, width, height, name)
        sizes.add(size)
        for person, points in enumerate(people):
            rows.append(_pixels(points, size))
            frame_index.append(number)
            person_index.append(person)
    if len(sizes) > 1:
        raise _error(name, f"has pictures of different sizes ({', '.join(f'{w} x {h}' for w, h in sorted(sizes)[:4])})")
    if not rows:
        raise _error(name, f"shows nobody in {len(frames)} pictures")
    points, (width, height) = torch.stack(rows), sizes.pop()
    keypoints = Keypoints(points[..., :2], points[..., 2].clamp(0, 1), "openpose18", int(width), int(height))
    return keypoints, torch.tensor(frame_index), torch.tensor(person_index)


def keypoints_to_pose_keypoint(keypoints: Keypoints, frame_index=None):
    """Returns the list of dictionaries, one per picture; rows with one ``frame_index`` share a picture. Missing points are zeros."""
    frame_index = list(range(len(keypoints))) if frame_index is None else [int(frame) for frame in frame_index]
    triples = torch.cat([keypoints.keypoints_2d, keypoints.scores[..., None]], -1)
    triples = torch.where(keypoints.scores[..., None] > 0, triples, torch.zeros_like(triples)).cpu()
    size = {"canvas_width": keypoints.width, "canvas_height": keypoints.height}
    frames = [{**size, "people": []} for _ in range(max(frame_index, default=-1) + 1)]
    for frame, row in zip(frame_index, triples):
        frames[frame]["people"].append({"pose_keypoints_2d": row.flatten().tolist()})
    return frames


def read_keypoints(path, width=None, height=None):
    """Reads a JSON file: a POSE_KEYPOINT list, or one picture of OpenPose. Returns as `pose_keypoint_to_keypoints`.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    path = check_file(NAME, path, (".json",))
    if path.stat().st_size > MAX_BYTES:
        raise _error(path, f"is larger than {MAX_BYTES >> 20} MB")
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _error(path, f"is no JSON ({str(error)[:80]})") from None
    return pose_keypoint_to_keypoints(content, width, height, path)


def write_keypoints(path, keypoints: Keypoints, frame_index=None):
    """Writes a POSE_KEYPOINT list as JSON, atomically."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(keypoints_to_pose_keypoint(keypoints, frame_index)), "utf-8")


def _error(name, problem):
    return InputError(NAME, name, problem, _REMEDY)


def _frame(frame, width, height, name):
    """Returns ((width, height), people) of one picture; a person is (18, 3): x, y, score."""
    if not isinstance(frame, dict) or not isinstance(frame.get("people", []), list) or len(frame.get("people", [])) > MAX_PEOPLE:
        raise _error(name, "holds a picture that is not a dictionary with a list of people")
    size = []
    for key, given in (("canvas_width", width), ("canvas_height", height)):
        value = frame.get(key, given)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 65536:
            raise _error(name, f"has {key} {value!r}")
        size.append(int(value))
    return tuple(size), [_person(person, name) for person in frame.get("people", [])]


def _person(person, name):
    numbers = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
    if not isinstance(numbers, (list, tuple)) or len(numbers) not in (3 * POINTS, 3 * 25):
        raise _error(name, "has a person without 18 or 25 points of three numbers")
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e7 for n in numbers):
        raise _error(name, "has a point that is not made of finite numbers")
    points = torch.tensor(numbers, dtype=torch.float32).unflatten(0, (-1, 3))
    return points[list(_FROM_25)] if len(points) == 25 else points


def _pixels(points, size):
    """Coordinates between 0 and 1 are parts of the picture."""
    there = points[points[:, 2] > 0, :2]
    parts = len(there) > 1 and bool((there.abs() <= 2).all()) and min(size) > 4
    return points * points.new_tensor([*size, 1.0]) if parts else points
