"""Reading colours out of textures."""

from __future__ import annotations

import torch
from torch import Tensor

from ..types import Material


def sample_texture(material: Material, uv: Tensor) -> Tensor:
    """Bilinear linear-light RGBA (N, 4) of a material's texture.

    Args:
        material: its texture is (H, W, 4) uint8 sRGB with straight alpha.
        uv: (N, 2) texture coordinates, origin at the top left; outside 0..1 the material's wrap mode decides.
    """
    texture = material.texture.to(uv.device)
    height, width = texture.shape[:2]
    x = uv[:, 0] * width - 0.5
    y = uv[:, 1] * height - 0.5
    left, top = x.floor(), y.floor()
    u, v = (x - left)[:, None], (y - top)[:, None]
    columns = [_wrap(left.long() + step, width, material.wrap[0]) for step in (0, 1)]
    lines = [_wrap(top.long() + step, height, material.wrap[1]) for step in (0, 1)]
    texels, curve = texture.reshape(-1, 4), _linear_levels(uv)
    (a, b), (c, d) = ([_linear(texels, line * width + column, curve) for column in columns] for line in lines)
    return torch.lerp(torch.lerp(a, b, u), torch.lerp(c, d, u), v)


def _linear(texels, index, curve):
    texel = texels[index].long()
    return torch.cat([curve[texel[:, :3]], texel[:, 3:] / 255], 1)


def _linear_levels(like):
    """The 256 sRGB levels in linear light."""
    level = torch.arange(256, device=like.device, dtype=like.dtype) / 255
    return torch.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055).pow(2.4))


def _wrap(index, size, mode):
    if mode == "clamp":
        return index.clamp(0, size - 1)
    if mode == "mirror":
        index = index % (2 * size)
        return torch.where(index < size, index, 2 * size - 1 - index)
    return index % size
