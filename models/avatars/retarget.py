"""Retargeting (PAS section 3.4, stage 1): the pose of an SMPL-format body becomes the pose of an avatar.

Orientations are transferred in the world, in closed form. For each driver bone a constant rotation ``A`` takes the avatar's
rest pose to the body's T-pose; the posed bone is then turned by ``D = G A``, with G the world rotation of the body's joint.
So the avatar may rest in a T-pose or an A-pose, and its bones may have any frames. ``A`` is

* trunk, head and collars: the turn from the file's facing to the body's (the avatar keeps its own posture);
* upper arms and forearms: bone direction, and the elbow's hinge; forearms share half of the palm's twist;
* hands: bone direction and palm normal; thighs and shins: bone direction; feet: heading only, soles stay as they rest.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..bodies.body import BodyModel, pose_body
from ..checks import InputError
from ..types import BodyPose
from .avatar import Avatar
from .pairing import body_leg_length, pair
from .posed_avatar import PosedAvatar
from .refine import refine_pose
from .report import fit_report
from .rig import HANDS
from .skinning import heights

__all__ = ["retarget_pose"]


def retarget_pose(pose: BodyPose, body: BodyModel, avatar: Avatar, match_height: bool = True, refine: bool = False,
                  smooth: float = 0.5) -> PosedAvatar:
    """Moves an avatar into the poses of a body.

    Args:
        pose: B rows; the avatar's own shape is kept whatever the betas.
        body: the body the pose is for.
        avatar: the character.
        match_height: scale the avatar to the body's height at rest, so that one camera frames both;
            False keeps the size in its file.
        refine: stage 2: put hands, feet and head where the body's are, though the avatar has other proportions; see `refine`.
        smooth: 0 to 1, how much the corrections of stage 2 are evened out from frame to frame; only for motions.

    Returns:
        PosedAvatar with B rows on the pose's device. Its steps are scaled by leg length, its lowest point lies where the body's does.

    Raises:
        InputError: ``smooth`` is out of range.
    """
    if not 0 <= smooth <= 1:
        raise InputError("smooth", smooth, "is not between 0 and 1", "0 leaves every frame alone, 1 is smoothest.")
    body = body if body.device == pose.device else body.to(pose.device)  # a moved body has to regress its joints anew
    avatar, pose = avatar.to(pose.device), pose.like(body.v_template)
    posed, both = pose_body(body, pose), pair(avatar, body)
    scale = float(body.v_template[:, 1].max() - body.v_template[:, 1].min()) / avatar.height if match_height else 1.0
    D = both.twists.add_to(_turns(posed.T_world_joint[..., :3, :3], pose, both), both.A)
    steps = scale * both.leg / body_leg_length(posed.shaped.joints)
    root = steps[:, None] * posed.joints[:, 0]
    ground = _lowest_of_body(posed, both)
    missed = None
    if refine:
        D, root, missed = refine_pose(D, root, posed, avatar, both, scale, steps, ground, smooth if pose.fps else 0.0)
        D = both.twists.add_to(D, both.A)
    joints = root[:, None] + scale * chain_positions(D, both)
    T_driver = _driver_maps(D, joints, both.rest, scale)
    rise = ground - _lowest_of_avatar(T_driver, both)
    joints[..., 1] += rise[:, None]
    T_driver[:, :, 1, 3] += rise[:, None]
    return PosedAvatar(avatar, T_driver, joints, scale, partial(fit_report, avatar, joints, scale, posed, both, missed))


def _turns(world: Tensor, pose: BodyPose, both):
    """(B, D, 3, 3) turns ``G A`` of the drivers; without finger rotations fingers follow the wrist."""
    G = world[:, :22]
    if both.fingers:
        stiff = [G[:, [wrist]].expand(-1, 15, -1, -1) for wrist in (20, 21)]
        G = torch.cat([G, *(stiff if pose.hands is None else _finger_turns(G, both.splay @ pose.hands @ both.splay.mT))], 1)
    G = G.transpose(0, 1)[both.source]  # drivers first: few large products instead of many small ones
    return (G.flatten(1, 2) @ both.A).unflatten(1, (-1, 3)).transpose(0, 1)


def _finger_turns(G, hands):
    """The world rotations of the left and of the right hand's finger joints, (B, 15, 3, 3) each."""
    turned = []
    for i, role in enumerate(HANDS):
        above = G[:, 20 + (i >= 15)] if role.endswith("1") else turned[-1]
        turned.append(above @ hands[:, i])
    return [torch.stack(turned[:15], 1), torch.stack(turned[15:], 1)]


def chain_positions(D: Tensor, both) -> Tensor:
    """(B, D, 3) driver positions with the pelvis at zero, file units: each hangs rigidly on its parent driver."""
    return both.chain @ (D[:, both.above] @ both.offsets[..., None])[..., 0]


def _driver_maps(D, joints, rest, scale):
    """(B, D, 3, 4): maps a point of the rest pose (body frame, file units) to the world as the driver carries it."""
    linear = scale * D
    return torch.cat([linear, joints[..., None] - linear @ rest[..., None]], -1)


def _lowest_of_body(posed, both):
    """(B,) lowest point of the body; pose blend shapes, which move it by millimetres, are left out."""
    row, joints = posed.T_world_joint[:, :, 1], posed.shaped.joints
    row = torch.cat([row[..., :3], row[..., 3:] - (row[..., :3] * joints).sum(-1, keepdim=True)], -1)
    if posed.shaped.betas is None:
        return (row.flatten(1) @ both.body_rows).amin(1)
    model, betas, ids = posed.model, posed.shaped.betas, both.body_contacts
    points = model.v_template[ids] + torch.einsum("bk,cdk->bcd", betas, model.shapedirs[ids][..., : betas.shape[1]])
    return heights(model.weights[ids], points, row).amin(1)


def _lowest_of_avatar(T_driver, both):
    return (T_driver[:, :, 1].flatten(1) @ both.avatar_rows).amin(1)
