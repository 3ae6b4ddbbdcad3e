"""Head, neck, forearms and hands, the painted face, and the eyes."""

from __future__ import annotations

import numpy as np

from .mesh_tools import Patch, clip, compact, normals, triangles
from .piece import Piece, ramp, srgb
from .source import HEAD, data_folder

SKIN, BLUSH, LIP, MOUTH = (srgb(c) for c in ("#cd9474", "#c46c58", "#b46a5a", "#6b302b"))
BROW, LASH, NAIL = (srgb(c) for c in ("#2e1c13", "#1d110d", "#e0a890"))
IRIS, IRIS_RIM, SCLERA = srgb("#553820"), srgb("#22150d"), srgb("#e4dcd3")
FACE_BOX = (-0.10, 0.10, 0.345, 0.545)  # x and y of the painted square, metres
SIZE, EYE_SIZE = 1024, 256


def skin(source, sleeve_end, below_collar):
    """The visible skin with room to spare under the clothes.

    Args:
        source: the Source. sleeve_end: |x| where sleeves end. below_collar: (V,) metres outside the neckline.
    """
    quads = source.groups["body"]
    f = triangles(quads)
    f = f[source.weights[f].sum((1, 2)) > 2.9]
    above_collar = np.maximum(0.012 - below_collar, source.weights[:, HEAD] - 0.5)
    shown = np.where(source.v[:, 1] > 0.1, np.maximum(np.abs(source.v[:, 0]) - sleeve_end + 0.05, above_collar), -1)
    n = normals(source.v, f)
    masks = np.stack([region_mask(source, name) for name in ("lips", "fingernails", "inside-mouth")], 1)
    whole = clip(compact(Patch(source.v, f, np.c_[source.weights, n, masks, shown])), shown[np.unique(f)])
    f = whole.f
    front = (whole.v[f][:, :, 2] > 0.06).all(1) & (whole.v[f][:, :, 1] > FACE_BOX[2] + 0.004).all(1)
    pieces = []
    for faces, painted in ((f[front], True), (f[~front], False)):
        patch = compact(Patch(whole.v, faces, whole.data))
        colors = np.ones((len(patch.v), 3))
        for column, color in ((27, LIP), (28, NAIL), (29, MOUTH)):
            cover = patch.data[:, column : column + 1]
            colors += cover * (color / SKIN - colors)
        uv = face_uv(patch.v) if painted else np.full((len(patch.v), 2), 0.004)
        pieces.append(Piece(patch.v, patch.f, patch.data[:, 24:27], patch.data[:, :24], colors, uv, "skin"))
    return pieces


def region_mask(source, name):
    """(V,) 0..1 cover of one of the base mesh's painted regions, read at each vertex's texture coordinate."""
    from PIL import Image

    picture = np.asarray(Image.open(data_folder() / f"mpfb2/textures/mpfb_{name}.jpg").convert("L")) / 255
    size = np.array(picture.shape[::-1]) - 1
    column, row = (np.c_[source.uv[:, 0], 1 - source.uv[:, 1]] * size).round().astype(int).clip(0, size).T
    return picture[row, column]


def face_uv(v):
    """The face is painted from the front. The rest of the skin takes the plain colour at the picture's corner."""
    x0, x1, y0, y1 = FACE_BOX
    return np.stack([(v[:, 0] - x0) / (x1 - x0), (y1 - v[:, 1]) / (y1 - y0)], 1).clip(0.002, 0.998)


def paint_face(source):
    """(SIZE, SIZE, 3) linear picture of the face seen from the front: skin, cheeks, brows, and a dark line round the eyes."""
    x0, x1, y0, y1 = FACE_BOX
    step = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(x0 + step * (x1 - x0), y1 - step * (y1 - y0))
    picture = np.broadcast_to(SKIN, (SIZE, SIZE, 3)).copy()
    ax = np.abs(x)
    eye_x, eye_y = eye_ball(source, "l")[0][:2]

    def lay(color, cover):
        picture[:] += cover[..., None] * (color - picture)

    lay(BLUSH, 0.35 * np.exp(-(((ax - 0.040) / 0.016) ** 2 + ((y - eye_y + 0.038) / 0.012) ** 2)))
    lay(BLUSH, 0.25 * np.exp(-((x / 0.012) ** 2 + ((y - eye_y + 0.042) / 0.010) ** 2)))
    brow = brow_distance(ax - eye_x, y - eye_y)
    hairs = 0.93 + 0.07 * np.sin((y - 0.55 * (ax - eye_x)) * 5200) * np.sin(ax * 2600 + y * 900)
    lay(BROW, 0.92 * hairs * ramp(-brow, -0.0011, 0.0008))
    above, below = lid_distances(source, x, y)
    outer = ramp(ax, eye_x - 0.006, eye_x + 0.014)
    lay(LIP, 0.18 * ramp(-above, -0.0055, -0.0015))
    lay(LASH, 0.95 * ramp(-above, -0.0016 - 0.0010 * outer, -0.0007))
    lay(LASH, 0.45 * ramp(-below, -0.0009, -0.0002))
    return picture


