"""Where a body's OpenPose-18 points are in the picture, and how they move when an unknown of the fit does.

The derivatives are written out: a joint that turns by a small world rotation w moves a point below it by ``w x (point - joint)``. So no
autograd runs, and one call serves hundreds of people. Pose blend shapes, millimetres on the face, are left out of the derivatives only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, linear

from ..bodies.body import BodyModel, PosedBody, pose_body
from ..bodies.joints import BODY_JOINTS, JOINT_NAMES, OPENPOSE18_NAMES
from ..render.camera import project
from ..rotations import rot6d_to_rotmat
from ..types import BodyPose, Camera

POINTS = len(OPENPOSE18_NAMES)


class PointMap:
    """What the points of one body model hang on.

    Args:
        body: on the device of the fit.
        shapes: number of shape coefficients that the fit may change.
    """

    def __init__(self, body: BodyModel, shapes: int):
        self.body, self.shapes = body, min(shapes, body.shapedirs.shape[-1])
        self.parents = list(body.parents[:BODY_JOINTS])
        self.hangs = torch.zeros(POINTS, dtype=torch.bool, device=body.device)  # points that the body has
        place, below = body.v_template.new_zeros(POINTS, BODY_JOINTS), self._below()
        self.marks = []
        for point, name in enumerate(OPENPOSE18_NAMES):
            if name == "neck":
                place[point, [JOINT_NAMES.index("left_shoulder"), JOINT_NAMES.index("right_shoulder")]] = 0.5
            elif name in JOINT_NAMES:
                place[point, JOINT_NAMES.index(name)] = 1.0
            elif name in body.keypoint_vertices:
                self.marks.append((point, body.keypoint_vertices[name]))
            self.hangs[point] = name == "neck" or name in JOINT_NAMES or name in body.keypoint_vertices
        self.place = place  # (18, 22) points that are joints, or between two
        self.below = below  # (22, 22) [k, j]: joint k moves when joint j turns
        self.mark_points = [point for point, _ in self.marks]
        ids = [vertex for _, vertex in self.marks]
        self.mark_weights, self.mark_rest, self.mark_basis = body.weights[ids], body.v_template[ids], body.shapedirs[ids, :, : self.shapes]

    def _below(self):
        below = torch.zeros(BODY_JOINTS, BODY_JOINTS, device=self.body.device)
        for joint in range(1, BODY_JOINTS):
            above = self.parents[joint]
            while above >= 0:
                below[joint, above] = 1.0
                above = self.parents[above]
        return below

    def pose(self, root: Tensor, joints: Tensor, transl: Tensor, betas: Tensor | None) -> Placed:
        """Puts the body's points into the world. root (B, 3, 3), joints (B, 21, 3, 3), transl (B, 3), betas (B, K) or None."""
        posed = pose_body(self.body, BodyPose(root, joints, transl, betas))
        return Placed(posed.keypoints_3d().nan_to_num(0.0), posed)

    def moments(self, placed: Placed) -> Tensor:
        """(B, 18, 22, 3) lever of each point about each joint: a small world rotation w of the joint moves the point by w x lever."""
        joints = placed.joints
        lever = (joints[:, :, None] - joints[:, None]) * self.below[..., None]  # (B, k, j, 3)
        moments = torch.einsum("pk,bkjc->bpjc", self.place, lever)
        if self.marks:
            moments[:, self.mark_points] = self._mark_moments(placed)
        return moments

    def _mark_moments(self, placed):
        """Skinned vertices: every joint's share of the vertex counts for the joints above it and for itself."""
        shares = self._mark_shares(placed)  # (B, M, J, 3), weights (M, J)
        moved = self.below + torch.eye(BODY_JOINTS, device=self.below.device)
        count = moved.shape[0]
        total = torch.einsum("bmkc,kj->bmjc", shares[:, :, :count], moved)
        weight = self.mark_weights[:, :count] @ moved
        return total - weight[None, ..., None] * placed.joints[:, None]

    def _mark_shares(self, placed):
        transform = placed.posed.T_world_joint
        rest_joints = placed.posed.shaped.joints
        rest = self.mark_rest[None] if placed.posed.shaped.betas is None else self.mark_rest + torch.einsum(
            "bk,mck->bmc", placed.posed.shaped.betas, self.mark_basis[..., : placed.posed.shaped.betas.shape[1]])
        local = rest[:, :, None] - rest_joints[:, None]  # (B, M, J, 3) from each joint
        local = local.expand(len(transform), -1, -1, -1)
        world = torch.einsum("bjcd,bmjd->bmjc", transform[..., :3, :3], local) + transform[:, None, :, :3, 3]
        return world * self.mark_weights[None, ..., None]

    def shape_moves(self, placed: Placed) -> Tensor:
        """(B, 18, 3, K) movement of each point per unit of each shape coefficient."""
        basis = self.body.joint_basis[1][..., : self.shapes]  # (J, 3, K)
        turns = placed.posed.T_world_joint[..., :3, :3]
        parents = list(self.body.parents)
        moves = [basis[0].expand(len(turns), -1, -1)]
        for joint in range(1, basis.shape[0]):
            moves.append(moves[parents[joint]] + turns[:, parents[joint]] @ (basis[joint] - basis[parents[joint]]))
        moves = torch.stack(moves, 1)  # (B, J, 3, K)
        points = torch.einsum("pj,bjck->bpck", self.place, moves[:, :BODY_JOINTS])
        if self.marks:
            own = torch.einsum("bjcd,mjdk->bmjck", turns, self.mark_basis[:, None] - basis[None])
            points[:, self.mark_points] = torch.einsum("mj,bmjck->bmck", self.mark_weights, own + moves[:, None])
        return points


