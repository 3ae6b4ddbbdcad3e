"""T-shirt, trousers and shoes, cut from the base mesh's tights."""

from __future__ import annotations

import numpy as np

from .mesh_tools import Patch, clip, compact, hem, normals, smooth, subdivide, triangles
from .piece import Piece, plain, ramp, srgb

TEE, RIB = srgb("#2f8083"), srgb("#efe6d4")
TROUSERS, TROUSERS_HEM = srgb("#36405a"), srgb("#2e374e")
UPPER, ACCENT, SOLE, TREAD = srgb("#e9e4da"), srgb("#d9694a"), srgb("#f7f4ee"), srgb("#b9a48b")
SLEEVE_END, SHIRT_END, TROUSERS_TOP, CUFF = 0.325, -0.205, -0.10, -1.035
HEM, COLLAR, SLEEVE_HEM = 0.002, 0.018, 0.016


def tights(source):
    patch = compact(Patch(source.v, triangles(source.groups["helper-tights"]), source.weights))
    return subdivide(smooth(patch, 2))


def shirt(cloth):
    """Crew-neck T-shirt with ribbed collar and sleeve bands."""
    x, y, z = cloth.v.T
    torso = ramp(0.20 - np.abs(x), 0, 0.06)
    loose = 0.010 + 0.012 * ramp(np.abs(x), 0.20, SLEEVE_END) + 0.012 * torso * ramp(0.10 - y, 0, 0.12) - 0.004 * ramp(y, 0.24, 0.30)
    body = smooth(cloth, 10)
    worn = Patch(body.v + normals(body.v, body.f) * loose[:, None], body.f, np.c_[cloth.data, collar_field(cloth.v), cloth.v])
    worn = smooth(worn, 6)
    at = worn.data[:, 25:]
    ends = np.minimum(at[:, 1] - (SHIRT_END - 0.012 * ramp(-at[:, 2], -0.05, 0.08)), SLEEVE_END - np.abs(at[:, 0]))
    worn = clip(worn, np.minimum(ends, worn.data[:, 24]))
    n = normals(worn.v, worn.f)
    worn = Patch(worn.v, worn.f, np.c_[worn.data, n])
    rib = np.minimum(worn.data[:, 24] - COLLAR, SLEEVE_END - SLEEVE_HEM - np.abs(worn.data[:, 25]))
    return [plain(part, part.data[:, 28:31], shade, "cloth") for part, shade in
            ((clip(worn, rib), TEE), (clip(worn, -rib), RIB))] + [fold(worn, 0.005, 0.03, lambda p: np.where((p.data[:, 24] < 0.01)[:, None]
             | (np.abs(p.data[:, 25]) > SLEEVE_END - 0.01)[:, None], RIB, TEE))]


def collar_field(v):
    """Metres below the neckline: a tilted plane round the neck."""
    slope = 0.62
    return (0.318 - slope * v[:, 2] - v[:, 1]) / np.hypot(1, slope)


def fold(patch, thickness, depth, color):
    """The hem of a garment as a piece of its own, darker inside."""
    folded, inside = hem(patch, thickness, depth)
    n = normals(folded.v, folded.f)
    faces = folded.f[len(patch.f) :]
    shade = np.where(inside[:, None] > 0, 0.9, 1.0) * np.ones((1, 3))
    count = (len(folded.v) - len(patch.v)) // 5
    shade[len(folded.v) - 2 * count :] *= 0.6
    shade[len(folded.v) - count :] *= 0.4
    piece = compact(Patch(folded.v, faces, np.c_[folded.data[:, :24], n, color(folded) * shade]))
    return Piece(piece.v, piece.f, piece.data[:, 24:27], piece.data[:, :24], piece.data[:, 27:30], np.zeros((len(piece.v), 2)), "cloth")


def trousers(cloth):
    y = cloth.v[:, 1]
    loose = np.interp(-y, [0.0, 0.25, 0.45, 0.62, 0.80, 0.95, 1.04], [0.004, 0.007, 0.012, 0.013, 0.013, 0.024, 0.031])
    body = smooth(cloth, 6)
    worn = Patch(body.v + normals(body.v, body.f) * loose[:, None], body.f, np.c_[cloth.data, cloth.v])
    worn = smooth(worn, 6)
    at = worn.data[:, 24:]
    worn = clip(worn, np.minimum(np.minimum(TROUSERS_TOP - at[:, 1], at[:, 1] - CUFF), 0.25 - np.abs(at[:, 0])))
    n = normals(worn.v, worn.f)
    worn = Patch(worn.v, worn.f, np.c_[worn.data, n])
    band = worn.data[:, 25] - CUFF - 0.022
    return [plain(clip(worn, band), clip(worn, band).data[:, 27:30], TROUSERS), plain(clip(worn, -band), clip(worn, -band).data[:, 27:30], TROUSERS_HEM),
            fold(worn, 0.005, 0.03, lambda p: TROUSERS_HEM)]


