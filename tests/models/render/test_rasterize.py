"""The fast rasteriser against a slow one that casts a ray through every sample at every triangle."""

import math

import pytest
import torch

from contrapposto.models.render import edge_samples, rasterize
from contrapposto.models.render.edge_samples import SAMPLES, resolve, sample_offsets
from contrapposto.models.render.rasterize import Window, chunks, expand, find_edges, pixel_centres
from contrapposto.models.render.rasterize import rasterize as fast

FOCAL = 60.0


def to_screen(points, size=48):
    """Camera points (B, V, 3) to (3, B, V)."""
    x, y, z = points.permute(2, 0, 1)
    return torch.stack([x / z * FOCAL + size / 2, y / z * FOCAL + size / 2, 1 / z])


def cast(points, faces, places, size=48, two_sided=False):
    """The reference: Moeller and Trumbore 1997, every place against every triangle, in double precision.

    Args:
        points: (V, 3) camera axes; places: (N, 2) pixels.

    Returns:
        (N,) face, -1 where none; (N,) depth; (N, 3) barycentrics; (N,) distance in pixels to the nearest edge of any triangle.
    """
    a, b, c = points.double()[faces].unbind(1)
    ray = torch.cat([(places.double() - size / 2) / FOCAL, torch.ones(len(places), 1, dtype=torch.float64)], 1)[:, None]
    ab, ac = b - a, c - a
    normal = torch.linalg.cross(ray.expand(-1, len(faces), 3), ac[None].expand(len(places), -1, 3))
    det = (ab * normal).sum(-1)
    origin = -a
    u = (origin * normal).sum(-1) / det
    q = torch.linalg.cross(origin, ab)
    v = (ray * q).sum(-1) / det
    depth = (ac * q).sum(-1) / det
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > 0) & ((det > 0) | two_sided)
    depth = torch.where(hit, depth, torch.inf)
    nearest, face = depth.min(1)
    pick = torch.arange(len(places)), face
    bary = torch.stack([1 - u[pick] - v[pick], u[pick], v[pick]], 1)
    return torch.where(nearest.isinf(), -1, face), nearest, bary


def soup(count=60, spread=0.9):
    """Random triangles between 2 and 4 metres away."""
    centre = (torch.rand(count, 1, 3) - 0.5) * torch.tensor([1.6, 1.6, 0.0]) + torch.tensor([0, 0, 3.0])
    points = centre + (torch.rand(count, 3, 3) - 0.5) * spread
    return points.view(1, -1, 3), torch.arange(count * 3).view(-1, 3)


def centres(size):
    grid = torch.arange(size) + 0.5
    return torch.stack([grid.repeat(size), grid.repeat_interleave(size)], 1)


def see(points, faces, size=48, **options):
    """What both passes see in a full window."""
    seen = fast(to_screen(points, size), faces, Window(0, 0, size, size), FOCAL, **options)
    return seen, resolve(seen)


def interior(seen):
    """The Fragments of all interior pixels."""
    return seen.triangles.fragments(seen.triangle, pixel_centres(seen.pixel, seen.triangles.shape))


@pytest.mark.parametrize("two_sided", [False, True])
def test_centres_agree_with_ray_casting(two_sided):
    points, faces = soup()
    flags = torch.ones(len(faces), dtype=torch.bool) if two_sided else None
    seen, _ = see(points, faces, double_sided=flags)
    inner, fragments = seen.pixel, interior(seen)
    assert len(inner) > 300
    places = centres(48)
    true_face, true_depth, true_bary = cast(points[0], faces, places, two_sided=two_sided)
    agree = true_face[inner] == fragments.face
    assert agree.float().mean() > 0.998  # ties on edges may fall either way
    same = inner[agree]
    assert torch.allclose(fragments.depth[agree].double(), true_depth[same], rtol=1e-4)
    assert torch.allclose(fragments.bary.T[agree].double(), true_bary[same], atol=2e-3)


def test_samples_of_edge_pixels_agree_with_ray_casting():
    points, faces = soup(40)
    _, shared = see(points, faces)
    edge = shared.pixel[shared.slot]
    pixels = edge.unique()
    assert len(pixels) > 200
    places = (centres(48)[pixels][:, None] + sample_offsets().T).reshape(-1, 2)
    true_face = cast(points[0], faces, places)[0].view(-1, SAMPLES)
    expected = torch.nn.functional.one_hot(true_face + 1, len(faces) + 1).sum(1)[:, 1:]
    ours = torch.zeros(48 * 48, len(faces))
    ours[edge, shared.triangles.face[shared.triangle]] = shared.samples
    wrong = (ours[pixels] - expected).abs().sum() / 2
    assert wrong <= 0.001 * expected.sum()


