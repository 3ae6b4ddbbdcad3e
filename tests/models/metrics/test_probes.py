"""The frozen probes: complete, readable, unseen by training, fair to matching poses and hard for random ones."""

import hashlib
import json
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from contrapposto.models.bodies.conditions import holds
from contrapposto.models.bodies.joints import mirror_pose
from contrapposto.models.bodies.posture import measure_posture
from contrapposto.models.metrics.probes import PROBES, Probe, load_probes, passes, probe_passes
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

FROZEN = "2ef934d19c7d55c94e79b2be5c633a1f84f2e713e0ee6dc09f86f7864a99ce8b"
DATA = Path(os.environ.get("DATA", Path(__file__).resolve().parents[4] / "shared/data/text_pose"))
needs_data = pytest.mark.skipif(not (DATA / "poses.npz").is_file(), reason="needs the text_pose folder; name it with DATA=DIR")


def turned(**joints):
    """A T-pose with some joints turned: name -> rotvec in degrees."""
    from contrapposto.models.bodies.joints import JOINT_NAMES

    rotvec = torch.zeros(1, 22, 3)
    for name, turn in joints.items():
        rotvec[0, JOINT_NAMES.index(name)] = torch.deg2rad(torch.tensor(turn, dtype=torch.float32))
    rotmats = rotvec_to_rotmat(rotvec)
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def test_the_probes_are_the_frozen_ones():
    assert hashlib.sha256(PROBES.read_bytes()).hexdigest() == FROZEN, "a changed probe makes scores incomparable: say so in the model card"


def test_there_are_enough_probes_of_every_family():
    probes = load_probes()
    families = {probe.family for probe in probes}
    assert len(probes) >= 120 and len({probe.text for probe in probes}) == len(probes)
    assert all(sum(probe.family == family for probe in probes) >= 10 for family in families)
    assert {"a golfer swings a shot but misses the ball", "planting flowers in the garden"} <= {probe.text for probe in probes}


def test_every_condition_can_be_read():
    posture = measure_posture(turned())
    for probe in load_probes():
        for condition in probe.conditions:
            assert holds(condition, posture).shape == (1,), condition


def test_sided_probes_name_a_side_and_no_other_does():
    for probe in load_probes():
        assert probe.sided == bool(re.search(r"\b(left|right)\b", probe.text)), probe.text


def test_a_t_pose_spells_a_t_and_nothing_else_does():
    probe = next(probe for probe in load_probes() if "letter T" in probe.text)
    assert probe_passes(probe, turned()).all()
    assert not probe_passes(probe, turned(left_shoulder=(0, 0, -80))).any()


def test_mirror_images_count_only_without_a_side():
    raised = turned(right_shoulder=(0, 0, -80), left_shoulder=(0, 0, -80))  # right arm up, left arm down
    conditions = ("height(left_hand) > height(head)",)
    for sided, expected in ((True, False), (False, True)):
        probe = Probe("", "", conditions, sided)
        assert probe_passes(probe, raised).item() is expected
        assert passes(probe, measure_posture(raised), measure_posture(mirror_pose(raised))).item() is expected


@pytest.mark.parametrize("condition, expected", [
    ("height(each_hand) > height(head_top)", False), ("height(any_hand) > height(head_top)", True),
    ("0 < bend(left_knee) < 10 or tilt(torso) < 5", True), ("abs(elevation(right_arm)) < 60 and tilt(torso) > 50", False),
])
def test_the_language_of_conditions(condition, expected):
    assert holds(condition, measure_posture(turned(left_shoulder=(0, 0, 85), right_shoulder=(0, 0, 85)))).item() is expected


@pytest.mark.parametrize("condition", ["__import__('os')", "height(left_hand)", "height.__class__ < 1", "shoe(left) > 3", "height(1) > 2"])
def test_conditions_cannot_say_anything_else(condition):
    with pytest.raises(ValueError):
        holds(condition, measure_posture(turned()))


def words(text):
    return frozenset(re.findall(r"[a-z']+", text.lower()))


@needs_data
def test_no_probe_is_close_to_a_training_caption():
    texts = {json.loads(line)["caption"] for line in (DATA / "captions.jsonl").read_text(encoding="utf-8").splitlines()}
    for file in (DATA / "paraphrases").glob("*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts.update(text for key in ("phrases", "modifier", "alone") for text in row.get(key) or ())
    filled = {text.replace("{p}", "his").replace("{s}", s).replace("{o}", o)
              for text in texts for s, o in (("left", "right"), ("right", "left"), ("", ""))}
    bags = list({words(text) for text in filled})
    by_word = defaultdict(list)
    for number, bag in enumerate(bags):
        for word in bag:
            by_word[word].append(number)
    for probe in load_probes():
        own = words(probe.text)
        rare = sorted(own, key=lambda word: len(by_word[word]))[: len(own) * 3 // 10 + 1]  # a near copy shares at least one of these
        near = {number for word in rare for number in by_word[word]}
        assert max((len(own & bags[number]) / len(own | bags[number]) for number in near), default=0) <= 0.7, probe.text


@needs_data
def test_random_poses_fail_and_matching_poses_pass():
    from contrapposto.models.training.datasets.text_pose import load_text_pose

    data = load_text_pose(DATA)
    groups = defaultdict(list)
    for line in (DATA / "groups.jsonl").read_text(encoding="utf-8").splitlines():
        group = json.loads(line)
        groups[group["stance"]].append(group)

    def poses(rows):
        rotmats = data.rotmats(rows)
        return BodyPose(rotmats[:, 0], rotmats[:, 1:])

    train = data.rows("train")
    random = poses(train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:2000]])
    shown, mirrored = measure_posture(random), measure_posture(mirror_pose(random))
    by_chance, fair = [], []
    for probe in load_probes():
        by_chance.append(passes(probe, shown, mirrored).float().mean().item())
        for like in probe.like:
            rows = data.rows_in([group["range"] for group in groups[re.split("[.+]", like)[0]] if matches(group, like)])[:60]
            fair.append((probe_passes(probe, poses(rows)).float().mean().item(), probe.text, like))
    assert sum(by_chance) / len(by_chance) < 0.12
    assert min(fair)[0] >= 0.3, min(fair)  # other modifiers of a group may contradict the sentence, so not all of its poses can pass
    assert sum(share >= 0.75 for share, *_ in fair) >= 0.95 * len(fair)


def matches(group, like):
    """Whether an authored group shows what a probe's ``like`` names: "stance.side+modifier.side"."""
    stance, *modifiers = like.split("+")
    stance, _, side = stance.partition(".")
    have = {(m["name"], m.get("side")) for m in group["modifiers"]} | {(m["name"], "") for m in group["modifiers"]}
    asked = {(name, side) for name, _, side in (modifier.partition(".") for modifier in modifiers)}
    return group["stance"] == stance and side in ("", group["side"]) and asked <= have
