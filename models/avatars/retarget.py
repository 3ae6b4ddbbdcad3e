"""Retargeting (PAS section 3.4, stage 1): the pose of an SMPL-format body becomes the pose of an avatar.

Orientations are transferred in the world, in closed form. For each driver bone a constant rotation ``A`` takes the avatar's
rest pose to the body's T-pose; the posed bone is then turned by ``D = G A``, with G the world rotation of the body's joint.
So the avatar may rest in a T-pose or an A-pose, and its bones may have any frames. ``A`` is

* trunk, head and collars: the turn from the file's facing to the body's (the avatar keeps its own posture);
* upper arms and forearms: bone direction, and the elbow's hinge; forearms share half of the palm's twist;
* hands: bone direction and palm normal; thighs and shins: bone direction; feet: heading only, soles stay as they rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..bodies.body import BodyModel, pose_body
from ..bodies.joints import JOINT_NAMES
from ..rotations import rotvec_to_rotmat, vectors_to_rotmat
from ..types import BodyPose
from .avatar import Avatar, contact_vertices
from .posed_avatar import PosedAvatar
from .report import fit_report
from .rig import FINGERS, HANDS
from .skinning import heights, slot_maps

STRAIGHT, BENT = 0.10, 0.30  # sine of the elbow's bend: below the first its hinge is not trusted, above the second fully
CHILD = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}


def retarget_pose(pose: BodyPose, body: BodyModel, avatar: Avatar, match_height: bool = True) -> PosedAvatar:
    """Moves an avatar into the poses of a body.

    Args:
        pose: B rows; the avatar's own shape is kept whatever the betas.
        body: the body the pose is for.
        avatar: the character.
        match_height: scale the avatar to the body's height at rest, so that one camera frames both;
            False keeps the size in its file.

    Returns:
        PosedAvatar with B rows on the pose's device. Its steps are scaled by leg length, its lowest point lies where the body's does.
    """
    body = body if body.device == pose.device else body.to(pose.device)  # a moved body has to regress its joints anew
    avatar = avatar.to(pose.device)
    posed = pose_body(body, pose)
    rest = body.with_shape(None).joints[0]
    G = _joint_rotations(posed.T_world_joint[..., :3, :3], pose)
    A = rest_alignment(avatar, rest)
    D = torch.stack([G[role] for role in A], 1) @ torch.stack(list(A.values())).to(pose.device)
    scale = float(body.v_template[:, 1].max() - body.v_template[:, 1].min()) / avatar.height if match_height else 1.0
    joints = scale * _chain_positions(avatar, D)
    steps = scale * _leg_length(avatar) / _body_leg_length(posed.shaped.joints)
    joints = joints + (steps[:, None] * posed.joints[:, 0])[:, None]
    T_driver = _driver_maps(D, joints, _rest_positions(avatar), scale)
    rise = _lowest_of_body(posed) - _lowest_of_avatar(avatar, T_driver)
    joints[..., 1] += rise[:, None]
    T_driver[:, :, 1, 3] += rise[:, None]
    return PosedAvatar(avatar, T_driver, joints, scale, fit_report(avatar, joints, scale, posed))


def _joint_rotations(world: Tensor, pose: BodyPose):
    """Role -> (B, 3, 3) world rotation, fingers included; without finger rotations they follow the wrist."""
    G = dict(zip(JOINT_NAMES[:22], world[:, :22].unbind(1)))
    for i, role in enumerate(HANDS):
        first = role.endswith("1")
        above = G[f"{role.split('_')[0]}_wrist" if first else f"{role[:-1]}{int(role[-1]) - 1}"]
        G[role] = above if pose.hands is None else above @ pose.hands[:, i]
    return G


def rest_alignment(avatar: Avatar, rest: Tensor):
    """Role -> (3, 3) rotation ``A`` from the avatar's rest pose to the body's T-pose, both in the body frame.

    Many small steps, so it runs on the CPU and its result lies there. Roles come in the order of ``avatar.rig.humanoid``.

    Args:
        avatar: the character.
        rest: (J, 3) rest joints of the body.
    """
    at = {role: torch.as_tensor(avatar.rig.position(role), dtype=torch.float32) for role in avatar.rig.humanoid}
    goal = dict(zip(JOINT_NAMES, rest.cpu()))
    A = {role: torch.eye(3) for role in at}
    for side in ("left", "right"):
        for part in ("hip", "knee"):
            A[f"{side}_{part}"] = vectors_to_rotmat(_bone(at, side, part), _bone(goal, side, part))
        A |= {role: turn for role, turn in _foot(at, goal, side).items() if role in at}
        A |= {role: turn for role, turn in _arm(at, goal, side).items() if role in at}
    return A


def _bone(at, side, part):
    return at[f"{side}_{CHILD[part]}"] - at[f"{side}_{part}"]


def _foot(at, goal, side):
    ankle, toes = f"{side}_ankle", f"{side}_foot"
    if toes not in at:
        return {}
    flat = torch.tensor([1.0, 0.0, 1.0])
    forward = (at[toes] - at[ankle]) * flat
    if forward.norm() < 0.3 * (at[toes] - at[ankle]).norm():  # a bone that points straight down says nothing about the heading
        return {}
    turn = vectors_to_rotmat(forward, (goal[toes] - goal[ankle]) * flat)
    return {ankle: turn, toes: turn}


def _arm(at, goal, side):
    """Alignment of upper arm, forearm, hand and fingers of one side. In a T-pose the elbow's hinge is vertical and the palm looks down."""
    sign = 1.0 if side == "left" else -1.0
    down = torch.tensor([0.0, -1.0, 0.0])
    upper = _bone(at, side, "shoulder")
    upper_goal, lower_goal = _bone(goal, side, "shoulder"), _bone(goal, side, "elbow")
    if f"{side}_wrist" not in at:
        turn = vectors_to_rotmat(upper, upper_goal)
        return {f"{side}_shoulder": turn, f"{side}_elbow": turn}
    lower = _bone(at, side, "elbow")
    shoulder = vectors_to_rotmat(upper, upper_goal)
    shoulder = _hinge_twist(upper_goal, lower_goal, shoulder @ lower, sign * down) @ shoulder
    elbow = _swing_about(sign * down, shoulder @ lower, lower_goal) @ shoulder
    wrist = _hand(at, goal, side, sign, elbow)
    if wrist is None:
        wrist = elbow
    else:
        elbow = _half_twist(elbow, wrist, lower_goal) @ elbow
    fingers = {f"{side}_{finger}{n}": wrist for finger in FINGERS for n in (1, 2, 3)}
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist} | fingers


