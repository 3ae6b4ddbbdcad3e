"""From joint positions to joint rotations, in closed form: HumanML3D joints and features, key points of other body models.

Every bone is turned into the direction seen, and its twist comes from the anatomy: pelvis from the hips, chest from the collars or
shoulders, limbs from the hinge of knee and elbow. Near a straight limb, where the hinge says nothing, the twist passes smoothly over
into that of the bone above. Bone lengths are the body's own, so positions agree up to proportions; the error is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..bodies.body import BodyModel, pose_body
from ..bodies.joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from ..checks import LARGEST, InputError, check_shape, numbers_of
from ..rotations import vectors_to_rotmat
from ..types import BodyPose
from .bvh import NAME
from .floor import stand_on_floor
from .geometry import axes_to_rotmat, hinge_axes

HUMANML_FPS = 20.0
HUMANML_WIDTH = 263
ROLES = JOINT_NAMES[:BODY_JOINTS]
BEND_FROM, BEND_TO = 0.08, 0.35  # sines of the bend between which a hinge gains its full say
_NEXT = {"left_hip": "left_knee", "left_knee": "left_ankle", "left_ankle": "left_foot", "left_collar": "left_shoulder",
         "left_shoulder": "left_elbow", "left_elbow": "left_wrist",
         "spine1": "spine2", "spine2": "spine3", "spine3": "neck", "neck": "head"}
NEXT = _NEXT | {a.replace("left", "right"): b.replace("left", "right") for a, b in _NEXT.items() if "left" in a}


@dataclass(frozen=True)
class IkError:
    """How far the posed body's joints are from the given ones.

    Args:
        joints: (22,) mean distance of each joint over the frames, metres, both seen from the hips, the target scaled to the body.
        bones: (22,) mean angle in degrees between the bone that ends at each joint and the given one; 0 for the pelvis.
    """

    joints: Tensor
    bones: Tensor


def joints_to_pose(joints: Tensor, body: BodyModel, fps: float = HUMANML_FPS) -> tuple[BodyPose, IkError]:
    """Poses the body so that its bones point as the given joints do.

    Args:
        joints: (T, 22, 3) positions in the order of SMPL's first 22 joints, +Y up, any unit.
        body: the body to pose; its mean shape is used.
        fps: frames per second of the rows.

    Returns:
        (pose, error): the hips follow the given ones scaled by leg length, the feet stand on the floor.

    Raises:
        InputError: the shape is wrong, or numbers are missing or do not make a body.
    """
    check_shape("joints", joints, "T 22 3")
    if len(joints) == 0 or not bool((joints.abs() <= LARGEST).all()):
        raise InputError("joints", tuple(joints.shape), "hold no frames, NaN, infinity or numbers above a billion",
                         "Fill in missing joints first.")
    joints = joints.to(body.device).double()
    at = dict(zip(ROLES, joints.unbind(1)))
    rest = dict(zip(ROLES, body.with_shape(None).joints[0].double()))
    length = _leg(at)
    if not bool(length.median() > 1e-6):
        raise InputError("joints", tuple(joints.shape), "have legs without length", "Give 22 joints in the order of SMPL.")
    G = _world_rotations(at, rest)
    local = [G[role] if role == "pelvis" else G[_parent(role)].transpose(-1, -2) @ G[role] for role in ROLES]
    local = torch.stack(local, 1).float()
    pose = BodyPose(local[:, 0], local[:, 1:], frame_index=torch.arange(len(local), device=body.device), fps=fps)
    scale = float(_leg(rest) / length.median())
    posed = pose_body(body, pose).joints[:, :BODY_JOINTS].double()
    transl = scale * _hips(joints) - _hips(posed)
    error = _error(scale * joints, posed + transl[:, None])
    pose, _ = stand_on_floor(replace(pose, transl=transl.float()), body)
    return pose, error


def humanml_to_joints(features: Tensor) -> Tensor:
    """HumanML3D's 263 features (T, 263), not normalised, to joints (T, 22, 3) in metres, +Y up (Guo et al. 2022, section 3).

    The features hold the root's turn about Y and its step per frame, both in the previous frame's heading, its height, and the other
    joints relative to the root in its heading. Turns are half angles, as in a quaternion.
    """
    check_shape("features", features, "T 263")
    half = torch.cat([features.new_zeros(1), features[:-1, 0]]).cumsum(0)
    cos, sin, zero, one = (2 * half).cos(), (2 * half).sin(), torch.zeros_like(half), torch.ones_like(half)
    turn = torch.stack([cos, zero, -sin, zero, one, zero, sin, zero, cos], -1).unflatten(-1, (3, 3))  # back into the world
    step = torch.zeros(len(features), 3, dtype=features.dtype, device=features.device)
    step[1:, [0, 2]] = features[:-1, 1:3]
    root = (turn @ step[..., None])[..., 0].cumsum(0)
    others = (turn[:, None] @ features[:, 4:67].unflatten(1, (21, 3))[..., None])[..., 0]
    others = others + root[:, None] * root.new_tensor([1.0, 0.0, 1.0])
    root[:, 1] = features[:, 3]
    return torch.cat([root[:, None], others], 1)


def array_to_pose(array, body: BodyModel, fps=None, name="joints array") -> tuple[BodyPose, str]:
    """Joints (T, 22, 3), also as (T, 66) or with SMPL's 24 joints, or HumanML3D features (T, 263), to poses and a report.

    Raises:
        InputError: the shape is another.
    """
    values = torch.from_numpy(numbers_of(NAME, array, name, "Make the motion again."))
    if values.ndim == 2 and values.shape[1] == HUMANML_WIDTH:
        joints, kind = humanml_to_joints(values), "HumanML3D features"
    elif values.ndim == 2 and values.shape[1] in (66, 72):
        joints, kind = values.unflatten(1, (-1, 3))[:, :22], "joint positions"
    elif values.ndim == 3 and values.shape[1] >= 22 and values.shape[2] == 3:
        joints, kind = values[:, :22], "joint positions"
    else:
        raise InputError(NAME, name, f"has the shape {tuple(values.shape)}", "Give joints (T, 22, 3) or HumanML3D features (T, 263).")
    pose, error = joints_to_pose(joints, body, fps or HUMANML_FPS)
    rate = "" if fps else f" (no rate in the file; HumanML3D's {HUMANML_FPS:g} is assumed)"
    return pose, f"{name}: {len(pose)} frames of {kind} at {pose.fps:.4g} fps{rate}.\n{error_report(error)}"


def error_report(error: IkError) -> str:
    """Two lines for the user."""
    worst = int(error.joints.argmax())
    return (f"Rotations from positions: joints agree within {1000 * float(error.joints.mean()):.0f} mm on average, "
            f"{1000 * float(error.joints[worst]):.0f} mm at the {ROLES[worst]}; bones within {float(error.bones[1:].mean()):.1f} degrees.\n"
            "What positions cannot tell is assumed: the roll of head and hands, the twist of straight limbs.")


def _world_rotations(at, rest):
    """Role -> (T, 3, 3). Parents first, so that each bone can lean on the one above."""
    G = {"pelvis": _fit(at, rest, "pelvis", "spine1", "left_hip", "right_hip")}
    for role in ROLES[1:]:
        above = G[_parent(role)]
        if role == "spine3":
            G[role] = _fit(at, rest, "spine3", "neck", "left_collar", "right_collar")
        elif role in NEXT:
            G[role] = _swing(above, rest[NEXT[role]] - rest[role], at[NEXT[role]] - at[role])
        else:
            G[role] = above
        for limb in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            side, _, part = role.rpartition("_")
            if part == limb[0]:
                G[role] = _twist_to_hinge(G[role], [f"{side}_{name}" for name in limb], at, rest)
            elif part == limb[1]:
                G[role] = _along_hinge(G[f"{side}_{limb[0]}"], role, at, rest)
    for low in ("spine1", "spine2"):  # the trunk's twist is shared along the spine
        G[low] = _with_lateral(low, at, rest, G, 1 / 3 if low == "spine1" else 2 / 3)
    return G


def _fit(at, rest, start, end, left, right):
    """Lateral axis between two joints exactly, the bone's direction as far as it is across it."""
    seen = axes_to_rotmat(at[left] - at[right], at[end] - at[start])
    return seen @ axes_to_rotmat(rest[left] - rest[right], rest[end] - rest[start]).T


