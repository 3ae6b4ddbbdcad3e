"""What a browser needs to pose a figure as `retarget_pose` would: a GLB at rest, and how its bones follow the body's joints.

The GLB has one node per driver with axes along the world's, so a driver's turn in the world is ``D = G[source] A`` (stage 1 of
retargeting), and twist bones share the turn between two drivers. The bare body is the case ``A = 1``.
"""

from __future__ import annotations

from ..avatars.avatar import Avatar
from ..avatars.pairing import pair
from ..avatars.retarget import retarget_pose
from ..bodies.body import BodyModel, pose_body
from ..bodies.joints import BODY_JOINTS
from ..types import BodyPose
from .gltf_animation import write_animated_glb


def write_editor_figure(path, body: BodyModel, avatar: Avatar | None = None) -> dict:
    """Writes the figure at rest as a GLB and returns how to drive it, as plain numbers.

    Args:
        path: the .glb to write.
        body: whose joints are posed.
        avatar: who is shown; None shows the body.

    Returns:
        {"source": (D,) joint 0..21 whose turn each bone copies, "align": (D, 9) the rotmats A by rows, "twists": [{"bone", "limb", "other",
        "axis", "share"}]}, bones in the order of the file's skin.

    Raises:
        InputError: the file cannot be written.
    """
    rest = BodyPose.rest()
    if avatar is None:
        write_animated_glb(path, pose_body(body, rest), name="rest")
        joints = range(len(body.parents))
        eye = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        return {"source": [_of_body(joint, body.parents) for joint in joints], "align": [eye for _ in joints], "twists": []}
    write_animated_glb(path, retarget_pose(rest, body, avatar), name="rest")
    both = pair(avatar, body)
    twists = [{"bone": bone, "limb": limb, "other": other, "axis": axis, "share": share} for bone, limb, other, axis, share in zip(
        *(getattr(both.twists, name).tolist() for name in ("bone", "limb", "other", "axis", "share")))]
    source = [_wrist_of_finger(number) if number >= BODY_JOINTS else number for number in both.source.tolist()]
    return {"source": source, "align": [[round(x, 6) for x in A] for A in both.A.flatten(1).tolist()], "twists": twists}


def _wrist_of_finger(number):
    """The wrist joint that carries finger joint ``number`` (22 to 51: 15 of the left hand, then 15 of the right)."""
    return 20 if number < BODY_JOINTS + 15 else 21


def _of_body(joint, parents):
    """The first of the 22 joints on the way to the root: hands and fingers go with their wrist."""
    while joint >= BODY_JOINTS:
        joint = parents[joint]
    return int(joint)
