"""Models that estimate a body from a crop of a person (human mesh recovery), and how to plug in your own.

Write one class::

    class MyEstimator(BodyEstimator):
        def __init__(self):
            super().__init__()
            self.network = load_my_network()

        def forward(self, images):               # (B, 3, 224, 224) sRGB 0..1
            out = self.network(normalise(images))
            return BodyEstimate(out.root, out.pose, out.betas, out.camera)

and hand it to ``train_hmr.finetune``. Parameters with ``requires_grad`` are trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..bodies.joints import JOINT_NAMES
from ..checks import check_shape
from ..pose_correction.spin_export import SPIN_NAMES
from ..rotations import rot6d_to_rotmat
from ..types import BodyPose

JOINTS, BETAS = 21, 10
LIMBS = tuple(place for place, name in enumerate(SPIN_NAMES) if name in JOINT_NAMES)  # of SPIN's 24 points, those that are joints
_LIMB_JOINTS = tuple(JOINT_NAMES.index(SPIN_NAMES[place]) for place in LIMBS)


@dataclass(frozen=True)
class BodyEstimate:
    """What an estimator says about B crops, in camera axes (+x right, +y down, +z forward).

    Args:
        root: (B, 3, 3) rotation of the pelvis.
        body_pose: (B, 21, 3, 3) rotations relative to the parent.
        betas: (B, 10) shape.
        camera: (B, 3) weak perspective (scale, tx, ty): a point lands at ``scale * (x + tx, y + ty)``, -1..1 from edge to edge of the
            crop, with x and y in metres from the pelvis.
    """

    root: Tensor
    body_pose: Tensor
    betas: Tensor
    camera: Tensor

    def __post_init__(self):
        rows = check_shape("root", self.root, "B 3 3")["B"]
        check_shape("body_pose", self.body_pose, "B 21 3 3", B=rows)
        check_shape("betas", self.betas, "B K", B=rows)
        check_shape("camera", self.camera, "B 3", B=rows)


class BodyEstimator(nn.Module):
    """Base of all estimators: crops (B, 3, 224, 224), sRGB 0..1, to a BodyEstimate."""

    def forward(self, images: Tensor) -> BodyEstimate:
        raise NotImplementedError


class SmallEstimator(BodyEstimator):
    """The reference: a few strided convolutions and a linear head that starts at the rest pose. Small enough for a CPU.

    Args:
        width: channels of the first layer; each later one doubles them.
        layers: strided convolutions.
    """

    def __init__(self, width=16, layers=4):
        super().__init__()
        channels = [3, *(width * 2**i for i in range(layers))]
        blocks = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(4, b), nn.SiLU()) for a, b in zip(channels, channels[1:])]
        self.trunk = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Linear(channels[-1] * 16, (JOINTS + 1) * 6 + BETAS + 3)
        upright = torch.tensor([1.0, 0, 0, -1, 0, 0])  # of the interleaved 6D: a standing body looks at a camera whose y points down
        rest = torch.cat([upright, torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(JOINTS), torch.zeros(BETAS), torch.tensor([0.9, 0, 0])])
        self.head.weight.data.mul_(0.1)
        self.head.bias.data.copy_(rest)

    def forward(self, images):
        numbers = self.head(self.trunk(images * 2 - 1))
        rotmats = rot6d_to_rotmat(numbers[:, : (JOINTS + 1) * 6].unflatten(1, (JOINTS + 1, 6)))
        betas, camera = numbers[:, (JOINTS + 1) * 6 :].split((BETAS, 3), 1)
        return BodyEstimate(rotmats[:, 0], rotmats[:, 1:], betas, camera)


def estimated_joints(estimate: BodyEstimate, body) -> Tensor:
    """(B, 22, 3) metres from the pelvis, camera axes."""
    betas = estimate.betas[:, : body.shapedirs.shape[-1]]
    posed = body.with_shape(betas).with_pose(BodyPose(estimate.root, estimate.body_pose))
    joints = posed.joints[:, : JOINTS + 1]
    return joints - joints[:, :1]


def limb_points(joints: Tensor) -> Tensor:
    """(B, 22, D) joints -> (B, L, D) those of SPIN's points that are joints, in the order of `LIMBS`."""
    return joints[:, list(_LIMB_JOINTS)]


def weak_perspective(points: Tensor, camera: Tensor) -> Tensor:
    """Points (B, N, 3) from the pelvis -> (B, N, 2), -1..1 from edge to edge of the crop."""
    return camera[:, None, :1] * (points[..., :2] + camera[:, None, 1:])
