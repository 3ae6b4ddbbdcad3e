"""Diffusion-HPC, the whole of it (Weng et al. 2023, section 3.2): pictures are made, bodies found in them, hard poses painted again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.body import BodyModel, pose_body
from ..checks import InputError, check_shape
from ..ports import ImageDiffusion
from ..pose_correction.depth_to_image import (
    DEPTH_CHANNELS,
    PRESETS,
    DepthToImage,
    check_pictures,
    depth_channel,
    freshen_person,
)
from ..pose_correction.gate import THRESHOLD, Verdict, difficulty, judge, measure_framing
from ..pose_correction.occluded_depth import occluded_depth
from ..types import BodyPose, Camera

DEPTH_HINT = "depth"  # name of the ControlNet that reads depth, on models that are no depth-to-image models themselves


@dataclass(frozen=True)
class Correction:
    """What came of some pictures.

    Args:
        first: (N, H, W, 3) the first pictures.
        pictures: (N, H, W, 3) the same, with hard poses painted again.
        pose: (P) the bodies found; ``frame_index`` is their picture.
        camera: (P) through which they lie on the pictures.
        verdict: what the gate said.
        depth: (N, H, W) 0..1 body depth of each picture, near is bright; zero where nothing was corrected.
    """

    first: Tensor
    pictures: Tensor
    pose: BodyPose
    camera: Camera
    verdict: Verdict
    depth: Tensor


def generate_and_correct(first_model: ImageDiffusion, depth_model: ImageDiffusion, text, estimate, body: BodyModel, prior, count=1,
                         size=512, seed=0, steps=50, guidance=7.5, settings: DepthToImage = PRESETS["paper"], threshold=THRESHOLD,
                         **options) -> Correction:
    """A sentence becomes pictures, and those with hard poses are corrected.

    Args:
        first_model: any text-to-image model.
        depth_model, estimate, body, prior, settings, threshold, options: see ``correct_pictures``.
        text: what the pictures show.
        count: pictures.
        size: pixels of their side, a multiple of the model's cell.
        seed, steps, guidance: of the first pass.

    Raises:
        InputError: from the checks of each stage.
    """
    # step 1: the first picture
    latents = first_model.empty_latents(size, size).expand(count, -1, -1, -1)
    states, unwanted = first_model.encode_text([text] * count), first_model.encode_text([""] * count)
    first = first_model.decode(first_model.sample(states, unwanted, latents, seed=seed, steps=steps, guidance=guidance))
    return correct_pictures(first, depth_model, text, estimate, body, prior, settings, threshold, seed=seed, **options)


def correct_pictures(first: Tensor, depth_model: ImageDiffusion, text, estimate: Callable[[Tensor], tuple[BodyPose, Camera] | None],
                     body: BodyModel, prior, settings: DepthToImage = PRESETS["paper"], threshold=THRESHOLD, seed=0, occluders=None,
                     people=None, cut_off="pass through", on_step=None) -> Correction:
    """Corrects the pictures in which somebody has a hard pose; the others stay as they are, and cost no second pass.

    Args:
        first: (N, H, W, 3) sRGB 0..1, made or photographed.
        depth_model: a depth-to-image model (5 channels), or any with a ControlNet named "depth".
        text: what the pictures show; one text, or one for each.
        estimate: pictures -> bodies and camera, or None when nobody is there; ``frame_index`` of a row is its picture (equation 1).
        body: the body that the poses are for.
        prior: PosePrior of the gate.
        settings: of the second pass.
        threshold: tau of the gate; 0 corrects every picture with a body.
        seed: of the gate's draw and of the second pass.
        occluders: (N, H, W), 1 where something else is in front, or None.
        people: (N, H, W), 1 where people are, or None; with ``fresh_person`` they and the body are painted from plain noise.
        cut_off: "pass through" or "correct": what to do with bodies that are cut off or too close.
        on_step: called with (done, total) of the second pass.

    Raises:
        InputError: from the checks of each stage.
    """
    check_shape("pictures", first, "N H W 3")
    reads_depth = _check_model(depth_model)
    # step 2: bodies, and whether their poses are hard
    found = estimate(first)
    if found is None:
        return _untouched(first, cut_off)
    pose, camera = found
    scores = difficulty(prior, pose, seed)
    outside = measure_framing(pose, camera, body).cut_off()
    verdict = judge(scores, pose.frame_index, len(first), threshold, outside, cut_off)
    depth = torch.zeros(first.shape[:3], device=first.device)
    if not bool(verdict.correct.any()):
        return Correction(first, first, pose, camera, verdict, depth)
    # equations 2 and 3: their depth, cut by what is in front
    hard = verdict.correct.nonzero().flatten().tolist()
    chosen = [row for row, picture in enumerate(pose.frame_index.tolist()) if picture in hard]
    depth[hard] = body_depth(body, pose[chosen], camera[chosen], hard, occluders).to(depth)
    # step 3: the latents of the first picture, noised and painted again under depth and text (equations 4 to 6)
    texts = [text] * len(first) if isinstance(text, str) else list(text)
    mask = None if people is None else people[hard]
    again = paint_again(depth_model, first[hard], depth[hard], [texts[i] for i in hard], settings, seed, mask, reads_depth, on_step)
    pictures = first.clone()
    pictures[hard] = again.to(first)
    return Correction(first, pictures, pose, camera, verdict, depth)


def body_depth(body, pose, camera, pictures, occluders=None) -> Tensor:
    """(M, H, W) 0..1: the depth of everybody in each of the pictures, whose numbers are ``pose.frame_index``."""
    places = torch.tensor([pictures.index(i) for i in pose.frame_index.tolist()])
    return occluded_depth(pose_body(body, pose), camera, picture=places, pictures=len(pictures),
                          occluders=None if occluders is None else occluders[pictures])


def paint_again(model: ImageDiffusion, first: Tensor, depth: Tensor, texts, settings: DepthToImage, seed=0, people=None, reads_depth=True,
                on_step=None) -> Tensor:
    """The second pass: (M, H, W, 3) pictures with their depth (M, H, W) and texts -> the same, painted again."""
    check_pictures(first, depth, people, model.cell)
    latents = model.encode(first)
    if settings.fresh_person:
        person = depth.to(latents) > 0 if people is None else (depth.to(latents) > 0) | (people.to(latents) > 0.5)
        latents = freshen_person(latents, person.to(latents), lambda noise: noise / model.scale(torch.ones(1)).item(), seed)
    beside = depth_channel(depth, latents.shape[-2:]).to(latents) if reads_depth else None
    hints = None if reads_depth else {DEPTH_HINT: depth[..., None].expand(*depth.shape, 3)}
    wanted, unwanted = model.encode_text(texts), model.encode_text([settings.negative] * len(texts))
    painted = model.sample(wanted, unwanted, latents, beside=beside, seed=seed, steps=settings.steps, guidance=settings.guidance,
                           on_step=on_step, hints=hints, strength=settings.strength)
    return model.decode(painted)


def _check_model(model):
    """Whether the network itself reads depth."""
    if model.input_channels == DEPTH_CHANNELS:
        return True
    if DEPTH_HINT not in model.hint_channels:
        raise InputError("depth model", f"with {model.input_channels} input channels", "reads no depth",
                         "Use a depth-to-image model (5 channels), or add a ControlNet named 'depth'.")
    return False


def _untouched(first, cut_off):
    """Nobody was found."""
    none = torch.zeros(0, device=first.device)
    height, width = first.shape[1:3]
    camera = Camera(none, none, none, none, none.view(0, 3, 3), none.view(0, 3), width, height)
    verdict = judge(none, none.long(), len(first), THRESHOLD, None, cut_off)
    return Correction(first, first, BodyPose.rest(0, first.device), camera, verdict, torch.zeros(first.shape[:3], device=first.device))
