"""Pictures of people for the training of personalization (PAS, section 3.5.3).

A folder::

    images/NAME.jpg or .png     the picture
    masks/NAME.png              white where the person is; or a Segmenter finds it
    captions/NAME.txt           what the picture shows; or captions.jsonl with {"name": ..., "caption": ...} per line
    gray/NAME.png               the gray body through the picture's camera (RGBA), or
    bodies/NAME.npz             a fitted body, from which it is drawn: a pose file's arrays with P = N = 1 and the camera's
                                fx, fy, cx, cy, R (3, 3), t (3,)

Pictures without a gray body are used too: they teach the model to do without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...assets.files import parse_json, read_npz, read_text
from ...bodies.body import load_body_model, pose_body
from ...bodies.pose_file import load_poses
from ...checks import InputError
from ...render.engine import render_figure
from ...types import Camera

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
SMALLEST_PERSON = 0.02  # of the crop's area; less of a person teaches nothing


@dataclass(frozen=True)
class PersonImage:
    """One picture and what belongs to it; ``mask``, ``gray`` and ``body`` are files or None."""

    image: Path
    caption: str
    mask: Path | None
    gray: Path | None
    body: Path | None


@dataclass(frozen=True)
class Crop:
    """One training sample.

    Args:
        image: (S, S, 3) sRGB 0..1.
        alpha: (S, S) 1 where the person is.
        gray_rgb, gray_alpha: (S, S, 3) and (S, S) of the gray body; alpha 0 where there is none.
        caption: what the picture shows.
    """

    image: Tensor
    alpha: Tensor
    gray_rgb: Tensor
    gray_alpha: Tensor
    caption: str


def find_person_images(folder) -> list[PersonImage]:
    """Lists the pictures of a data folder, sorted by name.

    Raises:
        InputError: there is no images folder, it is empty, or captions cannot be read.
    """
    folder = Path(folder)
    paths = sorted(path for path in (folder / "images").glob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise InputError("data folder", folder, "holds no pictures in its images folder", "See models/training/datasets/person_images.py.")
    captions = _captions(folder)
    found = [PersonImage(path, captions.get(path.stem, ""), *(_there(folder / place / f"{path.stem}{suffix}") for place, suffix in
                         (("masks", ".png"), ("gray", ".png"), ("bodies", ".npz")))) for path in paths]
    if not any(item.caption for item in found):
        raise InputError("data folder", folder, "holds no captions", "Write captions/NAME.txt for each picture, or captions.jsonl.")
    return found


def load_crop(item: PersonImage, size, generator, segmenter=None) -> Crop:
    """Reads a picture and cuts a random square around its person.

    Args:
        item: from ``find_person_images``.
        size: pixels of the crop's side.
        generator: torch.Generator on the CPU; decides the cut.
        segmenter: ports.Segmenter for pictures without a mask.

    Raises:
        InputError: a file cannot be read, sizes differ, or there is no person.
    """
    image = read_pixels(item.image, "RGB")
    alpha = _person_mask(item, image, segmenter)
    gray = _gray_body(item, image.shape[:2])
    left, top, side = choose_square(alpha, generator)
    stack = torch.cat([image, alpha[..., None], gray], -1)[top : top + side, left : left + side]
    shrunk = interpolate(stack.permute(2, 0, 1)[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    shrunk = shrunk.permute(1, 2, 0).clamp(0, 1)
    gray_alpha = shrunk[..., 7]
    straight = torch.where(gray_alpha[..., None] > 0, shrunk[..., 4:7] / gray_alpha[..., None].clamp(min=1e-4), shrunk[..., 4:7])
    return Crop(shrunk[..., :3], shrunk[..., 3], straight.clamp(0, 1), gray_alpha, item.caption)


def choose_square(alpha: Tensor, generator) -> tuple[int, int, int]:
    """A random square (left, top, side) inside the picture that holds the whole person, if any square can.

    Raises:
        InputError: the mask (H, W) shows hardly anybody.
    """
    height, width = alpha.shape
    seen = alpha > 0.5
    if float(seen.float().mean()) < SMALLEST_PERSON / 10:
        raise InputError("person mask", f"{float(seen.float().mean()):.4%} of the picture", "shows nobody", "Leave this picture out.")
    rows, columns = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
    low, high = (int(columns.min()), int(rows.min())), (int(columns.max()) + 1, int(rows.max()) + 1)
    largest = min(height, width)
    smallest = min(largest, max(high[0] - low[0], high[1] - low[1]))
    side = int(torch.randint(smallest, largest + 1, (), generator=generator))
    corner = []
    for start, end, whole in zip(low, high, (width, height)):
        first, last = max(0, end - side), min(start, whole - side)
        if first > last:  # the person is larger than the square: its middle stays
            first = last = min(max(0, (start + end - side) // 2), whole - side)
        corner.append(int(torch.randint(first, last + 1, (), generator=generator)))
    return corner[0], corner[1], side


def _captions(folder):
    captions = {path.stem: read_text(path, "caption").strip() for path in (folder / "captions").glob("*.txt")}
    listing = folder / "captions.jsonl"
    if listing.is_file():
        for number, line in enumerate(read_text(listing, "captions").splitlines(), 1):
            try:
                entry = parse_json(line)
                captions[str(entry["name"])] = str(entry["caption"])
            except (ValueError, KeyError, TypeError):
                remedy = "Write one JSON object with name and caption per line."
                raise InputError("captions.jsonl", f"line {number}", "has no name and caption", remedy) from None
    return captions


def _there(path):
    return path if path.is_file() else None


def read_pixels(path, mode):
    """A picture file in one of PIL's modes as floats 0..1.

    Raises:
        InputError: it cannot be read.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.asarray(picture.convert(mode), dtype=np.float32) / 255)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise InputError("picture", path, f"cannot be read ({error})", "Replace it, or leave it out.") from None


