"""What surfaces are made of: colours and holes of a mesh's materials, at fragments."""

from __future__ import annotations

import torch
from torch import Tensor

from ..types import Material, Mesh
from .edge_samples import SAMPLES
from .shade import GRAY
from .texture import MipMaps, sample_texture

_PLAIN = Material(base_color=(*GRAY, 1.0))
_WHITE = Material()
_SOFT = 0.35  # a texel this near the cutoff may hold its border


class Surface:
    """The materials of one mesh, seen by any number of rows. Mip-maps are made once and kept for all of them."""

    def __init__(self, mipmaps: MipMaps, mesh: Mesh):
        self._mesh, self._mipmaps = mesh, mipmaps
        self._materials = mesh.materials or ((_PLAIN if mesh.colors is None else _WHITE),)
        self._corner = mesh.faces.T.contiguous()

    def flags(self, choose) -> Tensor | None:
        """(F,) bool, True for faces whose material is chosen by ``choose(material)``; None if no face is."""
        chosen = [bool(choose(material)) for material in self._materials]
        if not any(chosen):
            return None
        flags, mesh = torch.tensor(chosen, device=self._corner.device), self._mesh
        return flags[:1].expand(len(mesh.faces)) if mesh.face_material is None else flags[mesh.face_material]

    @property
    def plain(self) -> bool:
        """One colour all over."""
        return self._mesh.colors is None and len(self._materials) == 1 and self._materials[0].texture is None

    def corners(self, face: Tensor) -> Tensor:
        """(3, N) vertices of faces (N,)."""
        return self._corner.index_select(1, face)

    def color(self, face: Tensor, bary: Tensor, stretch: Tensor | None = None) -> Tensor:
        """Linear RGBA (4, N): base colour x vertex colour x texture, as in glTF 2.0.

        Args:
            face: (N,) face of each point.
            bary: (3, N) barycentric coordinates.
            stretch: (N,) see `Fragments`, for the choice of mip-maps; None reads the textures themselves.
        """
        mesh, corner = self._mesh, self.corners(face)
        color = bary.new_ones(4, len(face)) if mesh.colors is None else interpolate(mesh.colors.to(bary), corner, bary)
        if mesh.face_material is None:
            return color * self._material_color(self._materials[0], corner, bary, stretch)
        owner = mesh.face_material.index_select(0, face)
        for index, material in enumerate(self._materials):
            own = (owner == index).nonzero()[:, 0]
            if len(own):
                here = None if stretch is None else stretch.index_select(0, own)
                factor = self._material_color(material, corner.index_select(1, own), bary.index_select(1, own), here)
                color[:, own] = color.index_select(1, own) * factor
        return color

    def _material_color(self, material, corner, bary, stretch):
        factor = bary.new_tensor(material.base_color)[:, None]
        if material.texture is None or self._mesh.uv is None:
            return factor
        a, b, c = _at_corners(self._mesh.uv.to(bary), corner)
        uv = a * bary[0] + b * bary[1] + c * bary[2]
        area = None if stretch is None else ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])).abs() * stretch
        return factor * sample_texture(self._mipmaps.of(material, uv.device), material.wrap, uv, area)

    def holes(self) -> Holes | None:
        """The faces that may have holes, None if there are none."""
        flags = self.flags(lambda material: material.alpha_mode != "opaque")
        return None if flags is None else Holes(self, flags)


class Holes:
    """`rasterize.CutOut` of alpha materials. Mask: a point is there where alpha reaches the cutoff. Blend: alpha becomes
    coverage, alpha x 16 of a pixel's samples are there, so that no order of drawing is needed. Two layers of the same blend
    material do not add up."""

    def __init__(self, surface: Surface, faces: Tensor):
        self.faces = faces
        self._surface = surface
        materials = surface._materials
        self._blend = torch.tensor([material.alpha_mode == "blend" for material in materials], device=faces.device)
        self._cutoff = torch.tensor([material.alpha_cutoff for material in materials], device=faces.device)

    def keep(self, face: Tensor, bary: Tensor, sample: Tensor | None) -> Tensor:
        """See `rasterize.CutOut`."""
        owner = self._owner(face)
        coverage = 0.5 if sample is None else ((sample * 7 + owner * 5) % SAMPLES + 0.5) / SAMPLES
        return self._surface.color(face, bary)[3] >= torch.where(self._blend[owner], coverage, self._cutoff[owner])

    def soft(self, face: Tensor, bary: Tensor) -> Tensor:
        """See `rasterize.CutOut`."""
        owner, alpha = self._owner(face), self._surface.color(face, bary)[3]
        between = (alpha > 0.5 / SAMPLES) & (alpha < 1 - 0.5 / SAMPLES)
        return torch.where(self._blend[owner], between, (alpha - self._cutoff[owner]).abs() < _SOFT)

    def _owner(self, face):
        owners = self._surface._mesh.face_material
        return torch.zeros_like(face) if owners is None else owners.index_select(0, face)


def interpolate(values: Tensor, corner: Tensor, bary: Tensor) -> Tensor:
    """Values (V, C) of vertices at points, (C, N), given by corner (3, N) and bary (3, N)."""
    a, b, c = _at_corners(values, corner)
    return a * bary[0] + b * bary[1] + c * bary[2]


def _at_corners(values, corner):
    return values.T.contiguous().index_select(1, corner.view(-1)).view(values.shape[1], 3, -1).unbind(1)