def shoes(cloth):
    pieces = []
    for side in (1, -1):
        pieces += shoe(compact(Patch(cloth.v, cloth.f[(cloth.v[cloth.f][:, :, 0] * side > 0).all(1)], cloth.data)), side)
    return pieces


def shoe(cloth, side):
    """A low sneaker: the foot smoothed and widened, with an accent at the heel, on an extruded sole."""
    foot = clip(cloth, -0.985 - cloth.v[:, 1])
    floor = foot.v[:, 1].min()
    foot = smooth(foot, 12, along_border=True)
    worn = Patch(foot.v + normals(foot.v, foot.f) * 0.008, foot.f, np.c_[foot.data])
    worn.v[:, 1] = np.maximum(worn.v[:, 1], floor + 0.004)
    top = -1.028 - 0.25 * (worn.v[:, 2] + 0.02).clip(-0.06, 0.05)
    worn = clip(worn, top - worn.v[:, 1])
    n = normals(worn.v, worn.f)
    worn = Patch(worn.v, worn.f, np.c_[worn.data, n])
    heel = -0.030 - worn.v[:, 2] + 0.25 * (worn.v[:, 1] + 1.07)
    upper, counter = clip(worn, -heel), clip(worn, heel)
    return [plain(upper, upper.data[:, 24:27], UPPER), plain(counter, counter.data[:, 24:27], ACCENT), fold(worn, 0.006, 0.02, lambda p: ACCENT),
            sole(worn, floor)]


def sole(worn, floor):
    """A slab with rounded edges under the shoe: its outline is the shoe's own, seen from above."""
    from scipy.spatial import ConvexHull, cKDTree

    low = worn.v[worn.v[:, 1] < floor + 0.05]
    hull = low[ConvexHull(low[:, [0, 2]]).vertices][:, [0, 2]]
    outline = _resample(hull, 56)
    centre = outline.mean(0)
    edge = outline - centre
    toward = edge / np.linalg.norm(edge, axis=1, keepdims=True)
    rings = []
    front = ramp(outline[:, 1], outline[:, 1].max() - 0.07, outline[:, 1].max())
    for height, out in ((-0.010, -0.008), (-0.0085, 0.0005), (-0.004, 0.003), (0.012, 0.0035), (0.0165, 0.002), (0.0175, -0.012)):
        ring = outline + toward * out
        lift = 0.007 * front * (1 if height < 0 else 0.8)
        rings.append(np.c_[ring[:, 0], np.full(len(ring), floor + height) + lift, ring[:, 1]])
    count = len(outline)
    v = np.concatenate(rings + [[[centre[0], floor - 0.010, centre[1]]]])
    a = np.arange(count)
    b = (a + 1) % count
    f = [np.stack([np.full(count, len(v) - 1), a, b], 1)]
    for ring in range(len(rings) - 1):
        lo, hi = ring * count, (ring + 1) * count
        f += [np.stack([lo + a, hi + a, lo + b], 1), np.stack([lo + b, hi + a, hi + b], 1)]
    f = np.concatenate(f)
    if (np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]) * (v[f].mean(1) - v.mean(0))).sum() < 0:
        f = f[:, ::-1]
    _, near = cKDTree(worn.v).query(v)
    patch = Patch(v, f, worn.data[near, :24])
    colors = np.where((v[:, 1:2] < floor - 0.009), TREAD, SOLE)
    return plain(patch, normals(v, f), colors)


def _resample(polygon, count):
    """``count`` points at equal steps along a closed polygon, rounded a little."""
    closed = np.concatenate([polygon, polygon[:1]])
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))]
    at = np.linspace(0, length[-1], count, endpoint=False)
    points = np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], 1)
    for _ in range(3):
        points = (np.roll(points, 1, 0) + 2 * points + np.roll(points, -1, 0)) / 4
    return points
