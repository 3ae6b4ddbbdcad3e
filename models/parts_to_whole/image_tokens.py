"""Decoupled image tokens (Parts2Whole): each cross-attention also reads one CLIP token per reference.

    out = Attention(Q, K_text, V_text) + Attention(Q, K_dc, V_dc),   K_dc = tokens W_k,  V_dc = tokens W_v

Both share the query. Absent references are zero tokens, which take their share of the second softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .parts import TOKENS


class ImageProjections(nn.Module):
    """``to_k_dc`` and ``to_v_dc`` of every cross-attention.

    Args:
        widths: {block name: channels}.
        token_width: numbers per image token.
    """

    def __init__(self, widths, token_width):
        super().__init__()
        self.names = tuple(widths)
        self.to_k_dc, self.to_v_dc = (nn.ModuleDict({name.replace(".", "/"): nn.Linear(token_width, width, bias=False)
                                                     for name, width in widths.items()}) for _ in range(2))

    def forward(self, tokens: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Tokens (B, 6, D) -> {block name: (keys, values)}, each (B, 6, C)."""
        places = {name: name.replace(".", "/") for name in self.names}
        return {name: (self.to_k_dc[place](tokens), self.to_v_dc[place](tokens)) for name, place in places.items()}

    @property
    def token_width(self):
        return next(iter(self.to_k_dc.values())).in_features

    @classmethod
    def from_weights(cls, weights):
        """From {"<block>.to_k_dc": (C, D), "<block>.to_v_dc": (C, D)}."""
        keys = {name.removesuffix(".to_k_dc"): weight for name, weight in weights.items() if name.endswith(".to_k_dc")}
        with torch.device("meta"):
            made = cls({name: weight.shape[0] for name, weight in keys.items()}, next(iter(keys.values())).shape[1])
        made.load_state_dict({f"{name.rpartition('.')[2]}.{name.rpartition('.')[0].replace('.', '/')}.weight": weight
                              for name, weight in weights.items()}, assign=True)
        return made

    def weights(self):
        """The reverse of ``from_weights``."""
        return {f"{name}.{kind}": getattr(self, kind)[name.replace(".", "/")].weight.detach()
                for name in self.names for kind in ("to_k_dc", "to_v_dc")}


def pad_tokens(tokens: Tensor) -> Tensor:
    """(B, R, D) -> (B, 6, D): zeros behind."""
    return pad(tokens, (0, 0, 0, TOKENS - tokens.shape[1]))
