"""How faithful a scene is to its avatar (PAS, section 4.2): kept pixels, invented bodies, and agreement with the text."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..checks import InputError, check_shape
from ..ports import ImageTextSimilarity, PoseDetector, Segmenter

SOLID = 1 - 1e-4
BORDER = 0.02  # of the picture's larger side: how far from the avatar something still counts as the avatar
LIMB_SCORE = 0.3  # detector confidence from which a point counts


def exact_pixel_share(scenes: Tensor, rgb: Tensor, alpha: Tensor) -> Tensor:
    """Share of the avatar's solid pixels that the scene shows to the last bit of 8, (B,). NaN where nothing is solid.

    Args:
        scenes: (B, H, W, 3).
        rgb, alpha: (B, H, W, 3), (B, H, W) of the avatar.
    """
    sizes = check_shape("scenes", scenes, "B H W 3")
    check_shape("avatar", rgb, "B H W 3", **sizes)
    check_shape("alpha", alpha, "B H W", **sizes)
    same = ((scenes * 255).round() == (rgb * 255).round()).all(-1)
    solid = alpha >= SOLID
    return (same & solid).sum((1, 2)) / solid.sum((1, 2))


def grow(alpha: Tensor, border=BORDER) -> Tensor:
    """The avatar's region (H, W) bool, widened by a share of the picture's larger side."""
    reach = max(1, round(border * max(alpha.shape)))
    return max_pool2d((alpha > 0.5).float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0


def invented_body(scene: Tensor, alpha: Tensor, detector: PoseDetector | None = None,
                  segmenter: Segmenter | None = None) -> dict[str, float]:
    """What a scene shows of bodies outside the avatar.

    Args:
        scene: (H, W, 3).
        alpha: (H, W) of the avatar.
        detector: for ``extra_limbs`` (body points outside the avatar of people who overlap it) and ``extra_people``.
        segmenter: for ``person_outside`` (share of the picture outside the avatar that is a person's); without a detector also for
            ``extra_people``.

    Returns:
        The measures that the given ports allow.

    Raises:
        InputError: neither is given.
    """
    if detector is None and segmenter is None:
        raise InputError("detector", None, "and segmenter are both missing", "Give at least one of them.")
    inside, found = grow(alpha), {}
    if segmenter is not None:
        masks = segmenter.person_masks(scene) > 0.5
        outside = masks.any(0) & ~inside if len(masks) else torch.zeros_like(inside)
        found["person_outside"] = outside.float().mean().item()
        found["extra_people"] = float(sum(bool((mask & inside).sum() < 0.5 * mask.sum()) for mask in masks))
    if detector is not None:
        people = detector.people(scene)
        within = _inside(people.keypoints_2d, inside)
        seen = people.scores > LIMB_SCORE
        belongs = (within & seen).sum(1) >= 0.5 * seen.sum(1)
        found["extra_limbs"] = float((seen & ~within)[belongs].sum())
        found["extra_people"] = float((~belongs & seen.any(1)).sum())
    return found


def _inside(points, region):
    x, y = points.round().long().unbind(-1)
    height, width = region.shape
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return there & region[y.clamp(0, height - 1), x.clamp(0, width - 1)]


def hallucination_rate(measures: list[dict[str, float]], outside=0.01) -> float:
    """Share of scenes with an extra person, an extra limb, or more than ``outside`` of the picture taken by a person."""
    if not measures:
        raise InputError("scenes", 0, "are too few to count", "Give at least one.")
    bad = [m.get("extra_people", 0) > 0 or m.get("extra_limbs", 0) > 0 or m.get("person_outside", 0) > outside for m in measures]
    return sum(bad) / len(bad)


def mean_similarity(scenes: Tensor, texts, clip: ImageTextSimilarity) -> float:
    """CLIPSIM: the mean cosine between scenes (B, H, W, 3) and their texts."""
    if len(texts) != len(scenes):
        raise InputError("texts", len(texts), f"do not match {len(scenes)} scenes", "Give one text per scene.")
    return clip.similarity(scenes, list(texts)).mean().item()
