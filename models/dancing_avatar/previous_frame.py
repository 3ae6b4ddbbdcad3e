"""Inter-frame alignment (Dancing Avatar, "Inter-Frame Alignment"): the frame before guides the next one through a ControlNet.

Which frame guides which -> its colours are held near those of frame 0 -> the picture in the channels that the ControlNet reads: three (the
frame; TemporalNet and the module that ``models/training/train_previous_frame.py`` trains) or six (the frame and the optical flow drawn in
colours; TemporalNet2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import InputError, check_range

GUIDE = "previous frame"  # name of the ControlNet among the model's hints
PLAIN, WITH_FLOW = 3, 6  # channels
WIDEST_SPREAD = 2.0  # a channel's contrast is changed by this factor at most: more would amplify noise
# Lengths of the arcs of Middlebury's colour wheel (Baker et al. 2011): red-yellow-green-cyan-blue-magenta-red.
WHEEL_ARCS = (15, 6, 4, 11, 13, 6)
WHEEL_ENDS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0))


@dataclass(frozen=True)
class Guidance:
    """How frames hold on to one another.

    Args:
        reanchor_every: each so many frames the anchor guides instead of the frame before, which cuts accumulated errors; 0 never, 1 always.
        colour_hold: how far the guide's colours inside the person go back to those of frame 0, 0 not at all, 1 wholly.
    """

    reanchor_every: int = 0
    colour_hold: float = 0.0

    def __post_init__(self):
        check_range("reanchor every", self.reanchor_every, 0, 1_000_000, "frames")
        check_range("colour hold", self.colour_hold, 0.0, 1.0)

    def from_anchor(self, index) -> bool:
        """Whether the anchor guides frame ``index``; else the frame before does. Frame 0 has only the anchor, if one is given."""
        return index == 0 or (self.reanchor_every > 0 and index % self.reanchor_every == 0)


def guide_picture(frame: Tensor, channels: int = PLAIN, before: Tensor | None = None, now: Tensor | None = None) -> Tensor:
    """The picture that a previous-frame ControlNet reads.

    Args:
        frame: (1, H, W, 3) the frame that guides.
        channels: 3, or 6 for a ControlNet that reads the motion as well.
        before, now: (1, H, W, 3) pictures of the motion at the guiding frame and at this one: rendered bodies, or a template video.

    Returns:
        (1, H, W, channels), 0..1.

    Raises:
        InputError: another number of channels, or six without pictures of the motion.
    """
    if channels == PLAIN:
        return frame
    if channels != WITH_FLOW:
        raise InputError(f"{GUIDE} ControlNet", f"reads {channels} channels", "is of an unexpected kind",
                         "Use one that reads the previous frame (3 channels), or the frame and its flow (6).")
    if before is None or now is None:
        raise InputError("motion", None, "are needed by a ControlNet that reads optical flow",
                         "Connect pictures of the motion, for example gray bodies, one per frame.")
    flow = flow_to_rgb(optical_flow(before[0], now[0]))
    return torch.cat([frame, flow[None].to(frame)], -1)


def optical_flow(before: Tensor, now: Tensor) -> Tensor:
    """Dense optical flow from one picture (H, W, 3) to the next by OpenCV's DIS (Kroeger et al. 2016), (H, W, 2) pixels, x then y.

    Raises:
        InputError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise InputError("optical flow", "OpenCV", "is not installed", "Run: pip install opencv-python") from None
    gray = [(picture.float().mean(-1).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy() for picture in (before, now)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)
    return torch.from_numpy(flow)


def flow_to_rgb(flow: Tensor) -> Tensor:
    """Flow (H, W, 2) in Middlebury's colours, (H, W, 3) 0..1: hue is the direction, saturation the length over the longest.

    A still pixel is white.
    """
    length = flow.norm(dim=-1)
    x, y = (flow / length.max().clamp(min=1e-6)).unbind(-1)
    wheel = _wheel()
    place = (torch.atan2(-y, -x) / math.pi + 1) / 2 * (len(wheel) - 1)
    low = place.floor().long().clamp(0, len(wheel) - 1)
    colour = torch.lerp(wheel[low], wheel[(low + 1) % len(wheel)], (place - low)[..., None])
    return (1 - torch.hypot(x, y).clamp(max=1)[..., None] * (1 - colour)).clamp(0, 1)  # rounding can leave the longest above 1


def _wheel():
    """(55, 3) colours around the wheel."""
    ends = torch.tensor(WHEEL_ENDS, dtype=torch.float32)
    arcs = [torch.lerp(ends[i], ends[i + 1], torch.arange(n)[:, None] / n) for i, n in enumerate(WHEEL_ARCS)]
    return torch.cat(arcs)


def hold_colours(frame: Tensor, mask: Tensor, first: Tensor, first_mask: Tensor, strength: float) -> Tensor:
    """Moves the person's colours towards those of the first frame: mean and spread of each channel (Reinhard et al. 2001, in RGB).

    Args:
        frame, first: (1, H, W, 3).
        mask, first_mask: (1, H, W), 1 where the person is.
        strength: 0 returns the frame bit by bit, 1 takes the first frame's mean and spread.

    Returns:
        (1, H, W, 3), unchanged outside the mask.
    """
    if strength == 0 or not bool(mask.any()) or not bool(first_mask.any()):
        return frame
    mean, spread = _statistics(frame, mask)
    wanted_mean, wanted_spread = _statistics(first, first_mask)
    gain = (wanted_spread / spread.clamp(min=1e-4)).clamp(1 / WIDEST_SPREAD, WIDEST_SPREAD)
    moved = ((frame - mean) * gain + wanted_mean).clamp(0, 1)
    return torch.lerp(frame, moved, strength * mask[..., None].to(frame))


def _statistics(picture, mask):
    """Mean and standard deviation (1, 1, 1, 3) inside a mask."""
    weight = mask[..., None].to(picture)
    total = weight.sum((1, 2), keepdim=True)
    mean = (picture * weight).sum((1, 2), keepdim=True) / total
    return mean, ((picture - mean).square() * weight).sum((1, 2), keepdim=True).div(total).sqrt()
