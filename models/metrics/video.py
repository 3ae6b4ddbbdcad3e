"""The thirteen metrics of Dancing Avatar for videos of a person (appendix, "Evaluation Metrics"), over time and as means.

The paper leaves open which CLIP, which scale of pixels, how cut-outs are filled, and what pose MSE compares; the choices made here are part
of the result, in ``VideoScores.choices``. What cannot be measured, for want of masks, key points or a CLIP, is left out and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..checks import InputError, check_range, check_shape
from ..types import Keypoints
from .natural_scene import BLOCK, COVERAGE, brisque, model_names, niqe

METRICS = {  # name -> whether more is better; the order of the paper
    "BRISQUE frame": False, "BRISQUE body": False, "BRISQUE background": False, "NIQE frame": False, "NIQE body": False,
    "NIQE background": False, "Pose MSE": False, "CLIP text": True, "Frame L1": False, "Frame MSE": False, "CLIP frame": True,
    "CLIP body": True, "CLIP background": True,
}
OF_NEIGHBOURS = ("Frame L1", "Frame MSE", "CLIP frame", "CLIP body", "CLIP background")
POSE_SIDE = 512  # pixels of the longer side that key points are scaled to
FILL = 0.5  # gray in cut-outs
CHOICES = {
    "pixels": "Frame L1 and MSE compare 8-bit values, 0 to 255, of neighbouring frames",
    "NIQE in masks": f"blocks of {BLOCK} pixels that the mask covers by at least {COVERAGE:.0%}; fewer than two: the mask's bounding box",
    "BRISQUE in masks": "pixels whose 9 x 9 neighbourhood lies inside the mask",
    "Pose MSE": f"mean squared distance of key points that both sides have, pixels with the longer side scaled to {POSE_SIDE}",
    "CLIP": "100 times the cosine; frame, body and background compare neighbouring frames",
    "cut-outs": "body: its bounding box with the background in mid-gray; background: the frame with the body in mid-gray",
}


@dataclass(frozen=True)
class VideoScores:
    """What was measured.

    Args:
        over_time: metric -> one value per frame (the first of a pair for metrics of neighbours); NaN where a frame has none.
        missing: metric -> why it was not measured.
        choices: what the paper leaves open.
        frames: number of frames.
    """

    over_time: dict[str, list[float]]
    missing: dict[str, str]
    frames: int
    choices: dict[str, str] = field(default_factory=lambda: dict(CHOICES))

    @property
    def means(self) -> dict[str, float | None]:
        """Metric -> its mean over the frames that have a value, in the paper's order; None where it was not measured."""
        return {name: _mean(self.over_time[name]) if name in self.over_time else None for name in METRICS}


def evaluate_video(frames: Tensor, masks: Tensor | None = None, wanted: Keypoints | None = None, found: Keypoints | None = None,
                   embed: Callable[[Tensor], Tensor] | None = None, text: Tensor | None = None, clip_name="", quality_every=1,
                   on_frame=None) -> VideoScores:
    """Measures a video.

    Args:
        frames: (B, H, W, 3) sRGB 0..1.
        masks: (B, H, W) or one for all, 1 where the person is.
        wanted, found: B rows of key points in one order: the pose that was asked for, and the one that a detector finds in the frame.
        embed: pictures (N, H, W, 3) -> CLIP embeddings (N, D).
        text: (1, D) CLIP embedding of the prompt.
        clip_name: of the CLIP, for the choices.
        quality_every: NIQE and BRISQUE look at every so many frames.
        on_frame: called with (frames done, all).

    Raises:
        InputError: there are no frames, or the inputs do not fit each other.
    """
    masks = _checked(frames, masks, wanted, found, quality_every)
    series: dict[str, list[float]] = {}
    previous = None
    for index in range(len(frames)):
        frame, mask = frames[index], None if masks is None else masks[index if len(masks) > 1 else 0]
        values = _quality(frame, mask) if index % quality_every == 0 else {}
        if index:
            values |= _difference(frames[index - 1], frame)
        if embed is not None:
            codes = _codes(frame, mask, embed)
            values |= _agreement(codes, previous, text)
            previous = codes
        _note(series, values, index)
        if on_frame is not None:
            on_frame(index + 1, len(frames))
    if wanted is not None and found is not None:
        series["Pose MSE"] = pose_errors(wanted, found).tolist()
    over_time = {name: _filled(series[name], len(frames)) for name in METRICS if name in series and not _empty(series[name])}
    choices = {**CHOICES, "models": ", ".join(f"{metric}: {name}" for metric, name in model_names().items())}
    choices |= {"CLIP model": clip_name} if embed is not None and clip_name else {}
    choices |= {"quality": f"NIQE and BRISQUE look at every {quality_every}th frame"} if quality_every > 1 else {}
    return VideoScores(over_time, _missing(over_time, masks, wanted, found, embed, text, len(frames)), len(frames), choices)


