import pytest
import torch

from contrapposto.models.assets.files import write_safetensors
from contrapposto.models.assets.registry import manifest
from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.bodies.joints import mirror_pose
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose.ranking import (
    FALL,
    FALL_MAX,
    FORMAT,
    OPEN_POSE_SCORER,
    POSE_FEATURES,
    PoseScorer,
    ScorerConfig,
    load_pose_scorer,
    pose_features,
    rank_by_clip,
    rank_poses,
    save_pose_scorer,
)
from contrapposto.models.text_to_pose.text_encoder import TextStates
from contrapposto.models.types import BodyPose

ABOUT = {"text_encoder": {"id": "minilm-l6-v2", "dim": 384}}
needs_weights = pytest.mark.skipif(OPEN_POSE_SCORER not in manifest(), reason="the scorer's weights are not bundled")


def poses(rows):
    rotmats = rotvec_to_rotmat(0.4 * torch.randn(rows, 22, 3))
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


@pytest.fixture
def scorer():
    made = PoseScorer(ScorerConfig(text_width=32, pose_width=32, embed_dim=16)).eval()
    made.encoder = lambda texts: TextStates(torch.randn(len(texts), 5, 384), torch.ones(len(texts), 5, dtype=torch.bool),
                                            torch.randn(len(texts), 384), "minilm-l6-v2")
    return made


def test_shapes_and_order(scorer):
    order, scores = rank_poses(scorer, ["a man sits", "a man runs"], poses(10))
    assert order.shape == scores.shape == (2, 5)
    ranked = scores.gather(1, order)
    assert (ranked[:, :-1] >= ranked[:, 1:]).all() and scores.abs().max() <= 1.0001


def test_each_candidate_meets_only_its_own_sentence(scorer):
    candidates = poses(6)
    torch.manual_seed(1)
    _, scores = rank_poses(scorer, ["one sits", "one runs"], candidates)
    torch.manual_seed(1)
    texts = scorer.embed_texts(["one sits", "one runs"])
    assert torch.allclose(scores[1, 2], scorer.embed_poses(candidates)[5] @ texts[1], atol=1e-5)


def test_heading_does_not_matter(scorer):
    pose = poses(3)
    turn = rotvec_to_rotmat(torch.tensor([0.0, 1.0, 0.0]))
    turned = BodyPose(turn @ pose.global_orient, pose.body_pose, pose.transl + 1)
    assert torch.allclose(scorer.embed_poses(pose), scorer.embed_poses(turned), atol=1e-4)
    assert pose_features(pose).shape == (3, POSE_FEATURES)


def test_padding_does_not_matter(scorer):
    states = scorer.encoder(["a", "b"])
    mask = torch.cat([states.mask, torch.zeros(2, 3, dtype=torch.bool)], 1)
    longer = TextStates(torch.cat([states.tokens, torch.randn(2, 3, 384)], 1), mask, states.pooled, states.encoder)
    assert torch.allclose(scorer.embed_states(states), scorer.embed_states(longer), atol=1e-5)


def test_clip_ranking_by_hand():
    order, scores = rank_by_clip(torch.tensor([[1.0, 0], [0, 5.0], [3.0, 3.0]]), torch.tensor([[0.0, 2.0]]))
    assert order.tolist() == [[1, 2, 0]]
    assert scores[0].tolist() == pytest.approx([0, 1, 0.5**0.5])


def test_wrong_counts_are_refused(scorer):
    with pytest.raises(InputError, match="poses 5 cannot be shared out among 2"):
        rank_poses(scorer, ["a man sits", "a man runs"], poses(5))
    with pytest.raises(InputError, match="prompt"):
        rank_poses(scorer, "", poses(5))
    with pytest.raises(InputError, match="image_embeds"):
        rank_by_clip(torch.randn(5, 4), torch.randn(2, 4))
    with pytest.raises(InputError, match="image_embeds"):
        rank_by_clip(torch.randn(4, 3), torch.randn(2, 4))


def test_weights_survive_the_file(scorer, tmp_path):
    save_pose_scorer(tmp_path / "s.safetensors", scorer, ABOUT)
    again, pose = load_pose_scorer(tmp_path / "s.safetensors"), poses(4)
    assert again.config == scorer.config and torch.allclose(again.embed_poses(pose), scorer.embed_poses(pose), atol=1e-2)


@pytest.mark.parametrize("about, message", [
    ({}, "does not hold"), ({"format": FORMAT, "network": {"rows": 3}, **ABOUT}, "layout"),
    ({"format": FORMAT, "text_encoder": {"id": "clip-l"}}, "clip-l"),
])
def test_other_files_are_refused(tmp_path, about, message):
    write_safetensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, about)
    with pytest.raises(InputError, match=message):
        load_pose_scorer(tmp_path / "x.safetensors")


@needs_weights
def test_the_bundled_scorer_knows_left_from_right_and_sitting_from_raising():
    scorer = load_pose_scorer()
    rotvec = torch.zeros(2, 22, 3)
    rotvec[:, 16, 2], rotvec[:, 17, 2] = -1.3, 1.3  # arms down
    rotvec[0, 17, 2] = -1.3  # right arm up
    rotvec[1, [1, 2], 0], rotvec[1, [4, 5], 0] = -1.55, 1.5  # seated
    rotmats = rotvec_to_rotmat(rotvec)
    pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
    candidates = BodyPose.cat([pose[0], mirror_pose(pose[0]), pose[1]])
    for text, best in (("a woman raises her right hand", 0), ("a woman raises her left hand", 1), ("an old man sits on a chair", 2)):
        assert rank_poses(scorer, text, candidates)[0][0, 0] == best, text
    assert manifest()[OPEN_POSE_SCORER]["bytes"] <= 5 << 20


def test_of_two_that_fit_alike_the_one_that_stands_is_first(scorer):
    upright, fallen = BodyPose.rest(1), BodyPose.rest(1)
    fallen = BodyPose(rotvec_to_rotmat(torch.tensor([[0.7, 0.0, 0.0]])), fallen.body_pose)  # leans on its toes
    candidates, body = BodyPose.cat([fallen, upright]), load_body_model()
    scorer.embed_poses = lambda pose: torch.nn.functional.normalize(torch.ones(len(pose), 16), dim=-1)  # both fit alike
    assert rank_poses(scorer, "a person", candidates)[0].tolist() == [[0, 1]]
    order, scores = rank_poses(scorer, "a person", candidates, body)
    assert order.tolist() == [[1, 0]] and 0 < scores[0, 1] - scores[0, 0] <= FALL * FALL_MAX + 1e-6
