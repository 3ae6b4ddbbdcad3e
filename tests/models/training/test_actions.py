"""The action bank: its language, its distance from the probes, verbs, and poses put together from parts."""

import json
import random
import re

import pytest
import text_pose_folder as fake
import torch

from contrapposto.models.bodies.joints import JOINT_NAMES
from contrapposto.models.bodies.posture import measure_posture
from contrapposto.models.metrics.probes import Probe, load_probes
from contrapposto.models.text_to_pose.prompts import mirror_words
from contrapposto.models.training.datasets.actions import add_actions, read_actions
from contrapposto.models.training.datasets.captions import CaptionSource, load_groups, with_actions
from contrapposto.models.training.datasets.recombine import RECOMBINED
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.training.datasets.verbs import as_gerund, as_verb
from contrapposto.models.types import BodyPose

BANK = """# A comment.
@low = height(each_hand) < 3
[rest ; wave o:back ; down lean:20 ; @low & tilt(torso) < 170]
waves to the {s} crowd+ / a sailor with {p} hat / sits and ~reads / strokes a purple dinosaur gently
[rest ; nothing ; ; ]
flies away
[rest ; ; ; tilt(torso) > 179]
cannot be
"""
SIDES = "# Limbs.\narm wave : waves with the {s} hand\narm back : {s} hand back\nleg rest : {s} foot ahead\nleg stand : stands\n"
GROUPS = [
    {"range": [40, 50], "stance": "rest", "side": "left", "modifiers": [], "split": "train"},
    {"range": [50, 55], "stance": "stand", "side": None, "modifiers": [{"part": "ARM", "name": "wave", "side": "left"}], "split": "train"},
    {"range": [55, 60], "stance": "stand", "side": None, "modifiers": [{"part": "ARM", "name": "back", "side": "right"}], "split": "train"},
]
PROBE = Probe("the girl strokes her purple dinosaur", "x", ())


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank")
    (folder / "deeds.txt").write_text(BANK, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    gentle = (0.25 * fake.arrays()["pose_aa"]).astype("float16")  # plausible poses
    folder = fake.write(tmp_path_factory.mktemp("data") / "text_pose", {"pose_aa": gentle})
    (folder / "groups.jsonl").write_text("".join(json.dumps(group) + "\n" for group in GROUPS), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def assembled(bank, folder):
    data = load_text_pose(folder)
    return data, add_actions(data, load_groups(folder, data, "train")[0], read_actions(bank, [PROBE]))


def test_blocks_are_read_and_near_copies_of_probes_are_dropped(bank):
    first, second, third = read_actions(bank, [PROBE])
    assert (first.stances, first.arms, first.extra) == (("rest",), ("wave", "o:back"), ("down", "lean:20"))
    assert first.conditions == ("height(each_hand) < 3", "tilt(torso) < 170")
    assert first.parts == (("waves to the {s} crowd+", "a sailor with {p} hat", "sits and ~reads"),)
    assert len(read_actions(bank, [])[0].parts[0]) == 4 and second.arms == ("nothing",) and third.conditions


def test_limbs_are_said_alone_and_in_pairs(tmp_path):
    (tmp_path / "sides.txt").write_text(SIDES, encoding="utf-8")
    actions = read_actions(tmp_path, [])
    alone = [action for action in actions if len(action.parts) == 1]
    assert {action.arms for action in alone} == {("wave", "o:down"), ("back", "o:down"), ()}
    for action in actions:
        if len(action.arms) == 2 and len(action.parts) > 1:  # what the left arm does is said of {s}, what the other does of {o}
            said = " ".join(" ".join(part) for part in action.parts)
            assert ("with the {s} hand" in said) == (action.arms == ("wave", "o:back"))


def test_no_sentence_of_the_bank_is_close_to_a_probe():
    words = lambda text: frozenset(re.findall(r"[a-z']+", text.lower()))
    probes = [words(probe.text.replace("right", "left")) for probe in load_probes()]
    phrases = {phrase for action in read_actions() for part in action.parts for phrase in part}
    assert len(phrases) > 1500
    for phrase in phrases:
        own = words(re.sub(r"\{[so]\}|right", "left", phrase).replace("{p}", "his"))
        assert max(len(own & probe) / len(own | probe) for probe in probes) <= 0.7, phrase


@pytest.mark.parametrize("phrase, gerund", [
    ("sits and ~reads", "sitting and reading"), ("carries a box", "carrying a box"), ("is tired", "tired"), ("lies down", "lying down"),
    ("waves, smiling", "waving, smiling"), ("hits the ball", "hitting the ball"), ("a waiter with a tray", "a waiter with a tray"),
    ("watches TV", "watching TV"), ("legs apart", "legs apart"), ("flees", "fleeing"), ("opens it", "opening it"),
])
def test_gerunds(phrase, gerund):
    assert as_gerund(phrase) == gerund
    assert (as_verb(phrase) is None) == (phrase == gerund)


def test_poses_are_put_together_from_stance_and_arms(assembled):
    data, (more, actions, problems) = assembled
    assert len(actions) == 1 and [problem.row for problem in problems] == [1, 2]
    assert "nothing" in problems[0].what and "0 poses" in problems[1].what
    rows = actions[0].rows
    assert len(more) == len(data) + len(rows) and more.source_names[more.source[rows[0]]] == RECOMBINED
    assert (more.split[rows] == 0).all() and (more.rows("train")[-1] == rows[-1]) and (more.file_row.diff() > 0).all()
    made, stances = more.rotmats(rows), data.rotmats(data.rows_in([(40, 50)]))
    knee = JOINT_NAMES.index("left_knee")
    assert torch.cdist(made[:, knee].flatten(1), stances[:, knee].flatten(1)).amin(1).max() < 1e-3
    donors = {"left_elbow": (50, 55), "right_elbow": (55, 60)}
    for joint, block in donors.items():
        mine, given = (rotmats[:, JOINT_NAMES.index(joint)].flatten(1) for rotmats in (made, data.rotmats(data.rows_in([block]))))
        near = torch.cdist(mine, given)
        assert near.amin(1).max() < 0.4 and near.amin(1).mean() < 0.12  # jittered by some degrees


def test_leaning_tilts_the_torso_and_leaves_the_legs(assembled):
    data, (more, actions, _) = assembled
    lean = measure_posture(pose(more, actions[0].rows))
    plain = measure_posture(pose(data, data.rows_in([(40, 50)])))
    assert 8 < lean.faces_up("chest").mean().neg() + plain.faces_up("chest").mean() < 32
    assert abs(lean.elevation("left_shin").mean() - plain.elevation("left_shin").mean()) < 8


def pose(data, rows):
    rotmats = data.rotmats(rows)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def test_captions_of_the_bank_are_drawn_with_twins_in_another_place(assembled, folder):
    _, (more, actions, _) = assembled
    (folder / "paraphrases").mkdir(exist_ok=True)
    scene = {"part": "scene", "phrases": ["at the north pole"]}
    (folder / "paraphrases" / "scenes.jsonl").write_text(json.dumps(scene) + "\n", encoding="utf-8")
    drawn = [c for c in CaptionSource(more, folder, actions=actions).pool("a", 600) if c.rows[0] == actions[0].rows[0]]
    texts = [mirror_words(c.text) if c.mirrored else c.text for c in drawn]
    assert any("to the left crowd" in t for t in texts) and not any("right crowd" in t or "{" in t or "~" in t or "+" in t for t in texts)
    assert any("hand" in text for text in texts) and any("waving to" in text for text in texts)
    twins = [c.twin for c in drawn if c.twin]
    assert 0.2 < len(twins) / len(drawn) < 0.6 and all("at the north pole" in twin for twin in twins)
    assert CaptionSource(more, folder, "val").draw(random.Random(0)).twin is None


def test_data_without_groups_has_no_actions(tmp_path):
    folder = fake.write(tmp_path / "plain")
    data = load_text_pose(folder)
    assert with_actions(data, folder) == (data, [], [])
