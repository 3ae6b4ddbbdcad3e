"""The default engine: rasterise, light, and average the samples, in plain torch on the device of the mesh."""

from __future__ import annotations

import torch

from ..types import Camera, Mesh, Render
from .camera import world_to_camera
from .edge_samples import SAMPLES
from .near_plane import NEAR, clip_near
from .rasterize import Window, rasterize
from .shade import GRAY, illuminate, linear_to_srgb, surface_color, unit, vertex_normals


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
    """(3, B, V): x and y in pixels, and 1 / z."""
    x, y, z = points.permute(2, 0, 1)
    inverse = 1 / z
    return torch.stack([x * inverse * camera.fx[:, None] + camera.cx[:, None], y * inverse * camera.fy[:, None] + camera.cy[:, None], inverse])


def _window(screen, camera):
    """The part of the picture that the projected vertices touch in any row, with a border of a pixel; None if they miss it."""
    if screen.shape[2] == 0:
        return None
    low, high = screen[:2].amin((1, 2)).floor() - 1, screen[:2].amax((1, 2)).ceil() + 1
    limit = screen.new_tensor([camera.width, camera.height])
    left, top, right, bottom = (int(value) for value in torch.cat([low.clamp(min=0), torch.minimum(high, limit)]))
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _double_sided(mesh):
    if not any(material.double_sided for material in mesh.materials):
        return None
    flags = torch.tensor([material.double_sided for material in mesh.materials], device=mesh.faces.device)
    return flags.expand(len(mesh.faces)) if mesh.face_material is None else flags[mesh.face_material]


def _light(mesh, normals, seen, camera, window, shading, lights):
    """Linear RGB (3, N) of the fragments."""
    corner = mesh.faces.T.contiguous().index_select(1, seen.face)
    if len(camera) > 1:
        corner = corner + seen.row * normals.shape[1]
    a, b, c = normals.view(-1, 3).T.contiguous().index_select(1, corner.view(-1)).view(3, 3, -1).unbind(1)
    normal = unit(a * seen.bary[0] + b * seen.bary[1] + c * seen.bary[2])
    toward_camera = _toward_camera(seen, camera, window)
    if any(material.double_sided for material in mesh.materials):
        normal = torch.where((normal * toward_camera).sum(0) < 0, -normal, normal)
    albedo = normal.new_tensor(GRAY)[:, None] if shading == "gray" else surface_color(mesh, seen.face, corner, seen.bary)[:3]
    return illuminate(normal, toward_camera, albedo, lights)


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