def pose_errors(wanted: Keypoints, found: Keypoints) -> Tensor:
    """(B,) mean squared distance of the points that both have, pixels of a picture whose longer side is 512; NaN where there are none."""
    scale = [POSE_SIDE / max(points.width, points.height) for points in (wanted, found)]
    both = (wanted.scores > 0) & (found.scores > 0)
    apart = (wanted.keypoints_2d * scale[0] - found.keypoints_2d.to(wanted.keypoints_2d) * scale[1]).square().sum(-1)
    return torch.where(both, apart, 0.0).sum(1) / both.sum(1)


def cut_out(frame: Tensor, mask: Tensor) -> tuple[Tensor | None, Tensor]:
    """(the body in its bounding box over mid-gray or None, the frame with the body in mid-gray), each (1, h, w, 3)."""
    inside = (mask > 0.5)[..., None]
    background = torch.where(inside, torch.full_like(frame, FILL), frame)[None]
    rows, columns = inside[..., 0].any(1).nonzero(), inside[..., 0].any(0).nonzero()
    if len(rows) == 0:
        return None, background
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return torch.where(inside[box], frame[box], torch.full_like(frame[box], FILL))[None], background


def _quality(frame, mask):
    values = {"BRISQUE frame": brisque(frame).value, "NIQE frame": niqe(frame).value}
    if mask is not None:
        for part, inside in (("body", mask), ("background", 1 - mask)):
            values |= {f"BRISQUE {part}": brisque(frame, inside).value, f"NIQE {part}": niqe(frame, inside).value}
    return values


def _difference(before, frame):
    apart = (_bytes(frame) - _bytes(before)).abs()
    return {"Frame L1": float(apart.mean()), "Frame MSE": float(apart.square().mean())}


def _codes(frame, mask, embed):
    """CLIP's unit vectors of the frame and its parts."""
    parts = {"frame": frame[None]}
    if mask is not None:
        body, background = cut_out(frame, mask)
        parts |= {"background": background} if body is None else {"body": body, "background": background}
    return {name: torch.nn.functional.normalize(embed(picture).float(), dim=-1)[0] for name, picture in parts.items()}


def _agreement(codes, previous, text):
    values = {}
    if text is not None:
        unit = torch.nn.functional.normalize(text.float(), dim=-1)[0].to(codes["frame"])
        values["CLIP text"] = 100 * float(codes["frame"] @ unit)
    for name in codes if previous else ():
        if name in previous:
            values[f"CLIP {name}"] = 100 * float(codes[name] @ previous[name])
    return values


def _note(series, values, index):
    for name, value in values.items():
        at = index - 1 if name in OF_NEIGHBOURS else index
        row = series.setdefault(name, [])
        row += [math.nan] * (at - len(row)) + [math.nan if value is None else value]


def _filled(row, length):
    return row + [math.nan] * (length - len(row))


def _empty(row):
    return all(math.isnan(value) for value in row)


def _mean(row):
    known = [value for value in row if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _bytes(frame):
    return (frame.clamp(0, 1) * 255).round()


def _missing(over_time, masks, wanted, found, embed, text, frames):
    reasons = {}
    for name in METRICS:
        if name in over_time:
            continue
        if name.startswith("CLIP") and embed is None:
            reasons[name] = "no CLIP is given"
        elif name == "CLIP text":
            reasons[name] = "no text is given"
        elif name.split()[-1] in ("body", "background") and masks is None:
            reasons[name] = "no masks are given"
        elif name == "Pose MSE":
            reasons[name] = "no key points are given" if wanted is None or found is None else "no point is on both sides"
        elif frames < 2 and name.split()[0] in ("Frame", "CLIP"):
            reasons[name] = "there is one frame only"
        else:
            reasons[name] = "there are too few pixels"
    return reasons


def _checked(frames, masks, wanted, found, quality_every):
    sizes = check_shape("frames", frames, "B H W 3")
    if sizes["B"] == 0:
        raise InputError("frames", 0, "cannot be measured", "Give at least one frame.")
    check_range("quality_every", quality_every, 1, 100_000)
    if masks is not None:
        check_shape("masks", masks, "B H W")
        if len(masks) not in (1, sizes["B"]) or masks.shape[1:] != frames.shape[1:3]:
            raise InputError("masks", f"{len(masks)} of {masks.shape[2]} x {masks.shape[1]}",
                             f"do not fit {sizes['B']} frames of {sizes['W']} x {sizes['H']}", "Give one mask, or one for each frame.")
    for name, points in (("given poses", wanted), ("found poses", found)):
        if points is not None and len(points) != sizes["B"]:
            raise InputError(name, f"{len(points)} people", f"do not fit {sizes['B']} frames", "Give one person per frame.")
    if wanted is not None and found is not None and wanted.order != found.order:
        raise InputError("found poses", found.order, f"are in another order than the given ones, {wanted.order}", "Use one order.")
    return masks
