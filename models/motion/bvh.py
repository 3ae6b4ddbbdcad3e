"""BVH files: a reader for any hierarchy and a writer.

A joint's local transform is its translation (OFFSET, or the position channels of the frame) and the product of its rotation
channels in the order in which they are listed, degrees. Reading is bounded in joints, frames, file size and time.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..assets.files import check_file
from ..checks import InputError
from ..rotations import rotvec_to_rotmat

NAME = "motion file"
MAX_BYTES = 256 << 20
MAX_JOINTS = 1024
MAX_NUMBERS = 30_000_000  # frames times channels
MAX_TRANSFORMS = 4_000_000  # frames times joints
FPS_RANGE = (0.5, 4000.0)
ROWS_AT_ONCE = 2048
_AXES = "XYZ"


@dataclass(frozen=True, eq=False)
class SkeletonMotion:
    """A moving skeleton of any kind, in the file's own axes and units.

    Args:
        names: of the J joints, parents first.
        parents: of each joint, -1 at roots.
        offsets: (J, 3) rest translation of each joint in its parent's frame.
        ends: joint -> (3,) offset of its tip, for joints with an End Site of some length.
        rotmats: (T, J, 3, 3) rotation of each joint relative to its parent.
        translations: (T, J, 3) translation of each joint in its parent's frame.
        fps: frames per second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Tensor
    ends: dict[int, Tensor]
    rotmats: Tensor
    translations: Tensor
    fps: float

    def __len__(self):
        return self.rotmats.shape[0]

    def world(self):
        """World rotations (T, J, 3, 3) and positions (T, J, 3) of all joints."""
        rotmats, positions = [], []
        for joint, parent in enumerate(self.parents):
            local, move = self.rotmats[:, joint], self.translations[:, joint]
            if parent >= 0:
                move = (rotmats[parent] @ move[..., None])[..., 0] + positions[parent]
                local = rotmats[parent] @ local
            rotmats.append(local)
            positions.append(move)
        return torch.stack(rotmats, 1), torch.stack(positions, 1)

    def rest_positions(self):
        """(J, 3) positions with all rotations zero."""
        positions = []
        for offset, parent in zip(self.offsets, self.parents):
            positions.append(offset if parent < 0 else positions[parent] + offset)
        return torch.stack(positions)


def read_bvh(path) -> SkeletonMotion:
    """Reads a BVH file.

    Raises:
        InputError: the file is missing, too large, damaged, has no frames, or its numbers do not fit its channels.
    """
    path = check_file(NAME, path, (".bvh",))
    if path.stat().st_size > MAX_BYTES:
        raise _error(path, f"is larger than {MAX_BYTES >> 20} MB", "Cut it into shorter pieces.")
    return parse_bvh(path.read_bytes().decode("utf-8-sig", "replace"), path)


def parse_bvh(text: str, path="(text)") -> SkeletonMotion:
    """Reads the text of a BVH file; ``path`` names it in errors. Raises InputError as `read_bvh` does."""
    head, found, motion = _split_motion(text)
    if not found:
        raise _error(path, "has no MOTION part", "Export the animation together with the skeleton.")
    names, parents, offsets, channels, ends = _Hierarchy(head, path).read()
    frames, fps, body = _motion_header(motion, path)
    count = sum(len(listed) for listed in channels)
    if frames * count > MAX_NUMBERS or frames * len(names) > MAX_TRANSFORMS:
        raise _error(path, f"has {frames} frames of {len(names)} joints, too many to read at once", "Cut it into shorter pieces.")
    values = _numbers(body, frames, count, path)
    rotmats, translations = _transforms(values, channels, torch.tensor(offsets, dtype=torch.float64))
    return SkeletonMotion(tuple(names), tuple(parents), torch.tensor(offsets, dtype=torch.float64), ends, rotmats, translations, fps)


def _error(path, problem, remedy="Export it again as BVH."):
    return InputError(NAME, path, problem, remedy)


