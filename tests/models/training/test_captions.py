"""Composed and rule-based captions: sides, mirroring, subjects and scenes."""

import json
import random
import re

import pytest
import text_pose_folder as fake
import torch

from contrapposto.models.rotations import rotation_about
from contrapposto.models.text_to_pose.prompts import mirror_words
from contrapposto.models.training.datasets.captions import MIRROR, CaptionSource, fill, load_groups, load_phrases
from contrapposto.models.training.datasets.describe import Describer
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.types import BodyPose

GROUPS = [
    {"range": [40, 45], "stance": "kick", "side": "left", "modifiers": [], "split": "train"},
    {"range": [45, 50], "stance": "stand", "side": None, "split": "train", "modifiers": [{"part": "ARM", "name": "wave", "side": "right"}]},
    {"range": [60, 65], "stance": "kick", "side": "right", "modifiers": [], "split": "val"},
    {"range": [30, 35], "stance": "kick", "side": "right", "modifiers": [], "split": "train"},  # of a source that is left out
]
PHRASES = [
    {"part": "stance", "name": "kick", "phrases": ["kicking with the {s} foot, {o} one down"]},
    {"part": "stance", "name": "stand", "phrases": ["my avatar on {p} feet"]},
    {"part": "ARM", "name": "wave", "modifier": ["{s} hand waving"], "alone": ["hello with the {s} hand"]},
    {"part": "HEAD", "first_phrase": "looking up", "modifier": ["nose in the air"]},
    {"part": "subject", "phrases": ["a nurse"]},
    {"part": "scene", "phrases": ["at the beach"]},
]


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    folder = fake.write(tmp_path / "text_pose")
    (folder / "groups.jsonl").write_text(jsonl(GROUPS), encoding="utf-8")
    (folder / "paraphrases").mkdir()
    (folder / "paraphrases" / "all.jsonl").write_text(jsonl(PHRASES), encoding="utf-8")
    return folder


@pytest.fixture
def source(folder):
    return CaptionSource(load_text_pose(folder), folder)


def test_groups_of_a_split_without_excluded_sources(folder):
    data = load_text_pose(folder)
    groups, problems = load_groups(folder, data, "train")
    assert [(group.stance, data.file_row[group.rows].tolist()) for group in groups] == [
        ("kick", list(range(40, 45))), ("stand", list(range(45, 50)))]
    assert problems == [] and groups[1].modifiers == (("ARM", "wave", "right"),)


def test_broken_groups_are_reported_and_left_out(folder):
    broken = ["{not json", json.dumps({**GROUPS[0], "split": "exam"}), json.dumps({"stance": "kick"})]
    (folder / "groups.jsonl").write_text("\n".join([json.dumps(GROUPS[0]), *broken]), encoding="utf-8")
    groups, problems = load_groups(folder, load_text_pose(folder), "train")
    assert len(groups) == 1 and [(p.file, p.row) for p in problems] == [("groups.jsonl", 1), ("groups.jsonl", 2), ("groups.jsonl", 3)]
    assert "exam" in problems[1].what


def test_phrases_by_part_and_name(folder):
    phrases = load_phrases(folder)
    assert phrases.parts["HEAD", "looking up"] == ["nose in the air"] and phrases.alone["ARM", "wave"] == ["hello with the {s} hand"]
    assert phrases.subjects == ["a nurse"] and phrases.scenes == ["at the beach"]


def test_placeholders_are_filled_by_side():
    rng = random.Random(0)
    assert fill("{s} knee up, {o} leg straight", "right", rng) == "right knee up, left leg straight"
    assert fill("{s} knee up", None, rng) == "knee up"
    assert re.fullmatch("hand on (his|her|their|the) hip", fill("hand on {p} hip", "left", rng))


def test_words_and_poses_are_mirrored_together(source):
    """Whatever is drawn, the kick's side in words is the group's side unless the poses are to be mirrored."""
    kicks = [caption for caption in source.pool("a", 1500) if "one down" in caption.text]
    assert {caption.mirrored for caption in kicks} == {True, False}
    for caption in kicks:
        sides = "right foot, left one down" if caption.mirrored else "left foot, right one down"
        assert f"kicking with the {sides}" in caption.text.lower()
    share = sum(caption.mirrored for caption in kicks) / len(kicks)
    assert abs(share - MIRROR) < 0.12


def test_gestures_of_a_standing_person_stand_alone_or_follow(source):
    texts = [mirror_words(c.text) if c.mirrored else c.text for c in source.pool("b", 600)]
    assert any("hello with the right hand" in text for text in texts)
    assert any("feet" in text and "right hand waving" in text for text in texts)
    assert sum("hello" in text for text in texts) > 30  # gestures have their own share


def test_subjects_and_scenes_come_and_go(source):
    texts = [caption.text for caption in source.pool("c", 400)]
    assert any("a nurse kicking" in t or "a nurse is kicking" in t for t in texts) and any(t.startswith("kicking") for t in texts)
    share = sum("at the beach" in text.lower() for text in texts) / len(texts)
    assert 0.25 < share < 0.45


def test_the_same_seed_draws_the_same_pool(source):
    assert [c.text for c in source.pool("x", 50)] == [c.text for c in source.pool("x", 50)] != [c.text for c in source.pool("y", 50)]


def test_only_poses_of_the_split_are_drawn(folder):
    data = load_text_pose(folder)
    for number, split in enumerate(("train", "val")):
        for caption in CaptionSource(data, folder, split).pool("d", 200):
            assert (data.split[caption.rows] == number).all()


def test_a_folder_without_phrases_draws_its_own_captions(tmp_path):
    folder = fake.write(tmp_path / "plain")
    source = CaptionSource(load_text_pose(folder), folder)
    assert set(source.sources) == {"combo", "clip", "described"} and len(source.pool("e", 20)) == 20


def pose_with(joint, rotmat):
    body = torch.eye(3).repeat(1, 21, 1, 1)
    body[0, joint - 1] = rotmat
    return BodyPose(torch.eye(3)[None], body)


def test_descriptions_by_rules_say_what_a_pose_shows():
    """The left shoulder (16) of a T-pose turned up by 80 degrees about the axis that points forward."""
    raised = pose_with(16, rotation_about("z", torch.deg2rad(torch.tensor(80.0))))
    describer, rng = Describer(raised, torch.tensor([7])), random.Random(0)
    drawn = [describer.draw(rng) for _ in range(60)]
    texts = " | ".join(description.text for description in drawn)
    assert "left hand above the head" in texts and "right arm stretched to the side" in texts
    assert not re.search("right (hand|arm) (above|raised|up|in the air)", texts) and "both arms" not in texts
    assert {description.rows.item() for description in drawn} == {7}


def test_descriptions_fit_all_their_poses(folder):
    data = load_text_pose(folder)
    rows, rng = data.rows("train"), random.Random(0)
    rotmats = data.rotmats(rows)
    describer = Describer(BodyPose(rotmats[:, 0], rotmats[:, 1:]), rows)
    for _ in range(50):
        description = describer.draw(rng)
        said = describer.said[torch.isin(rows, description.rows)]
        assert len(description.rows) and len(set(said[:, 0].tolist())) == 1 and description.text
