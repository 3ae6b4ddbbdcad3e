"""The text-to-pose network of PAS (section 3.3, figure 3): a decoder-only transformer that predicts the unnoised pose.

The sequence is [text tokens, text embedding | timestep, noised pose, noised root, pose query, root query] under a causal mask; the
two queries' outputs are the unnoised pose and root. Under that mask the first part, the prefix, never sees the second. So the prefix
is run once per prompt and its keys and values are kept: several noised copies share them in training, and all sampling steps and
candidates share them afterwards, which then cost five tokens each.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .text_encoder import TextStates

ROOT = 6  # the root is always 6D, see rotations.py
BODY = {"rot6d": 21 * 6, "latent": 32}  # x_p: 6D of the 21 joints, or the latent of a pose prior
SUFFIX = 5  # timestep, noised pose, noised root, two queries


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network. PAS states none of them.

    Args:
        representation: "rot6d" or "latent", what x_p is.
        text_dim: width of the text encoder's states.
        max_tokens: text tokens that are read; later ones are ignored.
        width, layers, heads: of the transformer.
    """

    representation: str = "rot6d"
    text_dim: int = 384
    max_tokens: int = 77
    width: int = 256
    layers: int = 6
    heads: int = 4

    @property
    def pose_dim(self):
        """Length of one pose vector: x_p and the root."""
        return BODY[self.representation] + ROOT

    def to_dict(self):
        return asdict(self)


