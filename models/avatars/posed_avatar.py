"""A posed avatar: a `ports.Figure` that skins its vertices on demand and knows where its OpenPose points are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..bodies.joints import OPENPOSE18_NAMES
from ..types import Mesh
from .avatar import Avatar
from .skinning import slot_maps

ROWS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class PosedAvatar:
    """An avatar in B poses.

    Args:
        avatar: the character.
        T_driver: (B, D, 3, 4) maps the rest pose (body frame, file units) to the world (metres) as each driver carries it.
        joints: (B, D, 3) posed drivers, world, metres, in the order of ``avatar.rig.humanoid``.
        scale: metres in the world per unit of the file.
        explain: makes the report.
    """

    avatar: Avatar
    T_driver: Tensor
    joints: Tensor
    scale: float
    explain: Callable[[], str]

    @cached_property
    def report(self) -> str:
        """How well the pose could be transferred, for the user; worked out when it is asked for."""
        return self.explain()

    def __len__(self):
        return self.T_driver.shape[0]

    @property
    def device(self):
        return self.T_driver.device

    def to(self, device):
        """Returns the posed avatar with every tensor on ``device``."""
        return replace(self, avatar=self.avatar.to(device), T_driver=self.T_driver.to(device), joints=self.joints.to(device))

    def mesh(self, rows: slice) -> Mesh:
        """The skinned meshes of some rows, world frame, metres. Linear blend skinning, ``ROWS_AT_ONCE`` rows at a time."""
        T_driver, avatar = self.T_driver[rows], self.avatar
        vertices = T_driver.new_empty(len(T_driver), len(avatar.vertices), 3)
        normals = torch.empty_like(vertices)
        skin_points, skin_normals = avatar.skinners
        for start in range(0, len(T_driver), ROWS_AT_ONCE):
            chunk = slice(start, start + ROWS_AT_ONCE)
            maps = slot_maps(T_driver[chunk], avatar.slot_driver, avatar.T_rest_slot)
            vertices[chunk] = skin_points(maps)
            normals[chunk] = torch.nn.functional.normalize(skin_normals(maps[..., :3]), dim=-1)
        return Mesh(vertices, avatar.faces, normals, avatar.uv, avatar.colors, avatar.materials, avatar.face_material)

    def keypoints_3d(self) -> Tensor:
        """(B, 18, 3) OpenPose-18 points in the world, metres; NaN where the avatar has no such bone."""
        points = dict(zip(self.avatar.rig.humanoid, self.joints.unbind(1)))
        points["neck"] = (points["left_shoulder"] + points["right_shoulder"]) / 2  # OpenPose's neck
        if "head" in points:
            head = self.T_driver[:, list(self.avatar.rig.humanoid).index("head")]
            face = face_points(self.avatar)
            points |= {name: head[:, :, :3] @ point + head[:, :, 3] for name, point in face.items()}
        missing = self.joints.new_full((len(self), 3), float("nan"))
        return torch.stack([points.get(name, missing) for name in OPENPOSE18_NAMES], 1)


def face_points(avatar: Avatar):
    """Face point -> (3,) rest position in the body frame, file units: from bones named after them, else by a head's proportions.

    The head is the box around the vertices that the head bone moves; hair and hats push the estimate up.
    """
    known = {role: torch.as_tensor(avatar.rig.R_body @ avatar.rig.world[node, :3, 3], dtype=torch.float32, device=avatar.device)
             for role, node in avatar.rig.face.items()}
    head = list(avatar.rig.humanoid).index("head")
    mine = avatar.rest[(avatar.weights[:, avatar.slot_driver == head].sum(1) > 0.5)]
    if len(mine) < 8:
        return known
    low, high = mine.amin(0), mine.amax(0)
    middle, (width, height, depth) = (low + high) / 2, high - low
    along = {"nose": (0.0, 0.40, 1.0), "left_eye": (0.19, 0.53, 0.88), "left_ear": (0.48, 0.45, 0.45)}  # width, height, depth
    for name, (x, y, z) in along.items():
        estimate = torch.stack([x * width, low[1] + y * height, low[2] + z * depth])
        for role, sign in ((name, 1.0), (name.replace("left", "right"), -1.0)):
            known.setdefault(role, torch.stack([middle[0] + sign * estimate[0], estimate[1], estimate[2]]))
    return known
