"""From any humanoid skeleton in motion to poses of an SMPL-format body.

Orientations are carried over in the world (the retargeting of PAS section 3.4, read backwards): for each joint a constant rotation
``A`` joins the file's bone frame to the body's, ``G(t) = U W(t) A``, with W the bone's world rotation in the file and U the turn from
the file's axes to ours. Where the file's zero pose is a person standing, ``A`` comes from that rest pose, T or A; where it is not
(iClone writes every bone along its own axis), ``A`` comes from the anatomy seen in the motion, see `anatomy`.
Positions are scaled by leg length, and the lowest contact of the motion is put on the floor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..avatars.gltf import GltfPart, GltfScene
from ..avatars.retarget_rest import rest_alignment
from ..avatars.rig import HANDS, PARENT_ROLE, Rig, build_rig
from ..bodies.body import BodyModel, pose_body
from ..bodies.joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from ..checks import LARGEST, InputError
from ..types import BodyPose
from .anatomy import alignment_from_motion
from .bvh import NAME, SkeletonMotion
from .floor import stand_on_floor

ROLES = JOINT_NAMES[:BODY_JOINTS]
UNITS = {"millimetres": 1e-3, "centimetres": 1e-2, "inches": 0.0254, "decimetres": 0.1, "feet": 0.3048, "metres": 1.0}
UNIT_TOLERANCE = 0.25
# DAZ and Poser name joints "rshoulder": a side and a word without anything between
_PLAIN_SIDE = re.compile(r"^([lr])(buttock|hip|thigh|knee|shin|foot|toe|collar|shoulder|shldr|elbow|forearm|hand|wrist)$")
LOOKS = 12  # frames tried as a standing person when the rest pose is none


@dataclass(frozen=True)
class _Standing:
    """What `rest_alignment` asks of an avatar."""

    rig: Rig
    device: torch.device


def skeleton_to_pose(motion: SkeletonMotion, body: BodyModel, name="motion") -> tuple[BodyPose, str]:
    """Returns the poses (T rows with ``fps`` and ``frame_index``) and a report of what was found and guessed.

    Args:
        motion: a skeleton with two legs and two arms.
        body: the body that is to move; its mean shape sets the size of the steps.
        name: the file, for messages.

    Raises:
        InputError: no human could be found in the skeleton.
    """
    W, P = motion.world()
    rig, rests = _find_human(motion, P, name)
    rest = body.with_shape(None).joints[0].cpu().double()
    U, up_note = _world_turn(rig, rests, P)
    W, P = U @ W, P @ U.T
    if rests:
        A = _alignment_from_rest(rig, rest)
    else:
        A = alignment_from_motion(rig, W, P, dict(zip(JOINT_NAMES, rest)))
    G = {role: W[:, node] @ A[role] for role, node in rig.humanoid.items()}
    pose = _to_pose(G, motion.fps)
    pose, scale, rise = _place(pose, body, rig, P, name)
    return pose, _report(motion, rig, rests, up_note, scale, rise, name)


def _alignment_from_rest(rig, rest):
    """Role -> (3, 3): both rest poses, the file's and the body's own, are compared with the same ideal T-pose."""
    world = np.tile(np.eye(4), (BODY_JOINTS, 1, 1))
    world[:, :3, 3] = rest[:BODY_JOINTS]
    own = Rig(list(ROLES), np.array(PARENTS[:BODY_JOINTS]), world, {role: i for i, role in enumerate(ROLES)}, {}, np.eye(3), "")
    theirs, ours = (rest_alignment(_Standing(skeleton, torch.device("cpu")), rest.float()) for skeleton in (rig, own))
    back = torch.from_numpy(rig.R_body).T
    return {role: back @ turn.double().T @ ours[_body_role(role)].double() for role, turn in theirs.items()}


def _body_role(role):
    return role if role in ROLES else f"{role.split('_')[0]}_wrist"


def _find_human(motion, P, name):
    """Returns (rig, does the zero pose stand). The first of the zero pose and some frames in which a standing human is seen."""
    first = None
    for index in [None, *np.linspace(0, len(motion) - 1, LOOKS).astype(int)]:
        positions = motion.rest_positions() if index is None else P[index]
        try:
            rig = build_rig(_scene(motion, positions.numpy()), name)
        except InputError as error:
            first = first or error
            continue
        if index is not None or _stands(rig):
            return rig, index is None
    if first is None:
        raise InputError(NAME, name, "never shows a person standing upright", "Give a motion that contains some upright frames.")
    raise InputError(NAME, name, first.problem, first.remedy) from None


def _scene(motion, positions):
    """The skeleton as the avatars' rig reader takes it: nodes without turns, one part that every bone moves."""
    count = len(motion.names)
    world = np.tile(np.eye(4), (count, 1, 1))
    world[:, :3, 3] = positions
    nodes = np.arange(count)[:, None]
    part = GltfPart(vertices=positions, faces=np.zeros((0, 3), np.int64), normals=None, uv=None, colors=None, joints=nodes,
                    weights=np.ones((count, 1)), binds={i: np.eye(4) for i in range(count)}, material=0, skinned=True)
    names = [_PLAIN_SIDE.sub(r"\1_\2", joint) for joint in motion.names]
    return GltfScene(names, np.array(motion.parents), list(range(count)), world, world, [part], [], {})