@dataclass(frozen=True)
class Prefix:
    """The text part of the sequence after all layers: what the pose part attends to.

    Args:
        keys, values: per layer (B, heads, L, d), the last of the L positions being the text embedding.
        bias: (B, 1, 1, L) 0 where there is a token, -inf where there is none.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    bias: Tensor

    def cat(self, other):
        """Returns the rows of both, padded at the front to the longer one."""
        length = max(self.bias.shape[-1], other.bias.shape[-1])
        front = lambda p: length - p.bias.shape[-1]
        join = lambda mine, theirs: torch.cat([F.pad(mine, (0, 0, front(self), 0)), F.pad(theirs, (0, 0, front(other), 0))])
        bias = torch.cat([F.pad(p.bias, (front(p), 0), value=-torch.inf) for p in (self, other)])
        return Prefix(tuple(map(join, self.keys, other.keys)), tuple(map(join, self.values, other.values)), bias)


class PoseTransformer(nn.Module):
    """Predicts x_0 from x_t, t and a text prefix. Vectors are standardised per dimension, x_p first, root last."""

    def __init__(self, config: NetworkConfig, operations=nn):
        super().__init__()
        self.config = config
        width, Linear = config.width, operations.Linear
        self.text_norm = operations.LayerNorm(config.text_dim)
        self.text_in, self.pooled_in = Linear(config.text_dim, width), Linear(config.text_dim, width)
        self.null_text = nn.Parameter(torch.zeros(width))
        self.text_positions = nn.Parameter(torch.randn(config.max_tokens, width) * 0.02)
        self.time_in = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, width))
        self.body_in, self.root_in = Linear(config.pose_dim - ROOT, width), Linear(ROOT, width)
        self.places = nn.Parameter(torch.randn(1 + SUFFIX, width) * 0.02)  # text embedding, then the suffix; the queries are places only
        self.blocks = nn.ModuleList(Block(width, config.heads, operations) for _ in range(config.layers))
        self.norm = operations.LayerNorm(width)
        self.body_out, self.root_out = Linear(width, config.pose_dim - ROOT), Linear(width, ROOT)

    def encode_prefix(self, text: TextStates, keep: Tensor | None = None) -> Prefix:
        """Runs the text part of the sequence.

        Args:
            text: states of B prompts.
            keep: (B,) bool; where False the prompt is dropped: no tokens, and the null vector as text embedding.
        """
        tokens, mask = text.tokens[:, : self.config.max_tokens].to(self.places.dtype), text.mask[:, : self.config.max_tokens]
        keep = mask.new_ones(len(mask)) if keep is None else keep
        pooled = self.pooled_in(F.normalize(text.pooled.to(tokens.dtype), dim=-1) * math.sqrt(self.config.text_dim))
        pooled = torch.where(keep[:, None], pooled, self.null_text.to(pooled.dtype)) + self.places[0]
        x = torch.cat([self.text_in(self.text_norm(tokens)) + self.text_positions[: tokens.shape[1]], pooled[:, None]], 1)
        there = torch.cat([mask & keep[:, None], keep.new_ones(len(keep), 1)], 1)
        length = there.shape[1]
        # Padding attends to itself only, which keeps its softmax finite; nobody attends to padding.
        own = torch.eye(length, dtype=torch.bool, device=there.device)
        allowed = (own | there[:, None, :] & own.cumsum(0).bool().tril())[:, None]
        kept = []
        for block in self.blocks:
            x, key, value = block.forward_prefix(x, allowed)
            kept.append((key, value))
        bias = torch.zeros(there.shape, dtype=x.dtype, device=x.device).masked_fill(~there, -torch.inf)
        return Prefix(tuple(k for k, _ in kept), tuple(v for _, v in kept), bias[:, None, None])

    def null_prefix(self, rows: int) -> Prefix:
        """The prefix of the dropped condition, for classifier-free guidance."""
        tokens = self.null_text.new_zeros(rows, 1, self.config.text_dim)
        nowhere = torch.zeros(rows, 1, dtype=torch.bool, device=tokens.device)
        return self.encode_prefix(TextStates(tokens, nowhere, tokens[:, 0], "none"), keep=nowhere[:, 0])

    def forward(self, x_t: Tensor, t: Tensor, prefix: Prefix) -> Tensor:
        """Predicts x_0.

        Args:
            x_t: (B, K, pose_dim) noised vectors, K copies or candidates for each of the B prefixes.
            t: (B, K) timestep 0..T-1.
            prefix: of B prompts.

        Returns:
            (B, K, pose_dim) the predicted x_0, in the type of x_t; between, everything has the type of the weights.
        """
        body, root = x_t.to(self.places.dtype).split([x_t.shape[-1] - ROOT, ROOT], -1)
        x = torch.stack([self.time_in(sinusoids(t, self.config.width).to(body.dtype)), self.body_in(body), self.root_in(root)], 2)
        queries = self.places[1 + 3 :].expand(*x_t.shape[:2], 2, -1)
        x = torch.cat([x + self.places[1 : 1 + 3], queries.to(x.dtype)], 2)
        for i, block in enumerate(self.blocks):
            x = block.forward_suffix(x, prefix.keys[i], prefix.values[i], prefix.bias)
        x = self.norm(x[:, :, -2:])
        return torch.cat([self.body_out(x[:, :, 0]), self.root_out(x[:, :, 1])], -1).to(x_t.dtype)


class Block(nn.Module):
    """A pre-norm transformer layer with one entrance for the prefix and one for the suffix; the weights are the same."""

    def __init__(self, width, heads, operations):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = operations.LayerNorm(width), operations.LayerNorm(width)
        self.qkv, self.out = operations.Linear(width, 3 * width), operations.Linear(width, width)
        self.up, self.down = operations.Linear(width, 4 * width), operations.Linear(4 * width, width)

    def forward_prefix(self, x, allowed):
        """x (B, L, D), allowed (B, 1, L, L) -> (x, key, value), the latter (B, heads, L, d)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.finish(x, attended.transpose(1, 2).flatten(2)), k, v

    def forward_suffix(self, x, prefix_key, prefix_value, bias):
        """x (B, K, S, D): each of the K copies attends to the shared prefix and causally to itself, not to other copies."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 4, 1, 2, 5)  # (B, heads, K, S, d)
        q = q * q.shape[-1] ** -0.5
        copies, length = q.shape[2:4]
        to_prefix = (q.flatten(2, 3) @ prefix_key.transpose(-1, -2) + bias).unflatten(2, (copies, length))
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        to_self = (q @ k.transpose(-1, -2)).masked_fill(future, -torch.inf)
        weights = torch.cat([to_prefix, to_self], -1).softmax(-1)
        on_prefix, on_self = weights.split([prefix_key.shape[2], length], -1)
        attended = (on_prefix.flatten(2, 3) @ prefix_value).unflatten(2, (copies, length)) + on_self @ v
        return self.finish(x, attended.permute(0, 2, 3, 1, 4).flatten(3))

    def finish(self, x, attended):
        x = x + self.out(attended)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def sinusoids(t: Tensor, width: int) -> Tensor:
    """Timesteps ``(...)`` to sines and cosines ``(..., width)`` of periods 2 pi to 20,000 pi (Vaswani et al. 2017)."""
    frequencies = torch.exp(torch.arange(width // 2, device=t.device) * (-math.log(10_000) / (width // 2)))
    angles = t[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], -1)
