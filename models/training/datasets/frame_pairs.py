"""Pairs of adjacent frames with captions, for the training of the inter-frame module (Dancing Avatar, appendix "Human Motion Data").

A folder::

    clips/CLIP/*.png or *.jpg   the frames of one video, in the order of their names (the paper: 24 per second, at least 512 x 512)
    captions.jsonl              {"name": "CLIP/FRAME", "caption": ...} per line, FRAME without its ending: what that frame shows;
                                or {"name": "CLIP", ...} for all frames of a clip

Each pair is [frame, next frame, caption of the next frame]; a frame without a caption is guided by, but never predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...assets.files import parse_json, read_text
from ...checks import InputError
from .person_images import PICTURES, read_pixels


@dataclass(frozen=True)
class FramePair:
    """Two adjacent frames of a clip, as files, and what the second shows."""

    previous: Path
    following: Path
    caption: str


def find_frame_pairs(folder) -> list[FramePair]:
    """Lists the pairs of a data folder, in the order of clips and frames.

    Raises:
        InputError: there are no clips, no captions, or no clip has two frames of which the second has a caption.
    """
    folder = Path(folder)
    clips = sorted(path for path in (folder / "clips").glob("*") if path.is_dir())
    if not clips:
        raise InputError("data folder", folder, "holds no clips", "See models/training/datasets/frame_pairs.py.")
    captions, pairs = read_captions(folder / "captions.jsonl"), []
    for clip in clips:
        frames = sorted(path for path in clip.iterdir() if path.suffix.lower() in PICTURES)
        for previous, following in zip(frames, frames[1:]):
            caption = captions.get(f"{clip.name}/{following.stem}", captions.get(clip.name))
            if caption is not None:
                pairs.append(FramePair(previous, following, caption))
    if not pairs:
        raise InputError("data folder", folder, "holds no pair of frames with a caption", "Give clips of two frames or more and captions.")
    return pairs


def read_captions(path) -> dict[str, str]:
    """{name: caption} of a captions.jsonl.

    Raises:
        InputError: it is missing, or a line has no name and caption.
    """
    captions = {}
    for number, line in enumerate(read_text(path, "captions").splitlines(), 1):
        try:
            entry = parse_json(line)
            captions[str(entry["name"])] = str(entry["caption"])
        except (ValueError, KeyError, TypeError):
            raise InputError("captions.jsonl", f"line {number}", "has no name and caption",
                             "Write one JSON object with name and caption per line.") from None
    return captions


def load_pair(pair: FramePair, size, generator) -> Tensor:
    """Reads a pair and cuts the same random square, at most the largest that fits, out of both.

    Returns:
        (2, size, size, 3): the previous frame, the next one.

    Raises:
        InputError: a file cannot be read, or the two frames have different sizes.
    """
    frames = [read_pixels(path, "RGB") for path in (pair.previous, pair.following)]
    if frames[0].shape != frames[1].shape:
        raise InputError("frame", pair.following, "has not its neighbour's size", "Cut every clip to one size.")
    height, width = frames[0].shape[:2]
    side = min(height, width)
    top, left = (int(torch.randint(room + 1, (), generator=generator)) for room in (height - side, width - side))
    square = torch.stack(frames)[:, top : top + side, left : left + side].permute(0, 3, 1, 2)
    return interpolate(square, (size, size), mode="bilinear", antialias=True, align_corners=False).permute(0, 2, 3, 1).clamp(0, 1)
