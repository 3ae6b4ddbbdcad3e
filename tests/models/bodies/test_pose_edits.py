"""Edits of a pose as text."""

import json
import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from contrapposto.models.bodies.body import load_body_model, lowest_points, place_on_floor
from contrapposto.models.bodies.joints import JOINT_NAMES
from contrapposto.models.bodies.pose_edits import LONGEST, edit_pose, parse_pose_edits, pose_rows, relaxed_pose
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from contrapposto.models.types import BodyPose


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.fixture
def jumpers(body):
    """Three random poses at different heights above the floor."""
    pose = BodyPose(rotvec_to_rotmat(torch.randn(3, 3) * 0.2), rotvec_to_rotmat(torch.randn(3, 21, 3) * 0.3), torch.randn(3, 3))
    return place_on_floor(body, pose, torch.tensor([0.0, 0.2, 0.5]))


def test_named_joints_turn_and_the_others_stay(jumpers, body):
    edited = edit_pose(jumpers, parse_pose_edits('{"joints": {"left_elbow": [0.1, -1.2, 0.3], "pelvis": [0, 1, 0]}}'), body)
    elbow = JOINT_NAMES.index("left_elbow") - 1
    wanted = Rotation.from_rotvec([0.1, -1.2, 0.3]).as_matrix()
    assert torch.allclose(edited.body_pose[:, elbow], torch.tensor(wanted, dtype=torch.float32).expand(3, 3, 3), atol=1e-6)
    assert torch.allclose(rotmat_to_rotvec(edited.global_orient), torch.tensor([0.0, 1, 0]).expand(3, 3), atol=1e-6)
    others = [joint for joint in range(21) if joint != elbow]
    assert torch.equal(edited.body_pose[:, others], jumpers.body_pose[:, others])


def test_rows_keep_their_height_unless_they_are_placed(jumpers, body):
    bent = parse_pose_edits('{"joints": {"left_knee": [1.5, 0, 0], "right_knee": [1.5, 0, 0]}}')
    assert torch.allclose(lowest_points(body, edit_pose(jumpers, bent, body)), torch.tensor([0.0, 0.2, 0.5]), atol=1e-5)
    placed = edit_pose(jumpers, parse_pose_edits('{"joints": {}, "place": [0.4, 0.25, -1]}'), body)
    assert torch.allclose(lowest_points(body, placed), torch.full((3,), 0.25), atol=1e-5)
    assert torch.allclose(placed.transl[:, [0, 2]], torch.tensor([0.4, -1.0]).expand(3, 2))


def test_nothing_edited_changes_nothing(jumpers, body):
    assert edit_pose(jumpers, parse_pose_edits(""), body) is jumpers
    assert edit_pose(jumpers, parse_pose_edits("{}"), body) is jumpers


def test_rows_for_the_browser_lead_back_to_the_pose(jumpers, body):
    for row, sent in enumerate(json.loads(json.dumps(pose_rows(jumpers, body)))):
        edits = {"joints": dict(zip(JOINT_NAMES, sent["joints"])), "place": sent["place"]}
        back = edit_pose(place_on_floor(body, relaxed_pose()), parse_pose_edits(json.dumps(edits)), body)
        assert torch.allclose(back.body_pose[0], jumpers.body_pose[row], atol=2e-4)
        assert torch.allclose(back.transl[0], jumpers.transl[row], atol=2e-3)


@pytest.mark.parametrize(("text", "problem"), [
    ("{", "not JSON"),
    ("[1]", "not a JSON object"),
    ('{"joints": [1]}', "not a JSON object"),
    ('{"joints": {"tail": [0, 0, 0]}}', "'tail'"),
    ('{"joints": {"head": [0, 0]}}', "rotation of head"),
    ('{"joints": {"head": [0, NaN, 0]}}', "rotation of head"),
    ('{"joints": {"head": [0, true, 0]}}', "rotation of head"),
    ('{"joints": {"head": [0, 1e9, 0]}}', "rotation of head"),
    ('{"place": [0, Infinity, 0]}', "place"),
    ('{"place": {"x": 1}}', "place"),
    ("[" * 40_000, "not JSON"),
    (" " * (LONGEST + 1), "at most"),
    (7, "at most"),
])
def test_bad_text_is_refused(text, problem):
    with pytest.raises(InputError, match=problem):
        parse_pose_edits(text)


def test_relaxed_arms_hang_beside_the_body(body):
    pose = place_on_floor(body, relaxed_pose())
    joints = body.with_shape(None).with_pose(pose).joints[0]
    wrist, hip = joints[JOINT_NAMES.index("left_wrist")], joints[JOINT_NAMES.index("left_hip")]
    assert abs(float(wrist[1] - hip[1])) < 0.15 and 0.1 < float(wrist[0] - hip[0]) < 0.4
    assert math.isclose(float(lowest_points(body, pose)), 0, abs_tol=1e-6)
