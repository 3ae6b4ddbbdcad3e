"""Light on surfaces: the gray body and avatars, computed in linear light in camera axes, shown as sRGB.

Lights stand with the camera, as a photographer's do: a key, a fill, rims from behind, and a sky and a ground that tint the rest.
Diffuse light wraps a little around the body (energy-conserving wrap lighting), so that its shadow side keeps its form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import check_choice

SHADINGS = ("gray", "avatar")
GRAY = (0.4, 0.4, 0.415)  # the gray body's linear albedo
_GLOSS_DOUBLINGS = 4  # the highlight is cosine^16, a broad one


@dataclass(frozen=True)
class Light:
    """A distant light.

    Args:
        toward: direction from the body to the light in camera axes (+x right, +y down, +z away from the camera).
        color: linear RGB.
        wrap: 0 is a small hard light, 1 one that reaches round to the far side.
    """

    toward: tuple[float, float, float]
    color: tuple[float, float, float]
    wrap: float = 0.2


@dataclass(frozen=True)
class Lights:
    """All light in a picture.

    Args:
        distant: key, fill, rims.
        sky, ground: linear RGB of the light from above and from below, blended by the normal.
        shine: strength of highlights, 0 for chalk.
        rim: strength of the bright border where the surface turns away from the camera.
    """

    distant: tuple[Light, ...]
    sky: tuple[float, float, float] = (0.27, 0.28, 0.31)
    ground: tuple[float, float, float] = (0.12, 0.11, 0.10)
    shine: float = 0.06
    rim: float = 0.12


LIGHTS = {
    "studio": Lights((
        Light((-0.65, -0.75, -0.6), (1.2, 1.16, 1.1), 0.25),
        Light((0.85, -0.1, -0.6), (0.2, 0.22, 0.26), 0.4),
        Light((0.6, -0.55, 0.75), (0.5, 0.52, 0.56), 0.1),
    )),
    "soft": Lights((Light((-0.3, -0.7, -0.6), (0.75, 0.74, 0.72), 0.8),), (0.55, 0.56, 0.58), (0.3, 0.29, 0.28), 0.0, 0.05),
    "dramatic": Lights((
        Light((-0.95, -0.45, -0.25), (1.5, 1.42, 1.3), 0.1),
        Light((0.8, -0.4, 0.8), (0.75, 0.85, 1.1), 0.05),
    ), (0.07, 0.075, 0.09), (0.04, 0.035, 0.03), 0.1, 0.1),
}


def find_lights(lights) -> Lights:
    """Returns a preset by its name, the studio for None, or the given Lights.

    Raises:
        InputError: there is no such preset.
    """
    if isinstance(lights, Lights):
        return lights
    return LIGHTS[check_choice("lights", "studio" if lights is None else lights, tuple(LIGHTS))]


def scaled_lights(lights, key=1.0, fill=1.0, rim=1.0) -> Lights:
    """Returns lights made stronger or weaker: the first light is the key; those behind the figure, and the bright border, are rim.

    Raises:
        InputError: there is no such preset.
    """
    lights = find_lights(lights)
    shares = [key] + [rim if light.toward[2] > 0 else fill for light in lights.distant[1:]]
    distant = tuple(replace(light, color=tuple(share * c for c in light.color)) for light, share in zip(lights.distant, shares))
    sky, ground = (tuple(fill * c for c in color) for color in (lights.sky, lights.ground))
    return replace(lights, distant=distant, sky=sky, ground=ground, rim=rim * lights.rim)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (3, N) at length 1."""
    return vectors * torch.rsqrt((vectors[0].square() + vectors[1].square() + vectors[2].square()).clamp_(min=1e-20))


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Smooth normals (B, V, 3): the sum of the faces' normals, weighted by their area."""
    rows, count, _ = vertices.shape
    corner = (faces.T.contiguous()[:, None] + count * torch.arange(rows, device=faces.device)[:, None]).view(3, -1)
    a, b, c = vertices.reshape(-1, 3).T.contiguous().index_select(1, corner.view(-1)).view(3, 3, -1).unbind(1)
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    face_normals = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    normals = vertices.new_zeros(3, rows * count)
    for sums, values in zip(normals, face_normals):
        for k in range(3):
            sums.index_add_(0, corner[k], values)
    return unit(normals).T.reshape(rows, count, 3)


def illuminate(normal: Tensor, toward_camera: Tensor, albedo: Tensor, lights: Lights) -> Tensor:
    """Linear RGB (3, N) of lit points.

    Args:
        normal, toward_camera: (3, N) unit vectors in camera axes.
        albedo: (3, N) or (3, 1) linear RGB.
    """
    def column(values):
        return normal.new_tensor(values).reshape(-1, 3).T.contiguous()  # one column per light

    up = normal[1].mul(-0.5).add_(0.5)
    sky, ground = normal.new_tensor(lights.sky)[:, None], normal.new_tensor(lights.ground)[:, None]
    toward = column([light.toward for light in lights.distant])
    toward, colors = toward / toward.norm(dim=0), column([light.color for light in lights.distant])
    wrap = normal.new_tensor([light.wrap for light in lights.distant])[:, None]
    cosine = toward.T @ normal
    light = torch.addmm(ground + (sky - ground) * up, colors, ((cosine + wrap).clamp_(min=0) / (1 + wrap)).square_())
    away = 1 - (normal * toward_camera).sum(0).clamp_(0, 1)
    glow = away.square().square_().mul_(away).mul_(lights.rim) * (up * sky + 0.15)
    half = toward - normal.new_tensor([0.0, 0.0, 1.0])[:, None]  # halfway to a far camera, the same for all points
    gleam = ((half / half.norm(dim=0)).T @ normal).clamp_(min=0)
    for _ in range(_GLOSS_DOUBLINGS):
        gleam.square_()
    return torch.addmm(light.mul_(albedo).add_(glow), colors, gleam.mul_(cosine > 0), alpha=lights.shine)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """IEC 61966-2-1 transfer curve; values are cut to 0..1."""
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.pow(1 / 2.4) - 0.055)


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Inverse of `linear_to_srgb`."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).pow(2.4))
