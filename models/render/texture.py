"""Reading colours out of textures."""

from __future__ import annotations

import torch
from torch import Tensor

from ..types import Material


def sample_texture(material: Material, uv: Tensor) -> Tensor:
    """Bilinear linear-light RGBA (4, N) of a material's texture.

    Args:
        material: its texture is (H, W, 4) uint8 sRGB with straight alpha.
        uv: (2, N) texture coordinates, origin at the top left; outside 0..1 the material's wrap mode decides.
    """
    texture = material.texture.to(uv.device)
    height, width = texture.shape[:2]
    x, y = uv[0] * width - 0.5, uv[1] * height - 0.5
    left, top = x.floor(), y.floor()
    columns = [_wrap(left.long() + step, width, material.wrap[0]) for step in (0, 1)]
    lines = [_wrap(top.long() + step, height, material.wrap[1]) for step in (0, 1)]
    texels, curves = texture.reshape(-1, 4), _curves(uv)
    (a, b), (c, d) = ([_linear(texels, line * width + column, curves) for column in columns] for line in lines)
    return torch.lerp(torch.lerp(a, b, x - left), torch.lerp(c, d, x - left), y - top)


def _linear(texels, index, curves):
    texel = texels.index_select(0, index).T.long()
    return curves.gather(1, texel)


def _curves(like):
    """(4, 256) linear values of the levels 0..255: sRGB decoding for the colours, none for alpha."""
    level = torch.arange(256, device=like.device, dtype=like.dtype) / 255
    color = torch.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055).pow(2.4))
    return torch.stack([color, color, color, level])


def _wrap(index, size, mode):
    if mode == "clamp":
        return index.clamp(0, size - 1)
    if mode == "mirror":
        index = index % (2 * size)
        return torch.where(index < size, index, 2 * size - 1 - index)
    return index % size
