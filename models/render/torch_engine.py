"""The default engine: rasterise, light, and average the samples, in plain torch on the device of the mesh."""

from __future__ import annotations

import torch

from ..types import Camera, Mesh, Render
from .camera import world_to_camera
from .edge_samples import SAMPLES
from .near_plane import NEAR, clip_near
from .rasterize import Window, rasterize
from .shade import GRAY, Lights, illuminate, linear_to_srgb, unit, vertex_normals
from .surface import Surface, interpolate
from .texture import MipMaps


class TorchEngine:
    """Draws the rows of one figure; keeps what they share.

    Args:
        shading, lights: as in `engine.render_figure`.
    """

    def __init__(self, shading: str, lights: Lights):
        self._shading, self._lights, self._mipmaps = shading, lights, MipMaps()

    def draw(self, mesh: Mesh, camera: Camera) -> Render:
        """Draws some rows at once."""
        points = world_to_camera(mesh.vertices.float(), camera)
        normals = vertex_normals(points, mesh.faces) if mesh.normals is None else mesh.normals.float() @ camera.R.mT
        if not bool((points[..., 2] < NEAR).any()):
            return self._draw(mesh, points, normals, camera)
        rows = []  # each row is cut in its own way, so it gets faces of its own
        for row in range(len(mesh)):
            cut, near_points, near_normals = clip_near(mesh[row], points[row], normals[row])
            rows.append(self._draw(cut, near_points[None], near_normals[None], camera[row]))
        return Render(*(torch.cat([getattr(row, name) for row in rows]) for name in ("rgb", "alpha", "depth")), camera)

    def _draw(self, mesh, points, normals, camera):
        size = (len(points), camera.height, camera.width)
        rgb, alpha, depth = points.new_zeros(*size, 3), points.new_zeros(size), points.new_zeros(size)
        screen = _to_screen(points, camera)
        window = _window(screen, camera)
        if window is not None:
            surface = Surface(self._mipmaps, mesh)
            sides, holes = surface.flags(lambda material: material.double_sided), surface.holes()
            seen = rasterize(screen, mesh.faces, window, float(camera.fx.max()), sides, holes)
            color = self._light(surface, normals, seen, camera, window, sides is not None)
            area = (slice(None), slice(window.top, window.top + window.height), slice(window.left, window.left + window.width))
            for image, value in zip((rgb, alpha, depth), _average(seen, color, (size[0], window.height, window.width))):
                image[area] = value
        return Render(rgb, alpha, depth, camera)

    def _light(self, surface, normals, seen, camera, window, double_sided):
        """Linear RGB (3, N) of the fragments."""
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


def _average(seen, color, size):
    """Straight sRGB (B, H, W, 3), alpha and depth (B, H, W) from interior fragments and shared edge pixels."""
    count, interior = size[0] * size[1] * size[2], seen.interior
    rgb, alpha, depth = color.new_zeros(count, 3), color.new_zeros(count), color.new_zeros(count)
    whole, edge = seen.pixel[:interior], seen.pixel[interior:]
    rgb.index_copy_(0, whole, linear_to_srgb(color[:, :interior]).T.contiguous())
    alpha.index_fill_(0, whole, 1.0)
    depth.index_copy_(0, whole, seen.depth[:interior])
    pixels, owner = torch.unique(edge, return_inverse=True)
    total = color.new_zeros(4, len(pixels))
    weighted = torch.cat([color[:, interior:] * seen.samples, seen.samples[None]])
    for sums, values in zip(total, weighted):
        sums.index_add_(0, owner, values)
    rgb.index_copy_(0, pixels, linear_to_srgb(total[:3] / total[3]).T.contiguous())
    alpha.index_copy_(0, pixels, total[3] / SAMPLES)
    depth.index_copy_(0, pixels, torch.full_like(total[0], torch.inf).scatter_reduce_(0, owner, seen.depth[interior:], "amin"))
    return rgb.view(*size, 3), alpha.view(size), depth.view(size)
