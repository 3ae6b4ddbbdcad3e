"""Text to token states: the interface of all encoders, and the bundled one.

The bundled encoder is all-MiniLM-L6-v2 (Apache-2.0), a BERT with 6 layers of width 384, stored as int8 together with its
tokenizer. It is read here without transformers or sentence-transformers. Another encoder (CLIP from a ComfyUI socket) gives the
same :class:`TextStates`; a text-to-pose model refuses states of an encoder it was not trained with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..assets.files import read_safetensors
from ..assets.registry import TEXT_ENCODER, bundled
from ..checks import InputError, check_shape

MINILM = "minilm-l6-v2"
CLIP_L = "clip-l"
SCALE = "_scale"  # suffix of the per-row scales that turn int8 weights back into floats
TOKENIZER = "tokenizer_json"
MAX_TOKENS = 77  # as CLIP's; about 60 words
PROMPTS_AT_ONCE = 128  # bounds memory


@dataclass(frozen=True)
class TextStates:
    """Encoded prompts.

    Args:
        tokens: (B, T, D) state of each token; what stands behind the end of a prompt is ignored.
        mask: (B, T) bool, True where there is a token.
        pooled: (B, D) state of the whole prompt: the unit mean of MiniLM, CLIP's unprojected end-of-text state.
        encoder: name of the encoder, "minilm-l6-v2" or "clip-l".
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    encoder: str

    def __post_init__(self):
        sizes = check_shape("text tokens", self.tokens, "B T D")
        check_shape("text mask", self.mask, "B T", **sizes)
        check_shape("pooled text", self.pooled, "B D", **sizes)

    def __len__(self):
        return self.tokens.shape[0]

    def rows(self, rows):
        """Returns the chosen prompts (a slice or a list of indices)."""
        return replace(self, tokens=self.tokens[rows], mask=self.mask[rows], pooled=self.pooled[rows])

    def to(self, device):
        """Returns the same states on ``device``."""
        return replace(self, tokens=self.tokens.to(device), mask=self.mask.to(device), pooled=self.pooled.to(device))

    @staticmethod
    def cat(states):
        """Returns the prompts of several states one after another, padded to the longest."""
        if len({s.encoder for s in states}) > 1:
            raise InputError("text states", sorted({s.encoder for s in states}), "come from different encoders", "Use one encoder.")
        longest = max(s.tokens.shape[1] for s in states)
        tokens = torch.cat([F.pad(s.tokens, (0, 0, 0, longest - s.tokens.shape[1])) for s in states])
        mask = torch.cat([F.pad(s.mask, (0, longest - s.mask.shape[1])) for s in states])
        return TextStates(tokens, mask, torch.cat([s.pooled for s in states]), states[0].encoder)


class MiniLM(nn.Module):
    """BERT as in Devlin et al. 2019 (post-norm), with the segment embedding folded into the positions.

    Args:
        words, positions, width, layers, heads: sizes of the network.
        operations: where Linear, Embedding and LayerNorm come from; a host passes its own.
    """

    def __init__(self, words=30522, positions=512, width=384, layers=6, heads=12, operations=nn):
        super().__init__()
        self.words = operations.Embedding(words, width)
        self.positions = operations.Embedding(positions, width)
        self.norm = operations.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(MiniLMLayer(width, heads, operations) for _ in range(layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids ``(B, T)`` and their bool mask to the last layer's states ``(B, T, width)``."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(places))
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        return x


class MiniLMLayer(nn.Module):
    """One post-norm transformer layer: attention, then a GELU network of four times the width."""

    def __init__(self, width, heads, operations):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (operations.Linear(width, width) for _ in range(4))
        self.up, self.down = operations.Linear(width, 4 * width), operations.Linear(4 * width, width)
        self.attention_norm = operations.LayerNorm(width, eps=1e-12)
        self.norm = operations.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, heads, T, D / heads)
        attended = F.scaled_dot_product_attention(split(self.query(x)), split(self.key(x)), split(self.value(x)), attn_mask=mask)
        x = self.attention_norm(x + self.out(attended.transpose(1, 2).flatten(2)))
        return self.norm(x + self.down(F.gelu(self.up(x))))


class MiniLMEncoder:
    """Prompts to :class:`TextStates`. Make it with :func:`load_minilm`."""

    id = MINILM

    def __init__(self, network, tokenizer):
        self.network, self.tokenizer = network, tokenizer
        self.dim = network.words.embedding_dim

    def __call__(self, texts: list[str]) -> TextStates:
        """Encodes prompts; tokens after the 77th are cut off.

        Raises:
            InputError: the tokenizer knows no word of a prompt.
        """
        texts = list(texts)
        return TextStates.cat([self._encode(texts[i : i + PROMPTS_AT_ONCE]) for i in range(0, len(texts), PROMPTS_AT_ONCE)])

    def _encode(self, texts):
        device = self.network.words.weight.device
        ids, mask = self.tokenize(texts)
        ids, mask = ids.to(device), mask.to(device)
        with torch.no_grad():
            tokens = self.network(ids, mask)
        weight = mask[..., None].to(tokens.dtype)
        pooled = F.normalize((tokens * weight).sum(1) / weight.sum(1), dim=-1)
        return TextStates(tokens * weight, mask, pooled, self.id)

    def tokenize(self, texts):
        """Returns token ids (B, T) int64 and their mask (B, T) bool, padded to the longest prompt."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        unknown = self.tokenizer.token_to_id("[UNK]")
        for text, row in zip(texts, rows):
            if len(row) > 2 and all(token == unknown for token in row[1:-1]):
                raise InputError("prompt", text, "holds no word that the text encoder knows", "Write it in plain English.")
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        counts = torch.tensor([len(row) for row in rows])
        return ids, torch.arange(length) < counts[:, None]


def load_minilm(source=None, device="cpu", operations=nn) -> MiniLMEncoder:
    """Reads an int8 MiniLM file made by ``scripts/build_text_encoder.py`` (default: the bundled one).

    The weights become float32 on the target device: 91 MB there, 23 MB on disk.

    Raises:
        InputError: the file is damaged or is not such a file.
    """
    path = bundled(TEXT_ENCODER) if source is None else source
    tensors, config = read_safetensors(path, "text encoder file", device)
    if config.get("format") != MINILM:
        raise InputError("text encoder file", path, "is not a MiniLM file of this pack", "Use the bundled encoder.")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(bytes(tensors.pop(TOKENIZER).cpu().numpy()).decode("utf-8"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    network = MiniLM(**config["network"], operations=operations)  # not on "meta": its first use imports for seconds
    network.load_state_dict(dequantise_rows(tensors), assign=True)
    return MiniLMEncoder(network.eval().requires_grad_(False), tokenizer)


def quantise_rows(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices (R, C) to int8 with one float32 scale per row, ``w = int8 * scale``; vectors stay float32."""
    stored = {}
    for name, weight in weights.items():
        stored[name] = weight.float()
        if weight.ndim == 2:
            scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            stored[name] = (weight.float() / scale).round().clamp(-127, 127).to(torch.int8)
            stored[name + SCALE] = scale
    return stored


def dequantise_rows(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`quantise_rows`, up to half a step of each row's scale."""
    names = [name for name in stored if not name.endswith(SCALE)]
    return {name: stored[name].float() * stored[name + SCALE] if name + SCALE in stored else stored[name] for name in names}
