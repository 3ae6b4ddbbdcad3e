"""Shared self-attention (Parts2Whole): the denoiser's self-attention also reads the references' features.

    K, V  from  [x, f_1 m_1, f_2 m_2, ...]        Q  from  x

f_i are the features that the appearance encoder feeds into the same-named block, m_i the part's mask on the token grid. The mask is
multiplied into the features; it is no minus infinity in the logits, so masked tokens remain as zero keys and values and thin out the
softmax, as trained. Only conditional rows read references.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate


def token_mask(mask: Tensor, tokens: int) -> Tensor:
    """The part's mask on a block's token grid, grown by one token.

    ``m = clamp(dilate_3x3(nearest(mask)), 0, 1)`` on a grid 2^ceil(log2(H W / tokens) / 2) times coarser than the picture.

    Args:
        mask: (B, 1, H, W) 1 where the part is.
        tokens: of the block.

    Returns:
        (B, tokens, 1).
    """
    height, width = mask.shape[-2:]
    scale = 1 << math.ceil(math.log2(height * width / tokens) / 2)
    small = interpolate(mask, (math.ceil(height / scale), math.ceil(width / scale)), mode="nearest")
    return conv2d(small, small.new_ones(1, 1, 3, 3), padding=1).flatten(2).transpose(1, 2).clamp(0, 1)


def masked_features(features: Tensor, mask: Tensor) -> Tensor:
    """What the bank keeps of a block: its normalised input (B, T, C) times the part's mask (B, 1, H, W)."""
    return features * token_mask(mask.to(features), features.shape[1])


def with_references(target: Tensor, references: Sequence[Tensor]) -> Tensor:
    """[x, f_1 m_1, ...]: tokens (B, T, C) and references (1 or B, T_i, C) -> (B, T + sum T_i, C)."""
    return torch.cat([target, *(reference.to(target).expand(len(target), -1, -1) for reference in references)], 1)


def strength_bias(references: Sequence[Tensor], strengths: Sequence[float], own: int) -> Tensor | None:
    """Logit bias (1, T + sum T_i) that makes a reference's tokens count ``strength`` times in the softmax; None if all are 1."""
    if all(strength == 1 for strength in strengths):
        return None
    parts = [reference.new_full((reference.shape[1],), math.log(strength)) for reference, strength in zip(references, strengths)]
    return torch.cat([references[0].new_zeros(own), *parts])[None]


def attend_rows(attend: Callable, query: Tensor, key: Tensor, value: Tensor, conditional: Sequence[bool], bias: Tensor | None) -> Tensor:
    """Attention in which only conditional rows read beyond their own tokens.

    Args:
        attend: (query, key, value, bias or None) -> (B, T, C).
        query: (B, T, C).
        key, value: (B, T + sum T_i, C), the row's own tokens first.
        conditional: per row.
        bias: from ``strength_bias``.
    """
    own = query.shape[1]
    if all(conditional):
        return attend(query, key, value, bias)
    if not any(conditional):
        return attend(query, key[:, :own], value[:, :own], None)
    rows = torch.tensor(list(conditional), device=query.device)
    out = torch.empty_like(query)
    out[rows] = attend(query[rows], key[rows], value[rows], bias)
    out[~rows] = attend(query[~rows], key[~rows, :own], value[~rows, :own], None)
    return out