def _person_mask(item, image, segmenter):
    if item.mask is not None:
        mask = read_pixels(item.mask, "L")
        if mask.shape != image.shape[:2]:
            raise InputError("mask", item.mask, "has not its picture's size", "Make the mask from this very picture.")
        return mask
    if segmenter is None:
        raise InputError("mask", item.image, "has no file in masks", "Add the mask, or give a segmenter.")
    masks = segmenter.person_masks(image)
    if len(masks) == 0:
        raise InputError("picture", item.image, "shows nobody whom the segmenter finds", "Leave it out.")
    return masks[masks.sum((1, 2)).argmax()].float()  # the largest person is the subject


def _gray_body(item, size):
    """Premultiplied RGBA (H, W, 4) of the gray body, zero where there is none."""
    height, width = size
    if item.gray is not None:
        rgba = read_pixels(item.gray, "RGBA")
        if rgba.shape[:2] != size:
            raise InputError("gray body", item.gray, "has not its picture's size", "Render it through this very picture's camera.")
    elif item.body is not None:
        render = draw_body(item.body, width, height)
        rgba = torch.cat([render.rgb[0], render.alpha[0, ..., None]], -1)
    else:
        return torch.zeros(height, width, 4)
    return torch.cat([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)


def draw_body(path, width, height):
    """The gray body of a fitted pose file with a camera, as a Render of one row.

    Raises:
        InputError: the file cannot be read or holds no camera.
    """
    arrays = read_npz(path, "body file")
    names = ("fx", "fy", "cx", "cy", "R", "t")
    if not set(names) <= set(arrays):
        raise InputError("body file", path, "holds no camera", f"Save {', '.join(names)} with the pose.")
    values = {name: torch.as_tensor(arrays[name], dtype=torch.float32) for name in names}
    lens = [values[name].reshape(1) for name in names[:4]]
    camera = Camera(*lens, values["R"].reshape(1, 3, 3), values["t"].reshape(1, 3), width, height)
    return render_figure(pose_body(load_body_model(), load_poses(path)[0][0]), camera, "gray")
