"""The zero-shot dancing avatar as one job: a motion and a character become a film over one background."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..assets.search import locate
from ..avatars import load_avatar, retarget_pose
from ..bodies.body import load_body_model, place_on_floor, pose_body
from ..bodies.posture import heading
from ..checks import InputError, check_range
from ..compose.canvas import resize
from ..dancing_avatar.avatar_video import film
from ..dancing_avatar.background import Brush, Sampling, paint_plate
from ..dancing_avatar.shot import Shot, photo_shot, studio_shot
from ..motion import edit
from ..motion.load import load_motion
from ..ports import ImageDiffusion
from ..render.engine import render_figure
from ..rotations import rotation_about
from ..text_to_pose import load_text_to_pose, sample_poses
from ..text_to_pose.ranking import load_pose_scorer, rank_poses
from ..types import BodyPose
from .personalized_scene import personalize_scene
from .video_file import check_video_path, write_video

CANDIDATES = 5  # poses per sentence, of which the best is kept, as PAS does
CELL = 8  # sides of what an image model paints are multiples of this
NOBODY = "person, people, man, woman, human, character, figure"


@dataclass(frozen=True)
class Floor:
    """Where a motion stands in a photograph; see ``photo_shot``.

    Args:
        horizon: row of the horizon, 0 top to 1 bottom.
        feet_x, feet_y: the middle of its way, 0..1; ``feet_y`` None is the nearest place at which all of it is in the picture.
        camera_height: of the photographer, metres.
        fov: vertical opening angle, radians.
    """

    horizon: float = 0.4
    feet_x: float = 0.5
    feet_y: float | None = None
    camera_height: float = 1.6
    fov: float = math.radians(40)


def check_motion(motion, poses):
    """Raises InputError unless a motion file or sentences are given, not both."""
    if (motion is None) == (not poses):
        raise InputError("motion", motion, "is given together with poses, or neither is", "Give --motion or --poses.")


def split_sentences(text) -> list[str]:
    """The sentences of ``--poses``."""
    return [part.strip() for part in (text or "").split(";") if part.strip()]


def read_motion(body, motion=None, poses=None, fps=None, seconds=None, seed=0, on_stage=None) -> BodyPose:
    """The poses of a motion file, or of sentences, at ``fps`` frames per second and no longer than ``seconds``."""
    check_motion(motion, poses)
    if motion is not None:
        pose = motion_from_file(motion, body, fps)
    else:
        models = load_text_to_pose(locate("text_to_pose", None), body.device), load_pose_scorer(device=body.device)
        pose = motion_from_sentences(poses, body, *models, fps or edit.DEFAULT_FPS, seed=seed, on_stage=on_stage)
    return (pose if seconds is None else edit.trim(pose, 0, max(1, round(seconds * pose.fps)))).to(body.device)


def motion_from_file(path, body, fps=None) -> BodyPose:
    """A motion file's poses, facing the camera on average, at ``fps`` frames per second (None keeps its own).

    Raises:
        InputError: from ``load_motion`` and ``resample``.
    """
    pose, _ = load_motion(path, body)
    if not pose.fps:
        if len(pose) < 2:
            raise InputError("motion", path, "holds one pose", "Give a motion of at least two frames.")
        pose = replace(pose, fps=float(fps or edit.DEFAULT_FPS))
    return faced_forward(edit.resample(pose, fps) if fps else pose)


def motion_from_sentences(sentences, body, model, scorer, fps=30.0, seconds=0.8, hold=0.35, seed=0, on_stage=None) -> BodyPose:
    """A motion through the poses of several sentences, the best of five for each, its lowest point always on the floor.

    Args:
        sentences: at least two.
        body, model, scorer: from their loaders.
        fps: frames per second.
        seconds, hold: from one pose to the next, and at rest in each.
        seed: of the first candidate.
        on_stage: called with (stage, done, total).

    Raises:
        InputError: fewer than two sentences, or a number out of range.
    """
    if len(sentences) < 2:
        raise InputError("--poses", "; ".join(sentences), "names fewer than two poses", "Separate at least two sentences by semicolons.")
    report = on_stage or (lambda stage, done, total: None)
    poses = sample_poses(model, list(sentences), count=CANDIDATES, seed=seed, body=body, on_step=lambda i, n: report("poses", i, n))
    best = rank_poses(scorer, list(sentences), poses, body)[0][:, 0]
    first = torch.arange(len(sentences), device=best.device) * CANDIDATES
    motion = edit.between(poses[first + best], seconds, fps, hold=hold)
    return place_on_floor(body, motion)


def faced_forward(pose: BodyPose) -> BodyPose:
    """The motion turned about +Y so that it faces +Z on average."""
    angles = heading(pose.global_orient)
    turn = rotation_about("y", -torch.atan2(angles.sin().mean(), angles.cos().mean()))
    return replace(pose, global_orient=turn @ pose.global_orient, transl=pose.transl @ turn.mT)


def shot_of(pose: BodyPose, body, avatar, size, background=None, view="three-quarter", move="still", floor: Floor | None = None) -> Shot:
    """The avatar in a motion before a camera: that of the background's photographer, or one that sees an empty studio."""
    figure = retarget_pose(pose, body, avatar, refine=True)
    if background is None:
        return studio_shot(figure, *size, view=view, move=move, fps=pose.fps)
    place = floor or Floor()
    return photo_shot(figure, background.shape[2], background.shape[1], place.horizon, place.feet_x, place.feet_y, place.camera_height,
                      fov=place.fov, fps=pose.fps)


