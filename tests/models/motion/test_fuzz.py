"""Whatever a BVH file holds, the reader answers with a motion or with an InputError, in bounded time and memory."""

import pytest
from fabricate import bvh_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contrapposto.models.checks import InputError
from contrapposto.models.motion.bvh import parse_bvh
from contrapposto.models.motion.skeleton_to_body import skeleton_to_pose

SMALL = """HIERARCHY
ROOT Hips
{
OFFSET 0 1 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
JOINT Leg
{
OFFSET 1 0 0
CHANNELS 3 Yrotation Xrotation Zrotation
End Site
{
OFFSET 0 -2 0
}
}
}
MOTION
Frames: 2
Frame Time: 0.03
0 1 0  0 0 0  0 0 0
5 1 2  90 0 0  10 20 30
"""
WORDS = ["{", "}", "ROOT", "JOINT", "End Site", "OFFSET", "CHANNELS", "MOTION", "Frames:", "Frame Time:", "Xrotation", "Yposition",
         "0", "-1", "1e308",
         "nan", "inf", "99999999999", "1e-320", "\x00", "é", "", "3", "6", "HIERARCHY", "\n", "0.5", "x" * 500]
kinds = st.sampled_from(["delete", "insert", "replace", "cut", "copy"])
edits = st.lists(st.tuples(st.floats(0, 1), kinds, st.sampled_from(WORDS)), max_size=5)


def edited(text, changes):
    tokens = text.replace("\n", " \n ").split(" ")
    for place, kind, word in changes:
        at = int(place * (len(tokens) - 1)) if tokens else 0
        if kind == "delete":
            del tokens[at : at + 1]
        elif kind == "cut":
            tokens = tokens[:at]
        elif kind == "copy":
            tokens = tokens[:at] + tokens[at : at + 20] + tokens[at:]
        else:
            tokens[at : at + (kind == "replace")] = [word]
    return " ".join(tokens)


def survives(text):
    try:
        motion = parse_bvh(text)
    except InputError:
        return None
    assert len(motion) >= 1 and motion.rotmats.isfinite().all() and motion.translations.isfinite().all()
    return motion


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(edits)
def test_damaged_files(changes):
    survives(edited(SMALL, changes))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(max_size=300))
def test_any_text(text):
    survives(text)
    survives("HIERARCHY\n" + text + "\nMOTION\nFrames: 1\nFrame Time: 1\n0")


@pytest.fixture(scope="session")
def whole(body, motion):
    return bvh_text(body, motion[slice(0, 3)])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=edits)
def test_damaged_people(body, whole, changes):
    motion = survives(edited(whole, changes))
    if motion is not None:
        try:
            pose, _ = skeleton_to_pose(motion, body)
        except InputError:
            return
        assert pose.body_pose.isfinite().all() and pose.transl.isfinite().all()


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits)
def test_a_hundred_thousand_damaged_files(changes):
    survives(edited(SMALL, changes))


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=edits)
def test_thousands_of_damaged_people(body, whole, changes):
    test_damaged_people.hypothesis.inner_test(body, whole, changes)