def _split_motion(text):
    found = re.search(r"^[ \t]*MOTION\b", text, re.IGNORECASE | re.MULTILINE)
    return (text[: found.start()], True, text[found.end():]) if found else (text, False, "")


class _Hierarchy:
    """The HIERARCHY part, read token by token. Names may hold spaces; keywords may have any case."""

    def __init__(self, text, path):
        self.path = path
        self.tokens = re.sub(r"([{}])", r" \1 ", text).split()
        self.at = 0
        self.names, self.parents, self.offsets, self.channels, self.ends = [], [], [], [], {}

    def read(self):
        open_joints = []
        while self.at < len(self.tokens):
            word = self.tokens[self.at].upper()
            self.at += 1
            if word in ("ROOT", "JOINT"):
                self._begin(open_joints, self._name())
            elif word in ("END", "ENDSITE"):
                self._end_site(open_joints)
            elif word == "OFFSET" and open_joints:
                self.offsets[open_joints[-1]] = self._floats(3, "OFFSET")
            elif word == "CHANNELS" and open_joints:
                self.channels[open_joints[-1]] = self._channels()
            elif word == "}" and open_joints:
                open_joints.pop()
            elif word != "HIERARCHY":
                raise _error(self.path, f"has {self.tokens[self.at - 1][:40]!r} where a joint was expected")
        if open_joints or not self.names:
            raise _error(self.path, "ends inside its skeleton" if open_joints else "has no skeleton")
        return self.names, self.parents, self.offsets, self.channels, self.ends

    def _begin(self, open_joints, name):
        if len(self.names) >= MAX_JOINTS:
            raise _error(self.path, f"has more than {MAX_JOINTS} joints", "Export the body's skeleton alone.")
        self.parents.append(open_joints[-1] if open_joints else -1)
        open_joints.append(len(self.names))
        self.names.append(name)
        self.offsets.append([0.0, 0.0, 0.0])
        self.channels.append([])

    def _name(self):
        start = self.at
        while self.at < len(self.tokens) and self.tokens[self.at] != "{":
            self.at += 1
        if self.at >= len(self.tokens) or self.at - start > 16:
            raise _error(self.path, "has a joint without its {")
        self.at += 1
        return " ".join(self.tokens[start : self.at - 1])[:200] or "joint"

    def _end_site(self, open_joints):
        self._name()
        offset = [0.0, 0.0, 0.0]
        while self.at < len(self.tokens) and self.tokens[self.at] != "}":
            self.at += 1
            if self.tokens[self.at - 1].upper() == "OFFSET":
                offset = self._floats(3, "OFFSET")
        self.at += 1
        if open_joints and any(offset):
            self.ends.setdefault(open_joints[-1], torch.tensor(offset, dtype=torch.float64))

    def _floats(self, count, what):
        words = self.tokens[self.at : self.at + count]
        self.at += count
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) < count or not all(math.isfinite(n) and abs(n) < 1e9 for n in numbers):
            raise _error(self.path, f"has an {what} that is not {count} finite numbers")
        return numbers

    def _channels(self):
        """List of (kind, axis) of one joint: kind "position" or "rotation", axis 0 to 2."""
        try:
            count = int(self.tokens[self.at])
        except (ValueError, IndexError):
            count = -1
        listed = self.tokens[self.at + 1 : self.at + 1 + max(count, 0)]
        self.at += 1 + max(count, 0)
        read = [(word[1:].lower(), _AXES.find(word[:1].upper())) for word in listed]
        if not 0 <= count <= 9 or len(read) < count or any(kind not in ("position", "rotation") or axis < 0 for kind, axis in read):
            raise _error(self.path, f"has CHANNELS that cannot be read: {' '.join(listed)[:60]}",
                         "Channels must be Xposition to Zposition and Xrotation to Zrotation.")
        if sum(kind == "rotation" for kind, _ in read) > 3 or len(set(read)) < sum(kind == "position" for kind, _ in read):
            raise _error(self.path, "has a joint with more than three rotation channels")
        return read


