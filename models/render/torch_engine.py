"""The default engine: rasterise, light, and average the samples, in plain torch on the device of the mesh."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from ..types import Camera, Mesh, Render
from .camera import world_to_camera
from .near_plane import NEAR, clip_near
from .rasterize import SAMPLES, Window, rasterize
from .shade import GRAY, illuminate, linear_to_srgb, surface_color, vertex_normals


def draw(mesh: Mesh, camera: Camera, shading, lights) -> Render:
    """Draws some rows at once. Arguments as in `engine.render_figure`."""
    points = world_to_camera(mesh.vertices.float(), camera)
    normals = vertex_normals(points, mesh.faces) if mesh.normals is None else mesh.normals.float() @ camera.R.mT
    if bool((points[..., 2] < NEAR).any()):
        return _draw_clipped(mesh, points, normals, camera, shading, lights)
    return _draw(mesh, points, normals, camera, shading, lights)


def _draw_clipped(mesh, points, normals, camera, shading, lights):
    """Rows that reach behind the near plane get faces of their own, so they are drawn one by one."""
    rows = []
    for row in range(len(mesh)):
        clipped, near_points, near_normals = clip_near(mesh[row], points[row], normals[row])
        rows.append(_draw(clipped, near_points[None], near_normals[None], camera[row], shading, lights))
    return Render(*(torch.cat([getattr(row, name) for row in rows]) for name in ("rgb", "alpha", "depth")), camera)


def _draw(mesh, points, normals, camera, shading, lights):
    size = (len(points), camera.height, camera.width)
    rgb, alpha, depth = points.new_zeros(*size, 3), points.new_zeros(size), points.new_zeros(size)
    screen = _to_screen(points, camera)
    window = _window(screen, camera)
    if window is not None:
        seen = rasterize(screen, mesh.faces, window, float(camera.fx.max()), _double_sided(mesh))
        color = _light(mesh, normals, seen, camera, window, shading, lights)
        area = (slice(None), slice(window.top, window.top + window.height), slice(window.left, window.left + window.width))
        for image, value in zip((rgb, alpha, depth), _average(seen, color, (size[0], window.height, window.width))):
            image[area] = value
    return Render(rgb, alpha, depth, camera)


def _to_screen(points, camera):
    inverse = 1 / points[..., 2]
    x = points[..., 0] * inverse * camera.fx[:, None] + camera.cx[:, None]
    y = points[..., 1] * inverse * camera.fy[:, None] + camera.cy[:, None]
    return torch.stack([x, y, inverse], -1)


def _window(screen, camera):
    """The part of the picture that the projected vertices touch in any row, with a border of a pixel; None if they miss it."""
    if screen.shape[1] == 0:
        return None
    low, high = screen[..., :2].amin((0, 1)).floor() - 1, screen[..., :2].amax((0, 1)).ceil() + 1
    limit = screen.new_tensor([camera.width, camera.height])
    left, top, right, bottom = (int(value) for value in torch.cat([low.clamp(min=0), torch.minimum(high, limit)]))
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _double_sided(mesh):
    if not any(material.double_sided for material in mesh.materials):
        return None
    flags = torch.tensor([material.double_sided for material in mesh.materials], device=mesh.faces.device)
    return flags.expand(len(mesh.faces)) if mesh.face_material is None else flags[mesh.face_material]


def _light(mesh, normals, seen, camera, window, shading, lights):
    """Linear RGB (N, 3) of the fragments."""
    corners = mesh.faces.index_select(0, seen.face) + (seen.row * normals.shape[1])[:, None]
    normal = normals.reshape(-1, 3).index_select(0, corners.view(-1)).view(-1, 3, 3)
    normal = normalize(torch.bmm(seen.bary[:, None], normal)[:, 0], dim=1)
    x = (seen.xy[:, 0] + window.left - camera.cx[seen.row]) / camera.fx[seen.row]
    y = (seen.xy[:, 1] + window.top - camera.cy[seen.row]) / camera.fy[seen.row]
    toward_camera = -normalize(torch.stack([x, y, torch.ones_like(x)], 1), dim=1)
    if any(material.double_sided for material in mesh.materials):
        normal = torch.where((normal * toward_camera).sum(1, keepdim=True) < 0, -normal, normal)
    albedo = normal.new_tensor(GRAY) if shading == "gray" else surface_color(mesh, seen.face, seen.bary)[:, :3]
    return illuminate(normal, toward_camera, albedo, lights)


def _average(seen, color, size):
    """Straight sRGB (B, H, W, 3), alpha and depth (B, H, W) from interior fragments and edge samples."""
    count, interior = size[0] * size[1] * size[2], seen.interior
    rgb, alpha, depth = color.new_zeros(count, 3), color.new_zeros(count), color.new_zeros(count)
    whole, edge = seen.pixel[:interior], seen.pixel[interior:]
    rgb[whole], alpha[whole], depth[whole] = linear_to_srgb(color[:interior]), 1.0, seen.depth[:interior]
    # samples of one pixel lie together, so each pixel is one segment
    pixels, samples = torch.unique_consecutive(edge, return_counts=True)
    rgb[pixels] = linear_to_srgb(torch.segment_reduce(color[interior:], "mean", lengths=samples))
    alpha[pixels] = samples.to(alpha.dtype) / SAMPLES
    depth[pixels] = torch.segment_reduce(seen.depth[interior:], "min", lengths=samples)
    return rgb.view(*size, 3), alpha.view(size), depth.view(size)
