"""Crops of people with what is known about their bodies, from files in SPIN's layout (``contrapposto pairs-export``, or any SPIN .npz)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ...assets.files import read_npz
from ...checks import InputError, numbers_of
from ...pose_correction.spin_export import CROP, SHAPES, crop_keypoints, crop_person
from ...rotations import rotation_about, rotvec_to_rotmat
from .person_images import read_pixels

POSE_NUMBERS = 72


@dataclass(frozen=True)
class CropBatch:
    """B crops.

    Args:
        images: (B, 3, 224, 224) sRGB 0..1.
        part: (B, 24, 3) SPIN's points, -1..1 from edge to edge, and whether they are annotated.
        root, body_pose: (B, 3, 3) and (B, 21, 3, 3), camera axes; identity where unknown.
        betas: (B, 10); zero where unknown.
        known: (B,) 1 where the body is known (synthetic pairs), 0 where only the points are (real pictures).
    """

    images: Tensor
    part: Tensor
    root: Tensor
    body_pose: Tensor
    betas: Tensor
    known: Tensor

    def to(self, device):
        return CropBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class BodyCrops:
    """The rows of one SPIN file.

    Args:
        path: the .npz.
        images: folder that ``imgname`` is relative to; None takes the file's own folder.
        bodies: whether pose and shape are truth (synthetic pairs); False uses the points alone.

    Raises:
        InputError: an array lacks, or its rows do not fit.
    """

    def __init__(self, path, images=None, bodies=True):
        arrays = read_npz(path, "SPIN file")
        wanted = ["imgname", "center", "scale", "part"] + (["pose", "shape"] if bodies else [])
        missing = [name for name in wanted if name not in arrays]
        if missing:
            only_points = set(missing) <= {"pose", "shape"}
            remedy = "Use it as real data." if only_points else "Make it with `contrapposto pairs-export`."
            raise InputError("SPIN file", path, f"has no {', '.join(missing)}", remedy)
        rows = len(np.atleast_1d(arrays["imgname"]))
        if rows == 0 or any(arrays[name].shape[:1] != (rows,) for name in wanted) or arrays["part"].shape[1:] != (24, 3):
            raise InputError("SPIN file", path, "holds nothing, or arrays of different length", "Make it again.")
        self.folder, self.bodies = Path(images) if images else Path(path).parent, bodies
        self.names = [str(name) for name in arrays["imgname"]]
        numbers = {name: numbers_of(f"SPIN file: {name}", arrays[name], path, "Make it again.") for name in wanted[1:]}
        self.numbers = {name: torch.from_numpy(array) for name, array in numbers.items()}

    def __len__(self):
        return len(self.names)

    def row(self, i, turn=0.0) -> CropBatch:
        """One crop, turned by ``turn`` radians in the picture together with its points and its body."""
        centre, scale = self.numbers["center"][i], self.numbers["scale"][i]
        image = crop_person(read_pixels(self.folder / self.names[i], "RGB"), centre, scale).permute(2, 0, 1)[None]
        part = crop_keypoints(self.numbers["part"][i][None], centre[None], scale[None])
        root, body_pose, betas = torch.eye(3)[None], torch.eye(3).expand(1, 21, 3, 3), torch.zeros(1, SHAPES)
        if self.bodies:
            rotmats = rotvec_to_rotmat(self.numbers["pose"][i].view(1, POSE_NUMBERS // 3, 3))
            root, body_pose, betas = rotmats[:, 0], rotmats[:, 1:22], self.numbers["shape"][i][None, :SHAPES]
        if turn:
            image, part, root = _turned(image, part, root, turn)
        return CropBatch(image, part, root, body_pose, betas, torch.tensor([float(self.bodies)]))


def stack_crops(crops) -> CropBatch:
    """Rows as one batch."""
    return CropBatch(*(torch.cat([getattr(crop, name) for crop in crops]) for name in CropBatch.__dataclass_fields__))


def _turned(image, part, root, turn):
    """Turns everything about the camera's axis; +x goes towards +y, which is clockwise on the picture."""
    spin = rotation_about("z", turn)
    grid = affine_grid(torch.cat([spin[:2, :2].T, torch.zeros(2, 1)], 1)[None], [1, 3, CROP, CROP], align_corners=False)
    image = grid_sample(image, grid, padding_mode="zeros", align_corners=False)
    points = torch.where(part[..., 2:] > 0, part[..., :2] @ spin[:2, :2].T, part[..., :2])
    return image, torch.cat([points, part[..., 2:]], -1), spin @ root