def _swing(above, bone, direction):
    """The rotation above, turned the shortest way so that ``bone`` points in ``direction``."""
    return vectors_to_rotmat((above @ bone), direction) @ above


def _with_lateral(role, at, rest, G, share):
    lateral = torch.lerp(G["pelvis"][..., 0], G["spine3"][..., 0], share)
    seen = axes_to_rotmat(at[NEXT[role]] - at[role], lateral)
    return seen @ axes_to_rotmat(rest[NEXT[role]] - rest[role], rest["pelvis"].new_tensor([1.0, 0.0, 0.0])).T


def _twist_to_hinge(swung, chain, at, rest):
    """Turns a thigh or upper arm about itself until its own hinge axis lies along the bend that is seen."""
    upper, middle, lower = (at[role] for role in chain)
    own = hinge_axes(rest, chain[0])[0]
    bone, axis = middle - upper, swung @ own
    across = torch.linalg.cross(normalize(bone, dim=-1), normalize(lower - middle, dim=-1))  # none where two joints are in one place
    sine = across.norm(dim=-1, keepdim=True)
    say = ((sine - BEND_FROM) / (BEND_TO - BEND_FROM)).clamp(0, 1)
    say = say * say * (3 - 2 * say)
    wanted = (1 - say) * axis + say * across / sine.clamp(min=1e-9)
    return axes_to_rotmat(bone, wanted) @ axes_to_rotmat(rest[chain[1]] - rest[chain[0]], own).T


def _along_hinge(above, role, at, rest):
    """A shin or forearm: its direction, about the hinge axis of the bone above."""
    upper, lower = hinge_axes(rest, role)
    return axes_to_rotmat(at[NEXT[role]] - at[role], above @ upper) @ axes_to_rotmat(rest[NEXT[role]] - rest[role], lower).T


def _parent(role):
    return JOINT_NAMES[PARENTS[JOINT_NAMES.index(role)]]


def _leg(at):
    bones = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))]
    return sum((at[end] - at[start]).norm(dim=-1) for start, end in bones) / 2


def _hips(joints):
    return (joints[:, 1] + joints[:, 2]) / 2


def _error(target, posed):
    distance = (target - posed).norm(dim=-1).mean(0)
    parents = list(PARENTS[1:BODY_JOINTS])
    ours, theirs = posed[:, 1:] - posed[:, parents], target[:, 1:] - target[:, parents]
    angle = torch.rad2deg(torch.atan2(torch.linalg.cross(ours, theirs).norm(dim=-1), (ours * theirs).sum(-1))).mean(0)
    return IkError(distance, torch.cat([angle.new_zeros(1), angle]))