def _hinge_twist(upper, lower, bent, hinge):
    """The turn (3, 3) about the upper arm that makes ``bent`` a forearm flexed about the elbow's hinge.

    Flexion keeps the forearm's component along the hinge, so the turned ``bent`` must have that of ``lower``: with ``e1`` the hinge
    across the arm, ``(bent . u)(u . h) + r cos(phi + tau) |e1| = lower . h`` gives the twist tau. An almost straight elbow
    says little about its hinge, so the twist fades out with the bend.

    Args:
        upper, lower: (3,) arm directions of the body at rest. bent: (3,) the avatar's forearm once its upper arm lies along ``upper``.
        hinge: (3,) unit axis about which this side's forearm flexes forward.
    """
    u, low, f = (torch.nn.functional.normalize(vector, dim=0) for vector in (upper, lower, bent))
    e1 = hinge - (hinge @ u) * u
    e2 = torch.linalg.cross(u, e1) / e1.norm()
    a, b = f @ e1 / e1.norm(), f @ e2
    r = torch.hypot(a, b)
    cosine = (low @ hinge - (f @ u) * (u @ hinge)) / (r * e1.norm()).clamp(min=1e-6)
    tau = -cosine.clamp(-1, 1).acos() - torch.atan2(b, a)
    tau = torch.atan2(tau.sin(), tau.cos())
    trust = ((r - STRAIGHT) / (BENT - STRAIGHT)).clamp(0, 1)
    return rotvec_to_rotmat(u * tau * trust)


def _swing_about(axis, source, target):
    """(3, 3) turns ``source`` into the direction ``target``: about the unit ``axis`` as far as that goes, the rest the shortest way."""
    across = torch.stack([source, target]) - torch.stack([source @ axis, target @ axis])[:, None] * axis
    angle = torch.atan2(torch.linalg.cross(across[0], across[1]) @ axis, across[0] @ across[1])
    turn = rotvec_to_rotmat(axis * angle)
    return vectors_to_rotmat(turn @ source, target) @ turn