def eye_ball(source, side):
    """Centre (3,) and radius of an eye, metres."""
    points = source.v[np.unique(source.groups[f"helper-{side}-eye"])]
    return (points.min(0) + points.max(0)) / 2, np.ptp(points[:, 1]) / 2


def lid_distances(source, x, y):
    """Metres from every texel to the eyes' openings as seen from the front: (above them, below them), infinite elsewhere."""
    from scipy.ndimage import distance_transform_edt

    depth = front_depth(source, x, y)
    opening = np.zeros(x.shape, bool)
    for side in "lr":
        centre, radius = eye_ball(source, side)
        inside = radius**2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2
        opening |= (inside > 0) & (centre[2] + np.sqrt(np.maximum(inside, 0)) > depth)
    pixels, (row, _) = distance_transform_edt(~opening, return_indices=True)
    distance = pixels * (x[0, 1] - x[0, 0])
    rows = np.arange(len(x))[:, None]
    return np.where(rows <= row, distance, np.inf), np.where(rows >= row, distance, np.inf)


def front_depth(source, x, y):
    """(H, W) the foremost z of the skin at every texel round the eyes, -1 where there is none."""
    v = source.v
    f = triangles(source.groups["body"])
    f = f[(v[f][:, :, 2] > 0.10).all(1) & (np.abs(v[f][:, :, 1] - 0.472) < 0.03).all(1) & (np.abs(v[f][:, :, 0]) < 0.06).all(1)]
    depth, step = np.full(x.shape, -1.0), x[0, 1] - x[0, 0]
    for corners in v[f]:
        columns = ((corners[:, 0] - x[0, 0]) / step)
        rows = ((y[0, 0] - corners[:, 1]) / step)
        r = slice(int(np.ceil(rows.min())), int(rows.max()) + 1)
        c = slice(int(np.ceil(columns.min())), int(columns.max()) + 1)
        (ax, bx, cx), (ay, by, cy) = columns, rows
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        gx, gy = np.meshgrid(np.arange(c.start, c.stop), np.arange(r.start, r.stop))
        s = ((gx - ax) * (cy - ay) - (cx - ax) * (gy - ay)) / area
        t = ((bx - ax) * (gy - ay) - (gx - ax) * (by - ay)) / area
        z = corners[0, 2] + s * (corners[1, 2] - corners[0, 2]) + t * (corners[2, 2] - corners[0, 2])
        depth[r, c] = np.maximum(depth[r, c], np.where((s >= 0) & (t >= 0) & (s + t <= 1), z, -1))
    return depth


def brow_distance(x, y):
    """Metres outside (+) or inside (-) the brow: a tapering arch over the eye."""
    t = np.clip((x + 0.018) / 0.042, 0, 1)
    arch = 0.0180 + 0.0075 * np.sin(np.pi * (0.15 + 0.62 * t)) - 0.003 * t * t
    half = 0.0040 * (1 - 0.75 * t**1.5) * ramp(t, -0.12, 0.22)
    along = np.maximum(-(x + 0.018), x - 0.024)
    return np.maximum(np.abs(y - arch) - half, along)


def eyes(source):
    pieces = []
    for side in "lr":
        f = triangles(source.groups[f"helper-{side}-eye"])
        patch = compact(Patch(source.v, f, source.weights))
        centre, radius = eye_ball(source, side)
        uv = 0.5 + 0.5 * (patch.v - centre)[:, :2] * [1, -1] / radius * 0.98
        uv[patch.v[:, 2] < centre[2]] = 0.02
        white = np.ones((len(patch.v), 3))
        pieces.append(Piece(patch.v, patch.f, normals(patch.v, patch.f), patch.data, white, uv.clip(0.01, 0.99), "eyes"))
    return pieces


def paint_eye():
    """(EYE_SIZE, EYE_SIZE, 3) linear picture of an eye ball seen from the front."""
    step = 2 * (np.arange(EYE_SIZE) + 0.5) / EYE_SIZE - 1
    x, y = np.meshgrid(step, -step)
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    picture = np.broadcast_to(SCLERA, (EYE_SIZE, EYE_SIZE, 3)).copy()

    def lay(color, cover):
        picture[:] += cover[..., None] * (color - picture)

    iris = 0.52
    streaks = 1 + 0.18 * np.sin(angle * 23 + 3 * np.sin(angle * 5)) * ramp(r, 0.15, 0.4)
    lay(IRIS_RIM, ramp(iris - r, -0.02, 0.02))
    inner = IRIS * streaks[..., None] * (1 + 0.6 * ramp(-y, -0.1, 0.4))[..., None]
    picture[:] += ramp(iris - 0.05 - r, -0.03, 0.03)[..., None] * (inner - picture)
    lay(np.zeros(3) + 0.004, ramp(0.22 - r, -0.02, 0.02))
    lay(np.ones(3), ramp(0.070 - np.hypot(x + 0.14, y - 0.13), -0.02, 0.02))
    lay(np.ones(3), 0.6 * ramp(0.045 - np.hypot(x - 0.15, y + 0.17), -0.02, 0.02))
    picture *= (1 - 0.45 * ramp(y, 0.15, 0.75))[..., None]
    return picture
