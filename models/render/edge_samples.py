"""Pass two of the rasteriser: 16 samples in the pixels that hold a silhouette, an overlap or a soft surface.

Edge pixels are found by the second difference of the inverse depth: it is an affine function of the pixel on any plane, so the
difference vanishes inside a surface and jumps at silhouettes and overlaps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .rasterize import CHUNK, CutOut, Triangles, chunks, expand, make_keys, pixel_centres

SAMPLES = 16
_SAMPLE_ROWS = (15, 2, 11, 7, 4, 10, 14, 3, 6, 0, 13, 9, 5, 1, 12, 8)  # one in each row, column and 4 x 4 cell, far apart
_BEND = 3.0  # an overlap deeper than this many pixel footprints is an edge
_OVERLAP = 1e-3  # pixels by which neighbouring triangles overlap, so that rounding leaves no pinholes


def sample_offsets(device="cpu") -> Tensor:
    """(2, 16) places of the samples relative to the pixel's centre: one in each of 16 columns and of 16 rows.

    So a vertical or horizontal edge gives 17 levels of coverage, where a 4 x 4 grid would give 5.
    """
    column = torch.arange(SAMPLES, device=device)
    return (torch.stack([column, torch.tensor(_SAMPLE_ROWS, device=device)]) + 0.5) / SAMPLES - 0.5


def find_edges(inverse_depth: Tensor, focal: float) -> Tensor:
    """Edge pixels (B, H, W) of an inverse depth map (B, H, W) that is 0 where nothing is."""
    grid = pad(inverse_depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    centre = grid[:, 1:-1, 1:-1]
    bend = _BEND / focal
    edge = torch.zeros_like(centre, dtype=torch.bool)
    for before, after in ((grid[:, 1:-1, :-2], grid[:, 1:-1, 2:]), (grid[:, :-2, 1:-1], grid[:, 2:, 1:-1])):
        around = before + after
        edge |= torch.sub(around, centre, alpha=2).abs_() > around.add_(centre).mul_(bend)
    return edge


def sample_edges(triangles: Triangles, edge: Tensor, edge_pixels: Tensor, cutout: CutOut | None):
    """Resolves the edge pixels.

    Args:
        edge: (size,) bool, edge_pixels: (E,) the same as indices.

    Returns:
        for each triangle that wins samples in an edge pixel: index into ``edge_pixels`` (N,), triangle (N,), centre of its
        samples relative to the pixel's centre (2, N), number of its samples (N,).
    """
    count = len(edge_pixels)
    best = torch.zeros(SAMPLES * count, dtype=torch.int64, device=edge.device)
    pieces = []
    for triangle, slot in _pairs(triangles, edge):
        centre = pixel_centres(edge_pixels.index_select(0, slot), triangles.shape)
        reach, keys = _covered(triangles, triangle, centre, cutout)
        triangle, slot = triangle.index_select(0, reach), slot.index_select(0, reach)
        place = slot + count * torch.arange(SAMPLES, device=slot.device)[:, None]
        best.scatter_reduce_(0, place.view(-1), keys.view(-1), "amax")
        pieces.append((triangle, slot, keys))
    won = [_count_wins(best.view(SAMPLES, count), *piece) for piece in pieces]
    if not won:
        nothing = edge_pixels[:0]
        return nothing, nothing, triangles.corners.new_zeros(2, 0), triangles.corners.new_zeros(0)
    return tuple(torch.cat(parts, -1) for parts in zip(*won))


def _pairs(triangles, edge):
    """Yields (triangle (K,), index of the edge pixel (K,)) for the edge pixels in each triangle's bounding box."""
    _, height, width = triangles.shape
    before = pad(edge.cumsum(0), (1, 0))  # number of edge pixels before each pixel
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
        for low, high in chunks(touched, CHUNK // SAMPLES):
            band, step = expand(touched[low:high])
            band += low
            yield owner.index_select(0, band), step.add_(start.index_select(0, band))


def _covered(triangles, triangle, centre, cutout):
    """Keys of the samples that triangles (K,) cover in the pixels around ``centre`` (2, K).

    Returns:
        those of the K that can cover anything (M,), and keys (16, M), 0 where a sample is not covered.
    """
    offsets = sample_offsets(centre.device).to(centre.dtype)
    distance, normal, inverse, gradient = _half_planes(triangles.corners.view(9, -1).index_select(1, triangle).view(3, 3, -1), centre)
    touches = (distance + normal.abs().sum(0) / 2 > 0).all(0)
    reach = touches.nonzero()[:, 0]
    distance, inverse = distance.index_select(1, reach), inverse.index_select(1, reach)
    normal, gradient = normal.index_select(2, reach), gradient.index_select(1, reach)
    nearest_side = None
    for side in range(3):
        there = torch.addmm(distance[side], offsets.T, normal[:, side])
        nearest_side = there if nearest_side is None else torch.minimum(nearest_side, there, out=nearest_side)
    near = torch.addmm(inverse[0], offsets.T, gradient)
    near = torch.minimum(torch.maximum(near, inverse[1], out=near), inverse[2], out=near)
    inside = nearest_side >= -_OVERLAP
    if cutout is not None:
        _cut(inside, triangles, triangle[reach], centre[:, reach], offsets, cutout)
    return reach, make_keys(near, triangle.index_select(0, reach)).mul_(inside)


def _half_planes(corners, centre):
    """Triangles (3, 3, K) seen from pixel centres (2, K), in local coordinates so that nothing cancels.

    Returns:
        signed distance of the centre to each side (3, K), positive inside; the sides' unit normals (2, 3, K); inverse depth at
        the centre, its least and greatest value (3, K); gradient of the inverse depth (2, K).
    """
    x, y, inverse = corners[0] - centre[0], corners[1] - centre[1], corners[2]
    begin, end = [1, 2, 0], [2, 0, 1]  # side k lies opposite corner k
    normal = torch.stack([y[begin] - y[end], x[end] - x[begin]])
    share = -(normal[0] * x[begin] + normal[1] * y[begin])  # twice the area between the side and the centre
    total = share[0] + share[1] + share[2]
    weight = inverse / total
    gradient = (normal * weight).sum(1)
    spread = torch.stack([(share * weight).sum(0), inverse.amin(0), inverse.amax(0)])
    scale = total.sign() / (normal[0].square() + normal[1].square()).sqrt_().clamp_(min=1e-9)
    return share * scale, normal * scale, spread, gradient


def _cut(inside, triangles, triangle, centre, offsets, cutout):
    """Clears the samples (16, M) that fall into holes."""
    holed = cutout.faces.index_select(0, triangles.face.index_select(0, triangle)) & inside
    sample, pair = holed.nonzero().unbind(1)
    bary, *_ = triangles.at(triangle[pair], centre[:, pair] + offsets[:, sample])
    inside[sample, pair] = cutout.keep(triangles.face[triangle[pair]], bary, sample)


def _count_wins(best, triangle, slot, keys):
    """The pairs that won samples: slot, triangle, mean place of the samples, their number."""
    won = (best.index_select(1, slot) == keys).logical_and_(keys > 0).to(torch.float32)
    offsets = sample_offsets(keys.device)
    number, x, y = torch.cat([torch.ones_like(offsets[:1]), offsets]) @ won
    some = (number > 0).nonzero()[:, 0]
    number = number.index_select(0, some)
    place = torch.stack([x.index_select(0, some), y.index_select(0, some)]) / number
    return slot.index_select(0, some), triangle.index_select(0, some), place, number
