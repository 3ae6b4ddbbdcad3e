"""Pairs in the layout that SPIN and the training codes after it read (Kolotouros et al. 2019; Weng et al. 2023, supplement B).

``NAME.npz`` holds one row per person: imgname, center (N, 2) pixels, scale (N,) in units of 200 pixels, part (N, 24, 3) keypoints in SPIN's
order with a visibility, pose (N, 72) rotvecs in camera axes, shape (N, 10), and beside SPIN's own fields the name of the body and the
picture's size. A crop is a square of ``200 * scale`` pixels around the centre, scaled to 224.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from ..assets.files import atomic_write
from ..bodies.joints import OPENPOSE18_NAMES
from ..checks import InputError, check_range, check_shape
from ..rotations import rotmat_to_rotvec
from .pairs import StoredPair, encode_png

CROP = 224
BOX_UNIT = 200.0  # pixels per unit of scale, as in MPII
TORSO_PART = 3.0  # the torso is a third of the crop
BOX_MARGIN = 1.2
SHAPES = 10
# SPIN's 24 annotated joints; those without a name here are in no OpenPose-18 skeleton and stay unseen.
SPIN_NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow", "right_shoulder",
    "left_shoulder", "left_elbow", "left_wrist", None, None, None, None, None, None, None, "nose", "left_eye", "right_eye", "left_ear",
    "right_ear",
)
_FROM_OPENPOSE = tuple(-1 if name is None else OPENPOSE18_NAMES.index(name) for name in SPIN_NAMES)
_TORSO = ((8, 2), (9, 3))  # right and left shoulder to hip


def spin_keypoints(keypoints_2d: Tensor, scores: Tensor) -> Tensor:
    """OpenPose-18 points (..., 18, 2) with scores (..., 18) to SPIN's part (..., 24, 3); unseen points are zero."""
    check_shape("keypoints_2d", keypoints_2d, "... 18 2")
    order = torch.tensor(_FROM_OPENPOSE, device=scores.device)
    points = torch.cat([keypoints_2d, scores[..., None]], -1)[..., order.clamp(min=0), :]
    seen = (order >= 0) & (points[..., 2] > 0) & torch.isfinite(points).all(-1)
    return torch.where(seen[..., None], torch.cat([points[..., :2], torch.ones_like(points[..., 2:])], -1), torch.zeros_like(points))


