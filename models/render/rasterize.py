"""A z-buffer rasteriser in plain torch: which triangle is seen at which point of the picture.

Pass one walks scanlines at one sample per pixel: triangle -> rows it crosses -> pixels between the two crossings. A pixel's
winner is a maximum over 64-bit keys (inverse depth above, span number below), so the result does not depend on the order of
execution. Pass two takes 16 samples in the edge pixels only, where the inverse depth bends sharply: it is an affine function
of the pixel on any plane, so its second difference vanishes inside a surface and jumps at silhouettes and overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

SAMPLES = 16
_SAMPLE_ROWS = (15, 2, 11, 7, 4, 10, 14, 3, 6, 0, 13, 9, 5, 1, 12, 8)  # one in each row, column and 4 x 4 cell, far apart
_CHUNK = 4_000_000  # pixels or samples under work at once
_BEND = 3.0  # an overlap deeper than this many pixel footprints is an edge
_OVERLAP = 1e-3  # pixels by which neighbouring triangles overlap in pass two, so that rounding leaves no pinholes


@dataclass(frozen=True)
class Window:
    """The part of the picture that is worked on: left, top, width, height in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Fragments:
    """Visible points, some per pixel.

    Args:
        pixel: (N,) flat index into (B, window height, window width).
        row: (N,) row of the batch.
        face: (N,) index into the mesh's faces.
        bary: (N, 3) perspective-correct barycentric coordinates.
        xy: (N, 2) place in the window, pixels.
        depth: (N,) metres.
        interior: number of leading fragments that fill their pixel alone; the others are samples of edge pixels.
    """

    pixel: Tensor
    row: Tensor
    face: Tensor
    bary: Tensor
    xy: Tensor
    depth: Tensor
    interior: int


def sample_offsets(device="cpu") -> Tensor:
    """(16, 2) places of the samples relative to the pixel's centre: one in each of 16 columns and of 16 rows.

    So a vertical or horizontal edge gives 17 levels of coverage, where a 4 x 4 grid would give 5.
    """
    places = torch.tensor(list(enumerate(_SAMPLE_ROWS)), dtype=torch.float32, device=device)
    return (places + 0.5) / SAMPLES - 0.5


def rasterize(screen: Tensor, faces: Tensor, window: Window, focal: float, double_sided: Tensor | None = None, antialias=True) -> Fragments:
    """Finds what is seen of some meshes that share their faces.

    Args:
        screen: (B, V, 3) vertices as (x, y, 1 / z): pixels of the whole picture and inverse metres; z > 0 everywhere.
        faces: (F, 3) int64, counter-clockwise from outside.
        window: the part of the picture to work on.
        focal: pixels, the footprint of a pixel is depth / focal.
        double_sided: (F,) bool, True where back faces are drawn too; None means nowhere.
        antialias: take 16 samples in edge pixels instead of one.
    """
    triangles = _front_triangles(screen, faces, window, double_sided)
    shape = (len(screen), window.height, window.width)
    inverse_depth, winner = _scan(triangles, shape)
    hit = winner >= 0
    edge = _edges(inverse_depth.view(shape), _BEND / focal).view(-1) if antialias else torch.zeros_like(hit)
    inner, edge_pixels = (hit & ~edge).nonzero()[:, 0], edge.nonzero()[:, 0]
    owner, sample, pick = _resolve(triangles, edge, edge_pixels, shape)
    offsets = sample_offsets(screen.device).to(screen.dtype)[sample]
    pixel, offsets = torch.cat([inner, edge_pixels[owner]]), torch.cat([offsets.new_zeros(len(inner), 2), offsets])
    return _interpolate(triangles, pixel, torch.cat([winner[inner], pick]), offsets, shape, len(inner))


@dataclass(frozen=True)
class _Triangles:
    corners: Tensor  # (T, 3, 3) as (x, y, 1 / z), pixels of the window
    row: Tensor  # (T,)
    face: Tensor  # (T,)


