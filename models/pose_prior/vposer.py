"""VPoser: a variational autoencoder of body poses (Pavlakos et al., "Expressive Body Capture", CVPR 2019, section 3.2).

A pose of 21 joints becomes a Gaussian over a 32-d code whose prior is the unit Gaussian; decoding any code of a likely length gives a
natural pose. One network reads VPoser v1, VPoser V02_05 and our own open prior; they differ in a few details, see ``VPoserConfig``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from ..assets.files import file_sha256
from ..checks import InputError, check_range, check_shape
from ..rotations import at_least_float32, rot6d_to_rotmat, rotmat_to_rotvec, rotvec_to_rotmat
from .vposer_file import find_vposer, read_vposer

JOINTS = 21


@dataclass(frozen=True)
class PoseLatents:
    """Gaussians over pose codes.

    Args:
        mean: (B, D).
        std: (B, D), positive.
    """

    mean: Tensor
    std: Tensor

    def sample(self, generator=None):
        """Draws one code (B, D) per row, differentiable in mean and std. The generator's device need not be that of the codes."""
        device = generator.device if generator else self.mean.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=self.mean.dtype)
        return self.mean + self.std * noise.to(self.mean.device)


class PosePrior(nn.Module):
    """The network. Call ``load_pose_prior`` for one with weights.

    Attributes:
        config: VPoserConfig.
        sha256: checksum of the file the weights came from, "" when they came from none.
    """

    def __init__(self, config, operations=nn):
        """
        Args:
            config: VPoserConfig.
            operations: where ``Linear`` is taken from; a host with its own memory management gives its own.
        """
        super().__init__()
        self.config, self.sha256 = config, ""
        width, latent, linear = config.width, config.latent_size, operations.Linear
        self.encoder_norm_in = nn.BatchNorm1d(3 * JOINTS)
        self.encoder_in = linear(3 * JOINTS, width)
        self.encoder_norm = nn.BatchNorm1d(width)
        self.encoder_hidden = linear(width, width)
        self.encoder_out = linear(width, width) if config.linear_encoder_out else nn.LeakyReLU(config.slope)
        self.mean = linear(width, latent)
        self.spread = linear(width, latent)  # std is the softplus of this, although the original calls it the log-variance
        self.decoder_in = linear(latent, width)
        self.decoder_hidden = linear(width, width)
        self.decoder_out = linear(width, 6 * JOINTS)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def version(self):
        return self.config.version

    @property
    def latent_size(self):
        return self.config.latent_size

    def encode(self, body_pose):
        """Poses ``body_pose (B, 21, 3, 3)`` to ``PoseLatents``. Joints turned by almost pi sit on the rotvec's seam and encode poorly.

        Raises:
            InputError: the shape does not fit.
        """
        check_shape("body_pose", body_pose, "B 21 3 3")
        return self.encode_rotvec(rotmat_to_rotvec(at_least_float32(body_pose)))

    def encode_rotvec(self, rotvec):
        """Poses ``(B, 21, 3)`` in radians to ``PoseLatents``."""
        x = self.encoder_norm_in(rotvec.flatten(1).to(self.mean.weight.dtype))
        x = self.encoder_norm(leaky_relu(self.encoder_in(x), self.config.slope))
        x = self.encoder_out(self.encoder_hidden(self.dropout(x)))
        return PoseLatents(self.mean(x), softplus(self.spread(x)))

    def decode(self, pose_latents):
        """Codes ``pose_latents (B, 32)`` to poses ``(B, 21, 3, 3)``.

        Raises:
            InputError: the shape does not fit.
        """
        check_shape("pose_latents", pose_latents, "B D", D=self.latent_size)
        x = self.dropout(leaky_relu(self.decoder_in(pose_latents.to(self.mean.weight.dtype)), self.config.slope))
        x = self.decoder_out(leaky_relu(self.decoder_hidden(x), self.config.slope))
        return rot6d_to_rotmat(at_least_float32(x).unflatten(-1, (JOINTS, 6)))

    def regularise(self, body_pose, strength=1.0):
        """Pulls poses towards what the prior knows: each joint turns along the shortest arc towards the decoded mean code.

        Args:
            body_pose: (B, 21, 3, 3).
            strength: 0 returns the input itself, 1 the decoded pose, between goes that part of the arc.

        Raises:
            InputError: the shape does not fit, or the strength is not between 0 and 1.
        """
        check_shape("body_pose", body_pose, "B 21 3 3")
        check_range("strength", strength, 0.0, 1.0)
        if strength == 0:
            return body_pose
        body_pose = at_least_float32(body_pose)
        likely = self.decode(self.encode(body_pose).mean)
        if strength == 1:
            return likely
        turn = rotmat_to_rotvec(body_pose.transpose(-1, -2) @ likely.to(body_pose.dtype))
        return body_pose @ rotvec_to_rotmat(strength * turn)


def load_pose_prior(source=None, device="cpu"):
    """Loads a pose prior in eval mode.

    Args:
        source: None for the bundled open prior; the path of a VPoser v1 snapshot (.pt), a V02_05 checkpoint (.ckpt), the folder of
            either, or a .safetensors file; or a file name in the search folders for pose priors.
        device: where the weights go.

    Raises:
        InputError: the file is missing, damaged, holds code or NaN, or does not fit the network.
    """
    path = find_vposer(source)
    config, tensors = read_vposer(path)
    with torch.device("meta"):  # shapes first, so that a wrong file allocates nothing
        layers = PosePrior(config).state_dict()
    wanted = {key: tuple(value.shape) for key, value in layers.items() if not key.endswith("num_batches_tracked")}
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    differing = sorted(key for key in {*wanted, *given} if wanted.get(key) != given.get(key))
    if differing:
        key = differing[0]
        raise InputError("pose prior file", path, f"does not fit: {key} is {given.get(key)}, expected {wanted.get(key)}",
                         "Give an unchanged VPoser v1 or V02_05 snapshot, or a pose prior of this pack.")
    prior = PosePrior(config)
    prior.load_state_dict(tensors, strict=False)
    prior.sha256 = file_sha256(path)
    return prior.eval().requires_grad_(False).to(device)
