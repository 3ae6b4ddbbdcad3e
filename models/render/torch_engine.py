"""The default engine: rasterise, light, and average the samples, in plain torch on the device of the mesh."""

from __future__ import annotations

from functools import partial

import torch

from ..types import Camera, Mesh, Render
from .camera import world_to_camera
from .edge_samples import SAMPLES, resolve
from .near_plane import NEAR, clip_near
from .rasterize import Window, rasterize
from .shade import GRAY, Lights, illuminate, linear_to_srgb, unit, vertex_normals
from .surface import Surface, interpolate
from .texture import MipMaps

_CONTRAST = 0.08  # sRGB difference between neighbours that calls for more samples


class TorchEngine:
    """Draws the rows of one figure; keeps what they share.

    Args:
        shading, lights: as in `engine.render_figure`.
    """

    def __init__(self, shading: str, lights: Lights):
        self._shading, self._lights, self._mipmaps = shading, lights, MipMaps()

    def workers(self, device) -> int:
        """How many threads may draw at a time. One row's tensors are too small to occupy several cores, so rows share them."""
        return torch.get_num_threads() if device.type == "cpu" else 1

    def draw(self, mesh: Mesh, camera: Camera, target: Render) -> None:
        """Draws some rows at once into ``target``, whose rgb, alpha and depth are contiguous and zero."""
        points = world_to_camera(mesh.vertices.float(), camera)
        normals = vertex_normals(points, mesh.faces) if mesh.normals is None else mesh.normals.float() @ camera.R.mT
        if not bool((points[..., 2] < NEAR).any()):
            return self._draw(mesh, points, normals, camera, target)
        for row in range(len(mesh)):  # each row is cut in its own way, so it gets faces of its own
            cut, near_points, near_normals = clip_near(mesh[row], points[row], normals[row])
            self._draw(cut, near_points[None], near_normals[None], camera[row], target[row : row + 1])

    def _draw(self, mesh, points, normals, camera, target):
        screen = _to_screen(points, camera)
        window = _window(screen, camera)
        if window is None:
            return
        surface = Surface(self._mipmaps, mesh)
        sides, holes = surface.flags(lambda material: material.double_sided), surface.holes()
        seen = rasterize(screen, mesh.faces, window, float(camera.fx.max()), sides, holes)
        light = partial(self._light, surface, normals, camera, window, sides is not None)
        _fill_interior(target, window, seen, light)
        one_color = self._shading == "gray" or surface.plain
        _fill_edges(target, window, resolve(seen, holes, None if one_color else _color_edges(target, window, seen)), light)

    def _light(self, surface, normals, camera, window, double_sided, seen):
        """Linear RGB (3, N) of fragments."""
        corner = surface.corners(seen.face)
        if len(camera) > 1:
            corner = corner + seen.row * normals.shape[1]
        normal = unit(interpolate(normals.reshape(-1, 3), corner, seen.bary))
        toward_camera = _toward_camera(seen, camera, window)
        if double_sided:
            normal = torch.where((normal * toward_camera).sum(0) < 0, -normal, normal)
        gray = self._shading == "gray"
        albedo = normal.new_tensor(GRAY)[:, None] if gray else surface.color(seen.face, seen.bary, seen.stretch)[:3]
        return illuminate(normal, toward_camera, albedo, self._lights)


def _to_screen(points, camera):
    """(3, B, V): x and y in pixels, and 1 / z."""
    fx, fy, cx, cy = (value[:, None] for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    x, y, z = points.permute(2, 0, 1)
    inverse = 1 / z
    return torch.stack([x * inverse * fx + cx, y * inverse * fy + cy, inverse])


def _window(screen, camera):
    """The part of the picture that the projected vertices touch in any row, with a border of a pixel; None if they miss it."""
    if screen.shape[2] == 0:
        return None
    low, high = screen[:2].amin((1, 2)).floor() - 1, screen[:2].amax((1, 2)).ceil() + 1
    limit = screen.new_tensor([camera.width, camera.height])
    left, top, right, bottom = (int(value) for value in torch.cat([low.clamp(min=0), torch.minimum(high, limit)]))
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _toward_camera(seen, camera, window):
    """Unit vectors (3, N) from the fragments to the camera."""
    fx, fy, cx, cy = (value if len(camera) == 1 else value[seen.row] for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    x, y = (cx - window.left - seen.xy[0]) / fx, (cy - window.top - seen.xy[1]) / fy
    return unit(torch.stack([x, y, torch.full_like(x, -1.0)]))


def _fill_interior(target, window, seen, light):
    """Writes sRGB, alpha and depth of the pixels that show one triangle."""
    rgb, alpha, depth = target.rgb.view(-1, 3), target.alpha.view(-1), target.depth.view(-1)
    for pixel, fragments in seen.parts():
        place = _in_picture(pixel, window, target.alpha.shape)
        rgb.index_copy_(0, place, linear_to_srgb(light(fragments)).T.contiguous())
        alpha.index_fill_(0, place, 1.0)
        depth.index_copy_(0, place, fragments.depth)


def _color_edges(target, window, seen):
    """Pixels (size,) that differ much in colour from a neighbour on the same surface: borders of materials, collars, eyes."""
    inside = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
    edge = torch.zeros(seen.triangles.shape, dtype=torch.bool, device=target.rgb.device)
    for axis in (1, 2):
        length = edge.shape[axis] - 1
        contrast = torch.zeros_like(edge.narrow(axis, 0, length))
        for plane in target.rgb[(slice(None), *inside)].unbind(-1):
            contrast |= (plane.narrow(axis, 1, length) - plane.narrow(axis, 0, length)).abs_() > _CONTRAST
        edge.narrow(axis, 0, length).logical_or_(contrast)
        edge.narrow(axis, 1, length).logical_or_(contrast)
    return edge.view(-1) & (seen.keys > 0)


def _fill_edges(target, window, shared, light):
    """Writes straight sRGB, alpha and depth of the pixels that several triangles share; light is averaged, not sRGB."""
    sums = target.rgb.new_zeros(4, len(shared.pixel))
    nearest = torch.full_like(sums[0], torch.inf)
    for slot, samples, fragments in shared.parts():
        for total, values in zip(sums, (*(light(fragments) * samples), samples)):
            total.index_add_(0, slot, values)
        nearest.scatter_reduce_(0, slot, fragments.depth, "amin")
    depth = torch.where(shared.depth.isinf(), nearest, shared.depth)
    hit = (sums[3] > 0).nonzero()[:, 0]
    sums, place = sums.index_select(1, hit), _in_picture(shared.pixel.index_select(0, hit), window, target.alpha.shape)
    target.rgb.view(-1, 3).index_copy_(0, place, linear_to_srgb(sums[:3] / sums[3]).T.contiguous())
    target.alpha.view(-1).index_copy_(0, place, sums[3] / SAMPLES)
    target.depth.view(-1).index_copy_(0, place, depth.index_select(0, hit))


def _in_picture(pixel, window, shape):
    """Flat indices into the whole picture (B, H, W) of flat indices into the window."""
    line = torch.div(pixel, window.width, rounding_mode="floor")
    column = pixel - line * window.width + window.left
    if shape[0] > 1:
        line = line + torch.div(line, window.height, rounding_mode="floor") * (shape[1] - window.height)
    return (line + window.top) * shape[2] + column
