"""T-shirt, trousers and shoes, cut from the base mesh's tights."""

from __future__ import annotations

import numpy as np

from .mesh_tools import Patch, clip, compact, hem, normals, smooth, smooth_data, subdivide, triangles
from .piece import Piece, plain, ramp, srgb

TEE, RIB = srgb("#2c7f86"), srgb("#f0e7d6")
TROUSERS, TURN_UP = srgb("#3a4766"), srgb("#303b57")
UPPER, ACCENT, RUBBER, TREAD, SOCK = srgb("#cfc7b8"), srgb("#d9694a"), srgb("#efeae0"), srgb("#a8957c"), srgb("#e3ddd0")
SLEEVE_END, SHIRT_END, TROUSERS_TOP, CUFF = 0.325, -0.205, -0.14, -1.040
PELVIS, THIGHS = 0, [1, 2]
COLLAR, SLEEVE_BAND, HEM_BAND = 0.017, 0.015, 0.022


def tights(source):
    """The cloth everything is cut from; its weights are evened out, so that it bends in soft curves."""
    patch = compact(Patch(source.v, triangles(source.groups["helper-tights"]), source.weights))
    return smooth_data(subdivide(smooth(patch, 2)), 10, 24)


def worn_over(cloth, loose, before, after):
    """The cloth smoothed, moved out by ``loose`` (V,) metres and smoothed again."""
    body = smooth(cloth, before)
    return smooth(Patch(body.v + normals(body.v, body.f) * loose[:, None], body.f, cloth.data.copy()), after)


def with_normals(patch):
    """Adds the normals to the data, so that pieces cut from one patch shade alike along the cut."""
    return Patch(patch.v, patch.f, np.c_[patch.data[:, :24], normals(patch.v, patch.f)])


def colored(patch, color):
    return plain(patch, patch.data[:, 24:27], color)


def shirt(cloth, joints):
    """Crew-neck T-shirt with ribbed collar and sleeve bands."""
    x, y, z = cloth.v.T
    torso = ramp(0.20 - np.abs(x), 0, 0.06)
    loose = 0.010 + 0.012 * ramp(np.abs(x), 0.20, SLEEVE_END) + 0.012 * torso * ramp(0.10 - y, 0, 0.12)
    worn = worn_over(cloth, loose, 10, 5)
    worn.data[:, PELVIS] += 0.7 * worn.data[:, THIGHS].sum(1)  # the hem hangs from the hips, it does not climb with the thighs
    worn.data[:, THIGHS] *= 0.3

    def collar(v):
        return collar_field(v, joints)

    def sleeve(v):
        return SLEEVE_END + 0.25 * (v[:, 1] - joints[16, 1]).clip(-0.1, 0.1) - np.abs(v[:, 0])

    def edges(v):
        bottom = v[:, 1] - (SHIRT_END - 0.016 * ramp(-v[:, 2], -0.06, 0.09))
        return np.minimum(np.minimum(bottom, sleeve(v)), collar(v))

    def rib(v):
        return np.minimum(collar(v) - COLLAR, sleeve(v) - SLEEVE_BAND)

    worn = with_normals(clip(worn, edges(worn.v)))
    return [colored(clip(worn, rib(worn.v)), TEE), colored(clip(worn, -rib(worn.v)), RIB),
            inside(worn, edges(worn.v), lambda v: np.where(rib(v)[:, None] < 0, RIB, TEE))]


def collar_field(v, joints, radius=0.080):
    """Metres outside the neckline: away from the neck's axis, or below a plane that is lower in front."""
    neck, head = joints[12], joints[15]
    axis = (head - neck) / np.linalg.norm(head - neck)
    away = v - neck
    away = away - (away @ axis)[:, None] * axis
    round_the_neck = np.linalg.norm(away, axis=1) - radius - 0.006 * ramp(away[:, 2], -0.05, 0.07)
    below = -0.036 - 0.25 * (v[:, 2] - neck[2]) - (v - neck) @ axis
    k = 0.02  # round where the two meet
    h = np.clip(0.5 + 0.5 * (round_the_neck - below) / k, 0, 1)
    return below + (round_the_neck - below) * h + k * h * (1 - h)


