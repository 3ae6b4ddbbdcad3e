"""Hand shapes on the bundled avatar's and a real character's finger bones, in random poses: fingers curl into the palm on both hands."""

import pytest
import torch

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies.hands import hand_rotmats, set_hands
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

STICK_ROLES = ("pelvis", "spine", "head", *(f"{side}_{part}" for side in ("left", "right")
                                            for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")))


@pytest.fixture(scope="module", params=["bundled", "human-male"])
def posed(request, body):
    """posed(shape) -> {role: (4, 3) joint positions}, the body in the same four poses each time."""
    if request.param == "bundled":
        avatar = load_avatar()
    else:
        avatar = load_avatar(request.getfixturevalue("real_avatars") / f"{request.param}.glb")
    turns = rotvec_to_rotmat(0.5 * torch.randn(4, 22, 3, generator=torch.Generator().manual_seed(0)))

    def make(shape):
        pose = set_hands(BodyPose(turns[:, 0], turns[:, 1:]), shape, shape)
        return dict(zip(avatar.rig.humanoid, retarget_pose(pose, body, avatar).joints.unbind(1)))

    return make


def hand_axes(at, side):
    """Unit vectors (4, 3) of a hand: along it, towards the thumb, and out of the palm."""
    along = at[f"{side}_middle1"] - at[f"{side}_wrist"]
    across = at[f"{side}_index1"] - at[f"{side}_pinky1"]
    palm = torch.linalg.cross(along, across, dim=-1) * (1 if side == "left" else -1)
    return [torch.nn.functional.normalize(axis, dim=-1) for axis in (along, across, palm)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_fist_closes_on_the_palm_with_the_thumb_over_it(posed, side):
    at = posed("fist")
    along, across, palm = hand_axes(at, side)
    for finger in ("index", "middle", "ring", "pinky"):
        last = at[f"{side}_{finger}3"] - at[f"{side}_{finger}1"]
        assert ((last * palm).sum(-1) > 0.02).all(), finger
        assert ((last * along).sum(-1).abs() < 0.03).all(), finger
    thumb = at[f"{side}_thumb3"] - at[f"{side}_index1"]
    assert ((thumb * palm).sum(-1) > 0.01).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_pointing_and_thumbs_up_stretch_one_finger_only(posed, side):
    for shape, out in (("point", "index"), ("thumbs up", None)):
        at = posed(shape)
        along, across, _ = hand_axes(at, side)
        for finger in ("index", "middle", "ring", "pinky"):
            reach = ((at[f"{side}_{finger}3"] - at[f"{side}_{finger}1"]) * along).sum(-1)
            assert (reach > 0.03).all() if finger == out else (reach < 0.03).all(), (shape, finger)
    thumb = torch.nn.functional.normalize(at[f"{side}_thumb3"] - at[f"{side}_thumb2"], dim=-1)
    assert ((thumb * across).sum(-1) > 0.7).all()


def test_fingers_curl_in_their_own_plane(posed):
    """The little finger, which points outwards at rest, closes beside the others instead of leaving the hand."""
    at = posed("fist")
    across = hand_axes(at, "left")[1]
    for one, other in (("index", "middle"), ("middle", "ring"), ("ring", "pinky")):
        gaps = [((at[f"left_{one}{n}"] - at[f"left_{other}{n}"]) * across).sum(-1) for n in (1, 3)]
        assert (gaps[1] < gaps[0] + 0.004).all(), (one, other)


def test_a_body_without_fingers_leaves_them(body, stick_glb):
    """Where there are no finger bones, hands change nothing."""
    plain, fists = BodyPose.rest(), set_hands(BodyPose.rest(), "fist", "fist")
    assert not torch.equal(hand_rotmats("fist", "left"), torch.eye(3).expand(15, 3, 3))
    avatar = load_avatar(stick_glb({role: role for role in STICK_ROLES}))
    assert torch.equal(retarget_pose(plain, body, avatar).joints, retarget_pose(fists, body, avatar).joints)
