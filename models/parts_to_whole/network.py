"""Parts2Whole over diffusers' networks: what training and the command line run. ComfyUI runs its own networks with the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .appearance_encoder import Bank, transformer_blocks
from .image_tokens import ImageProjections
from .parts import TOKENS
from .shared_attention import attend_rows, strength_bias, with_references


@dataclass
class _Reading:
    """What the attention processors of one pass read; None switches them off."""

    bank: Bank | None = None
    conditional: tuple[bool, ...] = ()
    tokens: dict[str, tuple[Tensor, Tensor]] | None = None


class PartsUNet(nn.Module):
    """The denoiser, called like the UNet inside it, with text states that end in six image tokens.

    A row is conditional when it has an image token that is not zero: unconditional rows carry zeros, as trained.

    Args:
        unet: UNet2DConditionModel; its attention processors are replaced.
        projections: ImageProjections.
    """

    def __init__(self, unet, projections: ImageProjections):
        super().__init__()
        self.unet, self.projections, self.reading = unet, projections, _Reading()
        self.bank, self.pose = None, None
        for name, block in transformer_blocks(unet).items():
            block.attn1.processor = _SharedSelfAttention(name, block.attn1.processor, self.reading)
            block.attn2.processor = _ImageCrossAttention(name, block.attn2.processor, self.reading)

    @property
    def config(self):
        return self.unet.config

    def use(self, bank: Bank | None, pose: Tensor | None = None):
        """Sets what the next passes read: the references, and the pose guider's output (1 or B, C, h, w)."""
        self.bank, self.pose = bank, pose

    def forward(self, noisy: Tensor, timestep, encoder_hidden_states: Tensor, **options):
        """Like UNet2DConditionModel; states (B, T + 6, D)."""
        states, tokens = encoder_hidden_states[:, :-TOKENS], encoder_hidden_states[:, -TOKENS:]
        bank = None if self.bank is None else self.bank.at(torch.as_tensor(timestep).flatten()[0])
        conditional = tuple(tokens.flatten(1).any(1).tolist())
        read = any(conditional)
        self.reading.bank = bank if read and bank is not None and bank.references else None
        self.reading.conditional = conditional
        self.reading.tokens = self.projections(tokens) if read else None
        hook = self.unet.conv_in.register_forward_hook(partial(_add, self.pose)) if self.pose is not None else None
        try:
            return self.unet(noisy, timestep, encoder_hidden_states=states, **options)
        finally:
            self.reading.bank = self.reading.tokens = None
            if hook is not None:
                hook.remove()


def _add(pose, module, given, out):
    times = len(out) // len(pose)
    return out + pose.to(out).repeat(times, 1, 1, 1)


class _SharedSelfAttention:
    def __init__(self, name, plain, reading):
        self.name, self.plain, self.reading = name, plain, reading

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        bank = self.reading.bank
        if bank is None:
            return self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        references = bank.features[self.name]
        context = with_references(hidden_states, references)
        bias = strength_bias(references, bank.strengths, hidden_states.shape[1])
        out = attend_rows(partial(_attend, attn.heads), attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context),
                          self.reading.conditional, None if bias is None else bias.to(hidden_states))
        return attn.to_out[1](attn.to_out[0](out))


class _ImageCrossAttention:
    def __init__(self, name, plain, reading):
        self.name, self.plain, self.reading = name, plain, reading

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        if self.reading.tokens is None:
            return self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        query, (key_dc, value_dc) = attn.to_q(hidden_states), self.reading.tokens[self.name]
        out = _attend(attn.heads, query, attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states))
        out = out + _attend(attn.heads, query, key_dc.to(query), value_dc.to(query))
        return attn.to_out[1](attn.to_out[0](out))


def _attend(heads, query, key, value, bias=None):
    """Scaled dot products of (B, T, C) with heads side by side in C."""
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return scaled_dot_product_attention(query, key, value, bias).transpose(1, 2).flatten(2)