@dataclass(frozen=True)
class Placed:
    """A posed body's points.

    Args:
        points: (B, 18, 3) world, metres; 0 where the body has no such point.
        posed: the posed body.
    """

    points: Tensor
    posed: PosedBody

    @property
    def joints(self):
        """(B, 22, 3) world, metres."""
        return self.posed.joints[:, :BODY_JOINTS]

    @property
    def turns(self):
        """(B, 22, 3, 3) rotation of each joint in the world."""
        return self.posed.T_world_joint[:, :BODY_JOINTS, :3, :3]


def project_with_slope(points: Tensor, camera: Camera):
    """Projects world points (B, N, 3).

    Returns:
        pixels (B, N, 2); their slope (B, N, 2, 3) per metre in the world; depth (B, N).
    """
    pixels, z = project(points, camera)
    inverse = 1 / z.clamp(min=0.05)
    offset = pixels - torch.stack([camera.cx, camera.cy], -1)[:, None]
    focal = torch.stack([camera.fx, camera.fy], -1)[:, None]
    across = (focal * inverse[..., None])[..., None] * camera.R[:, None, :2]
    along = (offset * inverse[..., None])[..., None] * camera.R[:, None, 2:]
    return pixels, across - along, z


def decode_with_slope(prior, pose_latents: Tensor):
    """Decodes pose codes.

    Args:
        prior: PosePrior.
        pose_latents: (B, D).

    Returns:
        rotmats (B, 21, 3, 3) as ``prior.decode`` gives them, and their slope (B, 21, 3, D): the small rotation, in the parent's axes, that
        each joint makes per unit of each number of the code.
    """
    slope = prior.config.slope
    hidden = prior.decoder_in(pose_latents)
    outer = prior.decoder_hidden(leaky_relu(hidden, slope))
    rot6d = prior.decoder_out(leaky_relu(outer, slope)).unflatten(-1, (-1, 6))

    def steep(x):
        return torch.where(x > 0, 1.0, slope)[:, None]

    moves = (steep(hidden) * prior.decoder_in.weight.T.contiguous()).flatten(0, 1)  # (B D, 512): all rows in one large product
    moves = steep(outer) * linear(moves, prior.decoder_hidden.weight).unflatten(0, (len(rot6d), -1))
    moves = linear(moves.flatten(0, 1), prior.decoder_out.weight).unflatten(0, (len(rot6d), -1)).unflatten(2, (-1, 6))  # (B, D, 21, 6)
    rotmats = rot6d_to_rotmat(rot6d)
    return rotmats, turn_of_rot6d(rot6d, rotmats) @ moves.permute(0, 2, 3, 1)


def turn_of_rot6d(rot6d: Tensor, rotmats: Tensor) -> Tensor:
    """(..., 3, 6) small rotation of Gram-Schmidt's result per change of the six numbers (interleaved columns a, b)."""
    a, b = rot6d.unflatten(-1, (3, 2)).unbind(-1)
    x, y, z = rotmats.unbind(-1)
    size_a = a.norm(dim=-1, keepdim=True)
    lean = (x * b).sum(-1, keepdim=True)
    size_b = (b - lean * x).norm(dim=-1, keepdim=True)
    about_x_a, about_x_b = -lean / (size_a * size_b) * z, z / size_b
    rolled = z[..., :, None] * y[..., None, :] - y[..., :, None] * z[..., None, :]
    from_a = x[..., :, None] * about_x_a[..., None, :] + rolled / size_a[..., None]
    from_b = x[..., :, None] * about_x_b[..., None, :]
    return torch.stack([from_a, from_b], -1).flatten(-2)