def _front_triangles(screen, faces, window, double_sided):
    """The triangles that face the camera and touch the window."""
    rows, count = screen.shape[:2]
    origin = screen.new_tensor([window.left, window.top, 0])
    corner_ids = (faces + count * torch.arange(rows, device=faces.device)[:, None, None]).view(-1)
    corners = (screen - origin).view(-1, 3).index_select(0, corner_ids).view(-1, 3, 3)
    a, b, c = corners.unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    shown = area < 0  # y points down, so counter-clockwise comes out negative
    if double_sided is not None:
        shown |= double_sided.repeat(rows) & (area > 0)
    low, high = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
    shown &= (high[:, 0] > 0) & (low[:, 0] < window.width) & (high[:, 1] > 0) & (low[:, 1] < window.height)
    ids = shown.nonzero()[:, 0]
    return _Triangles(corners.index_select(0, ids), ids // len(faces), ids % len(faces))


def _scan(triangles, shape):
    """Pass one. Returns inverse depth (size,), 0 where nothing is, and the winning triangle (size,), -1 where none."""
    keys = torch.zeros(shape[0] * shape[1] * shape[2], dtype=torch.int64, device=triangles.row.device)
    edges, first, count = _scan_edges(triangles.corners, shape[1])
    for begin, end in _chunks(count):
        owner, step = _expand(count[begin:end])
        owner += begin
        y = first[owner] + step
        left, length, inverse, slope = _spans(edges, owner, y, shape[2])
        place = (triangles.row[owner] * shape[1] + y) * shape[2] + left
        for start, stop in _chunks(length):
            span, step = _expand(length[start:stop])
            span += start
            near = torch.addcmul(inverse[span], slope[span], step).clamp_(min=1e-12)
            keys.scatter_reduce_(0, place[span] + step, _key(near, owner[span]), "amax")
    winner = torch.where(keys > 0, keys & 0xFFFFFFFF, -1)
    return (keys >> 32).int().view(torch.float32), winner


def _key(inverse_depth, triangle):
    """64-bit key: a greater key is nearer. The bits of positive floats are ordered as the floats are."""
    return (inverse_depth.float().view(torch.int32).long() << 32) | triangle


def _scan_edges(corners, height):
    """The two chains of each triangle from its top to its bottom corner.

    Every edge runs from its upper to its lower end in both triangles that own it, so both compute the same crossings, bit for
    bit, and a pixel between them belongs to exactly one.

    Returns:
        (3, T, 5) long, upper and lower edge as (x, y, dx/dy, 1/z, d(1/z)/dy), then first row (T,) and number of rows (T,).
    """
    y = corners[..., 1]
    top, bottom = y.argmin(1), y.argmax(1)
    middle = (3 - top - bottom).clamp_(max=2)
    order = torch.stack([top, middle, bottom], 1)[..., None].expand(-1, -1, 3)
    top, middle, bottom = corners.gather(1, order).unbind(1)
    begin, end = torch.stack([top, top, middle]), torch.stack([bottom, middle, bottom])
    slope = (end - begin) / (end[..., 1:2] - begin[..., 1:2])
    edges = torch.stack([begin[..., 0], begin[..., 1], slope[..., 0], begin[..., 2], slope[..., 2]], -1)
    first = (top[:, 1] - 0.5).ceil().clamp(0, height)
    last = (bottom[:, 1] - 0.5).ceil().clamp(0, height)
    return edges, first.long(), (last - first).clamp(min=0).long()


def _spans(edges, owner, y, width):
    """Pixels between the two crossings of a row: first pixel, number, inverse depth at the first, its change per pixel."""
    centre = y + 0.5
    long, lower = edges[0].index_select(0, owner), edges[2].index_select(0, owner)
    short = torch.where((centre < lower[:, 1])[:, None], edges[1].index_select(0, owner), lower)
    x0, z0 = _crossing(long, centre)
    x1, z1 = _crossing(short, centre)
    left, right = torch.minimum(x0, x1), torch.maximum(x0, x1)
    first, last = (left - 0.5).ceil().clamp(0, width), (right - 0.5).ceil().clamp(0, width)
    slope = (z1 - z0) / torch.where(x1 == x0, torch.ones_like(x0), x1 - x0)
    return first.long(), (last - first).clamp(min=0).long(), z0 + (first + 0.5 - x0) * slope, slope


def _crossing(edge, centre):
    down = centre - edge[:, 1]
    return edge[:, 0] + down * edge[:, 2], edge[:, 3] + down * edge[:, 4]


def _edges(inverse_depth, bend):
    """Pixels (B, H, W) where the inverse depth bends by more than ``bend`` of itself; silhouettes always do."""
    grid = pad(inverse_depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    centre = grid[:, 1:-1, 1:-1]
    edge = torch.zeros_like(centre, dtype=torch.bool)
    for before, after in ((grid[:, 1:-1, :-2], grid[:, 1:-1, 2:]), (grid[:, :-2, 1:-1], grid[:, 2:, 1:-1])):
        around = before + after
        edge |= (around - 2 * centre).abs_() > bend * (around + centre)
    return edge


def _resolve(triangles, edge, edge_pixels, shape):
    """Pass two. Returns for each covered sample: index into ``edge_pixels``, sample number, winning triangle."""
    keys = torch.zeros(len(edge_pixels) * SAMPLES, dtype=torch.int64, device=edge.device)
    before = torch.nn.functional.pad(edge.cumsum(0), (1, 0))  # edge pixels before each pixel
    first, count, left, right = _bands(triangles.corners, shape)
    offsets = sample_offsets(edge.device).to(triangles.corners.dtype).T
    for begin, end in _chunks(count):
        owner, step = _expand(count[begin:end])
        owner += begin
        line = (triangles.row[owner] * shape[1] + first[owner] + step) * shape[2]
        start = before[line + left[owner]]
        touched = before[line + right[owner]] - start
        for low, high in _chunks(touched, _CHUNK // SAMPLES):
            band, step = _expand(touched[low:high])
            band += low
            _sample(keys, triangles.corners, owner[band], start[band] + step, edge_pixels, offsets, shape)
    slots = keys.nonzero()[:, 0]
    return slots // SAMPLES, slots % SAMPLES, keys[slots] & 0xFFFFFFFF


def _bands(corners, shape):
    """Rows and columns of pixels that each triangle's bounding box touches: first row, rows, first column, end column."""
    low, high = corners[..., :2].amin(1).floor(), corners[..., :2].amax(1).floor() + 1
    left, right = low[:, 0].clamp(0, shape[2]), high[:, 0].clamp(0, shape[2])
    top, bottom = low[:, 1].clamp(0, shape[1]), high[:, 1].clamp(0, shape[1])
    return top.long(), (bottom - top).long(), left.long(), right.long()


def _sample(keys, corners, triangle, slot, edge_pixels, offsets, shape):
    """Enters the samples that some triangles cover in some edge pixels into the keys."""
    pixel = edge_pixels[slot] % (shape[1] * shape[2])
    centre = torch.stack([pixel % shape[2] + 0.5, pixel // shape[2] + 0.5], -1)
    distance, normal, inverse, gradient = _half_planes(corners.index_select(0, triangle), centre)
    reach = (distance + normal.abs().sum(-1) / 2 > 0).all(1).nonzero()[:, 0]
    distance, normal, inverse, gradient = distance[reach], normal[reach], inverse[reach], gradient[reach]
    inside = ((distance[..., None] + normal @ offsets).amin(1) >= -_OVERLAP).nonzero()
    pair, sample = inside.unbind(1)
    near = inverse[:, 0, None] + gradient @ offsets
    near = torch.minimum(torch.maximum(near, inverse[:, 1, None]), inverse[:, 2, None])[pair, sample]
    pick = reach[pair]
    keys.scatter_reduce_(0, slot[pick] * SAMPLES + sample, _key(near, triangle[pick]), "amax")


def _half_planes(corners, centre):
    """Triangles seen from a pixel's centre, in local coordinates so that nothing cancels.

    Returns:
        signed distance of the centre to each side (N, 3), positive inside; the sides' unit normals (N, 3, 2); inverse depth at
        the centre, its least and greatest value (N, 3); gradient of the inverse depth (N, 2).
    """
    local = corners[..., :2] - centre[:, None]
    begin, end = local[:, [1, 2, 0]], local[:, [2, 0, 1]]  # side k lies opposite corner k
    along = end - begin
    normal = torch.stack([-along[..., 1], along[..., 0]], -1)
    twice_area = -(normal * begin).sum(-1)
    total = twice_area.sum(1, keepdim=True)
    share, inverse = twice_area / total, corners[..., 2]
    gradient = (normal * (inverse / total)[..., None]).sum(1)
    length = normal.norm(dim=-1).clamp_(min=1e-9) * total.sign()
    spread = torch.stack([(share * inverse).sum(1), inverse.amin(1), inverse.amax(1)], 1)
    return twice_area / length, normal / length[..., None], spread, gradient


def _interpolate(triangles, pixel, triangle, offsets, shape, interior):
    """Perspective-correct barycentrics and depth at the given places."""
    inside = pixel % (shape[1] * shape[2])
    xy = offsets + torch.stack([inside % shape[2] + 0.5, inside // shape[2] + 0.5], -1)
    corners = triangles.corners.index_select(0, triangle)
    x, y = (corners[..., :2] - xy[:, None]).unbind(-1)
    share = x[:, [1, 2, 0]] * y[:, [2, 0, 1]] - x[:, [2, 0, 1]] * y[:, [1, 2, 0]]
    share = (share / share.sum(1, keepdim=True)).clamp_(min=0)
    bary = share * corners[..., 2]
    total = bary.sum(1, keepdim=True)
    depth = share.sum(1) / total[:, 0]
    return Fragments(pixel, triangles.row[triangle], triangles.face[triangle], bary / total, xy, depth, interior)


def _chunks(counts, limit=_CHUNK):
    """Cuts a list of counts into consecutive (begin, end) whose sums stay below the limit, as far as single counts allow."""
    ends = counts.cumsum(0)
    begin, done, total = 0, 0, int(ends[-1]) if len(ends) else 0
    while done < total:
        end = len(counts) if total - done <= limit else max(int(torch.searchsorted(ends, done + limit, right=True)), begin + 1)
        yield begin, end
        begin, done = end, int(ends[end - 1])


def _expand(counts):
    """For counts (2, 0, 3): owners (0, 0, 2, 2, 2) and steps (0, 1, 0, 1, 2)."""
    owner = torch.repeat_interleave(counts)
    return owner, torch.arange(len(owner), device=counts.device) - (counts.cumsum(0) - counts)[owner]
