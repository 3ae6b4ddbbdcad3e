"""SMPL-format bodies: load, shape, pose, skin; joint orders; pose files."""

from .body import BodyModel, PosedBody, ShapedBody, global_rotations, load_body_model, place_on_floor, pose_body
from .joints import JOINT_NAMES, MIRROR, OPENPOSE18_LIMBS, OPENPOSE18_NAMES, PARENTS, mirror_pose
from .pose_file import load_poses, save_poses

__all__ = [
    "JOINT_NAMES", "MIRROR", "OPENPOSE18_LIMBS", "OPENPOSE18_NAMES", "PARENTS", "BodyModel", "PosedBody", "ShapedBody",
    "global_rotations", "load_body_model", "load_poses", "mirror_pose", "place_on_floor", "pose_body", "save_poses",
]
