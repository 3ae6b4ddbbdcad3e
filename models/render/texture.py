"""Reading colours out of textures: bilinear between texels, linear between mip-maps, in linear light."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor
from torch.nn.functional import interpolate as resize

from ..types import Material


@dataclass(frozen=True)
class Pyramid:
    """A texture and its halvings, one after another.

    Args:
        texels: (T, 4) uint8 sRGB, straight alpha, all levels.
        start, width, height: (L,) int64 first texel and size of each level.
    """

    texels: Tensor
    start: Tensor
    width: Tensor
    height: Tensor


class MipMaps:
    """Pyramids of textures, each made when it is first asked for and kept with its material."""

    def __init__(self):
        self._lock = Lock()

    def of(self, material: Material, device) -> Pyramid:
        """The pyramid of a material's texture (H, W, 4) uint8 on a device."""
        key, kept = ("mip-maps", device), material.prepared
        with self._lock:  # threads that draw rows of one figure wait for the first to make it
            if key not in kept or kept[key][0] is not material.texture:
                kept[key] = material.texture, build_pyramid(material.texture.to(device))
            return kept[key][1]


def build_pyramid(texture: Tensor) -> Pyramid:
    """Halves a texture (H, W, 4) down to one texel, averaging light (not sRGB levels) weighted by alpha."""
    color, alpha = _decode(texture.reshape(-1, 4), _curve(texture.device)).view(4, *texture.shape[:2]).split([3, 1])
    image = torch.cat([color * alpha, alpha])[None]
    levels, sizes = [texture.reshape(-1, 4)], [texture.shape[:2]]
    while max(sizes[-1]) > 1:
        sizes.append(tuple(max(1, side // 2) for side in sizes[-1]))
        image = _halve(image) if image.shape[2] % 2 == image.shape[3] % 2 == 0 else resize(image, sizes[-1], mode="area")
        levels.append(_encode(image[0].reshape(4, -1)))
    height, width = torch.tensor(sizes, device=texture.device).T.contiguous()
    return Pyramid(torch.cat(levels), torch.cumsum(height * width, 0) - height * width, width, height)


def _halve(image):
    """The mean of each 2 x 2 block of (1, C, H, W); several times faster than a general resize."""
    lines = image[:, :, ::2] + image[:, :, 1::2]
    return (lines[..., ::2] + lines[..., 1::2]).mul_(0.25)


def sample_texture(pyramid: Pyramid, wrap, uv: Tensor, area: Tensor | None = None) -> Tensor:
    """Linear-light RGBA (4, N).

    Args:
        wrap: "repeat", "clamp" or "mirror" for u and for v: what lies outside 0..1.
        uv: (2, N) texture coordinates, origin at the top left.
        area: (N,) part of the whole texture that falls on one pixel; it chooses the mip-maps. None reads the texture itself.
    """
    last = len(pyramid.start) - 1
    if area is None or last == 0:
        return _bilinear(pyramid, wrap, uv, torch.zeros_like(uv[0], dtype=torch.int64))
    texels = area * float(pyramid.width[0] * pyramid.height[0])
    level = (texels.clamp_(min=1).log2_() / 2).clamp_(max=last)
    finer = level.floor()
    color = _bilinear(pyramid, wrap, uv, finer.long())
    between = ((level - finer) > 0).nonzero()[:, 0]
    coarser = _bilinear(pyramid, wrap, uv.index_select(1, between), (finer.long() + 1).clamp_(max=last).index_select(0, between))
    color[:, between] = torch.lerp(color.index_select(1, between), coarser, (level - finer).index_select(0, between))
    return color


def _bilinear(pyramid, wrap, uv, level):
    width, height, start = (values.index_select(0, level) for values in (pyramid.width, pyramid.height, pyramid.start))
    x, y = uv[0] * width - 0.5, uv[1] * height - 0.5
    left, top = x.floor(), y.floor()
    columns = [_wrap(left.long() + step, width, wrap[0]) for step in (0, 1)]
    lines = [start + _wrap(top.long() + step, height, wrap[1]) * width for step in (0, 1)]
    curve = _curve(uv.device)
    (a, b), (c, d) = ([_decode(pyramid.texels.index_select(0, line + column), curve) for column in columns] for line in lines)
    across, down = x - left, y - top
    return torch.lerp(torch.lerp(a, b, across), torch.lerp(c, d, across), down)


def _wrap(index, size, mode):
    if mode == "clamp":
        return torch.minimum(index.clamp_(min=0), size - 1)
    if mode == "mirror":
        index = index % (2 * size)
        return torch.minimum(index, 2 * size - 1 - index)
    return index % size


def _curve(device):
    """(1024,) linear light of the levels 0..255 of red, green, blue, and of alpha, which has no curve."""
    level = torch.arange(256, device=device) / 255
    color = torch.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055).pow(2.4))
    return torch.cat([color, color, color, level])


def _decode(texels, curve):
    """(N, 4) uint8 sRGB to (4, N) linear light."""
    index = texels.T.contiguous().int() + 256 * torch.arange(4, dtype=torch.int32, device=texels.device)[:, None]
    return curve.index_select(0, index.view(-1)).view(4, -1)


def _encode(image):
    """(4, N) linear light times alpha to (N, 4) uint8 sRGB with straight alpha."""
    color = (image[:3] / image[3].clamp(min=1e-6)).clamp(0, 1)
    color = torch.where(color <= 0.0031308, color * 12.92, 1.055 * color.pow(1 / 2.4) - 0.055)
    return (torch.cat([color, image[3:]]) * 255 + 0.5).clamp_(0, 255).to(torch.uint8).T
