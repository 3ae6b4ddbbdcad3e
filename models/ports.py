"""Protocols: what a room needs from somebody it does not know."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from .types import Mesh


@runtime_checkable
class Figure(Protocol):
    """Anything with a posed body that can be drawn: a posed SMPL-format body, a posed avatar."""

    @property
    def device(self): ...

    def __len__(self) -> int:
        """Number of rows: candidates, frames or people."""

    def mesh(self, rows: slice) -> Mesh:
        """The skinned meshes of some rows, world frame, metres. Made on demand, so a long motion never lies in memory whole."""

    def keypoints_3d(self) -> Tensor:
        """(B, 18, 3) OpenPose-18 points in the world, metres; NaN where the figure has no such point."""
