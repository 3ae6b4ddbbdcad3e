"""What a body and an avatar have in common whatever the pose; worked out once for each pair and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from weakref import ref

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES, PARENTS
from ..rotations import rotvec_to_rotmat
from .avatar import contact_vertices
from .retarget_rest import rest_alignment
from .rig import HANDS
from .twist import Twists, find_twists

SIDES = ("left", "right")


@dataclass(frozen=True, eq=False)
class Pairing:
    """Constants of an avatar (D drivers, in the order of ``avatar.rig.humanoid``) with a body, on the avatar's device.

    Args:
        roles: the drivers' roles.
        source: (D,) for each driver the body joint (0..21) or, from 22 on, the finger joint whose rotation it copies.
        A: (D, 3, 3) rest alignment.
        rest, offsets: (D, 3) rest positions, and what they add to their parent driver's (the root: zero). Body frame, file units.
        above: (D,) parent driver, the root's is itself. chain: (D, D) 1 where the column's driver is on the row's way to the root, or it.
        body_rows, avatar_rows: (4 J, C) and (4 D, C): heights of contact points from the second rows of the joints' or drivers' maps.
        body_contacts: the body's contact vertices. leg: thigh plus shin at rest, file units.
        splay: (30, 3, 3) for each finger joint the turn about the palm's normal from straight ahead to where its finger points at rest.
        twists: the bones that share twists out. body: weak reference to the body.
        stage2: what `refine` needs, once it was needed.
    """

    roles: tuple
    source: Tensor
    A: Tensor
    rest: Tensor
    offsets: Tensor
    above: Tensor
    chain: Tensor
    body_rows: Tensor
    avatar_rows: Tensor
    body_contacts: Tensor
    leg: float
    splay: Tensor
    twists: Twists
    body: object
    stage2: list = field(default_factory=list)

    def reach(self, avatar):
        """The constants of stage 2, made at the first call."""
        if not self.stage2:
            from .refine import make_reach  # which knows this module

            with torch.inference_mode(False), torch.no_grad():
                self.stage2.append(make_reach(avatar, self.body(), self))
        return self.stage2[0]

    @cached_property
    def of(self):
        """Role -> number of its driver."""
        return {role: i for i, role in enumerate(self.roles)}

    @cached_property
    def fingers(self):
        """Whether the avatar has fingers to move."""
        return any(role in HANDS for role in self.roles)


def pair(avatar, body) -> Pairing:
    """Returns the Pairing of an avatar with a body on one device, made at the first call."""
    known = avatar.pairings
    if body not in known:
        with torch.inference_mode(False), torch.no_grad():
            known[body] = _make(avatar, body)
    return known[body]


def _make(avatar, body):
    rig, device = avatar.rig, avatar.device
    roles = tuple(rig.humanoid)
    number = {role: i for i, role in enumerate(roles)}
    rest = torch.stack([torch.as_tensor(rig.position(role), dtype=torch.float32) for role in roles])
    parents = [rig.parent_role(role) for role in roles]
    above = torch.tensor([i if role is None else number[role] for i, role in enumerate(parents)])
    chain = torch.eye(len(roles))
    for i in range(len(roles)):
        node = i
        while node != above[node]:
            node = int(above[node])
            chain[i, node] = 1
    A = rest_alignment(avatar, body.with_shape(None).joints[0])
    twists = find_twists(rig, roles, rest)
    contacts = contact_vertices(body.v_template, body.weights)
    at = dict(zip(roles, rest))
    leg = sum(float((at[f"{s}_{b}"] - at[f"{s}_{a}"]).norm()) for s in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))) / 2
    moved = (torch.tensor([_source(role) for role in roles]), torch.stack([A[role] for role in roles]), rest,
             rest - rest[above], above, chain)
    splay = _finger_splay(at, A).to(device)
    return Pairing(roles, *(tensor.to(device) for tensor in moved), _rows(body.weights[contacts], body.v_template[contacts]),
                   _avatar_rows(avatar, len(roles)), contacts, leg, splay, twists.to(device), ref(body))


def _finger_splay(at, A):
    """(30, 3, 3) in BodyPose's order. A finger curls in its own plane, not in that of a finger that points straight ahead; thumbs, whose
    rotations are meant for a thumb at rest, keep theirs."""
    turns = torch.zeros(len(HANDS), 3)
    for i, role in enumerate(HANDS):
        first, second = f"{role[:-1]}1", f"{role[:-1]}2"
        if "thumb" not in role and first in at and second in at:
            x, _, z = A[first] @ (at[second] - at[first])
            turns[i, 1] = torch.atan2(-z, x) if role.startswith("left") else torch.atan2(z, -x)
    return rotvec_to_rotmat(turns)


def _source(role):
    """Where a driver's rotation is looked up: joints of the body first, then the fingers in BodyPose's order."""
    if role in HANDS:
        return 22 + HANDS.index(role)
    return JOINT_NAMES.index(role.split("_twist")[0])


def _rows(weights, points):
    """(4 J, C): ``heights = second rows (B, J, 4) flattened @ this``. weights (C, J), points (C, 3)."""
    homogeneous = torch.nn.functional.pad(points, (0, 1), value=1.0)
    return (weights[:, :, None] * homogeneous[:, None]).flatten(1).T.contiguous()


def _avatar_rows(avatar, drivers):
    """(4 D, C) as `_rows`, for drivers that carry slots with rest maps of their own."""
    weights, points = avatar.weights[avatar.contacts], avatar.vertices[avatar.contacts]
    resting = torch.einsum("sij,cj->sic", avatar.T_rest_slot, torch.nn.functional.pad(points, (0, 1), value=1.0))
    rows = weights.new_zeros(drivers, 4, len(points))
    return rows.index_add_(0, avatar.slot_driver, weights.T[:, None] * resting).flatten(0, 1)


def body_leg_length(joints: Tensor) -> Tensor:
    """(B or 1,) thigh plus shin, mean of both sides, from rest joints (B or 1, J, 3)."""
    ankles = [JOINT_NAMES.index(f"{side}_ankle") for side in SIDES]
    knees = [PARENTS[j] for j in ankles]
    hips = [PARENTS[j] for j in knees]
    return ((joints[:, ankles] - joints[:, knees]).norm(dim=-1) + (joints[:, knees] - joints[:, hips]).norm(dim=-1)).mean(1)
