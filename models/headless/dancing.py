"""Dancing Avatar as one job ("Overview of Dancing Avatar"): texts, pose maps and masks become the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from torch import Tensor

from ..bodies.body import pose_body
from ..dancing_avatar.background import Brush, paint_plate, paint_whole
from ..dancing_avatar.frame_cache import FrameCache, digest
from ..dancing_avatar.frame_loop import POSE, Frame, FrameSources, LoopSettings, paint_frames
from ..ports import ImageDiffusion
from ..render.camera import frame_figure
from ..render.engine import render_figure
from ..render.pose_map import draw_pose_map, project_keypoints

PLATE_BRUSH = Brush(24, 16)  # wider than the frames': the character's shadow goes too


@dataclass(frozen=True)
class DanceTexts:
    """What is painted.

    Args:
        person: the character in the scene, with the words of both prompts for clothes and face.
        background: the scene alone.
        negative: what shall not be seen.
    """

    person: str
    background: str
    negative: str = ""


@dataclass(frozen=True)
class Dance:
    """A dance to be painted.

    Args:
        texts: DanceTexts.
        pose_maps: (N, H, W, 3).
        masks: (N, H, W), 1 where the person is: rendered silhouettes, or ``masks_by_generation``.
        plate: (1, H, W, 3) the background without anybody; None paints one.
        motion: see ``FrameSources``.
    """

    texts: DanceTexts
    pose_maps: Tensor
    masks: Tensor
    plate: Tensor | None = None
    motion: Tensor | None = None


@dataclass(frozen=True)
class DanceSettings:
    """How it is painted, and what the model is, for the keys of the cache."""

    loop: LoopSettings = field(default_factory=LoopSettings)
    identity: str = ""


def dance_sources(body, pose, size, view="front", margin=0.15, on_step=None):
    """What a motion says about the pictures, drawn before one still camera that sees all of it.

    Args:
        body: BodyModel.
        pose: N poses.
        size: (width, height), multiples of 8.
        view: see ``frame_figure``.
        margin: share of the picture that stays free around the motion, for hair and clothes.
        on_step: called with (done, total).

    Returns:
        (pose maps (N, H, W, 3), masks (N, H, W), pictures of the gray body (N, H, W, 3)), on the CPU.
    """
    figure = pose_body(body, pose)
    camera = frame_figure(figure, *size, view=view, margin=margin, shared=True)
    gray = render_figure(figure, camera, on_row=on_step)
    pose_maps = draw_pose_map(project_keypoints(figure, camera, gray.depth))
    return pose_maps.cpu(), gray.alpha.cpu(), gray.rgb.cpu()


def paint_dance(model: ImageDiffusion, dance: Dance, settings: DanceSettings = DanceSettings(), cache: FrameCache | None = None,
                on_stage=None) -> Iterator[Frame]:
    """Paints the plate, if none is given, and then the frames in order.

    Args:
        model: with ControlNets "pose" and "previous frame", either or none; the intra-frame modules are in it already.
        dance, settings: see their classes.
        cache: of finished frames.
        on_stage: called with (stage, done, total).

    Yields:
        Frame.

    Raises:
        InputError: from the checks of each stage.
    """
    report = (lambda stage: None) if on_stage is None else (lambda stage: lambda done, total: on_stage(stage, done, total))
    person, negative = (model.encode_text([text]) for text in (dance.texts.person, dance.texts.negative))
    sources = FrameSources(dance.pose_maps, dance.plate, dance.masks, motion=dance.motion)
    if dance.plate is None:
        sources = FrameSources(dance.pose_maps, paint_background(model, dance, settings, person, negative, report), dance.masks,
                               motion=dance.motion)
    identity = digest(settings.identity, *asdict(dance.texts).values()) if settings.identity else ""
    yield from paint_frames(model, person, negative, sources, settings.loop, cache if identity else None, identity, report("frames"))


def paint_background(model, dance: Dance, settings, person, negative, report) -> Tensor:
    """The character in its first pose on the background, and then the background without the character, (1, H, W, 3)."""
    FrameSources(dance.pose_maps, dance.pose_maps[:1], dance.masks, motion=dance.motion).check(model.cell)
    hints, sampling = {POSE: dance.pose_maps[:1]} if POSE in model.hint_channels else {}, settings.loop.sampling
    picture = paint_whole(model, person, negative, *dance.pose_maps.shape[1:3], sampling, hints, report("character"))
    empty_scene = model.encode_text([dance.texts.background])
    return paint_plate(model, empty_scene, negative, picture.cpu(), dance.masks[:1], sampling, PLATE_BRUSH, report("background"))
