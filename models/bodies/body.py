"""SMPL-format bodies in three stages, each a type of its own, so that an unshaped body cannot be posed nor an unposed one skinned:

    BodyModel --with_shape(betas)--> ShapedBody --with_pose(pose)--> PosedBody --vertices()--> (B, V, 3)

The mathematics is SMPL's (Loper et al. 2015, equations 2 to 10): shape blend shapes, joints regressed from the shaped vertices,
pose blend shapes where the file has them, the kinematic chain, linear blend skinning. The world is +Y up, +Z front, +X the body's left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..assets.registry import OPEN_BODY, bundled
from ..assets.search import find_file
from ..checks import InputError, check_shape
from ..types import BodyPose, Mesh
from .joints import BODY_JOINTS, JOINT_NAMES, OPENPOSE18_NAMES, PARENTS
from .skinning import ROWS_AT_ONCE, chain, skin
from .smpl_file import read_smpl_file


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A body before it has a shape and a pose: what an SMPL-format file holds.

    Args:
        v_template: (V, 3) rest vertices of the mean shape, metres.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        shapedirs: (V, 3, K) metres per unit of each shape coefficient.
        posedirs: (V, 3, 9 (J - 1)) metres per entry of (rotmat - identity) of each joint but the root, or None.
        J_regressor: (J, V) rest joints from rest vertices.
        weights: (V, J) skinning weights, rows sum to 1.
        parents: parent of each joint, -1 for the root.
        keypoint_vertices: name -> vertex that stands for a point without a joint ("nose", "left_heel").
        uv: (T, 2) texture coordinates, origin at the bottom left as in OBJ files, or None.
        uv_faces: (F, 3) int64, each corner's index into them, or None.
        name, kind, licence: for menus and messages; kind is "smpl", "smplh" or "smplx".

    The large tensors keep the vertices last in memory (they are transposed views), which is the order in which skinning reads them.
    """

    v_template: Tensor
    faces: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None
    J_regressor: Tensor
    weights: Tensor
    parents: tuple[int, ...]
    keypoint_vertices: dict[str, int]
    uv: Tensor | None = None
    uv_faces: Tensor | None = None
    name: str = "body"
    kind: str = "smpl"
    licence: str = ""

    @property
    def device(self):
        return self.v_template.device

    def to(self, device):
        """Returns the model with every tensor on ``device``."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **moved)

    @cached_property
    def joint_basis(self):
        """(J, 3) rest joints of the mean shape and (J, 3, K) their change per coefficient: regression is linear, so it is done once."""
        with torch.inference_mode(False):
            return self.J_regressor @ self.v_template, torch.einsum("jv,vdk->jdk", self.J_regressor, self.shapedirs)

    def with_shape(self, betas: Tensor | None = None) -> ShapedBody:
        """Gives the body a shape. ``betas`` is (B, K) with at most the model's number of coefficients, or None for the mean shape.

        Raises:
            InputError: more coefficients than the model has.
        """
        joints, per_beta = self.joint_basis
        if betas is None:
            return ShapedBody(self, None, joints[None])
        count = check_shape("betas", betas, "B K")["K"]
        if count > self.shapedirs.shape[-1]:
            raise InputError("betas", tuple(betas.shape), f"has more than the {self.shapedirs.shape[-1]} shape coefficients of {self.name}",
                             "Give fewer coefficients, or load the body they were made for.")
        betas = betas.to(self.v_template)
        return ShapedBody(self, betas, joints + torch.einsum("bk,jdk->bjd", betas, per_beta[..., :count]))


@dataclass(frozen=True, eq=False)
class ShapedBody:
    """A body with a shape, in the rest pose.

    Args:
        model: the body model.
        betas: (B, K) shape coefficients, or None for the mean shape (one row).
        joints: (B, J, 3) rest joints, metres. B may be 1 for any number of poses.
    """

    model: BodyModel
    betas: Tensor | None
    joints: Tensor

    def __len__(self):
        return self.joints.shape[0]

    @property
    def v_shaped(self) -> Tensor:
        """(B, V, 3) rest vertices, metres, made on demand."""
        model = self.model
        if self.betas is None:
            return model.v_template[None]
        return model.v_template + torch.einsum("bk,vdk->bvd", self.betas, model.shapedirs[..., : self.betas.shape[1]])

    def with_pose(self, pose: BodyPose) -> PosedBody:
        """Poses the body: the kinematic chain only, no vertices yet, in the floating type of the model.

        Raises:
            InputError: neither one shape for all poses nor as many shapes as poses.
        """
        if len(self) not in (1, len(pose)):
            raise InputError("betas", f"{len(self)} rows", f"do not fit {len(pose)} poses", "Give one shape, or one for each pose.")
        pose = pose.like(self.model.v_template)
        local = local_rotations(pose, self.model.kind)
        moving = local[:, :BODY_JOINTS] if pose.hands is None or self.model.kind == "smpl" else local
        parents = self.model.parents
        offsets = torch.cat([self.joints[:, :1], self.joints[:, 1:] - self.joints[:, list(parents[1:])]], 1)
        offsets = torch.cat([offsets[:, :1] + pose.transl[:, None], offsets[:, 1:].expand(len(pose), -1, -1)], 1)
        return PosedBody(self, moving, chain(_to_transform(local, offsets), parents))


@dataclass(frozen=True, eq=False)
class PosedBody:
    """A body with a shape and a pose; a `ports.Figure`. Vertices are skinned on demand, a few rows at a time.

    Args:
        shaped: the body before posing, with B rows or one.
        local_rotmats: (B, M, 3, 3) rotation of each joint relative to its parent, the root's in the world. M is 22 when no finger moves,
            which spares the pose blend shapes of the others.
        T_world_joint: (B, J, 4, 4) maps joint coordinates to the world.
    """

    shaped: ShapedBody
    local_rotmats: Tensor
    T_world_joint: Tensor

    def __len__(self):
        return self.T_world_joint.shape[0]

    @property
    def model(self) -> BodyModel:
        return self.shaped.model

    @property
    def device(self):
        return self.T_world_joint.device

    @property
    def joints(self) -> Tensor:
        """(B, J, 3) joints in the world, metres."""
        return self.T_world_joint[..., :3, 3]

    def vertices(self, rows: slice | None = None, ids: Tensor | None = None) -> Tensor:
        """(B, V, 3) skinned vertices in the world, metres; only some rows, or only the vertices ``ids``, when asked.

        Beyond the result itself the memory does not grow with the number of rows.
        """
        chosen = range(len(self))[slice(None) if rows is None else rows]
        count = self.model.v_template.shape[0] if ids is None else len(ids)
        result = self.T_world_joint.new_empty(len(chosen), count, 3)
        for start in range(0, len(chosen), ROWS_AT_ONCE):
            part = chosen[start : start + ROWS_AT_ONCE]
            self._skin(slice(part.start, part.stop, part.step), result[start : start + len(part)], ids)
        return result

    def _skin(self, rows, out, ids):
        shared = slice(None) if len(self.shaped) == 1 else rows
        betas = None if self.shaped.betas is None else self.shaped.betas[shared]
        skin(self.model, betas, self.shaped.joints[shared], self.local_rotmats[rows], self.T_world_joint[rows], out, ids)

    def mesh(self, rows: slice) -> Mesh:
        """The skinned meshes of some rows, world frame, metres. The mesh has no texture coordinates: the gray body needs none."""
        return Mesh(self.vertices(rows), self.model.faces)

    def keypoints_3d(self) -> Tensor:
        """(B, 18, 3) OpenPose-18 points in the world, metres: joints, skinned face vertices, and the neck between the shoulders.

        NaN where the body file names no vertex for a point.
        """
        named = dict(zip(JOINT_NAMES[:BODY_JOINTS], self.joints.unbind(1)))
        named["neck"] = (named["left_shoulder"] + named["right_shoulder"]) / 2  # OpenPose's neck, lower than SMPL's neck joint
        marks = {name: vertex for name, vertex in self.model.keypoint_vertices.items() if name in OPENPOSE18_NAMES}
        if marks:
            points = self.vertices(ids=torch.tensor(list(marks.values()), device=self.device))
            named.update(zip(marks, points.unbind(1)))
        missing = self.joints.new_full((len(self), 3), float("nan"))
        return torch.stack([named.get(name, missing) for name in OPENPOSE18_NAMES], 1)


def _to_transform(rotmats, offsets):
    """(..., 3, 3) and (..., 3) to (..., 4, 4)."""
    bottom = offsets.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*offsets.shape[:-1], 1, 4)
    return torch.cat([torch.cat([rotmats, offsets[..., None]], -1), bottom], -2)


def local_rotations(pose: BodyPose, kind: str = "smpl") -> Tensor:
    """(B, J, 3, 3) rotation of each joint relative to its parent, in the file's order of joints.

    Joints that a pose does not hold (SMPL's two hand joints, SMPL-X's jaw and eyes, fingers when ``pose.hands`` is None) are identity:
    an identity hand is flat, whatever mean hand the file suggests.
    """
    eye = torch.eye(3, dtype=pose.body_pose.dtype, device=pose.device)
    body = torch.cat([pose.global_orient[:, None], pose.body_pose], 1)
    if kind == "smpl":
        return torch.cat([body, eye.expand(len(pose), 2, 3, 3)], 1)
    hands = eye.expand(len(pose), 30, 3, 3) if pose.hands is None else pose.hands
    face = eye.expand(len(pose), 3 if kind == "smplx" else 0, 3, 3)
    return torch.cat([body, face, hands], 1)


def global_rotations(pose: BodyPose, parents=PARENTS) -> Tensor:
    """(B, 24, 3, 3) rotation of each of SMPL's 24 joints in the world."""
    return chain(local_rotations(pose), parents)


