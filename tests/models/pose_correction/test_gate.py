"""Hard poses score higher, every picture is decided for itself, and corrections land where they belong."""

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.fit import front_camera
from contrapposto.models.pose_correction.gate import CUT_OFF, EASY, HARD, NOBODY, compose, difficulty, judge, measure_framing
from contrapposto.models.pose_correction.pictures import picture_of
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

SERIES = (0.25, 0.5, 0.75, 1.0, 1.25)


def poses(rotvec):
    return BodyPose(torch.eye(3).expand(len(rotvec), 3, 3), rotvec_to_rotmat(rotvec))


@pytest.mark.parametrize("sample", [True, False])
def test_going_further_into_a_pose_is_harder(prior, held_out, sample):
    """From a T-pose through each held-out pose and beyond: the mean score rises at every step."""
    rows = held_out[:, 1:]
    means = [difficulty(prior, poses(step * rows), sample=sample).mean() for step in SERIES]
    assert all(low < high for low, high in zip(means, means[1:])), means


def test_the_score_is_the_squared_length_of_a_seeded_sample(prior, held_out):
    pose = poses(held_out[:, 1:])
    codes = prior.encode(pose.body_pose)
    noise = torch.randn(32, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(difficulty(prior, pose, seed=5), ((codes.mean + codes.std * noise) ** 2).sum(1))
    assert torch.allclose(difficulty(prior, pose, sample=False), codes.mean.norm(dim=1) ** 2)


def test_a_row_scores_the_same_in_any_company_and_any_turn(prior, held_out):
    pose = poses(held_out[:, 1:])
    turned = BodyPose(rotvec_to_rotmat(torch.randn(24, 3)), pose.body_pose)
    assert torch.allclose(difficulty(prior, turned)[[7]], difficulty(prior, pose[7]), rtol=1e-4)
    assert not torch.allclose(difficulty(prior, pose), difficulty(prior, pose, seed=1))


def test_the_hardest_person_decides_about_a_picture():
    scores, picture = torch.tensor([10.0, 35.0, 29.9, 50.0]), torch.tensor([0, 0, 1, 3])
    verdict = judge(scores, picture, 5, 30.0, torch.tensor([True, False, True, True]))
    assert verdict.states == (HARD, EASY, NOBODY, CUT_OFF, NOBODY)
    assert verdict.correct.tolist() == [True, False, False, False, False]
    anyway = judge(scores, picture, 5, 30.0, torch.tensor([False, False, False, True]), "correct")
    assert anyway.correct.tolist() == [True, False, False, True, False]
    assert verdict.report().splitlines() == ["picture 0: hard, 10.0 and 35.0", "picture 1: easy, 29.9", "picture 2: nobody",
                                             "picture 3: cut off, 50.0", "picture 4: nobody"]


def test_nobody_at_all_is_easy():
    verdict = judge(torch.zeros(0), torch.zeros(0, dtype=torch.int64), 2)
    assert verdict.states == (NOBODY, NOBODY) and not bool(verdict.correct.any())


def test_a_body_that_leaves_the_picture_is_cut_off(body):
    pose = BodyPose.rest(3)
    places = torch.tensor([[0.0, 0.2, -3.0], [0.0, 1.6, -2.5], [0.0, -0.2, -0.6]])  # in view, legs below the edge, very close
    pose = BodyPose(pose.global_orient, pose.body_pose, places * torch.tensor([1.0, -1.0, 1.0]))
    framing = measure_framing(pose, front_camera(512, 512), body)
    assert framing.inside[0] == 1 and framing.inside[1] < 0.7 and framing.trunk[2] > 0.6
    assert framing.cut_off().tolist() == [False, True, True]


def test_corrections_land_in_their_rows():
    first, correct = torch.zeros(4, 2, 2, 3), torch.tensor([False, True, False, True])
    every, few = (torch.tensor(values)[:, None, None, None].expand(-1, 2, 2, 3) for values in ([1.0, 2, 3, 4], [2.0, 4]))
    for corrected in (every, few):
        assert compose(first, corrected, correct)[:, 0, 0, 0].tolist() == [0, 2, 0, 4]
    assert compose(first, None, torch.zeros(4, dtype=torch.bool)) is first
    assert bool((first == 0).all())


@pytest.mark.parametrize("corrected", [torch.zeros(3, 2, 2, 3), torch.zeros(4, 4, 2, 3)])
def test_corrections_of_other_number_or_size_are_refused(corrected):
    with pytest.raises(InputError, match="corrected"):
        compose(torch.zeros(4, 2, 2, 3), corrected, torch.tensor([False, True, False, True]))


def test_a_picture_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="picture number"):
        judge(torch.zeros(1), torch.tensor([2]), 2)


def rows(frame, person):
    pose = BodyPose.rest(len(frame))
    return BodyPose(pose.global_orient, pose.body_pose, frame_index=torch.tensor(frame), person_index=torch.tensor(person))


def test_people_share_pictures_and_candidates_do_not():
    assert picture_of(rows([0, 0, 2], [0, 1, 0])).tolist() == [0, 0, 2]
    assert picture_of(rows([0, 0, 0], [0, 0, 0])).tolist() == [0, 1, 2]
    assert picture_of(rows([7, 8], [0, 0]), 2).tolist() == [0, 1]
    with pytest.raises(InputError, match="do not fit 3 pictures"):
        picture_of(rows([7, 8], [0, 0]), 3)
