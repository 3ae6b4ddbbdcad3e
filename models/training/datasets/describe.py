"""Describes poses by rules: "kneeling, left hand above the head, looking up".

A fact is a condition on measures of the posture, in the language of ``metrics/probes.py``, and phrases that say it. Whichever sides
phrases name, they hold by construction, for captures and for authored poses. A description names the posture (standing may go unsaid)
and up to three more facts, and fits every pose of which they are all true.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...bodies.joints import mirror_pose
from ...bodies.posture import measure_posture
from ...metrics.probes import holds
from ...types import BodyPose


@dataclass(frozen=True)
class Fact:
    """Something that is plainly true of a pose.

    Args:
        conditions: all must hold; {s} facts are written for the left side.
        phrases: ways to say it; {s} is the side, {o} the other one.
    """

    conditions: tuple[str, ...]
    phrases: tuple[str, ...]

    @property
    def sided(self):
        return "{s}" in self.phrases[0]


# What the whole body does. The first that holds is the posture of a pose.
POSTURES = (
    Fact(("tilt(torso) > 125", "height(each_hand) < 0.35"), ("upside down", "inverted, hands on the floor", "standing on the hands")),
    Fact(("tilt(torso) > 60", "height(pelvis) < 0.4", "height(head) < 0.6", "faces_up(chest) > 35"),
         ("lying on the back", "lying face up", "flat on the back")),
    Fact(("tilt(torso) > 60", "height(pelvis) < 0.4", "height(head) < 0.6", "faces_up(chest) < -35"),
         ("lying on the stomach", "lying face down", "prone on the floor")),
    Fact(("tilt(torso) > 60", "height(pelvis) < 0.4", "height(head) < 0.6"), ("lying on one side", "lying sideways on the floor")),
    Fact(("45 < tilt(torso) < 125", "height(each_knee) < 0.35", "height(each_hand) < 0.35"), ("on hands and knees", "on all fours")),
    Fact(("tilt(torso) > 45", "height(each_hand) < 0.3", "bend(each_knee) < 45", "faces_up(chest) < -20", "height(pelvis) < 0.7"),
         ("in a plank", "holding the body straight on hands and toes")),
    Fact(("height(each_knee) < 0.25", "bend(each_knee) > 60", "tilt(torso) < 50"), ("kneeling", "on both knees", "kneeling on the floor")),
    Fact(("height(pelvis) < 0.4", "tilt(torso) < 55"), ("sitting on the floor", "sitting on the ground", "seated on the floor")),
    Fact(("height(any_knee) < 0.25", "tilt(torso) < 55", "bend(each_knee) > 60"), ("on one knee", "kneeling on one knee")),
    Fact(("bend(each_hip) > 50", "bend(each_knee) > 55", "tilt(torso) < 40", "elevation(each_thigh) < 15", "height(pelvis) < 0.75",
          "elevation(each_shin) < -65"), ("sitting", "sitting on a chair", "seated")),
    Fact(("bend(each_knee) > 75", "height(pelvis) < 0.75"), ("crouching", "squatting", "in a squat")),
    Fact(("tilt(torso) > 55", "height(pelvis) > 0.7"), ("bending over", "bent forward", "leaning far over")),
    Fact(("height(pelvis) > 0.7", "tilt(torso) < 55"), ("standing", "standing upright", "on {p} feet")),
)
STANDING = len(POSTURES) - 1

FACTS = (
    Fact(("height(left_hand) > height(head_top)", "height(right_hand) < height(head)"),
         ("{s} hand above the head", "{s} arm raised", "raising the {s} arm", "{s} hand up", "with the {s} hand in the air",
          "lifting {p} {s} arm")),
    Fact(("height(left_hand) < height(pelvis)", "height(right_hand) > height(neck)"),
         ("{s} arm down", "{s} hand lowered", "{s} arm hanging")),
    Fact(("left(left_hand) > 0.5", "abs(elevation(left_arm)) < 30", "left(right_hand) > -0.45"),
         ("{s} arm out to the side", "stretching the {s} arm sideways", "{s} arm extended sideways", "holding {p} {s} arm out")),
    Fact(("front(left_hand) > 0.4", "abs(elevation(left_arm)) < 35", "front(right_hand) < 0.3"),
         ("{s} arm stretched forward", "reaching forward with the {s} hand", "{s} arm out in front", "holding the {s} hand in front")),
    Fact(("distance(left_wrist, left_hip) < 0.25", "bend(left_elbow) > 45"), ("{s} hand on the hip", "{s} fist at {p} hip")),
    Fact(("distance(left_hand, face) < 0.2", "distance(right_hand, face) > 0.35"),
         ("{s} hand at the face", "touching {p} face with the {s} hand", "{s} hand near the mouth")),
    Fact(("front(left_hand) < -0.15", "front(right_hand) > -0.05"), ("{s} hand behind the back", "{s} arm behind {p} body")),
    Fact(("bend(left_elbow) > 80", "bend(right_elbow) < 40"), ("{s} elbow bent", "bending the {s} arm")),
    Fact(("elevation(left_thigh) > -25", "elevation(right_thigh) < -55"),
         ("{s} knee raised", "lifting the {s} knee", "{s} knee up", "with {p} {s} thigh lifted", "standing on the {o} leg, {s} knee up")),
    Fact(("height(left_ankle) > height(right_ankle) + 0.35", "bend(left_knee) < 45"),
         ("{s} leg lifted", "raising the {s} leg", "kicking with the {s} leg", "{s} foot in the air, leg straight")),
    Fact(("bend(left_knee) > 60", "bend(right_knee) < 30"), ("{s} knee bent, {o} leg straight", "bending the {s} knee", "{s} knee bent")),
    Fact(("ahead(left_ankle) > ahead(right_ankle) + 0.35",),
         ("{s} foot in front", "{s} leg forward", "stepping forward with the {s} foot")),
    Fact(("lean_left(head) > 18",), ("head tilted to the {s}", "tilting {p} head {s}")),
    Fact(("turn(head) > 25",), ("looking to the {s}", "head turned {s}", "looking {s}")),
    Fact(("turn(chest) > 22",), ("torso turned to the {s}", "upper body twisted {s}")),
    Fact(("lean_left(chest) > 16",), ("leaning to the {s}", "bending sideways to the {s}")),
    Fact(("height(each_hand) > height(head_top)",), ("both arms raised", "both hands above the head", "arms up", "hands in the air")),
    Fact(("left(left_hand) > 0.5", "left(right_hand) < -0.5", "abs(elevation(each_arm)) < 30"),
         ("both arms out to the sides", "arms spread wide", "arms stretched sideways")),
    Fact(("front(each_hand) > 0.4", "abs(elevation(each_arm)) < 35"), ("both arms stretched forward", "arms out in front")),
    Fact(("distance(left_wrist, left_hip) < 0.25", "distance(right_wrist, right_hip) < 0.25", "bend(each_elbow) > 45"),
         ("both hands on the hips", "hands on hips")),
    Fact(("distance(each_hand, head) < 0.25", "front(each_hand) < 0.1"), ("both hands at the head", "hands behind the head")),
    Fact(("distance(left_hand, right_hand) < 0.15", "front(each_hand) > 0.1"), ("hands together in front", "both hands together")),
    Fact(("front(each_hand) < -0.1",), ("both arms behind the back", "both hands behind {p} back")),
    Fact(("bend(each_elbow) < 25",), ("both arms straight", "straight arms")),
    Fact(("bend(each_knee) < 15",), ("legs straight", "both legs straight")),
    Fact(("40 < bend(each_knee) < 80",), ("knees bent", "both knees bent")),
    Fact(("apart(left_ankle, right_ankle) > 0.6",), ("legs apart", "feet wide apart")),
    Fact(("distance(left_ankle, right_ankle) < 0.2",), ("feet together", "legs together")),
    Fact(("spread() > 110",), ("legs spread far apart", "in the splits")),
    Fact(("faces_up(head) > 35", "tilt(torso) < 60"), ("looking up", "head back, looking up")),
    Fact(("faces_up(head) < -30", "tilt(torso) < 60"), ("looking down", "head down")),
)


@dataclass(frozen=True)
class Description:
    """A description and the (M,) int64 rows of the data that it fits."""

    text: str
    rows: Tensor


class Describer:
    """Draws rule-based descriptions of the poses of a data set."""

    def __init__(self, poses: BodyPose, rows: Tensor, part=8192):
        """
        Args:
            poses: M poses to describe.
            rows: (M,) int64 their rows in the data.
        """
        truths = [measure_facts(poses[start : start + part]) for start in range(0, len(rows), part)]
        self.rows, self.posture = rows, torch.cat([posture for posture, _ in truths])
        self.true = torch.cat([facts for _, facts in truths])  # (M, F, 2): facts as said of the left and of the right
        self.rarity = (self.true.float().mean(0) + 0.02).reciprocal()

    def __len__(self):
        return len(self.rows)

    def draw(self, rng):
        """Returns a description of some pose, with up to 64 poses that it fits."""
        some = rng.randrange(len(self.rows))
        posture = int(self.posture[some])
        weights = (self.true[some].float() * self.rarity).flatten().tolist()
        count = rng.randint(0 if posture != STANDING else 1, 3) if any(weights) else 0
        chosen = {rng.choices(range(len(weights)), weights)[0] for _ in range(count)}
        fits = self.posture == posture
        for fact in chosen:
            fits = fits & self.true.flatten(1)[:, fact]
        phrases = [say(FACTS[fact // 2], fact % 2, rng) for fact in rng.sample(sorted(chosen), len(chosen))]
        if posture != STANDING or not chosen or rng.random() < 0.4:
            phrases.insert(0 if rng.random() < 0.7 else len(phrases), say(POSTURES[posture], 0, rng))
        rows = self.rows[fits]
        picked = rows[[rng.randrange(len(rows)) for _ in range(64)]] if len(rows) > 64 else rows
        return Description(rng.choice((", ", ", ", " and ")).join(phrases), picked)


def say(fact, right, rng):
    """One phrase of a fact; ``right`` tells which side it is about."""
    side, other = ("right", "left") if right else ("left", "right")
    return rng.choice(fact.phrases).replace("{s}", side).replace("{o}", other).replace("{p}", rng.choice(("his", "her", "their", "the")))


def measure_facts(pose: BodyPose):
    """Returns the posture (B,) int64 of each pose and which facts are true (B, F, 2) bool, said of the left and of the right."""
    shown, mirrored = measure_posture(pose), measure_posture(mirror_pose(pose))
    postures = torch.stack([all_hold(fact, shown) for fact in POSTURES[:-1]] + [torch.ones(len(pose), dtype=torch.bool)], 1)
    facts = [torch.stack([all_hold(fact, shown), all_hold(fact, mirrored) & fact.sided], 1) for fact in FACTS]
    return postures.int().argmax(1), torch.stack(facts, 1)


def all_hold(fact, posture):
    return torch.stack([holds(condition, posture) for condition in fact.conditions]).all(0)