def load_body_model(source=None, device="cpu") -> BodyModel:
    """Loads a body.

    Args:
        source: None for the bundled open body; a Path to a `.npz` or `.pkl`; or a file's name inside the body model folders.
        device: where the tensors go.

    Raises:
        InputError: the file is missing, damaged, of another type, or hides code.
    """
    path = bundled(OPEN_BODY) if source is None else source if isinstance(source, Path) else find_file("body_models", source)
    raw = read_smpl_file(path)
    with torch.inference_mode(False):  # so that a fit can take gradients through a body that a node has loaded
        tensors = {name: None if raw[name] is None else torch.from_numpy(raw[name]) for name in ("v_template", "faces", "uv", "uv_faces")}
        for name in ("shapedirs", "posedirs", "weights"):
            tensors[name] = None if raw[name] is None else _vertices_last(torch.from_numpy(raw[name]))
        model = BodyModel(**tensors, J_regressor=torch.from_numpy(raw["J_regressor"]), parents=raw["parents"],
                          keypoint_vertices=raw["keypoint_vertices"], name=path.stem, kind=raw["kind"], licence=raw["licence"])
        return model.to(device)


def _vertices_last(tensor):
    """The same values and shape, laid out in memory with the first axis last."""
    order = tuple(reversed(range(tensor.ndim)))
    return tensor.permute(order).contiguous().permute(order)


def pose_body(model: BodyModel, pose: BodyPose) -> PosedBody:
    """Shapes the body with the pose's own betas (None = mean shape) and poses it."""
    return model.with_shape(pose.betas).with_pose(pose)


def lowest_points(model: BodyModel, pose: BodyPose) -> Tensor:
    """(B,) height of each row's lowest skinned vertex, metres."""
    if len(pose) == 0:
        return pose.transl.new_zeros(0)
    posed = pose_body(model, pose)
    starts = range(0, len(pose), ROWS_AT_ONCE)
    return torch.cat([posed.vertices(slice(start, start + ROWS_AT_ONCE))[..., 1].amin(1) for start in starts]).to(pose.device)


def place_on_floor(model: BodyModel, pose: BodyPose, floor: float | Tensor = 0.0) -> BodyPose:
    """Returns the pose with each row moved up or down so that its lowest skinned vertex lies at height ``floor``, metres, one or (B,)."""
    rise = floor - lowest_points(model, pose)
    return replace(pose, transl=pose.transl + torch.stack([torch.zeros_like(rise), rise, torch.zeros_like(rise)], -1))
