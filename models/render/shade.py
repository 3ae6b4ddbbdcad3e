"""Light on surfaces: the gray body and avatars, computed in linear light in camera axes, shown as sRGB.

Lights stand with the camera, as a photographer's do: a key, a fill, rims from behind, and a sky and a ground that tint the rest.
Diffuse light wraps a little around the body (energy-conserving wrap lighting), so that its shadow side keeps its form.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..checks import check_choice
from ..types import Material, Mesh
from .texture import sample_texture

SHADINGS = ("gray", "avatar")
GRAY = (0.36, 0.36, 0.375)  # the gray body's linear albedo
_GLOSS = 16  # exponent of the highlight, a broad one


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
    sky: tuple[float, float, float] = (0.32, 0.33, 0.36)
    ground: tuple[float, float, float] = (0.14, 0.13, 0.12)
    shine: float = 0.06
    rim: float = 0.12


LIGHTS = {
    "studio": Lights((
        Light((-0.55, -0.65, -0.75), (1.05, 1.02, 0.97), 0.25),
        Light((0.85, -0.1, -0.6), (0.26, 0.28, 0.32), 0.4),
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


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Smooth normals (B, V, 3): the sum of the faces' normals, weighted by their area."""
    a, b, c = (vertices.index_select(1, faces[:, k]) for k in range(3))
    face_normals = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for k in range(3):
        normals.index_add_(1, faces[:, k], face_normals)
    return normalize(normals, dim=-1)


def surface_color(mesh: Mesh, faces: Tensor, bary: Tensor) -> Tensor:
    """Linear RGBA (N, 4) of points of a mesh: base colour x vertex colour x texture, as in glTF 2.0.

    Args:
        faces: (N,) face of each point.
        bary: (N, 3) barycentric coordinates.
    """
    color = bary.new_ones(len(faces), 4)
    corners = mesh.faces[faces]
    if mesh.colors is not None:
        color = (mesh.colors.to(bary)[corners] * bary[..., None]).sum(1)
    for index, material in enumerate(mesh.materials or (Material(base_color=(*GRAY, 1.0)),)):
        if mesh.face_material is None:
            own = slice(None)
        else:
            own = (mesh.face_material[faces] == index).nonzero()[:, 0]
            if len(own) == 0:
                continue
        factor = bary.new_tensor(material.base_color)
        if material.texture is not None and mesh.uv is not None:
            uv = (mesh.uv.to(bary)[corners[own]] * bary[own][..., None]).sum(1)
            factor = factor * sample_texture(material, uv)
        color[own] = color[own] * factor
        if mesh.face_material is None:
            break
    return color


def illuminate(normals: Tensor, toward_camera: Tensor, albedo: Tensor, lights: Lights) -> Tensor:
    """Linear RGB (N, 3) of lit points.

    Args:
        normals, toward_camera: (N, 3) unit vectors in camera axes.
        albedo: (N, 3) or (3,) linear RGB.
    """
    up = (1 - normals[:, 1:2]) / 2
    sky, ground = normals.new_tensor(lights.sky), normals.new_tensor(lights.ground)
    light = ground + (sky - ground) * up
    toward = normalize(normals.new_tensor([light.toward for light in lights.distant]), dim=1)
    colors = normals.new_tensor([light.color for light in lights.distant])
    wraps = normals.new_tensor([light.wrap for light in lights.distant])
    cosine = normals @ toward.T
    light = torch.addmm(light, ((cosine + wraps).clamp_(min=0) / (1 + wraps)).square_(), colors)
    facing = (normals * toward_camera).sum(1, keepdim=True).clamp_(0, 1)
    edge = (1 - facing).square_()
    glow = edge * edge * (1 - facing) * lights.rim * (up * sky + 0.15)
    half = normalize(toward - normals.new_tensor([0.0, 0.0, 1.0]), dim=1)  # halfway to a far camera, the same for all points
    gleam = (normals @ half.T).clamp_(min=0).pow_(_GLOSS) * (cosine > 0)
    return light * albedo + glow + lights.shine * (gleam @ colors)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """IEC 61966-2-1 transfer curve; values are cut to 0..1."""
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.pow(1 / 2.4) - 0.055)


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Inverse of `linear_to_srgb`."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).pow(2.4))
