"""A z-buffer rasteriser in plain torch: which triangle is seen at which point of the picture.

Pass one (here) walks scanlines at one sample per pixel: triangle -> rows it crosses -> pixels between the two crossings. A
pixel's winner is a maximum over 64-bit keys (inverse depth above, triangle number below), so the result does not depend on the
order of execution. Pass two (edge_samples.py) takes 16 samples in edge pixels only.

Arrays are coordinate-first, (3, N) and not (N, 3): torch runs several times faster along long rows than along triples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

_NUMBER = 0xFFFFFFFF  # the key's lower half
_BEND = 3.0  # an overlap deeper than this many pixel footprints is an edge


def at_once(device) -> int:
    """Pixels or samples under work at a time: what a CPU's cache holds, or enough to keep a GPU busy. Memory stays flat."""
    return 1 << 16 if device.type == "cpu" else 1 << 22


@dataclass(frozen=True)
class Window:
    """The part of the picture that is worked on: left, top, width, height in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Fragments:
    """Points on visible triangles.

    Args:
        row, face: (N,) row of the batch and index into the mesh's faces.
        bary: (3, N) perspective-correct barycentric coordinates.
        xy: (2, N) place in the window, pixels.
        depth: (N,) metres.
        stretch: (N,) barycentric area that one pixel covers, perspective-correct: times a triangle's area in any vertex attribute
            it is the attribute's area per pixel.
    """

    row: Tensor
    face: Tensor
    bary: Tensor
    xy: Tensor
    depth: Tensor
    stretch: Tensor


@dataclass(frozen=True)
class Triangles:
    """Triangles on the screen.

    Args:
        corners: (3, 3, T): x and y in pixels of the window and 1 / z; corner; triangle.
        row, face: (T,) row of the batch and index into the mesh's faces.
        shape: (B, window height, window width).
    """

    corners: Tensor
    row: Tensor
    face: Tensor
    shape: tuple[int, int, int]

    def at(self, triangle: Tensor, xy: Tensor):
        """Perspective-correct barycentrics (3, N), depth (N,) and stretch (N,) of triangles (N,) at places (2, N) in the window.

        Places a little outside count as on the border. The stretch is the Jacobian of the projective map from the screen to the
        triangle, depth^3 / (z0 z1 z2) / area (Heckbert 1989, section 2.2.3, for the map).
        """
        x, y, inverse = self.corners.view(9, -1).index_select(1, triangle).view(3, 3, -1)
        x, y = x - xy[0], y - xy[1]
        share = torch.stack([x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]])
        share.mul_((share[0] + share[1] + share[2]).sign_()).clamp_(min=0)
        area, bary = share[0] + share[1] + share[2], share * inverse
        scale = 1 / (bary[0] + bary[1] + bary[2]).clamp_(min=1e-30)
        depth = area * scale
        return bary.mul_(scale), depth, (depth * inverse[0]) * (depth * inverse[1]) * (depth * inverse[2]) / area.clamp_(min=1e-12)

    def fragments(self, triangle: Tensor, xy: Tensor) -> Fragments:
        """Points of triangles (N,) at places (2, N)."""
        row, face = self.row.index_select(0, triangle), self.face.index_select(0, triangle)
        bary, depth, stretch = self.at(triangle, xy)
        return Fragments(row, face, bary, xy, depth, stretch)


@dataclass(frozen=True)
class Visible:
    """What pass one sees. Pixels are flat indices into (B, window height, window width).

    Args:
        triangles: what was drawn.
        keys: (size,) depth and triangle at each pixel's centre, see `make_keys`; 0 where nothing is.
        edge: (size,) bool, pixels at silhouettes, overlaps and soft surfaces.
        pixel, triangle: (N,) the other pixels and the one triangle that each shows.
    """

    triangles: Triangles
    keys: Tensor
    edge: Tensor
    pixel: Tensor
    triangle: Tensor

    def parts(self):
        """Yields (pixels, Fragments) a piece at a time."""
        for pixel, triangle in zip(*(values.split(at_once(values.device) // 2) for values in (self.pixel, self.triangle))):
            yield pixel, self.triangles.fragments(triangle, pixel_centres(pixel, self.triangles.shape))


class CutOut(Protocol):
    """Surfaces with holes: which points of them are there."""

    faces: Tensor  # (F,) bool: faces that may have holes

    def keep(self, face: Tensor, bary: Tensor, sample: Tensor | None) -> Tensor:
        """(N,) bool for points given by face (N,), bary (3, N) and number of the sample in its pixel (N,), None at centres."""

    def soft(self, face: Tensor, bary: Tensor) -> Tensor:
        """(N,) bool: points whose pixel needs the samples of pass two."""


def rasterize(screen: Tensor, faces: Tensor, window: Window, focal: float, double_sided=None, cutout: CutOut | None = None) -> Visible:
    """Finds what is seen of some meshes that share their faces.

    Args:
        screen: (3, B, V) vertices as x, y in pixels of the whole picture and 1 / z in inverse metres; z > 0 everywhere.
        faces: (F, 3) int64, counter-clockwise from outside.
        window: the part of the picture to work on.
        focal: pixels; a pixel's footprint at some depth is depth / focal.
        double_sided: (F,) bool, True where back faces are drawn too; None means nowhere.
        cutout: for surfaces with holes.
    """
    triangles = _front_triangles(screen, faces, window, double_sided)
    keys, soft = _scan(triangles, cutout)
    edge = find_edges(inverse_depth(keys).view(triangles.shape), focal).view(-1)
    if soft is not None:
        edge |= soft
    inner = ((keys > 0) & ~edge).nonzero()[:, 0]
    return Visible(triangles, keys, edge, inner, keys.index_select(0, inner) & _NUMBER)


def find_edges(inverse_depth: Tensor, focal: float) -> Tensor:
    """Edge pixels (B, H, W) of an inverse depth map (B, H, W) that is 0 where nothing is.

    On any plane the inverse depth is an affine function of the pixel, so its second difference vanishes inside a surface and
    jumps at silhouettes and overlaps.
    """
    grid = pad(inverse_depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    centre = grid[:, 1:-1, 1:-1]
    bend = _BEND / focal
    edge = torch.zeros_like(centre, dtype=torch.bool)
    for before, after in ((grid[:, 1:-1, :-2], grid[:, 1:-1, 2:]), (grid[:, :-2, 1:-1], grid[:, 2:, 1:-1])):
        around = before + after
        edge |= torch.sub(around, centre, alpha=2).abs_() > around.add_(centre).mul_(bend)
    return edge


def pixel_centres(pixel: Tensor, shape) -> Tensor:
    """(2, N) x and y in the window of flat pixel indices (N,)."""
    line = torch.div(pixel, shape[2], rounding_mode="floor")
    column, line = pixel - line * shape[2], line if shape[0] == 1 else line % shape[1]
    return torch.stack([column, line]) + 0.5


def make_keys(inverse_depth: Tensor, triangle: Tensor) -> Tensor:
    """64-bit keys, greater is nearer. The bits of positive floats are ordered as the floats are."""
    return (inverse_depth.view(torch.int32).long() << 32) | triangle


def inverse_depth(keys: Tensor) -> Tensor:
    """The inverse depth in keys, inverse metres."""
    return (keys >> 32).int().view(torch.float32)


def chunks(counts: Tensor, limit=None):
    """Cuts a list of counts into consecutive (begin, end) whose sums stay below the limit, as far as single counts allow."""
    limit = limit or at_once(counts.device)
    ends = counts.cumsum(0)
    begin, done, total = 0, 0, int(ends[-1]) if len(ends) else 0
    while done < total:
        end = len(counts) if total - done <= limit else max(int(torch.searchsorted(ends, done + limit, right=True)), begin + 1)
        yield begin, end
        begin, done = end, int(ends[end - 1])


def expand(counts: Tensor):
    """For counts (2, 0, 3): owners (0, 0, 2, 2, 2) and steps (0, 1, 0, 1, 2)."""
    owner = torch.repeat_interleave(counts)
    return owner, torch.arange(len(owner), device=counts.device).sub_((counts.cumsum(0) - counts).index_select(0, owner))


def _front_triangles(screen, faces, window, double_sided):
    """The triangles that face the camera and touch the window."""
    rows, count = screen.shape[1:]
    origin = screen.new_tensor([window.left, window.top, 0])[:, None, None]
    corner = (faces.T.contiguous()[:, None] + count * torch.arange(rows, device=faces.device)[:, None]).view(-1)
    screen = (screen - origin).view(3, -1)
    x, y = flat = screen[:2].index_select(1, corner).view(2, 3, -1)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    shown = area < 0  # y points down, so counter-clockwise comes out negative
    if double_sided is not None:
        shown |= double_sided.repeat(rows) & (area > 0)
    right, bottom = torch.maximum(torch.maximum(flat[:, 0], flat[:, 1]), flat[:, 2])
    left, top = torch.minimum(torch.minimum(flat[:, 0], flat[:, 1]), flat[:, 2])
    shown &= (right > 0) & (left < window.width) & (bottom > 0) & (top < window.height)
    ids = shown.nonzero()[:, 0]
    row = torch.div(ids, len(faces), rounding_mode="floor")
    depth = screen[2].index_select(0, corner.view(3, -1).index_select(1, ids).view(-1)).view(1, 3, -1)
    corners = torch.cat([flat.index_select(2, ids), depth])
    return Triangles(corners, row, ids - row * len(faces), (rows, window.height, window.width))


def _scan(triangles, cutout):
    """Pass one. Returns keys (size,), 0 where nothing is, and the pixels (size,) that a cutout leaves soft, or None."""
    batch, height, width = triangles.shape
    keys = torch.zeros(batch * height * width, dtype=torch.int64, device=triangles.row.device)
    soft = None if cutout is None else torch.zeros_like(keys, dtype=torch.bool)
    edges, middle, first, count = _chains(triangles.corners, height)
    line = triangles.row * height
    for begin, end in chunks(count):
        owner, y = expand(count[begin:end])
        owner += begin
        y += first.index_select(0, owner)
        left, length, inverse, slope = _spans(edges, middle, owner, y, width)
        place = (line.index_select(0, owner) + y) * width + left
        for start, stop in chunks(length):
            span, step = expand(length[start:stop])
            span += start
            near = (inverse.index_select(0, span) + slope.index_select(0, span) * step).clamp_(min=1e-12)
            pixel, triangle = place.index_select(0, span) + step, owner.index_select(0, span)
            candidates = make_keys(near, triangle)
            if cutout is not None:
                _cut(candidates, soft, triangles, triangle, pixel, cutout)
            keys.scatter_reduce_(0, pixel, candidates, "amax")
    return keys, soft


def _chains(corners, height):
    """The two chains of each triangle from its top to its bottom corner.

    Every edge runs from its upper to its lower end in both triangles that own it, so both compute the same crossings, bit for
    bit, and a pixel between them belongs to exactly one.

    Returns:
        (5, 3 T) long, upper and lower edges as x, y, dx/dy, 1/z, d(1/z)/dy; the middle corner's y (T,); first row and rows (T,).
    """
    y = corners[1]
    above = (y[0] <= y[1]).long(), (y[0] <= y[2]).long(), (y[1] <= y[2]).long()
    rank = torch.stack([2 - above[0] - above[1], 1 + above[0] - above[2], above[1] + above[2]])
    ordered = torch.empty_like(corners).scatter_(1, rank.expand_as(corners), corners)
    top, middle, bottom = ordered.unbind(1)
    begin, end = torch.cat([top, top, middle], 1), torch.cat([bottom, middle, bottom], 1)
    drop = end[1] - begin[1]
    edges = torch.stack([begin[0], begin[1], (end[0] - begin[0]) / drop, begin[2], (end[2] - begin[2]) / drop])
    first, last = ((y - 0.5).ceil_().clamp_(0, height).long() for y in (top[1], bottom[1]))
    return edges, middle[1], first, last - first


def _spans(edges, middle, owner, y, width):
    """Pixels between the two crossings of a row: first pixel, number, inverse depth at the first, its change per pixel."""
    count, centre = len(middle), y + 0.5
    lower = (centre >= middle.index_select(0, owner)).long()
    x0, z0 = _crossing(edges.index_select(1, owner), centre)
    x1, z1 = _crossing(edges.index_select(1, owner + (lower + 1) * count), centre)
    first, last = ((x - 0.5).ceil_().clamp_(0, width) for x in (torch.minimum(x0, x1), torch.maximum(x0, x1)))
    length = (last - first).long()
    slope = torch.nan_to_num_((z1 - z0) / (x1 - x0), nan=0.0, posinf=0.0, neginf=0.0)  # an empty span has no slope
    return first.long(), length, z0 + (first + 0.5 - x0) * slope, slope


def _crossing(edge, centre):
    down = centre - edge[1]
    return edge[0] + down * edge[2], edge[3] + down * edge[4]


def _cut(candidates, soft, triangles, triangle, pixel, cutout):
    """Clears the candidates that fall into holes and marks the pixels that need more samples."""
    holed = cutout.faces.index_select(0, triangles.face.index_select(0, triangle)).nonzero()[:, 0]
    triangle, pixel = triangle[holed], pixel[holed]
    face, (bary, *_) = triangles.face[triangle], triangles.at(triangle, pixel_centres(pixel, triangles.shape))
    candidates[holed] *= cutout.keep(face, bary, None)
    soft[pixel[cutout.soft(face, bary)]] = True
