"""Any character with a humanoid skeleton: read it, understand its rig, move it into a body's poses."""

from .avatar import Avatar, load_avatar
from .posed_avatar import PosedAvatar
from .retarget import retarget_pose

__all__ = ["Avatar", "PosedAvatar", "load_avatar", "retarget_pose"]