def _hand(at, goal, side, sign, elbow):
    """Alignment of the hand by its knuckles, or None when the rig has too few fingers to tell the palm."""
    knuckles = {finger: at[f"{side}_{finger}1"] for finger in FINGERS if f"{side}_{finger}1" in at}
    thumb, row = knuckles.pop("thumb", None), list(knuckles.values())
    if not row:
        return None
    along = torch.stack(row).mean(0) - at[f"{side}_wrist"]
    outer = next((knuckles[finger] for finger in ("pinky", "ring") if finger in knuckles), None)
    if "index" in knuckles and outer is not None:
        across = knuckles["index"] - outer
    elif thumb is not None:
        across = at.get(f"{side}_thumb3", at.get(f"{side}_thumb2", thumb)) - at[f"{side}_wrist"]
    else:
        return None
    normal = sign * torch.linalg.cross(along, across)
    if normal.norm() < 0.1 * along.norm() * across.norm():
        return None
    toward = goal[f"{side}_hand"] - goal[f"{side}_wrist"] if f"{side}_hand" in goal else elbow @ along
    return _frame(toward, torch.tensor([0.0, -1.0, 0.0])) @ _frame(along, normal).T


def _half_twist(elbow, wrist, axis):
    """The forearm's share of the hand's twist: half the turn about the forearm that lies between the two alignments."""
    relative = wrist @ elbow.T
    axis = axis / axis.norm()
    vector = torch.stack([relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]])
    angle = 2 * torch.atan2(vector @ axis, 1 + relative.trace())  # swing-twist: both are 4w times the quaternion's parts
    return rotvec_to_rotmat(axis * angle / 2)


def _frame(primary, secondary):
    """(3, 3) with columns: primary direction, secondary made orthogonal to it, and their cross product."""
    x = torch.nn.functional.normalize(primary, dim=0)
    y = torch.nn.functional.normalize(secondary - (secondary @ x) * x, dim=0)
    return torch.stack([x, y, torch.linalg.cross(x, y)], 1)


def _rest_positions(avatar):
    """(D, 3) rest positions of the drivers in the body frame, file units."""
    positions = [torch.as_tensor(avatar.rig.position(role), dtype=torch.float32) for role in avatar.rig.humanoid]
    return torch.stack(positions).to(avatar.device)


def _chain_positions(avatar, D):
    """(B, D, 3) driver positions with the pelvis at zero, file units: each hangs rigidly on its parent driver."""
    roles, rest = list(avatar.rig.humanoid), _rest_positions(avatar)
    posed = []
    for i, role in enumerate(roles):
        above = avatar.rig.parent_role(role)
        if above is None:
            posed.append(torch.zeros_like(D[:, i, :, 0]))
            continue
        p = roles.index(above)
        posed.append(posed[p] + D[:, p] @ (rest[i] - rest[p]))
    return torch.stack(posed, 1)


def _driver_maps(D, joints, rest, scale):
    """(B, D, 3, 4): maps a point of the rest pose (body frame, file units) to the world as the driver carries it."""
    linear = scale * D
    return torch.cat([linear, joints[..., None] - linear @ rest[..., None]], -1)


def _leg_length(avatar):
    at = dict(zip(avatar.rig.humanoid, _rest_positions(avatar)))
    return sum((_bone(at, side, part)).norm() for side in ("left", "right") for part in ("hip", "knee")) / 2


def _body_leg_length(joints):
    """(B or 1,) thigh plus shin, mean of both sides, from rest joints (B or 1, J, 3)."""
    at = dict(zip(JOINT_NAMES, joints.unbind(1)))
    return sum((_bone(at, side, part)).norm(dim=-1) for side in ("left", "right") for part in ("hip", "knee")) / 2


def _lowest_of_body(posed):
    """(B,) lowest point of the body; pose blend shapes, which move it by millimetres, are left out."""
    model, betas = posed.model, posed.shaped.betas
    ids = contact_vertices(model.v_template, model.weights)
    points = model.v_template[ids][None]
    if betas is not None:
        points = points + torch.einsum("bk,cdk->bcd", betas, model.shapedirs[ids][..., : betas.shape[1]])
    T = posed.T_world_joint[:, :, :3]
    maps = torch.cat([T[..., :3], T[..., 3:] - T[..., :3] @ posed.shaped.joints[..., None]], -1)
    return heights(model.weights[ids], points, maps).amin(1)


def _lowest_of_avatar(avatar, T_driver):
    maps = slot_maps(T_driver, avatar.slot_driver, avatar.T_rest_slot)
    return heights(avatar.weights[avatar.contacts], avatar.vertices[avatar.contacts][None], maps).amin(1)
