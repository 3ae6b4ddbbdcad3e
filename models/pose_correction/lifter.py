"""A first guess for the fit: a small network that looks at 18 key points and names the pose's code, how sure it is, and the body's turn.

It sees the points as directions, turned so that the person is straight ahead and scaled to one size. Neither the place in the picture nor
the lens changes what it sees, beyond the true perspective.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from ..assets.files import config_of, read_safetensors, write_safetensors
from ..assets.registry import OPEN_POSE_LIFTER, OPEN_POSE_PRIOR, bundled
from ..checks import InputError
from ..pose_prior.vposer import load_pose_prior
from ..rotations import at_least_float32, rot6d_to_rotmat, vectors_to_rotmat
from ..types import Camera

FORMAT = "contrapposto_pose_lifter"
POINTS = 18
FEATURES = 3 * POINTS + 1
NAME = "pose lifter file"


@dataclass(frozen=True)
class LifterConfig:
    """Sizes of the network.

    Args:
        width: of its layers.
        blocks: residual blocks of two layers.
        latent_size: numbers of a pose code.
        prior_sha256: checksum of the prior whose codes it speaks.
    """

    width: int = 448
    blocks: int = 3
    latent_size: int = 32
    prior_sha256: str = ""


@dataclass(frozen=True)
class Guess:
    """What the network makes of key points.

    Args:
        mean, std: (B, D) Gaussian over the pose's code.
        root: (B, 3, 3) the body's turn in the camera's axes.
    """

    mean: Tensor
    std: Tensor
    root: Tensor


class PoseLifter(nn.Module):
    """Key points -> `Guess`. A residual multilayer perceptron after Martinez et al. 2017."""

    def __init__(self, config: LifterConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.enter = nn.Linear(FEATURES, width)
        self.blocks = nn.ModuleList(nn.ModuleList([nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)])
                                    for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, 2 * config.latent_size + 6)

    def forward(self, features: Tensor):
        """Features (B, 55) -> mean (B, D), std (B, D), root in the turned camera (B, 3, 3)."""
        x = self.enter(features.to(self.enter.weight.dtype))
        for norm, first, second in self.blocks:
            x = x + second(gelu(first(norm(x))))
        size = self.config.latent_size
        mean, spread, root = at_least_float32(self.leave(self.norm(x))).split([size, size, 6], -1)
        root = rot6d_to_rotmat(root + root.new_tensor([1.0, 0.0, 0.0, -1.0, 0.0, 0.0]))  # starts upright, facing the camera
        return mean, nn.functional.softplus(spread) + 0.05, root

    def guess(self, keypoints: Tensor, scores: Tensor, camera: Camera) -> Guess:
        """Looks at key points (B, 18, 2) in pixels with scores (B, 18), seen by a camera of B rows."""
        features, aligned = view_features(at_least_float32(keypoints), scores, camera)
        mean, std, root = self(features)
        return Guess(mean, std, aligned.mT @ root.to(aligned.dtype))


def view_features(keypoints: Tensor, scores: Tensor, camera: Camera):
    """Returns (features (B, 55), turn (B, 3, 3) from the camera to the one that looks straight at the person)."""
    centre = torch.stack([camera.cx, camera.cy], -1)[:, None]
    focal = torch.stack([camera.fx, camera.fy], -1)[:, None]
    rays = torch.cat([(keypoints - centre) / focal, torch.ones_like(keypoints[..., :1])], -1)
    there = scores > 0
    middle = (_least(rays, there) + _most(rays, there)) / 2
    ahead = torch.zeros_like(middle)
    ahead[:, 2] = 1
    turn = vectors_to_rotmat(middle, ahead)
    seen = rays @ turn.mT
    seen = seen[..., :2] / seen[..., 2:].clamp(min=0.05)
    low, high = _least(seen, there), _most(seen, there)
    size = (high - low).norm(dim=-1).clamp(min=1e-6)
    places = (seen - (low + high)[:, None] / 2) / size[:, None, None]
    places = torch.where(there[..., None], places, torch.zeros_like(places))
    return torch.cat([2 * places.flatten(1), there.to(places.dtype), size[:, None]], 1), turn


def _least(points, there):
    return torch.where(there[..., None], points, torch.inf).amin(1)


def _most(points, there):
    return torch.where(there[..., None], points, -torch.inf).amax(1)


def write_lifter(path, lifter: PoseLifter, info: dict):
    """Writes the network in float16 with its config and ``info`` about its training."""
    tensors = {name: value.half() for name, value in lifter.state_dict().items()}
    write_safetensors(path, tensors, {"format": FORMAT, "network": asdict(lifter.config), **info})


def load_lifter(path=None) -> PoseLifter:
    """Reads a lifter in eval mode; None is the bundled one.

    Raises:
        InputError: the file is missing or damaged, or is something else.
    """
    path = bundled(OPEN_POSE_LIFTER) if path is None else Path(path)
    tensors, info = read_safetensors(path, NAME)
    try:
        if info.get("format") != FORMAT:
            raise KeyError("its format")
        lifter = PoseLifter(config_of(LifterConfig, info["network"], tensors, lambda c: c.width * (c.blocks * c.width + c.latent_size)))
        lifter.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(NAME, path, f"is no pose lifter ({str(error)[:80]})", "Give the file that train_pose_lifter writes.") from None
    return lifter.eval().requires_grad_(False)


@cache
def bundled_lifter(device):
    """The bundled lifter and the open prior whose codes it speaks, on a device, loaded once."""
    with torch.inference_mode(False):
        return load_lifter().to(device), load_pose_prior(bundled(OPEN_POSE_PRIOR), device)
