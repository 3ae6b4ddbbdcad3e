from dataclasses import replace

import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from contrapposto.models.bodies import pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.motion import edit
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


def degrees(a, b):
    turn = a.transpose(-1, -2) @ b
    return torch.rad2deg(((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos())


def is_rotation(pose):
    for rotmats in (pose.global_orient, pose.body_pose):
        assert torch.allclose(rotmats @ rotmats.transpose(-1, -2), torch.eye(3).expand_as(rotmats), atol=1e-4)


def jumps(pose, body):
    """Longest way of a joint from each frame to the next, metres."""
    return (pose_body(body, pose).joints.diff(dim=0)).norm(dim=-1).amax(1)


def test_resampling_agrees_with_scipys_slerp(motion):
    pose = edit.resample(motion, 50)
    times = torch.arange(len(pose)) * 30 / 50
    assert pose.fps == 50 and len(pose) == 66 and pose.frame_index.tolist() == list(range(66))
    for joint in (0, 15, 20):
        slerp = Slerp(range(40), Rotation.from_matrix(motion.body_pose[:, joint].numpy()))
        assert torch.allclose(pose.body_pose[:, joint], torch.from_numpy(slerp(times.numpy()).as_matrix()).float(), atol=1e-4)


def test_the_same_rate_changes_nothing(motion):
    pose = edit.resample(motion, 30)
    assert torch.allclose(pose.body_pose, motion.body_pose, atol=1e-5) and torch.allclose(pose.transl, motion.transl, atol=1e-6)


def test_down_and_up_keeps_the_ends(motion):
    pose = edit.resample(edit.resample(motion, 60), 30)
    assert torch.allclose(pose.body_pose[[0, -1]], motion.body_pose[[0, -1]], atol=1e-5)


def test_speed(motion):
    assert len(edit.change_speed(motion, 2)) == 21 and len(edit.change_speed(motion, 0.5)) == 79
    assert torch.allclose(edit.change_speed(motion, 2).transl, motion.transl[::2][:21].clone() if len(motion.transl[::2]) == 21 else
                          edit.sample(motion, torch.arange(21.0) * 2).transl)


@pytest.mark.parametrize("start, end, frames", [(0, None, 40), (5, 10, 5), (-10, None, 10), (0, -5, 35), (0, 0, 40)])
def test_trim(motion, start, end, frames):
    pose = edit.trim(motion, start, end)
    assert len(pose) == frames and torch.equal(pose.transl[0], motion.transl[start])


def test_a_loop_closes(body, motion):
    pose = edit.loop(motion, 8)
    assert len(pose) == 32
    round_and_on = BodyPose.cat([pose, pose])
    usual = jumps(motion, body).max()
    assert jumps(round_and_on, body)[31] < 1.5 * usual  # the seam is no larger than a step of the motion
    assert jumps(round_and_on, body).max() < 3 * usual
    is_rotation(pose)


def test_smoothing_takes_noise_away_and_keeps_the_motion(motion):
    noise = rotvec_to_rotmat(torch.randn(40, 21, 3) * 0.1)
    shaky = replace(motion, body_pose=motion.body_pose @ noise)
    pose = edit.smooth(shaky, 0.05)
    assert degrees(pose.body_pose, motion.body_pose).mean() < 0.6 * degrees(shaky.body_pose, motion.body_pose).mean()
    is_rotation(pose)
    still = motion[[3] * 20]
    assert torch.allclose(edit.smooth(still, 0.3).body_pose, still.body_pose, atol=1e-5)
    assert torch.equal(edit.smooth(motion, 0).body_pose, motion.body_pose)


def test_smoothing_does_not_mind_half_turns():
    spin = rotvec_to_rotmat(torch.stack([torch.zeros(60), torch.linspace(2.9, 3.6, 60), torch.zeros(60)], -1))
    pose = replace(BodyPose.rest(60), global_orient=spin, fps=30.0)
    assert degrees(edit.smooth(pose, 0.1).global_orient[10:-10], spin[10:-10]).max() < 0.1


def test_mirroring_twice_is_nothing(motion):
    assert torch.allclose(edit.mirror(edit.mirror(motion)).body_pose, motion.body_pose)


def test_key_poses_are_met_at_rest(body, motion):
    keys = motion[[0, 12, 30]]
    pose = edit.between(keys, seconds=1, fps=30)
    assert len(pose) == 61 and pose.fps == 30
    for frame, key in ((0, 0), (30, 1), (60, 2)):
        assert torch.allclose(pose.body_pose[frame], keys.body_pose[key], atol=1e-5)
        assert torch.allclose(pose.transl[frame], keys.transl[key], atol=1e-6)
    steps = jumps(pose, body)
    assert steps[0] < 0.1 * steps[10:20].max() and steps[29] < 0.1 * steps[10:20].max()  # starts and stops gently
    even = jumps(edit.between(keys, 1, 30, "linear"), body)
    assert even[0] > 0.5 * even[10]


def test_held_keys_stand_still(motion):
    pose = edit.between(motion[[0, 30]], 1, 30, hold=0.5)
    assert len(pose) == 15 + 30 + 15 + 1
    assert torch.allclose(pose.body_pose[:16], pose.body_pose[:1].expand(16, -1, -1, -1), atol=1e-5)


def test_halfway_is_half_the_turn():
    a, b = BodyPose.rest(1), replace(BodyPose.rest(1), global_orient=rotvec_to_rotmat(torch.tensor([[0.0, 1.0, 0.0]])))
    half = edit.mix(a, b, torch.tensor([0.5]))
    assert torch.allclose(half.global_orient, rotvec_to_rotmat(torch.tensor([[0.0, 0.5, 0.0]])), atol=1e-6)


@pytest.mark.parametrize("blend", [0, 6])
def test_motions_follow_one_another(body, motion, blend):
    turned = replace(motion, transl=motion.transl + torch.tensor([5.0, 0, 3]))
    pose = edit.concatenate(motion, turned, blend)
    assert len(pose) == 80 - blend
    if blend:
        assert jumps(pose, body).max() < 3 * jumps(motion, body).max()
    cut = edit.concatenate(motion, turned, 0, follow=False)
    assert torch.equal(cut.transl[40:], turned.transl)


def test_rates_are_brought_together(motion):
    assert len(edit.concatenate(motion, edit.resample(motion, 60), 0)) == 80


def test_hands_and_shapes_are_kept(motion):
    full = replace(motion, hands=torch.eye(3).expand(40, 30, 3, 3), betas=torch.ones(40, 10))
    edited = (edit.resample(full, 24), edit.smooth(full, 0.1), edit.loop(full, 5), edit.between(full[[0, 9]]), edit.concatenate(full, full))
    for pose in edited:
        assert pose.hands.shape == (len(pose), 30, 3, 3) and torch.allclose(pose.betas, torch.ones(len(pose), 10), atol=1e-5)


@pytest.mark.parametrize("call, message", [
    (lambda m: edit.resample(m, 0), "fps"), (lambda m: edit.resample(m, float("nan")), "fps"), (lambda m: edit.change_speed(m, 0), "speed"),
    (lambda m: edit.resample(replace(m, fps=None), 24), "no frame rate"), (lambda m: edit.trim(m, 30, 20), "leaves none"),
    (lambda m: edit.loop(m, 20), "too many"), (lambda m: edit.between(m[[0]]), "too few"),
    (lambda m: edit.between(m[[0, 1]], timing="x"), "timing"),
    (lambda m: edit.smooth(m, -1), "smoothing"), (lambda m: edit.concatenate(m, m, 41), "longer than"),
    (lambda m: edit.smooth(m[[]], 0.1), "motion 0"),
    (lambda m: edit.between(m, 60, 240), "too many frames"),
])
def test_each_mistake_is_named(motion, call, message):
    with pytest.raises(InputError, match=message):
        call(motion)
