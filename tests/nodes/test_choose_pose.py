"""Choosing candidates by their numbers."""

import pytest
import torch


@pytest.fixture(scope="module")
def node(pack):
    return pack["ContrappostoChoosePose"]


@pytest.fixture(scope="module")
def poses(execute):
    prior = execute("LoadPosePrior", file="open pose prior (bundled)")[0]
    return execute("DecodeVPoser", pose_prior=prior, count=3)[0]


@pytest.mark.parametrize(("text", "rows"), [("", [0]), ("2", [1]), ("3, 1", [0, 2]), (" 2,2 ,3", [1, 2])])
def test_chosen_rows_go_on_and_all_are_shown(node, poses, text, rows):
    output = node.execute(poses, text)
    assert torch.equal(output.args[0].body_pose, poses.body_pose[rows])
    assert len({picture["filename"] for picture in output.ui["contrapposto"][0]["pictures"]}) == 3


@pytest.mark.parametrize(("text", "problem"), [
    ("4", "more than the 3"), ("0", "counts from 0"), ("first", "not a list"), ("-1", "not a list"), ("9" * 3000, "not a list"),
])
def test_what_is_no_number_of_a_candidate_is_refused(node, poses, text, problem):
    with pytest.raises(ValueError, match=problem):
        node.execute(poses, text)


def test_the_canvas_is_told_before_anything_runs(node):
    assert node.validate_inputs("1, 2") is True
    assert "not a list" in node.validate_inputs("x")
