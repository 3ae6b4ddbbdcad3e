"""Text to Pose with a start pose, kept parts and redrawn candidates."""

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.bodies.plausibility import implausibility, is_plausible
from contrapposto.models.types import BodyPose

GIVEN = {"text": "a person sits on the floor", "steps": 3}


@pytest.fixture(scope="module")
def text_to_pose(execute):
    return execute("LoadTextToPose", file="open text-to-pose (bundled)")[0]


@pytest.fixture(scope="module")
def start(execute, text_to_pose):
    return execute("TextToPose", text_to_pose=text_to_pose, text="a person raises both arms", steps=3, seed=4)[0]


def test_an_unconnected_start_changes_nothing(execute, text_to_pose):
    (plain,) = execute("TextToPose", text_to_pose=text_to_pose, **GIVEN)
    (same,) = execute("TextToPose", text_to_pose=text_to_pose, **GIVEN, strength=0.1)
    assert torch.equal(plain.body_pose, same.body_pose)


def test_strength_and_kept_parts(execute, text_to_pose, start):
    given = GIVEN | {"text_to_pose": text_to_pose, "start_pose": start, "count": 2}
    (unchanged,) = execute("TextToPose", **given, strength=0.0)
    assert torch.equal(unchanged.body_pose, start.body_pose.expand(2, -1, -1, -1)) and torch.equal(unchanged.transl[0], start.transl[0])
    (seated,) = execute("TextToPose", **given, strength=1.0, keep_parts="arms")
    arms = [joint - 1 for joint in range(1, 22) if joint in (13, 14, 16, 17, 18, 19, 20, 21)]
    moved = (seated.body_pose - start.body_pose).abs().amax((0, 2, 3))
    assert not moved[arms].any() and moved[[0, 1, 3, 4]].min() > 0.05


def test_one_candidate_is_redrawn(execute, text_to_pose):
    given = GIVEN | {"text_to_pose": text_to_pose, "count": 3}
    (batch,), (redrawn,) = execute("TextToPose", **given), execute("TextToPose", **given, redraw="2=77")
    torch.testing.assert_close(batch.body_pose[[0, 2]], redrawn.body_pose[[0, 2]])
    assert (batch.body_pose[1] - redrawn.body_pose[1]).abs().max() > 0.01


def test_implausible_candidates_are_repaired_and_the_others_stay(execute, text_to_pose):
    given = {"text_to_pose": text_to_pose, "text": "a person kneels and prays", "steps": 3, "count": 32}
    drawn, mended = (execute("TextToPose", **given, repair=repair)[0] for repair in (False, True))
    broken = ~is_plausible(implausibility(as_ours(drawn), load_body_model()))
    assert 0 < broken.sum() < 32 and is_plausible(implausibility(as_ours(mended), load_body_model())).all()
    assert torch.equal(drawn.body_pose[~broken], mended.body_pose[~broken])


def as_ours(pose):
    """The pack's nodes are loaded by path, apart from the library that this test imports."""
    return BodyPose(pose.global_orient, pose.body_pose, pose.transl)


def test_mistakes_are_named(execute, text_to_pose, start):
    given = GIVEN | {"text_to_pose": text_to_pose}
    with pytest.raises(ValueError, match="keep_parts.*no pose.*Connect start_pose"):
        execute("TextToPose", **given, keep_parts="legs")
    with pytest.raises(ValueError, match="redraw.*candidate 4 of 1"):
        execute("TextToPose", **given, redraw="4=1")
    with pytest.raises(ValueError, match="start_pose 2 rows do not fit 3"):
        execute("TextToPose", **given, count=3, start_pose=start[[0, 0]], strength=0.5)
