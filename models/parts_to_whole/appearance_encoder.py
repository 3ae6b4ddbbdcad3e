"""The semantic-aware appearance encoder (Parts2Whole): a UNet that reads each reference once, at t = 0, under its label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .parts import Reference, acts_at
from .shared_attention import masked_features

_ATTENTION = re.compile(r"up_blocks\.(\d+)\.attentions\.(\d+)\.")
_AFTER_LAST_NORM = ("attn1.", "norm2.", "attn2.", "norm3.", "ff.", "proj_out.")


@dataclass(frozen=True)
class Bank:
    """What the denoiser reads of some references.

    Args:
        references: R references.
        features: {block: R tensors (1, T, C)}, masked.
    """

    references: tuple[Reference, ...]
    features: dict[str, tuple[Tensor, ...]]

    def at(self, timestep) -> Bank:
        """The references that act at a timestep."""
        kept = [i for i, reference in enumerate(self.references) if acts_at(reference, timestep)]
        if len(kept) == len(self.references):
            return self
        return Bank(tuple(self.references[i] for i in kept), {name: tuple(found[i] for i in kept) for name, found in self.features.items()})

    @property
    def strengths(self):
        return tuple(reference.strength for reference in self.references)


def join(references, per_reference) -> Bank:
    """A bank of R references from their {block: (1, T, C)}."""
    names = per_reference[0] if per_reference else ()
    return Bank(tuple(references), {name: tuple(features[name] for features in per_reference) for name in names})


def transformer_blocks(unet):
    """{name: module} of a diffusers UNet's transformer blocks."""
    return {name: module for name, module in unet.named_modules() if hasattr(module, "attn1") and hasattr(module, "norm1")}


def encode_appearance(unet, latents: Tensor, states: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The masked features of one reference, per block of a diffusers UNet.

    Args:
        unet: UNet2DConditionModel.
        latents: (B, 4, h, w) scaled.
        states: (B, 77, D) text states of the label.
        mask: (B, 1, H, W) 1 where the part is, in pixels.
    """
    found = {}

    def keep(name, module, given, normalised):
        found[name] = masked_features(normalised, mask)

    hooks = [block.norm1.register_forward_hook(partial(keep, name)) for name, block in transformer_blocks(unet).items()]
    try:
        unet(latents, torch.zeros(len(latents), device=latents.device), encoder_hidden_states=states)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def unread_weights(names) -> set[str]:
    """The weights behind the last feature that is read. The released files leave them out.

    Args:
        names: of a UNet's weights, as in diffusers.
    """
    attentions = [(int(match[1]), int(match[2])) for match in map(_ATTENTION.match, names) if match]
    stem = "up_blocks.{}.attentions.{}.".format(*max(attentions))
    block = stem + "transformer_blocks.0."
    behind = (*(block + part for part in _AFTER_LAST_NORM[:-1]), stem + _AFTER_LAST_NORM[-1], "conv_norm_out.", "conv_out.")
    return {name for name in names if name.startswith(behind)}
