"""Pairs for the training of Parts2Whole: pictures of parts, and the person they make.

The published layout: a folder with a JSON line per pair (train.jsonl), paths relative to the folder::

    {"target": "images/A.jpg", "caption": "...", "appearance": {"face": "face/B_rgb.jpg", ...}, "mask": {"face": "face/B_mask.jpg", ...},
     "structure": {"densepose": "densepose/A.png"}}

A pair without "appearance" takes its parts out of "reference", a picture of the same person, by a HumanParser.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...assets.files import parse_json, read_text
from ...checks import InputError
from ...parts_to_whole.parts import LABELS, TOKENS

# segformer_b2_clothes' classes of each part; "whole body clothes" is a dress, else everything worn on the body.
CLASSES = {"upper body clothes": (4, 17), "lower body clothes": (5, 6, 8), "whole body clothes": (4, 5, 6, 7, 8, 17),
           "hair or headwear": (1, 2), "face": (3, 11), "shoes": (9, 10)}
DRESS = 7
SMALLEST_PART = 0.002  # of the picture; less of a part teaches nothing
ZOOM = (0.9, 1.0)  # share of a picture's sides that a random crop keeps
_REMEDY = "See models/training/datasets/parts.py for the layout."


@dataclass(frozen=True)
class PartsPair:
    """One line of the list; every value of the dicts is a file."""

    target: Path
    caption: str
    pose: Path | None
    appearance: dict[str, Path] = field(default_factory=dict)
    mask: dict[str, Path] = field(default_factory=dict)
    reference: Path | None = None

    @property
    def bucket(self):
        """Pairs of one bucket can share a batch: they show the same parts."""
        return tuple(sorted(self.appearance)) if self.reference is None else (str(self.reference), str(self.target))


@dataclass(frozen=True)
class PartsSample:
    """One training sample of side (H, W).

    Args:
        target: (H, W, 3) 0..1.
        caption: what it shows.
        pose: (H, W, 3) 0..1, or None.
        references: {label: (picture (H, W, 3), mask (H, W))}.
    """

    target: Tensor
    caption: str
    pose: Tensor | None
    references: dict[str, tuple[Tensor, Tensor]]


def find_parts(folder, name="train.jsonl", pose="densepose") -> list[PartsPair]:
    """Reads the list of pairs.

    Args:
        folder: the data set.
        name: of the list inside it.
        pose: which of "structure" is read.

    Raises:
        InputError: the list is missing, a line cannot be read, a label is unknown, or a file is missing.
    """
    folder, path = Path(folder), Path(folder) / name
    if not path.is_file():
        raise InputError("data folder", folder, f"has no {name}", _REMEDY)
    lines = [(number, line) for number, line in enumerate(read_text(path, name).splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError("data folder", folder, f"has an empty {name}", _REMEDY)
    return [_pair(folder, f"{name}, line {number}", line, pose) for number, line in lines]


def _pair(folder, where, line, pose):
    try:
        entry = parse_json(line)
        target, caption = entry["target"], entry["caption"]
        appearance, mask, structure = (dict(entry.get(key) or {}) for key in ("appearance", "mask", "structure"))
        reference = entry.get("reference")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(where, line[:80], f"is no pair ({type(error).__name__}: {error})", _REMEDY) from None
    if unknown := sorted((set(appearance) | set(mask)) - set(LABELS)):
        raise InputError(where, unknown[0], "is no part", f"Use: {', '.join(LABELS)}.")
    if not appearance and reference is None or len(appearance) > TOKENS:
        raise InputError(where, len(appearance), f"parts are not 1 to {TOKENS}", _REMEDY)

    def there(name):
        if name is None or os.path.isfile(folder / str(name)):  # which is False, and no error, for names that no file can have
            return None if name is None else folder / str(name)
        raise InputError(where, str(name)[:80], "was not found", "Copy the data set completely.")
    files = [{label: there(name) for label, name in group.items()} for group in (appearance, mask)]
    return PartsPair(there(target), str(caption), there(structure.get(pose)), *files, there(reference))


def load_sample(pair: PartsPair, size, generator, parser=None) -> PartsSample:
    """Reads one pair; every picture is cut at random by itself, its mask with it, and squeezed to the size as trained.

    Args:
        pair: from ``find_parts``.
        size: (H, W) pixels.
        generator: torch.Generator on the CPU; decides the cuts.
        parser: ports.HumanParser for parts without a mask; None takes the whole picture, as the released code does.

    Raises:
        InputError: a file cannot be read, or shows no part.
    """
    target = _read(pair.target, "RGB")
    stack = target if pair.pose is None else torch.cat([target, _sized(_read(pair.pose, "RGB"), target.shape[:2])], -1)
    cut = _random_crop(stack, size, generator)  # the pose keeps its place on the person
    if pair.reference is None:
        whole = {label: (_read(file, "RGB"), _mask(pair, label, parser)) for label, file in pair.appearance.items()}
    else:
        whole = _parsed(pair.reference, parser)
    references = {}
    for label, (picture, mask) in whole.items():
        mask = torch.ones(picture.shape[:2]) if mask is None else _sized(mask[..., None], picture.shape[:2])[..., 0]
        both = _random_crop(torch.cat([picture, mask[..., None]], -1), size, generator)
        references[label] = both[..., :3], both[..., 3]
    return PartsSample(cut[..., :3], pair.caption, None if pair.pose is None else cut[..., 3:], references)


def part_masks(classes: Tensor) -> dict[str, Tensor]:
    """Masks (H, W) of the parts that a picture's classes (H, W) show; clothes are a dress as a whole, or two garments."""
    found = {label: torch.isin(classes, torch.tensor(numbers, device=classes.device)).float() for label, numbers in CLASSES.items()}
    dressed = float((classes == DRESS).float().mean()) > SMALLEST_PART
    for label in LABELS[:2] if dressed else LABELS[2:3]:
        del found[label]
    return {label: mask for label, mask in found.items() if float(mask.mean()) > SMALLEST_PART}


def _parsed(file, parser):
    if parser is None:
        raise InputError("reference", file, "needs its parts found", "Give a human parser.")
    picture = _read(file, "RGB")
    masks = part_masks(parser.classes(picture))
    if not masks:
        raise InputError("reference", file, "shows no part of a person", "Leave it out.")
    return {label: (picture, mask) for label, mask in masks.items()}


def _mask(pair, label, parser):
    if label in pair.mask:
        return _read(pair.mask[label], "L")
    return None if parser is None else part_masks(parser.classes(_read(pair.appearance[label], "RGB"))).get(label)


def _random_crop(picture, size, generator):
    """(H, W, C) -> (*size, C): a random 90 to 100 % of each side."""
    low, high = ZOOM
    sides = [max(1, round(side * (low + (high - low) * float(torch.rand((), generator=generator))))) for side in picture.shape[:2]]
    top, left = (int(torch.randint(whole - side + 1, (), generator=generator)) for whole, side in zip(picture.shape[:2], sides))
    return _sized(picture[top : top + sides[0], left : left + sides[1]], size)


def _sized(picture, size):
    if tuple(picture.shape[:2]) == tuple(size):
        return picture
    moved = interpolate(picture.permute(2, 0, 1)[None], tuple(size), mode="bilinear", antialias=True, align_corners=False)
    return moved[0].permute(1, 2, 0).clamp(0, 1)


def _read(path, mode):
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.asarray(picture.convert(mode), dtype=np.float32) / 255)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise InputError("picture", path, f"cannot be read ({error})", "Replace it, or leave it out.") from None
