"""BVH files with a known answer: the body's own skeleton under other names, rest poses, bone frames, axes and units."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from contrapposto.models.bodies import JOINT_NAMES, PARENTS, pose_body
from contrapposto.models.bodies.body import global_rotations
from contrapposto.models.rotations import rotvec_to_rotmat

NAMES = {
    "cgspeed": ("Hips LeftUpLeg RightUpLeg LowerBack LeftLeg RightLeg Spine LeftFoot RightFoot Spine1 LeftToeBase RightToeBase Neck "
                "LeftShoulder RightShoulder Head LeftArm RightArm LeftForeArm RightForeArm LeftHand RightHand").split(),
    "unreal": ("pelvis thigh_l thigh_r spine_01 calf_l calf_r spine_02 foot_l foot_r spine_03 ball_l ball_r neck_01 "
               "clavicle_l clavicle_r head upperarm_l upperarm_r lowerarm_l lowerarm_r hand_l hand_r").split(),
    "smpl": list(JOINT_NAMES[:22]),
}


def random_rotations(count, seed=0):
    return torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())


def a_pose(body):
    """World rotations (22, 3, 3) of a body with its arms 45 degrees down."""
    from contrapposto.models.types import BodyPose

    rest = BodyPose.rest(1)
    joints = rest.body_pose.clone()
    for joint, sign in ((16, -1), (17, 1)):
        joints[0, joint - 1] = rotvec_to_rotmat(torch.tensor([0.0, 0.0, sign * 0.7854]))
    return global_rotations(BodyPose(rest.global_orient, joints))[0, :22].double(), BodyPose(rest.global_orient, joints)


def bvh_text(body, pose, frames=None, rest_pose=None, names="cgspeed", turn=None, scale=100.0, order="ZYX"):
    """Returns the text of a BVH file.

    Args:
        frames: (22, 3, 3) bone frame of each joint in the body's T-pose; None is along the world's axes (a zero pose that stands).
        rest_pose: (world rotations (22, 3, 3), BodyPose) of the zero pose; None is the T-pose. Not together with ``frames``.
        turn: (3, 3) our axes to the file's. scale: file units per metre. order: of the rotation channels.
    """
    turn = torch.eye(3, dtype=torch.float64) if turn is None else turn
    G = global_rotations(pose)[:, :22].double()
    place = pose_body(body, pose).joints[:, 0].double() @ turn.T * scale
    if frames is None:
        rest_R, rest_pose = rest_pose or (torch.eye(3, dtype=torch.float64).expand(22, 3, 3), None)
        joints = body.with_shape(None).joints[0] if rest_pose is None else pose_body(body, rest_pose).joints[0]
        joints = joints.double() @ turn.T
        W = turn @ G @ rest_R.transpose(-1, -2) @ turn.T
        offset = [joints[j] - joints[PARENTS[j]] for j in range(1, 22)]
    else:
        joints = body.with_shape(None).joints[0].double()
        W = turn @ G @ frames
        offset = [frames[PARENTS[j]].T @ (joints[j] - joints[PARENTS[j]]) for j in range(1, 22)]
    offset = [torch.zeros(3, dtype=torch.float64), *offset]
    local = [W[:, j] if j == 0 else W[:, PARENTS[j]].transpose(-1, -2) @ W[:, j] for j in range(22)]
    lines, columns = ["HIERARCHY"], [place.numpy()]

    def emit(j, depth):
        lines.extend([f"{'JOINT' if depth else 'ROOT'} {NAMES[names][j]}", "{", "OFFSET " + " ".join(f"{v * scale:.8f}" for v in offset[j]),
                      ("CHANNELS 3 " if depth else "CHANNELS 6 Xposition Yposition Zposition ") + " ".join(f"{a}rotation" for a in order)])
        columns.append(Rotation.from_matrix(local[j].numpy()).as_euler(order, degrees=True))
        children = [k for k in range(22) if PARENTS[k] == j]
        for child in children:
            emit(child, depth + 1)
        if not children:
            lines.extend(["End Site", "{", "OFFSET 0 0 0", "}"])
        lines.append("}")

    emit(0, 0)
    lines += ["MOTION", f"Frames: {len(pose)}", f"Frame Time: {1 / pose.fps:.6f}"]
    lines += [" ".join(f"{v:.9f}" for v in row) for row in np.concatenate(columns, 1)]
    return "\n".join(lines) + "\n"