def _stands(rig):
    """Whether the rest pose is a person standing with straight limbs: T-pose, A-pose or arms hanging."""
    at = {role: rig.position(role) for role in rig.humanoid}
    height = at["left_shoulder"][1] - at["left_ankle"][1]

    def along(start, end, axis, least):
        bone = at[end] - at[start]
        return bone @ axis >= least * np.linalg.norm(bone)

    sides = []
    for side, out in (("left", 1.0), ("right", -1.0)):
        sides += [along(f"{side}_hip", f"{side}_knee", (0, -1, 0), 0.8), along(f"{side}_knee", f"{side}_ankle", (0, -1, 0), 0.8),
                  along(f"{side}_shoulder", f"{side}_elbow", (out, -0.9, 0), 0.6)]
        if f"{side}_wrist" in at:
            sides.append(along(f"{side}_elbow", f"{side}_wrist", (out, -0.9, 0), 0.5))
        if f"{side}_foot" in at:
            sides.append(at[f"{side}_foot"][2] > at[f"{side}_ankle"][2])
    mirrored = [np.linalg.norm(at[r] * (-1, 1, 1) - at[r.replace("left", "right")] + 2 * at["pelvis"] * (1, 0, 0))
                for r in at if r.startswith("left_") and r.replace("left", "right") in at and r in JOINT_NAMES]
    return all(sides) and max(mirrored) < 0.15 * height


def _world_turn(rig, rests, P):
    """(U, note): the turn of the file's axes into ours, +Y up. Up is where the head is in the motion, else in the rest pose."""
    top = rig.humanoid.get("head", rig.humanoid.get("neck", rig.humanoid["left_shoulder"]))
    feet = (P[:, rig.humanoid["left_ankle"]] + P[:, rig.humanoid["right_ankle"]]) / 2
    rise = P[:, top] - feet
    mean = rise.mean(0) / rise.norm(dim=-1).mean()
    axis, sign = int(mean.abs().argmax()), float(mean[mean.abs().argmax()].sign())
    rest_up = torch.from_numpy(rig.R_body)[1]
    if rests and (mean.abs().max() < 0.5 or rest_up[axis] * sign > 0.9):
        return torch.from_numpy(rig.R_body), f"up is the file's {_axis_name(rest_up)}, from its rest pose"
    up = torch.zeros(3, dtype=P.dtype)
    up[axis] = sign
    front = torch.eye(3, dtype=P.dtype)[(axis + 1) % 3] * sign  # Y up: Z is front; Z up: X; the heading is the file's own
    if axis == 2:
        front = torch.tensor([0.0, -sign, 0.0], dtype=P.dtype)  # Blender and most Z-up programs look along -Y
    return torch.stack([torch.linalg.cross(up, front), up, front]), f"up is the file's {_axis_name(up)}, from the motion"


def _axis_name(up):
    axis = int(up.abs().argmax())
    return f"{'+' if up[axis] > 0 else '-'}{'XYZ'[axis]}"


def _to_pose(G, fps):
    """World rotations (role -> (T, 3, 3)) to a BodyPose at the origin. Joints the file lacks follow their parents."""
    for role in ROLES[1:] + HANDS:
        if role not in G:
            G[role] = G[PARENT_ROLE[role]]
    local = {role: G[PARENT_ROLE[role]].transpose(-1, -2) @ G[role] for role in ROLES[1:] + HANDS}
    hands = torch.stack([local[role] for role in HANDS], 1).float()
    moved = (hands - torch.eye(3)).abs().amax() > 1e-4
    body = torch.stack([local[role] for role in ROLES[1:]], 1).float()
    return BodyPose(G["pelvis"].float(), body, hands=hands if moved else None, frame_index=torch.arange(len(body)), fps=fps)


def _place(pose, body, rig, P, name):
    """Returns (pose, scale, rise): the hips follow the file's, scaled to the body's legs; the feet touch the floor."""
    posed = pose_body(body, pose.to(body.device))
    joints = dict(zip(JOINT_NAMES, posed.joints.cpu().double().unbind(1)))
    at = {role: P[:, node] for role, node in rig.humanoid.items()}
    scale = float(_leg_length(joints) / _leg_length(at))
    if not 1 / LARGEST < scale < LARGEST:
        raise InputError(NAME, name, f"has legs of {float(_leg_length(at)):.2g} units", "Export it again with the lengths of its bones.")
    middle = [(where["left_hip"] + where["right_hip"]) / 2 for where in (joints, at)]
    transl = scale * middle[1] - middle[0]
    pose, rise = stand_on_floor(replace(pose, transl=transl.float()).to(body.device), body)
    return pose, scale, rise


def _leg_length(at: dict[str, Tensor]):
    return sum((at[f"{side}_{end}"] - at[f"{side}_{start}"]).norm(dim=-1).median()
               for side in ("left", "right") for start, end in (("hip", "knee"), ("knee", "ankle"))) / 2


def _report(motion, rig, rests, up_note, scale, rise, name):
    found = [role for role in ROLES if role in rig.humanoid]
    fingers = sum(role in rig.humanoid for role in HANDS)
    unit = min(UNITS, key=lambda u: abs(np.log(UNITS[u] / scale)))
    known = abs(np.log(UNITS[unit] / scale)) < UNIT_TOLERANCE
    lines = [
        f"{name}: {len(motion)} frames at {motion.fps:.4g} fps, {len(motion.names)} joints.",
        f"{len(found)} of {BODY_JOINTS} body joints and {fingers} of 30 finger joints found by {rig.source}.",
        "Rest pose: " + ("the file's zero pose." if rests else "the file's zero pose is no standing person; read off the motion."),
        f"Axes: {up_note}. Unit: {unit if known else 'no common one'}, by leg length; 1 unit becomes {scale:.4g} m on this body.",
        f"Moved {rise:+.3f} m in height so that the feet touch the floor.",
    ]
    missing = [role for role in ROLES if role not in rig.humanoid]
    if missing:
        lines.append(f"Not in this skeleton, so they follow their neighbours: {', '.join(missing)}.")
    lines.append("Joints: " + ", ".join(f"{role} = {motion.names[rig.humanoid[role]]}" for role in found) + ".")
    return "\n".join(lines)
