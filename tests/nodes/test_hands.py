"""Set Hands: choices, the sentence, and an error for a name that is no shape."""

import sys

import pytest
import torch


@pytest.fixture(scope="module")
def poses(pack):
    folder = sys.modules[pack["ContrappostoFrameBody"].__module__].__package__.replace(".nodes", ".models")
    return sys.modules[f"{folder}.types"].BodyPose.rest(2)


def test_choices_and_sentences_meet(execute, poses):
    (chosen,) = execute("SetHands", body_pose=poses, left="relaxed", right="point")
    (read,) = execute("SetHands", body_pose=poses, text="a woman points ahead")
    assert chosen.hands.shape == (2, 30, 3, 3) and torch.equal(chosen.hands, read.hands)
    assert torch.equal(chosen.body_pose, poses.body_pose)


def test_as_is_leaves_a_hand(execute, poses):
    (fists,) = execute("SetHands", body_pose=poses, left="fist", right="fist")
    (mixed,) = execute("SetHands", body_pose=fists, left="open", right="as is")
    assert torch.equal(mixed.hands[:, 15:], fists.hands[:, 15:]) and not torch.equal(mixed.hands[:, :15], fists.hands[:, :15])


def test_an_unknown_shape_is_named(execute, poses):
    with pytest.raises(ValueError, match="left 'claw'"):
        execute("SetHands", body_pose=poses, left="claw", right="open")
