"""Reads the ``text_pose`` data folder: poses of a 22-joint body, and captions that each describe some of them.

The folder holds ``poses.npz`` and ``captions.jsonl``. Broken rows are left out and named in ``problems``, so that one bad line never
stops a training and never goes unnoticed either. Conventions are ours: metres, +Y up, +Z front, +X the body's left; joint 0 is the root
with its heading removed, joints 1..21 are relative to their parents.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ...assets.files import check_file, parse_json, read_npz
from ...checks import InputError
from ...rotations import rotvec_to_rotmat

SPLITS = ("train", "val", "test")
AUTHORED = "authored"
UNCLEAR_ORIGIN = ("DeepMimic",)  # its licence does not say where each clip comes from, so shipped weights do without
_ARRAYS = {"pose_aa": "N 22 3", "root_height": "N", "source": "N", "split": "N", "clip": "N", "parents": "22", "mirror": "22",
           "rest_offsets": "22 3"}
_MAX_ANGLE = 2 * torch.pi


@dataclass(frozen=True)
class Problem:
    """A row that was left out: the file, its row number counted from 0, and what is wrong with it."""

    file: str
    row: int
    what: str


@dataclass(frozen=True)
class Caption:
    """A sentence and the poses it describes.

    Args:
        text: the sentence; left and right are the person's own.
        rows: (M,) int64 rows of the ``TextPoseData`` it came with.
        split: "train", "val" or "test".
        kind: "clip" (label of a capture), "stance" (authored base stance) or "combo" (authored stance with arms, head or torso).
        source: name of the source.
    """

    text: str
    rows: Tensor
    split: str
    kind: str
    source: str


@dataclass(frozen=True)
class TextPoseData:
    """Poses and captions, without the excluded sources and the broken rows.

    Args:
        root_rotvec: (N, 3) root orientation with the heading removed, radians.
        body_rotvec: (N, 21, 3) rotation of each joint relative to its parent, radians.
        root_height: (N,) pelvis above the floor, metres, for the skeleton of ``rest_offsets``.
        split: (N,) int64 index into ``SPLITS``.
        source: (N,) int64 index into ``source_names``.
        clip: (N,) int64 number of the captured clip, -1 where the pose was authored.
        file_row: (N,) int64 row of each pose in ``poses.npz``, ascending.
        captions: in the order of the file; a caption none of whose poses is left is not there.
        problems: what was left out because it is broken (excluded sources are not problems).
        parents: parent of each of the 22 joints, -1 for the root.
        mirror: (22,) int64 the joint on the other side.
        rest_offsets: (22, 3) metres from each joint's parent in the rest pose.
    """

    root_rotvec: Tensor
    body_rotvec: Tensor
    root_height: Tensor
    split: Tensor
    source: Tensor
    clip: Tensor
    file_row: Tensor
    source_names: tuple[str, ...]
    captions: tuple[Caption, ...] = field(repr=False)
    problems: tuple[Problem, ...] = field(repr=False)
    parents: tuple[int, ...]
    mirror: Tensor
    rest_offsets: Tensor

    def __len__(self):
        return self.body_rotvec.shape[0]

    @property
    def authored(self):
        """(N,) bool, True where the pose was written by hand rather than captured."""
        names = [i for i, name in enumerate(self.source_names) if name == AUTHORED]
        return torch.isin(self.source, torch.tensor(names, dtype=self.source.dtype))

    def rows(self, split, authored=None):
        """Returns (M,) int64 rows of a split ("train", "val" or "test"); ``authored`` True or False keeps only that part."""
        chosen = self.split == SPLITS.index(split)
        if authored is not None:
            chosen = chosen & (self.authored == authored)
        return chosen.nonzero()[:, 0]

    def rows_in(self, ranges):
        """Returns (M,) int64 rows whose ``file_row`` lies in one of the half-open ``ranges`` [[a, b), ...] of ``poses.npz``."""
        ends = torch.searchsorted(self.file_row, torch.tensor(ranges, dtype=torch.int64).reshape(-1, 2)).tolist()
        return torch.tensor([row for first, last in ends for row in range(first, last)], dtype=torch.int64)

    def rotmats(self, rows=slice(None)):
        """Returns rotmats (M, 22, 3, 3) of the chosen rows, the root first."""
        return rotvec_to_rotmat(torch.cat([self.root_rotvec[rows][..., None, :], self.body_rotvec[rows]], dim=-2))


def mirror_rotvec(rotvec, mirror):
    """Swaps left and right of poses: the sagittal plane x = 0 reflects each rotation and the joints change sides.

    Args:
        rotvec: (..., J, 3) radians; joint 0 may be the root.
        mirror: (J,) int64 the joint on the other side.
    """
    return rotvec[..., mirror, :] * rotvec.new_tensor([1.0, -1.0, -1.0])


def load_text_pose(data_dir, exclude_sources=UNCLEAR_ORIGIN):
    """Reads a ``text_pose`` folder.

    Args:
        data_dir: the folder with ``poses.npz`` and ``captions.jsonl``.
        exclude_sources: names of sources to leave out. Weights that are shipped must leave out ``UNCLEAR_ORIGIN``.

    Returns:
        TextPoseData.

    Raises:
        InputError: the folder or a file is missing, unreadable or of another layout, or no pose is left.
    """
    folder = Path(data_dir)
    if not folder.is_dir():
        raise InputError("data folder", folder, "does not exist", "Give the folder that holds poses.npz and captions.jsonl.")
    check_file("captions", folder / "captions.jsonl")
    arrays = _read_arrays(folder / "poses.npz")
    names = tuple(str(name) for name in arrays["source_names"])
    pose, problems = _checked_poses(arrays, len(names))
    excluded = [i for i, name in enumerate(names) if name in exclude_sources]
    keep = torch.ones(len(pose), dtype=torch.bool)
    keep[[problem.row for problem in problems]] = False
    keep &= ~torch.isin(arrays["source"], torch.tensor(excluded, dtype=torch.int64))
    if not keep.any():
        raise InputError("data folder", folder, "holds no usable pose", "Exclude fewer sources, or copy the folder again.")
    data = TextPoseData(
        root_rotvec=pose[keep, 0], body_rotvec=pose[keep, 1:], file_row=keep.nonzero()[:, 0], source_names=names,
        **{name: arrays[name][keep] for name in ("root_height", "split", "source", "clip")},
        parents=tuple(arrays["parents"].tolist()), mirror=arrays["mirror"], rest_offsets=arrays["rest_offsets"],
        captions=(), problems=())
    captions, caption_problems = _read_captions(folder / "captions.jsonl", data, len(pose))
    return replace(data, captions=captions, problems=(*problems, *caption_problems))


def _read_arrays(path):
    """Returns the arrays of poses.npz as tensors (float32 or int64); ``source_names`` stays numpy."""
    arrays = read_npz(path, "poses")
    missing = sorted(({*_ARRAYS, "source_names"}) - set(arrays))
    if missing:
        raise InputError("poses", path, f"lacks {', '.join(missing)}", "Give a text_pose folder of the layout in its README.")
    sizes = {"N": len(arrays["pose_aa"])}
    tensors = {"source_names": arrays["source_names"]}
    for name, pattern in _ARRAYS.items():
        expected = tuple(sizes[axis] if axis in sizes else int(axis) for axis in pattern.split())
        if arrays[name].shape != expected:
            raise InputError("poses", path, f"has {name} of shape {arrays[name].shape}, not {expected}", "Copy the folder again.")
        tensors[name] = torch.from_numpy(arrays[name]).to(torch.float32 if arrays[name].dtype.kind == "f" else torch.int64)
    return tensors


def _checked_poses(arrays, sources):
    """Returns the poses (N, 22, 3) and the problems of their rows."""
    pose = arrays["pose_aa"]
    finite = pose.isfinite().flatten(1).all(1) & arrays["root_height"].isfinite()
    tests = {
        "holds NaN or infinite numbers": ~finite,
        "turns a joint by more than a full turn": finite & (pose.norm(dim=-1) > _MAX_ANGLE).any(1),
        "has an unknown split": (arrays["split"] < 0) | (arrays["split"] >= len(SPLITS)),
        "has an unknown source": (arrays["source"] < 0) | (arrays["source"] >= sources),
    }
    found = {}
    for what, rows in tests.items():
        for row in rows.nonzero()[:, 0].tolist():
            found.setdefault(row, Problem("poses.npz", row, what))
    return pose, [found[row] for row in sorted(found)]


def _read_captions(path, data, total):
    """Returns (captions, problems). ``total`` is the number of poses in the file, broken ones included."""
    captions, problems = [], []
    for row, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            entry = parse_json(line)
            _check_entry(entry, total)
        except (ValueError, KeyError, TypeError) as error:
            problems.append(Problem("captions.jsonl", row, str(error) or type(error).__name__))
            continue
        rows = data.rows_in(entry["ranges"])
        if len(rows):
            captions.append(Caption(entry["caption"].strip(), rows, entry["split"], entry["kind"], entry["source"]))
    return tuple(captions), tuple(problems)


def _check_entry(entry, total):
    """Raises ValueError, KeyError or TypeError when a caption row cannot be used."""
    missing = [key for key in ("caption", "ranges", "split", "kind", "source") if key not in entry]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    if not isinstance(entry["caption"], str) or not entry["caption"].strip():
        raise ValueError("has no caption text")
    if entry["split"] not in SPLITS:
        raise ValueError(f"has an unknown split {entry['split']!r}")
    if not entry["ranges"]:
        raise ValueError("names no poses")
    for start, stop in entry["ranges"]:
        if not (isinstance(start, int) and isinstance(stop, int) and 0 <= start < stop <= total):
            raise ValueError(f"names poses {start}..{stop} outside 0..{total}")
