"""The frame loop (Dancing Avatar, "Overview"): poses become a video, one frame after the other.

Each frame is the plate with the person's region painted anew, led by the text, the pose map, and the frame before. A frame's key is made
from all it depends on, the keys of the frames that guide it included, so a finished frame is taken from the cache as long as nothing
before it in that chain has changed. Frames are rounded to 8 bit before they guide others: what the cache holds is what was used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from ..checks import InputError, check_shape
from ..ports import ImageDiffusion
from .background import Brush, Sampling, blend, check_cells, check_size, inpaint, paint_region, paint_whole
from .frame_cache import FrameCache, digest
from .previous_frame import GUIDE, PLAIN, WITH_FLOW, Guidance, guide_picture, hold_colours

POSE = "pose"  # name of the pose ControlNet among the model's hints
FORMAT = 1  # of the keys; a change of what a frame is made from needs another


@dataclass(frozen=True)
class FrameSources:
    """What the frames are painted from.

    Args:
        pose_maps: (N, H, W, 3), one per frame.
        plate: (1, H, W, 3), or N rows for a moving background; None paints every frame whole.
        masks: (N, H, W) or one row for all, 1 where the person is; a frame whose mask is empty is the plate.
        anchor: (1, H, W, 3) a picture of the person that guides frame 0 and every re-anchored one; None takes frame 0.
        motion: (N, H, W, 3) pictures of the motion, for a previous-frame ControlNet that reads optical flow.
    """

    pose_maps: Tensor
    plate: Tensor | None = None
    masks: Tensor | None = None
    anchor: Tensor | None = None
    motion: Tensor | None = None

    def __len__(self):
        return len(self.pose_maps)

    def check(self, cell: int):
        """Checks what cannot be painted.

        Raises:
            InputError: no frames, other sizes or lengths, plate without masks or the reverse, masks that show nobody in any frame.
        """
        check_shape("pose maps", self.pose_maps, "N H W 3")
        if len(self) == 0:
            raise InputError("pose maps", 0, "frames make no video", "Give at least one pose.")
        check_cells("pose maps", self.pose_maps, cell)
        for name, given, pattern in (("plate", self.plate, "N H W 3"), ("masks", self.masks, "N H W"), ("motion", self.motion, "N H W 3"),
                                     ("anchor", self.anchor, "1 H W 3")):
            if given is not None:
                check_shape(name, given, pattern)
                check_size(name, given, self.pose_maps)
        for name, given, one_for_all in (("plate", self.plate, True), ("masks", self.masks, True), ("motion", self.motion, False)):
            if given is not None and len(given) != len(self) and not (one_for_all and len(given) == 1):
                raise InputError(name, len(given), f"frames do not match the {len(self)} pose maps",
                                 "Give one per pose map" + (", or one for all." if one_for_all else "."))
        if (self.plate is None) != (self.masks is None):
            lacking, there = ("masks", "plate") if self.masks is None else ("plate", "masks")
            raise InputError(lacking, None, f"must be given together with the {there}", "Connect both, or neither to paint frames whole.")
        if self.masks is not None and not bool((self.masks > 0.5).any()):
            raise InputError("masks", "empty", "show nobody in any frame", "Give masks that are 1 where the person is.")

    def row(self, name, index) -> Tensor | None:
        """The row (1, ...) of an input that belongs to a frame."""
        given = getattr(self, name)
        if given is None:
            return None
        # Contiguous, because convolutions round differently for other memory layouts, and a rerun shall give the same bits.
        return (given if len(given) == 1 else given[index : index + 1]).contiguous()


@dataclass(frozen=True)
class LoopSettings:
    """How the frames are painted."""

    sampling: Sampling = field(default_factory=Sampling)
    brush: Brush = field(default_factory=Brush)
    guidance: Guidance = field(default_factory=Guidance)


@dataclass(frozen=True)
class Frame:
    """A finished frame.

    Args:
        index: its number.
        picture: (H, W, 3) on the CPU; the plate's own numbers outside the person's region, 8 bit steps inside.
        kept: it came from the cache.
    """

    index: int
    picture: Tensor
    kept: bool


@dataclass(frozen=True)
class _Guide:
    """What guides a frame: a picture with its mask (None: of a given anchor), the index of its motion picture, and its key."""

    picture: Tensor
    mask: Tensor | None
    index: int
    key: str


def paint_frames(model: ImageDiffusion, positive, negative, sources: FrameSources, settings: LoopSettings = LoopSettings(),
                 cache: FrameCache | None = None, identity: str = "", on_step=None) -> Iterator[Frame]:
    """Paints the frames in order, each handed out as soon as it is finished.

    Args:
        model: its ControlNets named "pose" and "previous frame" lead the frames; without them the loop does without.
        positive, negative: text for ``model.sample``, encoded once for all frames.
        sources, settings: see their classes.
        cache: where finished frames are kept and looked for; None paints all.
        identity: what the model, its ControlNets and the texts are, for the keys of the cache.
        on_step: called with (steps done, steps of all frames).

    Yields:
        Frame. Memory does not grow with their number.

    Raises:
        InputError: from ``FrameSources.check``; a ControlNet that needs flow without pictures of the motion; a full disk.
    """
    channels = check_loop(model, sources)
    painter = _Painter(model, positive, negative, sources, settings, channels)
    common = digest(FORMAT, identity, asdict(settings.sampling), asdict(settings.brush),
                    *(given for given in (sources.plate,) if given is not None and len(given) == 1))
    given, first, before = _given_anchor(sources), None, None
    for index in range(len(sources)):
        guide = _guide_of(index, settings.guidance, given or first, before) if channels else None
        key = _frame_key(common, sources, index, guide, first, settings.guidance, channels)
        stored = cache.get(key) if cache else None
        report = _frame_report(on_step, index, len(sources), settings.sampling.steps)
        painted = painter.paint(index, guide, first, report) if stored is None else stored
        if cache and stored is None:
            cache.put(key, painted)
        picture = painter.over_plate(index, painted)
        before = _Guide(picture[None], painter.mask(index), index, key)
        first = first or before
        report(1, 1)
        yield Frame(index, picture, stored is not None)


def check_loop(model: ImageDiffusion, sources: FrameSources):
    """Checks all that can be known before the first frame; returns the channels of the previous-frame ControlNet, or None without one.

    Raises:
        InputError: see ``FrameSources.check``; a ControlNet that reads other channels, or flow without pictures of the motion.
    """
    sources.check(model.cell)
    if model.hint_channels.get(POSE, PLAIN) != PLAIN:
        raise InputError(f"{POSE} ControlNet", f"reads {model.hint_channels[POSE]} channels", "does not read pose maps",
                         "Connect it as the previous frame's, or load one for OpenPose.")
    channels = model.hint_channels.get(GUIDE)
    if channels is not None and channels != PLAIN and (channels != WITH_FLOW or sources.motion is None):
        guide_picture(sources.pose_maps[:1], channels)  # says what is wrong
    return channels


def _guide_of(index, guidance, anchor, before):
    return anchor if guidance.from_anchor(index) else before


class _Painter:
    """Paints single frames; what all frames share is made when it is first needed."""

    def __init__(self, model, positive, negative, sources, settings, channels):
        self.model, self.texts, self.sources, self.settings = model, (positive, negative), sources, settings
        self.channels, self.plate_latents, self.last_region = channels, None, (None, None)

    def paint(self, index, guide, first, on_step) -> Tensor:
        """The frame (H, W, 3) uint8."""
        hints = {POSE: self.sources.row("pose_maps", index)} if POSE in self.model.hint_channels else {}
        if guide is not None:
            hints[GUIDE] = self.guide_picture(index, guide, first)
        sampling, plate = self.settings.sampling, self.sources.row("plate", index)
        if plate is None:
            height, width = self.sources.pose_maps.shape[1:3]
            return to_bytes(paint_whole(self.model, *self.texts, height, width, sampling, hints, on_step)[0])
        region = self.region(index)
        if not bool(region.grown.any()):
            return to_bytes(plate[0])
        return to_bytes(inpaint(self.model, *self.texts, plate, region, sampling, hints, on_step, self.latents_of(plate))[0])

    def guide_picture(self, index, guide, first):
        picture = guide.picture
        if guide.mask is not None and guide is not first:
            picture = hold_colours(picture, guide.mask, first.picture, first.mask, self.settings.guidance.colour_hold)
        motion = self.sources.motion
        pair = (None, None) if motion is None else (motion[guide.index : guide.index + 1], motion[index : index + 1])
        return guide_picture(picture, self.channels, *pair)

    def latents_of(self, plate):
        """One VAE pass for a plate that all frames share."""
        if len(self.sources.plate) > 1:
            return self.model.encode(plate)
        if self.plate_latents is None:
            self.plate_latents = self.model.encode(plate)
        return self.plate_latents

    def region(self, index):
        if self.last_region[0] != index:
            self.last_region = index, paint_region(self.sources.row("masks", index), self.settings.brush)
        return self.last_region[1]

    def mask(self, index):
        """(1, H, W) where the person is; everywhere when frames are painted whole."""
        mask = self.sources.row("masks", index)
        return torch.ones_like(self.sources.pose_maps[:1, ..., 0]) if mask is None else (mask > 0.5).float()

    def over_plate(self, index, painted) -> Tensor:
        """The finished frame (H, W, 3): the plate's own numbers where nothing was painted."""
        picture, plate = painted.float().div(255), self.sources.row("plate", index)
        if plate is None:
            return picture
        touched = (self.region(index).alpha > 0).float()
        return blend(plate.float().cpu(), picture[None], touched.cpu())[0].contiguous()


