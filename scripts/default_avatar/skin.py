"""Head, neck, forearms and hands, the painted face, and the eyes."""

from __future__ import annotations

import numpy as np

from .mesh_tools import Patch, compact, normals, triangles
from .piece import Piece, ramp, srgb

SKIN, BLUSH, LIP, LIP_LINE, BROW, LASH, NAIL = (srgb(c) for c in ("#d99c78", "#cf7a62", "#b8615a", "#7d3b38", "#3a261c", "#2a1a15", "#e3a68c"))
IRIS, IRIS_RIM, SCLERA = srgb("#5b7a52"), srgb("#26352a"), srgb("#f4efe9")
FACE_BOX = (-0.10, 0.10, 0.345, 0.545)  # x and y of the painted square, metres
SIZE, EYE_SIZE = 1024, 256


def skin(source, sleeve_end, texture_size=SIZE):
    """The visible skin with room to spare under the clothes."""
    quads = source.groups["body"]
    f = triangles(quads)
    f = f[source.weights[f].sum((1, 2)) > 2.9]
    middle = source.v[f].mean(1)
    arm = np.abs(middle[:, 0]) > sleeve_end - 0.06
    chest = (middle[:, 1] > 0.19) & (np.abs(middle[:, 0]) < 0.14)
    n = normals(source.v, f)
    patch = compact(Patch(source.v, f[arm | chest], np.c_[source.weights, n]))
    return Piece(patch.v, patch.f, patch.data[:, 24:27], patch.data[:, :24], np.ones((len(patch.v), 3)), face_uv(patch), "skin")


def face_uv(patch):
    """The head is painted from the front; everything else takes the plain skin at the picture's corner."""
    x0, x1, y0, y1 = FACE_BOX
    uv = np.stack([(patch.v[:, 0] - x0) / (x1 - x0), (y1 - patch.v[:, 1]) / (y1 - y0)], 1)
    front = (patch.v[:, 2] > 0.06) & (patch.v[:, 1] > y0 + 0.004)
    uv[~front] = 0.004
    return uv.clip(0.002, 0.998)


def paint_face(landmarks):
    """(SIZE, SIZE, 3) linear picture of the face seen from the front."""
    x0, x1, y0, y1 = FACE_BOX
    step = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(x0 + step * (x1 - x0), y1 - step * (y1 - y0))
    picture = np.broadcast_to(SKIN, (SIZE, SIZE, 3)).copy()
    ax = np.abs(x)
    eye_x, eye_y = landmarks["eye"]

    def lay(color, cover):
        picture[:] += cover[..., None] * (color - picture)

    lay(BLUSH, 0.35 * np.exp(-(((ax - 0.040) / 0.016) ** 2 + ((y - eye_y + 0.038) / 0.012) ** 2)))
    lay(BLUSH, 0.25 * np.exp(-((x / 0.012) ** 2 + ((y - eye_y + 0.042) / 0.010) ** 2)))
    brow = brow_distance(ax - eye_x, y - eye_y)
    lay(BROW, 0.9 * ramp(-brow, -0.0009, 0.0009))
    return picture


def brow_distance(x, y):
    """Metres outside (+) or inside (-) the brow: a tapering arch over the eye."""
    t = np.clip((x + 0.018) / 0.042, 0, 1)
    arch = 0.0205 + 0.0075 * np.sin(np.pi * (0.15 + 0.62 * t)) - 0.003 * t * t
    half = 0.0036 * (1 - 0.75 * t**1.5) * ramp(t, -0.15, 0.12)
    along = np.maximum(-(x + 0.018), x - 0.024)
    return np.maximum(np.abs(y - arch) - half, along)


def eyes(source):
    pieces = []
    for side in "lr":
        f = triangles(source.groups[f"helper-{side}-eye"])
        patch = compact(Patch(source.v, f, source.weights))
        centre, radius = (patch.v.min(0) + patch.v.max(0)) / 2, np.ptp(patch.v[:, 1]) / 2
        uv = 0.5 + 0.5 * (patch.v - centre)[:, :2] * [1, -1] / radius * 0.98
        uv[patch.v[:, 2] < centre[2]] = 0.02
        pieces.append(Piece(patch.v, patch.f, normals(patch.v, patch.f), patch.data, np.ones((len(patch.v), 3)), uv.clip(0.01, 0.99), "eyes"))
    return pieces


def paint_eye():
    """(EYE_SIZE, EYE_SIZE, 3) linear picture of an eye ball seen from the front."""
    step = 2 * (np.arange(EYE_SIZE) + 0.5) / EYE_SIZE - 1
    x, y = np.meshgrid(step, -step)
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    picture = np.broadcast_to(SCLERA, (EYE_SIZE, EYE_SIZE, 3)).copy()

    def lay(color, cover):
        picture[:] += cover[..., None] * (color - picture)

    iris = 0.47
    streaks = 1 + 0.18 * np.sin(angle * 23 + 3 * np.sin(angle * 5)) * ramp(r, 0.15, 0.4)
    lay(IRIS_RIM, ramp(iris - r, -0.02, 0.02))
    inner = IRIS * streaks[..., None] * (1 + 0.9 * ramp(-y, -0.1, 0.4))[..., None]
    picture[:] += ramp(iris - 0.05 - r, -0.03, 0.03)[..., None] * (inner - picture)
    lay(np.zeros(3) + 0.004, ramp(0.20 - r, -0.02, 0.02))
    lay(np.ones(3), ramp(0.085 - np.hypot(x + 0.16, y - 0.18), -0.02, 0.02))
    lay(np.ones(3), 0.6 * ramp(0.045 - np.hypot(x - 0.15, y + 0.17), -0.02, 0.02))
    picture *= (1 - 0.45 * ramp(y, 0.15, 0.75))[..., None]
    return picture
