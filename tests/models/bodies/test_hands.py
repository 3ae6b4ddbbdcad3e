"""Hand shapes: real rotations, mirrored, bent the right way, and read from sentences."""

import pytest
import torch

from contrapposto.models.bodies.hands import AS_IS, FINGERS, HAND_NAMES, hand_rotmats, hands_from_text, set_hands
from contrapposto.models.bodies.joints import mirror_pose
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

# Where a straight left hand's fingers point at rest: outwards, fanned a little; the thumb forwards and down too. +Z is the thumb's side.
REST = {"index": (0.99, 0.0, 0.15), "middle": (1.0, 0.0, 0.05), "ring": (1.0, 0.0, -0.03), "pinky": (0.99, 0.0, -0.1),
        "thumb": (0.69, -0.41, 0.59)}


def tips(name, side="left"):
    """{finger: direction of its last bone} of a T-posed hand."""
    flip = torch.tensor([1.0 if side == "left" else -1.0, 1.0, 1.0])
    turns = hand_rotmats(name, side).unflatten(0, (5, 3))
    return {finger: turns[i, 0] @ turns[i, 1] @ turns[i, 2] @ (flip * torch.tensor(REST[finger])) for i, finger in enumerate(FINGERS)}


@pytest.mark.parametrize("name", HAND_NAMES)
def test_presets_are_rotations_and_the_right_hand_mirrors_the_left(name):
    left = hand_rotmats(name, "left")
    torch.testing.assert_close(left @ left.mT, torch.eye(3).expand(15, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(left), torch.ones(15))
    both = set_hands(BodyPose.rest(), name, name)
    torch.testing.assert_close(mirror_pose(both).hands, both.hands)
    for finger, tip in tips(name).items():
        torch.testing.assert_close(tips(name, "right")[finger], tip * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_fist_closes_through_the_palm_and_open_stays_at_rest(side):
    out = 1.0 if side == "left" else -1.0
    assert torch.equal(hand_rotmats("open", side), torch.eye(3).expand(15, 3, 3))
    bases = hand_rotmats("fist", side).unflatten(0, (5, 3))[:, 0]
    for i, finger in enumerate(FINGERS[:4]):
        assert (bases[i] @ torch.tensor([out, 0.0, 0.0]))[1] < -0.9, f"{finger} bends towards the palm, which looks down"
        assert tips("fist", side)[finger][0] * out < -0.6, f"the tip of the {finger} comes back to the wrist"
    thumb = tips("fist", side)["thumb"]
    assert thumb[2] < -0.3, "the thumb lies across the fingers"


def test_each_gesture_is_what_its_name_says():
    def straight(name):
        return {finger for finger in FINGERS[:4] if tips(name)[finger][0] > 0.85}

    assert straight("point") == {"index"} and straight("peace") == {"index", "middle"}
    assert straight("fist") == straight("thumbs up") == straight("grip") == set() and len(straight("wave")) == 4
    assert tips("thumbs up")["thumb"][2] > 0.85 and tips("point")["thumb"][2] < 0
    fan = [tips("wave")[finger][2] for finger in ("index", "middle", "ring", "pinky")]
    assert fan == sorted(fan, reverse=True) and fan[0] - fan[-1] > 0.6
    curls = [hand_rotmats(name, "left")[3:6].diagonal(dim1=1, dim2=2).sum() for name in ("open", "relaxed", "grip", "fist")]
    assert curls == sorted(curls, reverse=True) and len(set(curls)) == 4  # the trace of a rotation falls as its angle grows


@pytest.mark.parametrize(("text", "left", "right"), [
    ("a boxer throws a punch with the left fist", "fist", "fist"),
    ("a man punches with his left fist", "fist", "relaxed"),
    ("a woman waves with her right hand", "relaxed", "wave"),
    ("She waves with both hands", "wave", "wave"),
    ("someone kneels down on one knee and points forward", "relaxed", "point"),
    ("a child points at the sky with the left index finger", "point", "relaxed"),
    ("he gives a thumbs up", "relaxed", "thumbs up"),
    ("a fan gives two thumbs-up with both hands", "thumbs up", "thumbs up"),
    ("making a peace sign with the left hand, waving with the right hand", "peace", "wave"),
    ("a knight holding a sword in his right hand", "relaxed", "grip"),
    ("a woman holding an umbrella", "grip", "grip"),
    ("a waiter carries a tray with his left hand and points with the right", "grip", "point"),
    ("a person doing a handstand", "open", "open"),
    ("a golfer swings a shot but misses the ball", "grip", "grip"),
    ("a ballet dancer points her toes", "relaxed", "relaxed"),
    ("holding both arms above the head", "relaxed", "relaxed"),
    ("a man kicks with the right leg", "relaxed", "relaxed"),
    ("she waves, turning to the left", "relaxed", "wave"),
    ("standing on a brown box near the point of the cliff", "relaxed", "relaxed"),
    ("", "relaxed", "relaxed"),
])
def test_sentences(text, left, right):
    assert hands_from_text(text) == (left, right)


def test_hands_are_set_by_side_and_as_is_leaves_them():
    given = BodyPose(*BodyPose.rest(2).__dict__.values())
    given = set_hands(given, "fist", "peace")
    changed = set_hands(given, AS_IS, "auto", text="he points")
    assert torch.equal(changed.hands[:, :15], given.hands[:, :15])
    assert torch.equal(changed.hands[:, 15:], hand_rotmats("point", "right").expand(2, -1, -1, -1))
    assert torch.equal(set_hands(given, AS_IS, AS_IS).hands, given.hands)
    plain = set_hands(BodyPose.rest(), AS_IS, "open").hands
    assert torch.equal(plain, torch.eye(3).expand(1, 30, 3, 3))


def test_hands_follow_the_type_of_the_pose():
    pose = BodyPose.rest(1)
    double = BodyPose(pose.global_orient.double(), rotvec_to_rotmat(torch.zeros(1, 21, 3)).double())
    assert set_hands(double, "fist", "fist").hands.dtype == torch.float64


@pytest.mark.parametrize(("left", "right", "named"), [("claw", "open", "left"), ("open", "", "right")])
def test_unknown_names_are_one_error(left, right, named):
    with pytest.raises(InputError) as error:
        set_hands(BodyPose.rest(), left, right)
    assert error.value.name == named and "thumbs up" in str(error.value)
