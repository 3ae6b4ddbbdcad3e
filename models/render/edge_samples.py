"""Pass two of the rasteriser: 16 samples in the pixels that hold a silhouette, an overlap or a soft surface.

Each (triangle, edge pixel) pair that may touch is found by running counts of edge pixels along the lines of the picture. The
samples decide coverage and depth; colour is computed once per triangle and pixel, at the centre of the samples it won.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .rasterize import CutOut, Triangles, Visible, at_once, chunks, expand, inverse_depth, make_keys, pixel_centres

SAMPLES = 16
_SAMPLE_ROWS = (15, 2, 11, 7, 4, 10, 14, 3, 6, 0, 13, 9, 5, 1, 12, 8)  # one in each row, column and 4 x 4 cell, far apart
_OVERLAP = 1e-3  # pixels by which neighbouring triangles overlap, so that rounding leaves no pinholes


def sample_offsets(device="cpu") -> Tensor:
    """(2, 16) places of the samples relative to the pixel's centre: one in each of 16 columns and of 16 rows.

    So a vertical or horizontal edge gives 17 levels of coverage, where a 4 x 4 grid would give 5.
    """
    column = torch.arange(SAMPLES, device=device)
    return (torch.stack([column, torch.tensor(_SAMPLE_ROWS, device=device)]) + 0.5) / SAMPLES - 0.5


@dataclass(frozen=True)
class Shared:
    """Pixels that several triangles share.

    Args:
        triangles: what was drawn.
        pixel: (E,) flat indices into the window; some may hold nothing.
        depth: (E,) metres at the pixel's centre, infinite where it sees nothing.
        slot, triangle: (M,) index into ``pixel`` and a triangle that wins samples there.
        offset: (2, M) centre of these samples relative to the pixel's centre, pixels.
        samples: (M,) their number, of 16.
    """

    triangles: Triangles
    pixel: Tensor
    depth: Tensor
    slot: Tensor
    triangle: Tensor
    offset: Tensor
    samples: Tensor

    def parts(self):
        """Yields (slots, numbers of samples, Fragments) a piece at a time."""
        everything = (self.slot, self.samples, self.triangle, self.offset)
        for slot, samples, triangle, offset in zip(*(values.split(at_once(self.slot.device) // 2, -1) for values in everything)):
            xy = pixel_centres(self.pixel.index_select(0, slot), self.triangles.shape) + offset
            yield slot, samples, self.triangles.fragments(triangle, xy)


def resolve(seen: Visible, cutout: CutOut | None = None, more: Tensor | None = None) -> Shared:
    """Takes the samples of the edge pixels, and of ``more`` (size,) bool that colour calls for."""
    triangles, edge = seen.triangles, seen.edge if more is None else seen.edge | more
    pixel = edge.nonzero()[:, 0]
    count = len(pixel)
    best = torch.zeros(SAMPLES * count, dtype=torch.int64, device=edge.device)
    pieces, done = [(pixel[:0], pixel[:0])], 0
    for triangle, slot in _pairs(triangles, edge):
        centre = pixel_centres(pixel.index_select(0, slot), triangles.shape)
        reach, pair, sample, near = _covered(triangles, triangle, centre, cutout)
        triangle, slot = triangle.index_select(0, reach), slot.index_select(0, reach)
        # pairs are numbered in the order of their triangles, so equal depths fall the same way as in pass one
        best.scatter_reduce_(0, slot.index_select(0, pair) + sample * count, make_keys(near, pair + done), "amax")
        pieces.append((slot, triangle))
        done += len(reach)
    slot, triangle = (torch.cat(parts) for parts in zip(*pieces))
    depth = 1 / inverse_depth(seen.keys.index_select(0, pixel))
    return Shared(triangles, pixel, depth, *_count_wins(best, slot, triangle, count))


def _pairs(triangles, edge):
    """Yields (triangle (K,), index of the edge pixel (K,)) for the edge pixels in each triangle's bounding box."""
    _, height, width = triangles.shape
    before = torch.zeros(len(edge) + 1, dtype=torch.int32, device=edge.device)
    torch.cumsum(edge, 0, out=before[1:])  # number of edge pixels before each pixel
    low, high = triangles.corners[:2].amin(1).floor_(), triangles.corners[:2].amax(1).floor_() + 1
    left, right = low[0].clamp(0, width).long(), high[0].clamp(0, width).long()
    top, bottom = low[1].clamp(0, height).long(), high[1].clamp(0, height).long()
    top_line, count = triangles.row * height + top, bottom - top
    for begin, end in chunks(count):
        owner, line = expand(count[begin:end])
        owner += begin
        line = (line + top_line.index_select(0, owner)) * width
        start = before.index_select(0, line + left.index_select(0, owner))
        touched = before.index_select(0, line + right.index_select(0, owner)) - start
        for low, high in chunks(touched, at_once(edge.device) // 4):
            band, step = expand(touched[low:high])
            band += low
            yield owner.index_select(0, band), step.add_(start.index_select(0, band))


def _covered(triangles, triangle, centre, cutout):
    """Samples that triangles (K,) cover in the pixels around ``centre`` (2, K).

    Returns:
        those of the K that may cover something (M,); for each covered sample: index into these (N,), number of the sample (N,),
        inverse depth (N,).
    """
    sides, inverse = _half_planes(triangles.corners.view(9, -1).index_select(1, triangle).view(3, 3, -1), centre)
    touches = sides[2] + (sides[0].abs() + sides[1].abs()) / 2 > 0
    reach = (touches[0] & touches[1] & touches[2]).nonzero()[:, 0]
    sides, offsets = sides.index_select(2, reach), sample_offsets(centre.device).to(centre.dtype)
    places = torch.cat([offsets, torch.ones_like(offsets[:1])]).T.contiguous()  # a side's distance is linear in (x, y, 1)
    distance = torch.minimum(torch.minimum(places @ sides[:, 0], places @ sides[:, 1]), places @ sides[:, 2])
    inside = (distance.view(-1) >= -_OVERLAP).nonzero()[:, 0]
    sample = torch.div(inside, max(1, len(reach)), rounding_mode="floor")
    pair = inside - sample * len(reach)
    if cutout is not None:
        kept = _kept(triangles, triangle[reach[pair]], centre[:, reach[pair]] + offsets[:, sample], sample, cutout)
        sample, pair = sample[kept], pair[kept]
    x, y, middle, least, greatest = inverse.index_select(1, reach.index_select(0, pair))
    near = middle + x * offsets[0].index_select(0, sample) + y * offsets[1].index_select(0, sample)
    return reach, pair, sample, torch.minimum(torch.maximum(near, least), greatest)


def _half_planes(corners, centre):
    """Triangles (3, 3, K) seen from pixel centres (2, K), in local coordinates so that nothing cancels.

    Returns:
        (3, 3, K): for each side the unit normal's x and y and the centre's distance, positive inside; coefficient, side, triangle.
        (5, K): inverse depth as x and y gradient and value at the centre, then its least and greatest value.
    """
    x, y, inverse = corners[0] - centre[0], corners[1] - centre[1], corners[2]
    (x0, x1, x2), (y0, y1, y2) = x, y
    # side k lies opposite corner k
    normal_x, normal_y = torch.stack([y1 - y2, y2 - y0, y0 - y1]), torch.stack([x2 - x1, x0 - x2, x1 - x0])
    share = torch.stack([x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0])  # twice the area between side and centre
    total = share[0] + share[1] + share[2]
    scale = total.sign() * torch.rsqrt((normal_x.square() + normal_y.square()).clamp_(min=1e-18))
    weight = inverse / total
    depth = [(part[0] * weight[0] + part[1] * weight[1] + part[2] * weight[2]) for part in (normal_x, normal_y, share)]
    least = torch.minimum(torch.minimum(inverse[0], inverse[1]), inverse[2])
    greatest = torch.maximum(torch.maximum(inverse[0], inverse[1]), inverse[2])
    return torch.stack([normal_x * scale, normal_y * scale, share * scale]), torch.stack([*depth, least, greatest])


def _kept(triangles, triangle, xy, sample, cutout):
    """Indices of the samples (N,) that do not fall into holes."""
    face = triangles.face.index_select(0, triangle)
    kept = ~cutout.faces.index_select(0, face)
    holed = (~kept).nonzero()[:, 0]
    bary, *_ = triangles.at(triangle[holed], xy[:, holed])
    kept[holed] = cutout.keep(face[holed], bary, sample[holed])
    return kept.nonzero()[:, 0]


def _count_wins(best, slot, triangle, count):
    """The pairs that won samples: slot, triangle, mean place of the samples, their number. best: (16 E,) keys."""
    won = (best > 0).nonzero()[:, 0]
    sample, pair = torch.div(won, max(1, count), rounding_mode="floor"), best.index_select(0, won) & 0xFFFFFFFF
    offsets = sample_offsets(best.device)
    sums = offsets.new_zeros(3, len(slot))
    # multiples of 1/32: the sums are exact in any order
    for total, value in zip(sums, (torch.ones_like(offsets[0]), *offsets)):
        total.index_add_(0, pair, value.index_select(0, sample))
    some = (sums[0] > 0).nonzero()[:, 0]
    number, x, y = sums.index_select(1, some)
    return slot.index_select(0, some), triangle.index_select(0, some), torch.stack([x, y]) / number, number
