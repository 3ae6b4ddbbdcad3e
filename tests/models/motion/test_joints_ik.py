import numpy as np
import pytest
import torch

from contrapposto.models.bodies import JOINT_NAMES, pose_body
from contrapposto.models.bodies.body import global_rotations
from contrapposto.models.checks import InputError
from contrapposto.models.motion import load_motion
from contrapposto.models.motion.joints_ik import array_to_pose, humanml_to_joints, joints_to_pose


def positions(body, motion):
    return pose_body(body, motion).joints[:, :22]


def degrees(a, b):
    turn = a.transpose(-1, -2) @ b
    return torch.rad2deg(((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos())


def test_positions_are_met_and_limbs_are_not_flipped(body, motion):
    pose, error = joints_to_pose(positions(body, motion), body, 30)
    assert error.joints.max() < 1e-4 and error.bones.max() < 0.1
    assert (positions(body, pose) - positions(body, motion)).sub(pose.transl.new_tensor([0, 1, 0]) * 0).norm(dim=-1).std() < 1e-3
    angle = dict(zip(JOINT_NAMES, degrees(global_rotations(pose), global_rotations(motion)).mean(0).tolist()))
    for limb in ("hip", "knee", "shoulder", "elbow"):
        assert angle[f"left_{limb}"] < 12 and angle[f"right_{limb}"] < 12, angle
    assert angle["pelvis"] < 1 and angle["spine3"] < 1


def test_size_and_place_do_not_matter(body, motion):
    joints = positions(body, motion)
    one, _ = joints_to_pose(joints, body)
    other, error = joints_to_pose(joints * 37, body)
    assert torch.allclose(one.body_pose, other.body_pose, atol=1e-4) and torch.allclose(one.transl, other.transl, atol=1e-4)
    assert error.joints.max() < 1e-4  # in metres of the body


def test_a_person_of_other_proportions_is_reported(body, motion):
    joints = positions(body, motion).clone()
    hand = JOINT_NAMES.index("left_wrist")
    elbow = JOINT_NAMES.index("left_elbow")
    joints[:, hand] = joints[:, elbow] + 1.5 * (joints[:, hand] - joints[:, elbow])
    _, error = joints_to_pose(joints, body)
    assert error.bones.max() < 0.1 and 0.1 < error.joints[hand] < 0.2 and error.joints.argmax() == hand


def test_straight_limbs_move_smoothly(body, motion):
    slow = motion[[20]].cat([motion[[20]]] * 60)
    bend = torch.linspace(0.5, 0.0, 60)
    from contrapposto.models.rotations import rotvec_to_rotmat
    knees = slow.body_pose.clone()
    knees[:, 3] = rotvec_to_rotmat(torch.stack([bend, torch.zeros(60), torch.zeros(60)], -1))
    slow = type(slow)(slow.global_orient, knees, slow.transl)
    pose, _ = joints_to_pose(positions(body, slow), body)
    steps = degrees(pose.body_pose[1:, 0], pose.body_pose[:-1, 0])  # the thigh stands still; its twist must not jump
    assert steps.max() < 2


def humanml_features(joints):
    """The first 67 of HumanML3D's features, written from their definition (heading from hips and shoulders, half angles)."""
    across = (joints[:, 2] - joints[:, 1]) + (joints[:, 17] - joints[:, 16])
    forward = np.cross([0, 1, 0], -across * -1)
    angle = np.unwrap(np.arctan2(forward[:, 0], forward[:, 2]))  # heading: +Z turned about +Y by this

    def turned(points, by):
        c, s = np.cos(by), np.sin(by)
        return np.stack([c * points[..., 0] + s * points[..., 2], points[..., 1], -s * points[..., 0] + c * points[..., 2]], -1)

    features = np.zeros((len(joints), 263))
    # the stored quaternion turns the world into the heading's frame
    features[:-1, 0] = -np.diff(angle) / 2
    step = turned(np.diff(joints[:, 0], axis=0), -angle[1:])
    features[:-1, 1:3] = step[:, [0, 2]]
    features[:, 3] = joints[:, 0, 1]
    local = joints[:, 1:] - joints[:, :1] * [1, 0, 1]
    features[:, 4:67] = turned(local, -angle[:, None]).reshape(len(joints), 63)
    return features, angle[0]


def test_humanml_features(body, motion):
    joints = positions(body, motion).double().numpy()
    features, start = humanml_features(joints)
    found = humanml_to_joints(torch.from_numpy(features)).numpy()
    c, s = np.cos(-start), np.sin(-start)
    moved = joints - joints[:1, :1] * [1, 0, 1]  # features start at the origin and look along +Z
    expected = np.stack([c * moved[..., 0] + s * moved[..., 2], moved[..., 1], -s * moved[..., 0] + c * moved[..., 2]], -1)
    assert np.abs(found - expected).max() < 1e-6
    pose, report = array_to_pose(features, body)
    assert pose.fps == 20 and "HumanML3D features" in report


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_of_joints(tmp_path, body, motion, suffix):
    path = tmp_path / f"a{suffix}"
    joints = positions(body, motion).numpy()
    np.save(path, joints) if suffix == ".npy" else np.savez(path, joints=joints, fps=25)
    pose, report = load_motion(path, body)
    assert pose.fps == (20 if suffix == ".npy" else 25) and "joints agree within 0 mm" in report


@pytest.mark.parametrize("array, message", [
    (np.zeros((5, 21, 3)), "has the shape"), (np.zeros((5, 22, 3)), "legs without length"), (np.full((5, 22, 3), np.nan), "NaN"),
    (np.zeros((5, 100)), "has the shape"),
])
def test_each_defect_is_named(body, array, message):
    with pytest.raises(InputError, match=message):
        array_to_pose(array, body)


def test_npy_of_objects(tmp_path, body):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="could run code"):
        load_motion(tmp_path / "a.npy", body)


def test_joints_in_one_place_are_no_holes_in_the_pose(body, motion):
    """Trackers write zeros for a limb that they have lost."""
    joints = positions(body, motion).clone()
    for root, lost in {"left_hip": ("left_knee", "left_ankle", "left_foot"), "right_shoulder": ("right_elbow", "right_wrist")}.items():
        joints[1, [JOINT_NAMES.index(name) for name in lost]] = joints[1, JOINT_NAMES.index(root)].clone()
    pose, _ = joints_to_pose(joints, body, 30)
    assert pose.body_pose.isfinite().all() and pose.transl.isfinite().all()
    whole, _ = joints_to_pose(positions(body, motion), body, 30)
    spine = [JOINT_NAMES.index(name) - 1 for name in ("spine1", "spine2", "spine3", "neck")]
    torch.testing.assert_close(pose.body_pose[1, spine], whole.body_pose[1, spine], atol=1e-4, rtol=0)


def test_numbers_beyond_all_measure_are_refused(body):
    with pytest.raises(InputError, match="above a billion"):
        array_to_pose(np.full((3, 22, 3), 1e30), body)