def test_every_silhouette_pixel_is_found():
    """Coverage by ray casting equals coverage by edge samples for a smooth shape, pixel by pixel."""
    turn = torch.linspace(0, 2 * math.pi, 33)[:-1]
    rim = torch.stack([turn.cos() * 0.83, turn.sin() * 0.71, torch.full_like(turn, 3.0)], 1)
    points = torch.cat([torch.tensor([[0.03, -0.02, 3.0]]), rim])[None]
    faces = torch.stack([torch.zeros(32, dtype=torch.int64), (torch.arange(32) + 1) % 32 + 1, torch.arange(32) + 1], 1)
    seen, shared = see(points, faces)
    share = torch.zeros(48 * 48)
    share[seen.pixel] = SAMPLES
    share.index_add_(0, shared.pixel[shared.slot], shared.samples)
    true = cast(points[0], faces, (centres(48)[:, None] + sample_offsets().T).reshape(-1, 2))[0].view(-1, SAMPLES)
    assert ((true >= 0).sum(1) - share).abs().max() <= 1
    assert len(share.unique()) == SAMPLES + 1


def test_shared_edges_leave_no_gap_and_no_overlap(monkeypatch):
    """A plate cut into thin random triangles covers every pixel exactly once in pass one."""
    counted, scatter = [], torch.Tensor.scatter_reduce_
    monkeypatch.setattr(torch.Tensor, "scatter_reduce_", lambda keys, dim, at, *rest: counted.append(at) or scatter(keys, dim, at, *rest))
    grid = torch.stack(torch.meshgrid(torch.linspace(-1.2, 1.2, 40), torch.linspace(-1.2, 1.2, 40), indexing="ij"), -1)
    grid[1:-1, 1:-1] += (torch.rand(38, 38, 2) - 0.5) * 0.04
    points = torch.cat([grid.flip(-1), torch.full((40, 40, 1), 2.0)], -1).view(1, -1, 3)
    corner = (torch.arange(39)[:, None] * 40 + torch.arange(39)).view(-1)
    faces = torch.cat([torch.stack([corner, corner + 40, corner + 1], 1), torch.stack([corner + 1, corner + 40, corner + 41], 1)])
    see(points, faces)
    assert torch.bincount(counted[0], minlength=48 * 48).eq(1).all()


def flat(seen, shared, row=0):
    """Everything seen in one row, in an order that does not depend on how it was found."""
    size = 48 * 48
    mine, ours = seen.pixel // size == row, shared.pixel[shared.slot] // size == row
    several = torch.stack([shared.pixel[shared.slot] % size, shared.triangles.face[shared.triangle], shared.samples.long()])[:, ours]
    several = several[:, (several[0] * 1000 + several[1]).argsort()]
    return torch.cat([torch.stack([seen.pixel % size, seen.triangles.face[seen.triangle], seen.pixel * 0 + 16])[:, mine], several], 1)


def test_rows_do_not_influence_one_another():
    first, second = soup(30)[0], soup(30)[0]
    faces = soup(30)[1]
    both = see(torch.cat([first, second]), faces)
    for row, points in enumerate((first, second)):
        assert torch.equal(flat(*both, row), flat(*see(points, faces)))


def test_pieces_of_any_size_give_the_same_picture(monkeypatch):
    points, faces = soup(50)
    whole = see(points, faces)
    monkeypatch.setattr(rasterize, "at_once", lambda device: 40)
    monkeypatch.setattr(edge_samples, "at_once", lambda device: 40)
    seen, shared = see(points, faces)
    assert torch.equal(flat(*whole), flat(seen, shared))
    parts = [fragments.depth for _, fragments in seen.parts()]
    assert len(parts) > 5 and torch.equal(torch.cat(parts), interior(whole[0]).depth)
    assert torch.equal(torch.cat([samples for _, samples, _ in shared.parts()]), shared.samples)


def test_chunks_and_expand():
    counts = torch.tensor([2, 0, 3, 9, 1])
    assert list(chunks(counts, 5)) == [(0, 3), (3, 4), (4, 5)]
    assert list(chunks(torch.tensor([0, 0]), 5)) == []
    owner, step = expand(torch.tensor([2, 0, 3]))
    assert owner.tolist() == [0, 0, 2, 2, 2] and step.tolist() == [0, 1, 0, 1, 2]


def test_samples_stand_one_in_each_row_and_column():
    cells = ((sample_offsets() + 0.5) * SAMPLES).floor()
    assert cells[0].unique().numel() == SAMPLES and cells[1].unique().numel() == SAMPLES
    assert sample_offsets().mean(1).abs().max() < 1e-6


def test_a_steep_plane_has_no_edges_and_a_step_has():
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    plane = (0.2 + 0.02 * x + 0.01 * y)[None]  # inverse depth of a plane seen at a grazing angle
    assert not find_edges(plane, 500.0)[:, 1:-1, 1:-1].any()
    step = plane.clone()
    step[..., 10:] += 0.02
    assert find_edges(step, 500.0)[0, 5, 9:11].all() and find_edges(step, 500.0)[0, 2:-2, 2:-2].sum() == 2 * 16


def test_nothing_in_the_window():
    points, faces = soup(5)
    seen = fast(to_screen(points) + torch.tensor([500.0, 0, 0])[:, None, None], faces, Window(0, 0, 48, 48), FOCAL)
    assert len(seen.pixel) == len(resolve(seen).slot) == 0
