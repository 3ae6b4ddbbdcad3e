"""A text-to-pose model: the network, the statistics of its pose vectors, and the file that describes itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ..assets.files import config_of, read_safetensors, write_safetensors
from ..assets.registry import OPEN_TEXT_TO_POSE, bundled
from ..assets.search import find_file
from ..checks import InputError, check_choice, check_range, check_shape
from ..rotations import rot6d_to_rotmat, rotmat_to_rot6d
from ..types import BodyPose
from .diffusion import SAMPLERS, T
from .network import ROOT, NetworkConfig, PoseTransformer
from .text_encoder import MINILM, TextStates, load_minilm

FORMAT = "contrapposto text-to-pose 1"


@dataclass(frozen=True)
class TextToPose:
    """Everything that is needed to sample poses from text.

    Args:
        network: predicts standardised pose vectors.
        mean, std: (D,) statistics of the vectors, [x_p, root 6D].
        config: what the file says about itself: "network", "text_encoder" {id, dim}, "sampling" {sampler, steps, guidance},
            "pose_prior" (sha256 of the prior whose latents x_p is, or None), "training", "scores", "licence".
        operations: where the text encoder's layers come from; a host passes its own.
    """

    network: PoseTransformer
    mean: Tensor
    std: Tensor
    config: dict
    operations: object = field(default=nn, repr=False)

    @property
    def device(self):
        return self.mean.device

    @property
    def defaults(self):
        """The sampler, number of steps and guidance that the weights were measured with."""
        return self.config["sampling"]

    @cached_property
    def encoder(self):
        """The bundled text encoder on the model's device, read at the first use.

        Raises:
            InputError: the weights were made for another encoder.
        """
        wanted = self.config["text_encoder"]["id"]
        if wanted != MINILM:
            raise InputError("text encoder", wanted, "is not bundled",
                             "Connect a CLIP model of that kind, or choose other text-to-pose weights.")
        return load_minilm(device=self.device, operations=self.operations)

    @cached_property
    def pose_prior(self):
        """The open pose prior on the model's device, read at the first use.

        Raises:
            InputError: the weights were made with another prior.
        """
        from ..pose_prior.vposer import load_pose_prior

        prior, wanted = load_pose_prior(device=self.device), self.config["pose_prior"]
        if wanted is not None and prior.sha256 != wanted:
            raise InputError("pose prior", prior.sha256[:12], f"is not the one of these weights ({wanted[:12]})",
                             "Use the pose prior that the text-to-pose weights were trained with.")
        return prior

    def check_states(self, states: TextStates):
        """Raises InputError when text states do not come from the encoder that the weights were trained with."""
        wanted = self.config["text_encoder"]
        if states.encoder != wanted["id"]:
            raise InputError("text encoder", states.encoder, f"does not fit these text-to-pose weights, made for {wanted['id']}",
                             "Choose weights made for it, or leave the CLIP input unconnected to use the bundled encoder."
                             if wanted["id"] == MINILM else f"Connect {wanted['id']}, or choose other text-to-pose weights.")
        check_shape("text tokens", states.tokens, "B T D", D=wanted["dim"])

    def decode(self, x: Tensor) -> BodyPose:
        """Standardised vectors ``(B, D)`` to poses; the translation is zero."""
        x = x * self.std + self.mean
        body, root = x[:, :-ROOT], x[:, -ROOT:]
        if self.network.config.representation == "latent":
            return BodyPose(rot6d_to_rotmat(root), self.pose_prior.decode(body))
        return BodyPose(rot6d_to_rotmat(root), rot6d_to_rotmat(body.unflatten(-1, (21, 6))))


def pose_to_vector(pose: BodyPose, prior=None) -> Tensor:
    """Poses to vectors ``(B, D)`` before standardising: 6D of the 21 joints, or the latent mean of a prior, then the root's 6D."""
    root = rotmat_to_rot6d(pose.global_orient)
    body = rotmat_to_rot6d(pose.body_pose).flatten(1) if prior is None else prior.encode(pose.body_pose).mean
    return torch.cat([body, root], -1)


def load_text_to_pose(source=None, device="cpu", operations=nn) -> TextToPose:
    """Reads text-to-pose weights.

    Args:
        source: a Path, or a name in the text_to_pose search folders; None takes the bundled weights.
        device: where the network goes.
        operations: where its layers come from; a host passes its own.

    Raises:
        InputError: the file is missing, damaged or not of this kind.
    """
    path = bundled(OPEN_TEXT_TO_POSE) if source is None else source if isinstance(source, Path) else find_file("text_to_pose", source)
    tensors, config = read_safetensors(path, "text-to-pose file", device)
    if config.get("format") != FORMAT:
        raise InputError("text-to-pose file", path, "does not hold text-to-pose weights of this pack", "Choose another file.")
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    try:
        mean, std = tensors.pop("mean"), tensors.pop("std")
        sizes = config_of(NetworkConfig, config["network"], tensors, lambda c: c.width * (c.layers * c.width + c.text_dim + c.max_tokens))
        network = PoseTransformer(sizes, operations)
        network.load_state_dict(tensors, assign=True)
        _check_told(config, mean, std, network.config)
    except (KeyError, TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError("text-to-pose file", path, f"has another layout ({str(error)[:120]})",
                         "Choose a file of this version of the pack.") from None
    return TextToPose(network.eval().requires_grad_(False), mean, std, config, operations)


def _check_told(config, mean, std, sizes):
    """Raises KeyError, TypeError or ValueError when a file lacks what sampling asks of it."""
    if mean.shape != (sizes.pose_dim,) or std.shape != mean.shape:
        raise ValueError(f"statistics of shape {tuple(mean.shape)}")
    encoder, sampling, prior = config["text_encoder"], config["sampling"], config["pose_prior"]
    if not isinstance(encoder["id"], str) or encoder["dim"] != sizes.text_dim or not (prior is None or isinstance(prior, str)):
        raise ValueError("another text encoder or pose prior")
    check_choice("sampler", sampling["sampler"], SAMPLERS)
    check_range("steps", sampling["steps"], 1, T)
    check_range("guidance", sampling["guidance"], 0, 1000)
    check_range("sides", sampling.get("sides", 0.0), 0, 10)


def save_text_to_pose(path, network: PoseTransformer, mean, std, config):
    """Writes weights (float16) with their statistics (float32) and config. ``config`` as in :class:`TextToPose`, without "network"."""
    tensors = {name: tensor.to(torch.float16) for name, tensor in network.state_dict().items()}
    write_safetensors(path, {**tensors, "mean": mean, "std": std}, {**config, "format": FORMAT, "network": network.config.to_dict()})


def weights_fingerprint(network: nn.Module) -> str:
    """Returns a sha256 over all weights, to tell checkpoints apart."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