def paint_background(model: ImageDiffusion, shot: Shot, body_shot: Shot, text, negative="", side=512, sampling: Sampling | None = None,
                     engine="torch", on_step=None) -> Tensor:
    """One background for a whole shot, painted by an image model around the avatar, which is then painted out (PAS, then Dancing Avatar).

    Args:
        model: a text-to-image or an inpainting model.
        shot: B rows; the middle one is what the model sees.
        body_shot: the gray body in the same rows, before the same camera.
        text, negative: the scene, and what it shall not show.
        side: pixels, the model's resolution; the picture has the shot's proportions.
        sampling: seed, steps and guidance.
        engine: of the rendering.
        on_step: called with (done, total) in each of the two passes.

    Returns:
        (1, H, W, 3) of the shot's size.
    """
    sampling = sampling or Sampling()
    row = slice(len(shot) // 2, len(shot) // 2 + 1)
    camera = _painted_camera(shot.camera, side)
    avatar, gray = (render_figure(given[row], camera, kind, engine) for given, kind in ((shot, "avatar"), (body_shot, "gray")))
    scene = personalize_scene(model, avatar, gray, text, negative, seed=sampling.seed, steps=sampling.steps, guidance=sampling.guidance,
                              on_step=on_step)
    unwanted = ", ".join(filter(None, (negative, NOBODY)))
    plate = paint_plate(model, model.encode_text([text]), model.encode_text([unwanted]), scene, avatar.alpha.to(scene), sampling,
                        Brush(side // 16, side // 64), on_step)
    return resize(plate.permute(0, 3, 1, 2), shot.camera.height, shot.camera.width).permute(0, 2, 3, 1).clamp(0, 1)


def save_film(path, shot: Shot, fps, background=None, shadow=1.0, engine="torch", crf=17, metadata=None, on_frame=None) -> int:
    """Draws a shot and writes it, a few frames at a time; returns the number of frames.

    Raises:
        InputError: from ``film`` and ``write_video``.
    """
    frames = (pictures for pictures, _ in film(shot, background, shadow, engine, on_row=on_frame))
    return write_video(path, frames, fps, crf, metadata=metadata, name="--out")


def make_video(out, motion=None, poses=None, avatar=None, background: Tensor | None = None, text="", model: ImageDiffusion | None = None,
               size=(768, 768), fps=None, seconds=None, view="three-quarter", move="still", floor: Floor | None = None, shadow=1.0,
               engine="torch", crf=17, seed=0, steps=25, guidance=7.5, negative="", body_file=None, device="cpu", on_stage=None) -> dict:
    """A motion file or sentences, an avatar, and a background (given, painted, or a plain studio) -> a film.

    Args:
        out: the video file.
        motion: path of a motion file; or ``poses``: sentences that follow one another.
        avatar, body_file: paths, None for the bundled ones.
        background: (1, H, W, 3), which sets the size; or ``text`` with ``model``, which paints one; or neither.
        size: (width, height) without a background.
        fps: frames per second; None keeps the motion's own, and is 30 for sentences.
        seconds: of the motion to film, from its start; None is all of it.
        view, move: of the studio's camera.
        floor: where the motion stands in a background.
        shadow, engine, crf: see ``film`` and ``write_video``.
        seed, steps, guidance, negative: of the sampling.
        device: of the tensors.
        on_stage: called with (stage, done, total).

    Returns:
        {"video": path, "frames": number, "fps": rate, "size": [width, height]}.

    Raises:
        InputError: from each stage, and when the inputs exclude each other.
    """
    check_motion(motion, poses)
    if text and (background is not None or model is None):
        raise InputError("--text", text, "is given with a background, or without a model", "Give --text with --model, or --background.")
    check_video_path(out)
    report = on_stage or (lambda stage, done, total: None)
    body = load_body_model(locate("body_models", body_file), device)
    pose = read_motion(body, motion, poses, fps, seconds, seed, on_stage)
    # the camera
    shot = shot_of(pose, body, load_avatar(locate("avatars", avatar)), size, background, view, move, floor)
    # the background
    if text:
        gray = replace(shot, figure=pose_body(body, pose))
        background = paint_background(model, shot, gray, text, negative, sampling=Sampling(seed, steps, guidance), engine=engine,
                                      on_step=lambda i, n: report("background", i, n))
    # the film
    count = save_film(out, shot, pose.fps, background, shadow, engine, crf, {"comment": text or "; ".join(poses or ())},
                      lambda i, n: report("frames", i, n))
    return {"video": str(out), "frames": count, "fps": pose.fps, "size": [shot.camera.width, shot.camera.height]}


def shrink_picture(picture: Tensor, longest) -> Tensor:
    """A picture (1, H, W, 3) whose longer side is at most ``longest`` pixels, both sides even."""
    check_range("--size", longest, 16, 8192, "pixels")
    share = min(1.0, longest / max(picture.shape[1:3]))
    height, width = (max(2, round(side * share / 2) * 2) for side in picture.shape[1:3])
    return resize(picture.permute(0, 3, 1, 2), height, width).permute(0, 2, 3, 1).clamp(0, 1)


def _painted_camera(camera, side):
    """The same view in a picture of about ``side`` x ``side`` pixels, sides multiples of 8."""
    stretch = math.sqrt(camera.width / camera.height)
    width, height = (max(CELL, round(side * s / CELL) * CELL) for s in (stretch, 1 / stretch))
    across, down = width / camera.width, height / camera.height
    return replace(camera, fx=camera.fx * across, cx=camera.cx * across, fy=camera.fy * down, cy=camera.cy * down,
                   width=width, height=height)