def person_box(part: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) pixels and scale (B,) of persons with part (B, 24, 3): the torso is a third of the crop, unless the rest would not fit.

    ``scale = max(3 * torso, 1.2 * box) / 200`` with the mean of the shoulder-to-hip distances that are seen.

    Raises:
        InputError: a person with fewer than two seen points.
    """
    seen = part[..., 2] > 0
    if not bool((seen.sum(-1) >= 2).all()):
        raise InputError("keypoints", int(seen.sum(-1).min()), "seen points are too few for a crop", "Leave out persons that are not seen.")
    low = torch.where(seen[..., None], part[..., :2], torch.inf).amin(-2)
    high = torch.where(seen[..., None], part[..., :2], -torch.inf).amax(-2)
    both = torch.stack([seen[..., a] & seen[..., b] for a, b in _TORSO], -1).to(part)
    length = torch.stack([(part[..., a, :2] - part[..., b, :2]).norm(dim=-1) for a, b in _TORSO], -1)
    torso = (length * both).sum(-1) / both.sum(-1).clamp(min=1)
    side = torch.maximum(TORSO_PART * torso, BOX_MARGIN * (high - low).amax(-1)).clamp(min=1.0)
    return (low + high) / 2, side / BOX_UNIT


def crop_person(image: Tensor, centre, scale, size=CROP) -> Tensor:
    """Cuts the square around a person out of a picture, black beyond its border.

    Args:
        image: (H, W, C).
        centre: (2,) pixels; scale: in units of 200 pixels.
        size: side of the result.

    Returns:
        (size, size, C).
    """
    check_range("crop size", size, 8, 4096, "pixels")
    (x, y), side = (float(value) for value in centre), float(scale) * BOX_UNIT
    planes = image.permute(2, 0, 1)[None].float()
    shrink = side / size
    if shrink > 1:  # far fewer pixels than there are: average first, or fine detail flickers
        height, width = (max(1, round(length / shrink)) for length in image.shape[:2])
        planes = interpolate(planes, (height, width), mode="bilinear", antialias=True, align_corners=False)
        x, y, side = x * width / image.shape[1], y * height / image.shape[0], side * width / image.shape[1]
    steps = (torch.arange(size, device=image.device, dtype=torch.float32) + 0.5) / size - 0.5
    u, v = x + steps * side, y + steps * side
    height, width = planes.shape[-2:]
    planes = pad(planes, (1, 1, 1, 1))  # so that the border fades to black instead of smearing
    grid = torch.stack(torch.broadcast_tensors((2 * (u + 1) / (width + 2) - 1)[None], (2 * (v + 1) / (height + 2) - 1)[:, None]), -1)
    return grid_sample(planes, grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0].permute(1, 2, 0)


def crop_keypoints(part: Tensor, centre: Tensor, scale: Tensor, size=CROP) -> Tensor:
    """Keypoints (..., 24, 3) from the picture's pixels to the crop's, -1..1 from edge to edge as SPIN trains on."""
    side = (scale * BOX_UNIT)[..., None, None]
    placed = 2 * (part[..., :2] - centre[..., None, :]) / side
    return torch.cat([placed, part[..., 2:]], -1)


def spin_row(pair: StoredPair) -> dict:
    """One person's row: center, scale, part, pose, shape.

    Raises:
        InputError: too few seen points, or more shape coefficients in use than SPIN's ten.
    """
    part = spin_keypoints(pair.keypoints.keypoints_2d, pair.keypoints.scores)
    centre, scale = person_box(part)
    root = pair.camera.R @ pair.pose.global_orient  # SPIN's bodies live in camera axes
    pose = torch.cat([rotmat_to_rotvec(root), rotmat_to_rotvec(pair.pose.body_pose).flatten(1), root.new_zeros(1, 6)], 1)
    return {"center": centre[0].numpy(), "scale": scale[0].numpy(), "part": part[0].numpy(), "pose": pose[0].numpy(), "shape": _ten(pair)}


def _ten(pair):
    shape = np.zeros(SHAPES, np.float32)
    if pair.pose.betas is not None:
        betas = pair.pose.betas[0].numpy()
        if np.any(betas[SHAPES:]):
            raise InputError("betas", len(betas), "coefficients are more than SPIN's ten", "Fit a body with ten shape coefficients.")
        shape[: min(SHAPES, len(betas))] = betas[:SHAPES]
    return shape


def export_spin(pairs, folder, name="pairs", crops=False):
    """Writes pairs as pictures and one npz.

    Args:
        pairs: any number of StoredPair, read one by one.
        folder: receives ``images/ID.png`` and ``NAME.npz``.
        crops: write the 224 x 224 crops instead of the whole pictures; centre, scale and keypoints then are those of the crops.

    Returns:
        (path of the npz, [(id, why it was left out), ...]).

    Raises:
        InputError: nothing could be exported, or a file cannot be written.
    """
    folder, rows, left_out = Path(folder), [], []
    for pair in pairs:
        try:
            row = spin_row(pair)
        except InputError as error:
            left_out.append((pair.id, str(error)))
            continue
        image = pair.image.float() / 255
        if crops:
            image = crop_person(image, row["center"], row["scale"])
            row = _in_crop(row)
        with atomic_write(folder / "images" / f"{pair.id}.png", "picture") as part:
            part.write_bytes(encode_png(image))
        size = np.array([image.shape[1], image.shape[0]])
        rows.append({"imgname": f"images/{pair.id}.png", **row, "size": size, "body": pair.about.get("body", {}).get("name", "")})
    if not rows:
        raise InputError("pairs", len(left_out), "pairs hold nothing to export", "Give at least one pair with a person in it.")
    arrays = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in rows[0]}
    path = folder / f"{name}.npz"
    with atomic_write(path, "SPIN file") as part, open(part, "wb") as file:
        np.savez(file, **arrays)
    return path, left_out


def _in_crop(row):
    factor = CROP / (float(row["scale"]) * BOX_UNIT)
    part = row["part"].copy()
    part[:, :2] = np.where(part[:, 2:] > 0, (part[:, :2] - row["center"]) * factor + CROP / 2, 0)
    return {**row, "part": part, "center": np.full(2, CROP / 2, np.float32), "scale": np.float32(CROP / BOX_UNIT)}