def inside(patch, edge_distance, color, thickness=0.005, depth=0.035):
    """The hem of a garment as a piece of its own, darker the deeper it lies. ``color`` is a function of the positions."""
    folded, below = hem(patch, edge_distance, thickness, depth)
    shade = 0.92 - 0.7 * ramp(below, 0.0, 0.7 * depth)
    return Piece(folded.v, folded.f, normals(folded.v, folded.f), folded.data[:, :24], color(folded.v) * shade[:, None],
                 np.zeros((len(folded.v), 2)), "cloth")


def trousers(cloth, joints):
    """Straight trousers with a turn-up."""
    y = cloth.v[:, 1]
    loose = np.interp(-y, [0.0, 0.25, 0.45, 0.62, 0.80, 0.95], [0.001, 0.004, 0.011, 0.013, 0.012, 0.014])
    worn = worn_over(cloth, loose, 6, 6)
    worn = smooth(Patch(straight_legs(worn.v, joints), worn.f, worn.data), 4)

    def cuff(v):
        return v[:, 1] - CUFF

    hidden = np.minimum(TROUSERS_TOP - worn.v[:, 1], 0.25 - np.abs(worn.v[:, 0]))  # under the shirt, and the arms
    worn = with_normals(clip(worn, np.minimum(hidden, cuff(worn.v))))
    turn_up = 0.0022 * ramp(HEM_BAND - cuff(worn.v), -0.0005, 0.001)
    worn = Patch(worn.v + worn.data[:, 24:] * turn_up[:, None], worn.f, worn.data)
    return [colored(clip(worn, cuff(worn.v) - HEM_BAND), TROUSERS), colored(clip(worn, HEM_BAND - cuff(worn.v)), TURN_UP),
            inside(worn, cuff(worn.v), lambda v: np.broadcast_to(TURN_UP, v.shape), depth=0.09)]


def straight_legs(v, joints, radius=0.062):
    """Below the knee the cloth hangs as a tube round the shin instead of following calf and foot."""
    result = v.copy()
    for knee, ankle in ((4, 7), (5, 8)):
        mine = (v[:, 0] > 0) == (joints[knee][0] > 0)
        share = ramp(-v[:, 1], 0.66, 0.98)
        t = (joints[knee][1] - v[:, 1]) / (joints[knee][1] - joints[ankle][1])
        centre = joints[knee] + t[:, None] * (joints[ankle] - joints[knee])
        away = (v - centre) * [1, 0, 1]
        length = np.maximum(np.linalg.norm(away, axis=1), 1e-9)
        tube = centre + away * ((radius + 0.012 * (1 - share)) / length)[:, None] * [0.95, 0, 1.08]
        tube[:, 1] = v[:, 1]
        result = np.where((mine & (v[:, 1] < joints[knee][1]))[:, None], v + share[:, None] * (tube - v), result)
    return result


def shoes(cloth):
    sock = with_normals(clip(cloth, np.minimum(-0.90 - cloth.v[:, 1], cloth.v[:, 1] + 1.06)))
    halves = [cloth.f[(cloth.v[cloth.f][:, :, 0] * side > 0).all(1)] for side in (1, -1)]
    return [colored(sock, SOCK)] + [piece for half in halves for piece in shoe(compact(Patch(cloth.v, half, cloth.data)))]


