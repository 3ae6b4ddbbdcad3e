"""How much a picture looks like its references: CLIP-I and DINO, whole and part by part (Parts2Whole).

Both are the mean cosine of two pictures' embeddings; which one it is depends on the vision model that makes them. Parts are compared on
white, cut to their masks' boxes, so that neither background nor place counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..checks import InputError, check_shape


def image_similarity(embed: Callable, pictures: Tensor, references: Tensor) -> Tensor:
    """(B,) cosines of pictures (B, H, W, 3) and references (B or 1, H', W', 3) under ``embed``, (N, H, W, 3) -> (N, D)."""
    check_shape("pictures", pictures, "B H W 3")
    check_shape("references", references, "B H W 3")
    if len(references) not in (1, len(pictures)):
        raise InputError("references", len(references), f"do not fit {len(pictures)} pictures", "Give one, or one per picture.")
    return cosine_similarity(embed(pictures).float(), embed(references).float(), dim=-1)


def part_similarity(embed: Callable, picture: Tensor, picture_masks: dict[str, Tensor], references: Sequence[tuple[str, Tensor, Tensor]]):
    """{label: cosine} of a picture's parts and its references' parts; labels without a mask in the picture are left out.

    Args:
        embed: see ``image_similarity``.
        picture: (H, W, 3) 0..1.
        picture_masks: {label: (H, W)} 1 where the part is in the picture.
        references: (label, picture (H', W', 3), mask (H', W')); of several with one label the mean counts.

    Raises:
        InputError: a mask is empty or of another size.
    """
    found = {}
    for label, image, mask in references:
        if label in picture_masks:
            pair = [part_on_white(label, *given)[None] for given in ((picture, picture_masks[label]), (image, mask))]
            found.setdefault(label, []).append(float(cosine_similarity(embed(pair[0]).float(), embed(pair[1]).float(), dim=-1)[0]))
    return {label: sum(values) / len(values) for label, values in found.items()}


def part_on_white(label, picture: Tensor, mask: Tensor) -> Tensor:
    """The part alone on a white square (S, S, 3), S the longer side of its box."""
    if mask.shape != picture.shape[:2]:
        raise InputError(f"mask of {label!r}", tuple(mask.shape), f"has not its picture's size {tuple(picture.shape[:2])}", "Resize it.")
    rows, columns = ((mask > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
    if len(rows) == 0:
        raise InputError(f"mask of {label!r}", "empty", "shows no part", "Leave the part out.")
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    cut = torch.lerp(torch.ones_like(picture[window]), picture[window], mask[window][..., None].to(picture))
    side = max(cut.shape[:2])
    square = cut.new_ones(side, side, 3)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return square
