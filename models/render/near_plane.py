"""Cutting meshes at the plane in front of the camera, so that a face that crosses it is shortened and not lost."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..types import Mesh

NEAR = 0.02  # metres


def clip_near(mesh: Mesh, points: Tensor, normals: Tensor, near=NEAR) -> tuple[Mesh, Tensor, Tensor]:
    """Cuts one row of a mesh at z = ``near`` (Sutherland and Hodgman 1974, one plane).

    Args:
        mesh: one row.
        points: (V, 3) its vertices in camera axes.
        normals: (V, 3) in camera axes.

    Returns:
        the mesh with the faces in front only and with new vertices on the plane, and its points and normals.
    """
    ahead = points[:, 2] >= near
    front = ahead[mesh.faces]
    number = front.sum(1)
    whole = (number == 3).nonzero()[:, 0]
    begin, end, cut_faces, source = _cuts(mesh.faces, front, number, len(points))
    share = ((near - points[begin, 2]) / (points[end, 2] - points[begin, 2]))[:, None]

    def extend(values):
        return None if values is None else torch.cat([values, torch.lerp(values[begin], values[end], share.to(values.dtype))])

    kept = torch.cat([whole, source])
    clipped = replace(
        mesh, vertices=extend(mesh.vertices[0])[None], normals=None, uv=extend(mesh.uv), colors=extend(mesh.colors),
        faces=torch.cat([mesh.faces[whole], cut_faces]), face_material=None if mesh.face_material is None else mesh.face_material[kept],
    )
    points = extend(points)
    points[:, 2] = torch.where(points[:, 2] < near, torch.full_like(points[:, 2], near), points[:, 2])  # unused ones, and rounding
    return clipped, points, extend(normals)


def _cuts(faces, front, number, count):
    """New vertices and faces of the faces that cross the plane.

    Returns:
        ends (N,) and (N,) of the edges on which the new vertices lie, new faces (M, 3), the face each was cut from (M,).
    """
    one, two = (number == 1).nonzero()[:, 0], (number == 2).nonzero()[:, 0]
    # turn each face so that its odd corner comes first: the one in front, or the one behind
    odd = torch.cat([front[one].int().argmax(1), front[two].int().argmin(1)])
    order = (odd[:, None] + torch.arange(3, device=faces.device)) % 3
    a, b, c = faces[torch.cat([one, two])].gather(1, order).unbind(1)
    begin, end = torch.cat([a, a]), torch.cat([b, c])
    ab = count + torch.arange(len(a), device=faces.device)
    ac = ab + len(a)
    n = len(one)
    corner = torch.stack([a[:n], ab[:n], ac[:n]], 1)
    quad = [torch.stack([ab[n:], b[n:], c[n:]], 1), torch.stack([ab[n:], c[n:], ac[n:]], 1)]
    return begin, end, torch.cat([corner, *quad]), torch.cat([one, two, two])
