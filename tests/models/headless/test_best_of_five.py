"""A scene keeps the candidates that fit the sentence best, as PAS does."""

import torch

from contrapposto.models.bodies.hands import hand_rotmats
from contrapposto.models.bodies.repair import repair
from contrapposto.models.headless.scene import load_models, text_to_scene
from contrapposto.models.text_to_pose import sample_poses
from contrapposto.models.text_to_pose.ranking import rank_poses

TEXT = "a boxer throws a punch"


def scene_pose(**options):
    models = load_models()
    return models, text_to_scene(TEXT, *models, size=(64, 64), seed=4, steps=4, **options).pose


def test_the_best_ranked_candidate_is_kept():
    (model, body, _, scorer), kept = scene_pose(candidates=5)
    sampled, _ = repair(sample_poses(model, TEXT, count=5, seed=4, steps=4, body=body), body)
    order, scores = rank_poses(scorer, TEXT, sampled, body)
    assert len(kept) == 1 and scores[0, order[0, 0]] == scores.max()
    torch.testing.assert_close(kept.body_pose, sampled[order[0, :1]].body_pose)


def test_without_candidates_to_spare_all_are_kept_in_order():
    (model, body, *_), kept = scene_pose(count=2, candidates=1)
    sampled, _ = repair(sample_poses(model, TEXT, count=2, seed=4, steps=4, body=body), body)
    torch.testing.assert_close(kept.body_pose, sampled.body_pose)


def test_the_hands_are_as_the_sentence_tells():
    _, kept = scene_pose(candidates=1)
    assert torch.equal(kept.hands[0, :15], hand_rotmats("fist", "left")) and torch.equal(kept.hands[0, 15:], hand_rotmats("fist", "right"))