def shoe(cloth):
    """A low sneaker: the foot smoothed and widened, with heel counter, toe cap and laces, on an extruded sole."""
    foot = clip(cloth, -0.97 - cloth.v[:, 1])
    floor = foot.v[:, 1].min()
    foot = smooth(foot, 14)
    worn = Patch(foot.v + normals(foot.v, foot.f) * 0.009, foot.f, foot.data)

    def top(v):
        return -1.024 - 0.30 * (v[:, 2] + 0.02).clip(-0.06, 0.05) - v[:, 1]

    worn = clip(worn, top(worn.v))
    ground = sole(worn, floor)
    worn = with_normals(clip(worn, worn.v[:, 1] - (floor + 0.006)))

    def heel(v):
        return -0.030 - v[:, 2] + 0.25 * (v[:, 1] + 1.07)

    def cap(v):
        return v[:, 2] - v[:, 2].max() + 0.048 - 9 * (v[:, 0] - v[np.argmax(v[:, 2]), 0]) ** 2

    middle = np.minimum(-heel(worn.v), -cap(worn.v))
    collar = clip(worn, worn.v[:, 1] - (floor + 0.05))
    return [colored(clip(worn, middle), UPPER), colored(clip(worn, heel(worn.v)), ACCENT), colored(clip(worn, cap(worn.v)), RUBBER),
            *ground, *laces(worn), inside(collar, top(collar.v), lambda v: np.broadcast_to(ACCENT, v.shape), 0.006, 0.03)]


def laces(worn):
    """Four bars over the instep, cut from the shoe and raised."""
    v = worn.v
    toe = v[:, 2].max()
    ridge = v[(v[:, 2] < toe - 0.05) & (v[:, 2] > toe - 0.15)]
    pieces = []
    for z in toe - np.array([0.070, 0.084, 0.098, 0.112]):
        line = ridge[np.abs(ridge[:, 2] - z) < 0.012]
        x = line[line[:, 1].argmax(), 0]
        patch = worn
        for axis, centre, half in ((0, x, 0.021), (2, z, 0.0032)):  # straight cuts, one after another, are exact
            for sign in (1, -1):
                patch = clip(patch, half - sign * (patch.v[:, axis] - centre)) if len(patch.f) else patch
        if len(patch.f):
            raised = Patch(patch.v + 0.0022 * patch.data[:, 24:], patch.f, patch.data)
            pieces.append(colored(raised, ACCENT))
    return pieces


def sole(worn, floor):
    """A slab with rounded edges under the shoe: its outline is the shoe's own, seen from above. Returns side and tread."""
    from scipy.spatial import ConvexHull, cKDTree

    low = worn.v[worn.v[:, 1] < floor + 0.030]
    outline = _resample(low[ConvexHull(low[:, [0, 2]]).vertices][:, [0, 2]], 64)
    if np.cross(outline[1] - outline[0], outline[2] - outline[1]) > 0:  # counter-clockwise seen from above, where z points down
        outline = outline[::-1]
    toward = outline - outline.mean(0)
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    toe = ramp(outline[:, 1], outline[:, 1].max() - 0.08, outline[:, 1].max())
    profile = ((-0.0158, -0.0025), (-0.0145, 0.0005), (-0.012, 0.0018), (0.010, 0.0035), (0.0142, 0.0027), (0.0155, 0.0), (0.0145, -0.014))
    rings = [np.insert(outline + toward * out, 1, floor + height + (0.007 if height < 0 else 0.005) * toe, axis=1)
             for height, out in profile]
    count, centre = len(outline), outline.mean(0)
    a = np.arange(count)
    b = (a + 1) % count
    side = np.concatenate([np.concatenate([np.stack([k + a, k + count + b, k + count + a], 1), np.stack([k + a, k + b, k + count + b], 1)])
                           for k in range(0, count * (len(rings) - 1), count)])
    tread_v = np.concatenate([rings[0], [[centre[0], floor - 0.0158, centre[1]]]])
    tread = np.stack([np.full(count, count), b, a], 1)
    pieces = []
    for v, f, color in ((np.concatenate(rings), side, RUBBER), (tread_v, tread, TREAD)):
        _, near = cKDTree(worn.v).query(v)
        pieces.append(plain(Patch(v, f, worn.data[near, :24]), normals(v, f), color))
    return pieces


def _resample(polygon, count):
    """``count`` points at equal steps along a closed polygon, rounded a little."""
    closed = np.concatenate([polygon, polygon[:1]])
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))]
    at = np.linspace(0, length[-1], count, endpoint=False)
    points = np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], 1)
    for _ in range(3):
        points = (np.roll(points, 1, 0) + 2 * points + np.roll(points, -1, 0)) / 4
    return points