def _motion_header(text, path):
    """Returns (number of frames, frames per second, the text of the numbers)."""
    frames = re.search(r"Frames\s*:\s*(\S+)", text[:4096], re.IGNORECASE)
    step = re.search(r"Frame\s+Time\s*:\s*(\S+)[^\n]*", text[:4096], re.IGNORECASE)
    if not frames or not step:
        raise _error(path, "does not say its number of frames or its frame time", 'Add "Frames: N" and "Frame Time: seconds" after MOTION.')
    try:
        count, seconds = int(frames[1]), float(step[1])
    except ValueError:
        raise _error(path, f"has Frames {frames[1][:20]!r} and Frame Time {step[1][:20]!r}, which are not numbers") from None
    if count < 1:
        raise _error(path, "has no frames", "Export the animation, not only the skeleton.")
    if not (seconds > 0 and FPS_RANGE[0] <= 1 / seconds <= FPS_RANGE[1]):
        raise _error(path, f"has a frame time of {seconds} s", "Set Frame Time to 1 / frames per second, such as 0.0333333 for 30.")
    return count, _even_rate(1 / seconds), text[max(frames.end(), step.end()):]


def _even_rate(fps):
    """Frame times are written with few digits: 0.016667 means 60."""
    return float(round(fps)) if abs(fps - round(fps)) < 2e-4 * fps else fps


def _numbers(text, frames, count, path):
    """Returns the frames as (T, C) float64, read a block of lines at a time."""
    lines = text.splitlines()
    lines = [line for line in lines if line.strip()]
    blocks, total = [], 0
    for start in range(0, len(lines), ROWS_AT_ONCE):
        words = " ".join(lines[start : start + ROWS_AT_ONCE]).split()
        total += len(words)
        if total > MAX_NUMBERS:
            raise _error(path, "has more numbers than can be read at once", "Cut it into shorter pieces.")
        try:
            blocks.append(np.array(words, dtype=np.float64))
        except ValueError as error:
            raise _error(path, f"has a frame with something that is no number ({str(error)[-40:]})") from None
    values = np.concatenate(blocks) if blocks else np.zeros(0)
    if count == 0 or len(values) < frames * count or len(values) % count:
        first = len(lines[0].split()) if lines else 0
        raise _error(path, f"promises {frames} frames of {count} channels but holds {len(values)} numbers ({first} in its first frame)",
                     "The file was cut short, or its skeleton does not belong to its motion.")
    values = values[: frames * count].reshape(frames, count)
    bad = ~np.isfinite(values).all(1) | (np.abs(values) > 1e9).any(1)
    if bad.any():
        raise _error(path, f"holds NaN, infinite or absurd numbers in frame {int(bad.argmax())}")
    return values


def _transforms(values, channels, offsets):
    """Channel values (T, C) to local rotmats (T, J, 3, 3) and translations (T, J, 3)."""
    values = torch.from_numpy(values)
    angles = values.new_zeros(len(values), len(channels), 3, 3)  # frame, joint, place in the order, rotation vector
    translations = offsets.expand(len(values), -1, -1).clone()
    column = 0
    for joint, listed in enumerate(channels):
        place = 0
        for kind, axis in listed:
            if kind == "rotation":
                angles[:, joint, place, axis] = torch.deg2rad(values[:, column])
                place += 1
            else:
                translations[:, joint, axis] = values[:, column]
            column += 1
        if place < len(listed):
            translations[:, joint] = _placed(translations[:, joint], offsets[joint])
    return torch.cat([_product(block) for block in angles.split(ROWS_AT_ONCE)]), translations


def _product(rotvecs):
    """Turns about one axis each (T, J, 3, 3), first to last, to rotmats (T, J, 3, 3)."""
    first, second, third = rotvec_to_rotmat(rotvecs).unbind(2)
    return first @ second @ third


def _placed(positions, offset):
    """Position channels hold the whole translation in most files and the difference to OFFSET in some (iClone): whichever is nearer."""
    whole = (positions - offset).norm(dim=-1).median() <= positions.norm(dim=-1).median()
    return positions if whole else positions + offset