def to_bytes(picture: Tensor) -> Tensor:
    """0..1 -> uint8 on the CPU, rounded and contiguous: a frame from the cache must not differ even in its memory layout."""
    return picture.float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu().contiguous()


def _given_anchor(sources):
    if sources.anchor is None:
        return None
    return _Guide(sources.anchor.contiguous(), None, 0, digest(sources.anchor))


def _frame_key(common, sources, index, guide, first, guidance, channels):
    """What a frame depends on, the frames behind it included."""
    rows = [sources.row("pose_maps", index), sources.row("masks", index)]
    if sources.plate is not None and len(sources.plate) > 1:
        rows.append(sources.row("plate", index))
    parts = [common, *(row for row in rows if row is not None)]
    if guide is not None:
        parts += ["guided by", guide.key]
        if guidance.colour_hold and guide.mask is not None and guide is not first:
            parts += ["held to", first.key, guidance.colour_hold]
        if channels != PLAIN and sources.motion is not None:
            parts += [sources.row("motion", guide.index), sources.row("motion", index)]
    return digest(*parts)


def _frame_report(on_step, index, frames, steps):
    """A callback for the steps of one frame that tells the steps of all."""
    if on_step is None:
        return lambda done, total: None
    return lambda done, total: on_step(index * steps + done * steps // max(total, 1), frames * steps)
