"""Training the text-pose scorer end to end on a fabricated folder, and its choice of batches."""

from argparse import Namespace
from dataclasses import replace

import pytest
import text_pose_folder as fake
import torch

from contrapposto.models.bodies.posture import POINT_NAMES
from contrapposto.models.text_to_pose.model import TextToPose
from contrapposto.models.text_to_pose.network import NetworkConfig, PoseTransformer
from contrapposto.models.text_to_pose.prompts import mirror_words
from contrapposto.models.text_to_pose.ranking import ScorerConfig, load_pose_scorer
from contrapposto.models.training import train_pose_scorer as training
from contrapposto.models.training.datasets.actions import Action
from contrapposto.models.training.datasets.captions import CaptionedPoses
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.rivals import find_rivals

SMALL = training.Preset(ScorerConfig(text_width=32, pose_width=32, embed_dim=16),
                        LoopConfig(steps=12, batch=16, warmup=3, ema=0.9, log_every=4, validate_every=12), pool=48, refresh=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake.write(tmp_path_factory.mktemp("data") / "text_pose")


@pytest.fixture(scope="module")
def task(folder):
    return training.ScorerTask(folder, SMALL, "cpu")


def test_every_sided_sentence_meets_its_mirrored_twin(task):
    pool = task.pool(0)
    sided = (pool.twin >= 0).nonzero()[:, 0].tolist()
    assert sided
    for place in sided:
        own, twin = pool.texts.captions[place], pool.texts.captions[pool.twin[place]]
        assert mirror_words(own.text) == twin.text and own.mirrored != twin.mirrored and torch.equal(own.rows, twin.rows)


def test_twins_come_together_and_nobody_comes_twice(task):
    pool = task.pool(0)
    chosen = task.choose(pool, task.draw(torch.Generator().manual_seed(1))).tolist()
    assert len(chosen) == len(set(chosen))
    assert all(int(pool.twin[place]) in chosen for place in chosen if pool.twin[place] >= 0)


def test_a_pose_that_shows_more_is_not_counted_against_a_sentence():
    bare = training.Shown("stand", None, frozenset())
    waving = training.Shown("stand", None, frozenset({("ARM", "wave", "left")}))
    assert waving.satisfies(bare) and not bare.satisfies(waving) and waving.satisfies(waving)
    assert not waving.mirrored().satisfies(waving) and waving.mirrored().mirrored() == waving
    looking = training.Shown("stand", "left", frozenset({("HEAD", "looking to the left", None)}))
    assert looking.mirrored().modifiers == {("HEAD", "looking to the right", None)} and looking.mirrored().side == "right"


def test_a_sentence_draws_poses_of_its_side(task):
    caption = CaptionedPoses("x", torch.tensor([3]), True)
    features = task.pose_features([caption, CaptionedPoses("x", torch.tensor([3]), False)], torch.Generator().manual_seed(0))
    assert torch.equal(features[0], task.features[1, 3]) and torch.equal(features[1], task.features[0, 3])


def test_training_writes_weights_that_load(folder, tmp_path):
    options = Namespace(data=folder, steps=None, run=tmp_path / "run", rival=None, start=None, blend=1.0, device="cpu",
                        out=tmp_path / "scorer.safetensors")
    assert "test_sides" in training.run_training(options, SMALL)
    scorer = load_pose_scorer(options.out)
    assert scorer.about["training"]["excluded"] == ["DeepMimic"] and scorer.pose_std.min() >= training.MIN_STD * 0.999
    losses = [line for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines() if '"loss"' in line]
    assert len(losses) == 3


@pytest.fixture(scope="module")
def rivals():
    """Poses of an untrained model for a sentence with a side and for one without."""
    torch.manual_seed(0)
    config = {"text_encoder": {"id": "minilm-l6-v2", "dim": 384}, "pose_prior": None, "sampling": {}}
    model = TextToPose(PoseTransformer(NetworkConfig(width=32, layers=1)).eval(), torch.zeros(132), torch.ones(132), config)
    higher = ("height(left_hand) > height(right_hand)",)
    actions = [Action("x", (), (), (), higher, ((phrase,),), torch.arange(3)) for phrase in ("lifts the {s} hand", "lifts one hand")]
    actions.append(Action("x", (), (), (), ("tilt(torso) > 999",), (("does what nobody can",),), torch.arange(3)))
    return find_rivals(model, [*actions, replace(actions[0], conditions=())], steps=2)


def test_rivals_are_right_where_the_conditions_hold(rivals):
    found = {caption.text.split()[-2]: right for caption, right in zip(rivals.captions, rivals.right)}
    (side,) = set(found) - {"nobody"}  # "one hand" is right either way, and an action without conditions has no rivals
    row = next(i for i, caption in enumerate(rivals.captions) if side in caption.text)
    hands = rivals.features[row][:, 132:].unflatten(1, (-1, 3))
    left, right = (hands[:, POINT_NAMES.index(f"{name}_hand"), 1] for name in ("left", "right"))
    assert torch.equal(found[side], left > right if side == "left" else right > left) and not found["nobody"].any()
    assert rivals.captions[row].mirrored == (side == "right")


def test_rivalry_pulls_right_poses_above_wrong_ones(task, rivals, monkeypatch):
    monkeypatch.setattr(task, "rivals", rivals)
    monkeypatch.setattr(task, "rival_texts", training.encode_pool(task.encoder, rivals.captions))
    torch.manual_seed(0)
    scorer = training.PoseScorer(SMALL.network)
    optimizer = torch.optim.Adam(scorer.parameters(), 1e-2)
    losses = []
    for step in range(40):
        loss = task.rivalry(scorer, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_blending_lies_between_the_weights():
    new, old = (training.PoseScorer(SMALL.network) for _ in range(2))
    expected = 0.25 * new.text_in.weight + 0.75 * old.text_in.weight
    training.blend(new, old, 0.25)
    torch.testing.assert_close(new.text_in.weight, expected)
