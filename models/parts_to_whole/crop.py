"""Cutting a reference to its part, so that a small face in a large picture gets as many tokens as a portrait."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..checks import InputError, check_shape

NOSE, RIGHT_EYE, LEFT_EYE = 0, 14, 15  # OpenPose-18
FACE_SIDE = 5.0  # a face with its hair, in distances between the eyes
FACE_DROP = 0.6  # the middle of the face lies so far below the eyes, in the same unit
MASK_MARGIN = 0.1  # of the part's longer side


def crop_to_mask(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The part's bounding box with a margin, cut out of image (H, W, 3 or 4) and mask (H, W).

    Raises:
        InputError: the mask is empty.
    """
    seen = mask > 0.5
    if not seen.any():
        raise InputError("mask", "empty", "shows no part to crop to", "Connect a mask that is 1 where the part is.")
    rows, columns = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
    low, high = (int(rows.min()), int(columns.min())), (int(rows.max()) + 1, int(columns.max()) + 1)
    margin = round(MASK_MARGIN * max(high[0] - low[0], high[1] - low[1]))
    window = tuple(slice(max(0, start - margin), end + margin) for start, end in zip(low, high))
    return image[window], mask[window]


def align_face(image: Tensor, mask: Tensor, points: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """A square around a face with its eyes level, white beyond the picture.

    Args:
        image: (H, W, 3).
        mask: (H, W).
        points: (18, 2) OpenPose points in pixels.
        scores: (18,) 0 where a point was not seen.

    Raises:
        InputError: not both eyes are seen.
    """
    check_shape("face points", points, "18 2")
    if not bool((scores[[RIGHT_EYE, LEFT_EYE]] > 0).all()):
        raise InputError("pose_keypoint", "without both eyes", "cannot level the face", "Crop to the mask instead.")
    right, left = points[RIGHT_EYE], points[LEFT_EYE]
    across = left - right  # the person's left eye is on the picture's right
    if across[0] < 0:
        raise InputError("pose_keypoint", "seen from behind", "shows no face", "Crop to the mask instead.")
    down = torch.stack([-across[1], across[0]])
    side = max(8, round(FACE_SIDE * float(across.norm())))
    offsets = (torch.arange(side, dtype=torch.float32, device=image.device) + 0.5) / side - 0.5
    middle = (left + right) / 2 + FACE_DROP * down
    places = middle + FACE_SIDE * (offsets[None, :, None] * across + offsets[:, None, None] * down)
    size = torch.tensor([image.shape[1], image.shape[0]], dtype=torch.float32, device=image.device)
    stack = torch.cat([1 - image, mask[..., None]], -1).permute(2, 0, 1)[None]
    cut = grid_sample(stack.float(), (places / size * 2 - 1)[None], align_corners=False)[0].permute(1, 2, 0)
    return 1 - cut[..., :3], cut[..., 3]
