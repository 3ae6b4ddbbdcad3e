"""Names of UNet weights: diffusers' ("down_blocks.0.resnets.1 ...") to those of single-file checkpoints ("input_blocks.2.0 ...")."""

from __future__ import annotations

import re

_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
           "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
_PLAIN = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
          "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
          "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")


def to_ldm(names, layers_per_block):
    """Translates the names of one UNet's weights.

    Args:
        names: all weight names of a diffusers UNet2DConditionModel of Stable Diffusion's kind.
        layers_per_block: of its config.

    Returns:
        {diffusers name: name in a single-file checkpoint, without ``model.diffusion_model.``}.
    """
    attended = {match[2] for match in map(_BLOCK.match, names) if match and match[1] == "up" and match[3] == "attentions"}
    return {name: _translate(name, layers_per_block, attended) for name in names}


def _translate(name, layers, attended):
    match = _BLOCK.match(name)
    if match is None:
        stem = max((plain for plain in _PLAIN if name.startswith(plain + ".")), key=len)
        return _PLAIN[stem] + "." + _inner(name[len(stem) + 1 :])
    way, block, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * (layers + 1)}.0.{rest.replace('conv.', 'op.', 1)}"
    if kind == "upsamplers":
        return f"output_blocks.{block * (layers + 1) + layers}.{2 if match[2] in attended else 1}.{rest}"
    place = f"input_blocks.{1 + block * (layers + 1) + index}" if way == "down" else f"output_blocks.{block * (layers + 1) + index}"
    return f"{place}.{int(kind == 'attentions')}.{_inner(rest)}"


def _inner(name):
    """Weights inside a residual block have other names; those of a transformer are the same."""
    head, _, tail = name.partition(".")
    return f"{_RESNET[head]}.{tail}" if head in _RESNET else name
