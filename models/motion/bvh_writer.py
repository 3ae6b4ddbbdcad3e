"""Writing BVH: the body's own skeleton in its T-pose, one frame per row, bone names that other programs recognise."""

from __future__ import annotations

import numpy as np

from ..assets.files import atomic_write
from ..bodies.body import BodyModel, local_rotations, pose_body
from ..bodies.joints import BODY_JOINTS, JOINT_NAMES
from ..checks import check_choice
from ..types import BodyPose
from .floor import check_rows

UNITS = {"cm": 100.0, "m": 1.0}
DEFAULT_FPS = 30.0
# The names of Mixamo and MotionBuilder, which most programs map without help
BONE_NAMES = dict(zip(JOINT_NAMES[:BODY_JOINTS], (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2",
    "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm",
    "LeftForeArm", "RightForeArm", "LeftHand", "RightHand")))
_TIPS = {"head": (0.0, 0.2, 0.0), "left_foot": (0.0, 0.0, 0.06), "right_foot": (0.0, 0.0, 0.06),
         "left_wrist": (0.09, 0.0, 0.0), "right_wrist": (-0.09, 0.0, 0.0)}  # metres, for programs that draw bones
_FINGERS = tuple(f"{side}Hand{finger}{n}" for side in ("Left", "Right")
                 for finger in ("Index", "Middle", "Pinky", "Ring", "Thumb") for n in (1, 2, 3))


def write_bvh(path, pose: BodyPose, body: BodyModel, unit="cm"):
    """Writes poses as a BVH file: root translation and ZXY rotations, +Y up, facing +Z. Fingers are kept if the body has them.

    Args:
        path: the .bvh to write.
        pose: T rows of one person; without ``fps`` 30 are written.
        body: the body whose bones are written, in the shape of the first row.
        unit: "cm", which most programs expect, or "m".

    Raises:
        InputError: there is nothing to write, or the file cannot be written.
    """
    check_choice("unit", unit, UNITS)
    check_rows(pose)
    scale = UNITS[unit]
    names = _bone_names(body, pose)
    joints = _depth_first(body.parents, names)
    shaped = body.with_shape(None if pose.betas is None else pose.betas[:1])
    rest = shaped.joints[0].detach().cpu().double().numpy() * scale
    angles = rotmat_to_zxy(local_rotations(pose, body.kind)[:, joints].detach().cpu().double().numpy())
    root = pose_body(body, pose).joints[:, 0].detach().cpu().double().numpy() * scale
    numbers = np.concatenate([root, np.rad2deg(angles).reshape(len(pose), -1)], 1)
    lines = ["HIERARCHY", *_hierarchy(names, body.parents, rest, scale), "MOTION", f"Frames: {len(pose)}",
             f"Frame Time: {1 / (pose.fps or DEFAULT_FPS):.9f}"]
    with atomic_write(path) as part, open(part, "w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, numbers, fmt="%.6f")


def _bone_names(body, pose):
    """Joint number -> bone name, for the joints to write."""
    names = {joint: BONE_NAMES[JOINT_NAMES[joint]] for joint in range(BODY_JOINTS)}
    if pose.hands is not None and body.kind != "smpl":
        first = len(body.parents) - len(_FINGERS)
        names |= {first + i: name for i, name in enumerate(_FINGERS)}
    return names


def _depth_first(parents, names):
    """Joints in the order in which BVH lists them, and so the order of a frame's numbers."""
    def below(joint):
        return [joint, *(j for child in names if parents[child] == joint for j in below(child))]
    return below(0)


def _hierarchy(names, parents, rest, scale):
    """Lines of the skeleton."""
    tips = {JOINT_NAMES.index(name): np.array(tip) * scale for name, tip in _TIPS.items()}
    lines = []

    def emit(joint, depth):
        pad = "\t" * depth
        offset = np.zeros(3) if depth == 0 else rest[joint] - rest[parents[joint]]  # readers add or replace the root's: zero suits both
        channels = "3" if depth else "6 Xposition Yposition Zposition"
        lines.extend([f"{pad}{'JOINT' if depth else 'ROOT'} {names[joint]}", pad + "{", f"{pad}\tOFFSET {_text(offset)}",
                      f"{pad}\tCHANNELS {channels} Zrotation Xrotation Yrotation"])
        children = [child for child in names if parents[child] == joint]
        for child in children:
            emit(child, depth + 1)
        if not children:
            tip = tips.get(joint, (rest[joint] - rest[parents[joint]]) * 0.6)
            lines.extend([f"{pad}\tEnd Site", pad + "\t{", f"{pad}\t\tOFFSET {_text(tip)}", pad + "\t}"])
        lines.append(pad + "}")

    emit(0, 0)
    return lines


def _text(vector):
    return " ".join(f"{value:.6f}" for value in vector)


def rotmat_to_zxy(rotmats):
    """Rotmats (T, J, 3, 3) to radians (T, J, 3) with ``R = Rz(a) Rx(b) Ry(c)``, unrolled over T so that no angle jumps by a turn.

    At b = +-90 degrees only a +- c is defined; c is then taken as 0.
    """
    sine = rotmats[..., 2, 1].clip(-1, 1)
    locked = np.abs(sine) > 1 - 1e-12
    a = np.where(locked, np.arctan2(rotmats[..., 1, 0], rotmats[..., 0, 0]), np.arctan2(-rotmats[..., 0, 1], rotmats[..., 1, 1]))
    c = np.where(locked, 0.0, np.arctan2(-rotmats[..., 2, 0], rotmats[..., 2, 2]))
    return np.unwrap(np.stack([a, np.arcsin(sine), c], -1), axis=0)
