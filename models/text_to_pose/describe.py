"""Says in words what a pose shows: "standing, left knee bent, right leg straight, right arm raised above the head, left arm hanging".

Every part of the body gets exactly one statement, chosen by measures of ``bodies/posture.py``, so two poses with the same description
agree in all of them and left is always the person's left. Arms are described against the chest, so they read the same lying or standing.
"""

from __future__ import annotations

import torch

from ..bodies.posture import Posture, measure_posture
from ..types import BodyPose

# Each list is searched from the top; the last entry always holds. {s} is the side that is described, {o} the other one.
BODY = (
    ("upside down", lambda p: (p.tilt() > 120) & (p.height("pelvis") > 0.5)),
    ("hips high with the hands on the floor", lambda p: (p.height("pelvis") > p.height("head") + 0.1) & (p.tilt() > 70) & _each(
        lambda s: p.height(s + "hand") < 0.4)),
    ("in a plank", lambda p: (p.faces_up("chest") < -35) & (p.height("spine3") > 0.3) & _each(
        lambda s: (p.height(s + "hand") < 0.3) & (p.bend(s + "knee") < 45) & (p.bend(s + "hip") < 50))),
    ("lying on the back", lambda p: _low(p) & (p.tilt() > 55) & (p.faces_up("chest") > 35)),
    ("lying on the stomach", lambda p: _low(p) & (p.tilt() > 55) & (p.faces_up("chest") < -35)),
    ("lying on the left side", lambda p: _low(p) & (p.tilt() > 55) & (p.height("left_shoulder") < p.height("right_shoulder"))),
    ("lying on the right side", lambda p: _low(p) & (p.tilt() > 55)),
    ("on hands and knees", lambda p: (p.tilt() > 45) & _each(lambda s: (p.height(s + "knee") < 0.4) & (p.height(s + "hand") < 0.4))),
    ("kneeling", lambda p: _each(lambda s: (p.height(s + "knee") < 0.42) & (p.bend(s + "knee") > 55) & (p.ahead(s + "ankle") < 0.05))),
    ("kneeling on the left knee", lambda p: (p.height("left_knee") < 0.35) & (p.bend("left_knee") > 55) & (p.tilt() < 60)),
    ("kneeling on the right knee", lambda p: (p.height("right_knee") < 0.35) & (p.bend("right_knee") > 55) & (p.tilt() < 60)),
    ("propped up on the stomach", lambda p: (p.height("pelvis") < 0.45) & (p.faces_up("pelvis") < -30) & (p.tilt() > 20)),
    ("sitting on the floor", lambda p: (p.height("pelvis") < 0.45) & (p.tilt() < 70)),
    ("sitting", lambda p: (p.height("pelvis") < 0.8) & _each(
        lambda s: (p.bend(s + "hip") > 50) & (p.bend(s + "knee") > 50) & (p.ahead(s + "ankle") > 0.2))),
    ("squatting", lambda p: (p.height("pelvis") < 0.8) & _each(lambda s: p.bend(s + "knee") > 65)),
    ("bent over", lambda p: p.tilt() > 55),
    ("standing", lambda p: p.height("pelvis") > 0.6),
    ("low on the floor", lambda p: p.height("pelvis") > -1),
)
TORSO = (
    ("leaning forward", lambda p: (p.tilt() > 18) & (p.tilt() <= 55) & (p.faces_up("chest") < -12)),
    ("leaning back", lambda p: (p.tilt() > 12) & (p.tilt() <= 55) & (p.faces_up("chest") > 12)),
    ("bending to the left", lambda p: p.lean_left("chest") > 16),
    ("bending to the right", lambda p: p.lean_left("chest") < -16),
    ("turned to the left", lambda p: p.turn("chest") > 18),
    ("turned to the right", lambda p: p.turn("chest") < -18),
    ("", lambda p: p.tilt() > -1),
)
LEG = (
    ("{s} leg stretched up", lambda p, s, o: p.elevation(s + "leg") > 20),
    ("{s} leg lifted", lambda p, s, o: _lifted(p, s, o, 0.3) & (p.bend(s + "knee") < 45)),
    ("{s} knee raised", lambda p, s, o: _lifted(p, s, o, 0.12) & (p.elevation(s + "thigh") > -40)),
    ("{s} heel pulled up", lambda p, s, o: _lifted(p, s, o, 0.2) & (p.bend(s + "knee") > 60)),
    ("{s} knee fully bent", lambda p, s, o: p.bend(s + "knee") > 110),
    ("{s} knee bent", lambda p, s, o: p.bend(s + "knee") > 40),
    ("{s} knee slightly bent", lambda p, s, o: p.bend(s + "knee") > 20),
    ("{s} leg straight", lambda p, s, o: p.bend(s + "knee") > -1),
)
STEP = (
    ("left foot in front", lambda p: p.ahead("left_ankle") > p.ahead("right_ankle") + 0.35),
    ("right foot in front", lambda p: p.ahead("right_ankle") > p.ahead("left_ankle") + 0.35),
    ("legs apart", lambda p: p.spread() > 60),
    ("", lambda p: p.spread() > -1),
)
ARM = (
    ("{s} hand at the face", lambda p, s, o: p.distance(s + "hand", "face") < 0.2),
    ("{s} hand at the head", lambda p, s, o: p.distance(s + "hand", "head") < 0.28),
    ("{s} arm raised above the head", lambda p, s, o: p.up(s + "hand") > 0.5),
    ("{s} hand on the hip", lambda p, s, o: (p.distance(s + "wrist", s + "hip") < 0.27) & (p.bend(s + "elbow") > 40)),
    ("{s} arm behind the back", lambda p, s, o: (p.front(s + "hand") < -0.1) & (p.up(s + "hand") < 0.1)),
    ("{s} arm stretched forward", lambda p, s, o: (p.front(s + "hand") > 0.42) & (p.bend(s + "elbow") < 50)),
    ("{s} arm stretched to the side", lambda p, s, o: (_outward(p, s) > 0.5) & (p.up(s + "hand") > -0.2) & (p.bend(s + "elbow") < 50)),
    ("{s} hand raised", lambda p, s, o: p.up(s + "hand") > 0.2),
    ("{s} hand in front of the body", lambda p, s, o: p.front(s + "hand") > 0.15),
    ("{s} arm hanging", lambda p, s, o: (p.up(s + "hand") < -0.3) & (p.bend(s + "elbow") < 50)),
    ("{s} elbow bent", lambda p, s, o: p.bend(s + "elbow") > 40),
    ("{s} arm held away from the body", lambda p, s, o: p.bend(s + "elbow") > -1),
)
HEAD = (
    ("looking to the left", lambda p: p.turn("head") > 18), ("looking to the right", lambda p: p.turn("head") < -18),
    ("head tilted to the left", lambda p: p.lean_left("head") > 16), ("head tilted to the right", lambda p: p.lean_left("head") < -16),
    ("looking up", lambda p: (p.faces_up("head") - p.faces_up("chest") > 20) & (p.tilt() < 70)),
    ("looking down", lambda p: (p.faces_up("head") - p.faces_up("chest") < -20) & (p.tilt() < 70)),
    ("", lambda p: p.tilt() > -1),
)


def describe_poses(pose: BodyPose) -> list[str]:
    """Returns one description per row, from the whole body to the head."""
    posture = measure_posture(pose)
    columns = [_first(BODY, posture), _first(TORSO, posture), *_pair(LEG, posture), _first(STEP, posture), *_pair(ARM, posture),
               _first(HEAD, posture)]
    return [", ".join(part for part in parts if part) for parts in zip(*columns)]


def _first(rules, posture, *sides):
    """The phrase of the first rule that holds, for each row."""
    met = torch.stack([rule(posture, *sides) for _, rule in rules]).int().argmax(0)
    return [rules[i][0] for i in met.tolist()]


def _pair(rules, posture):
    """Phrases of the left and the right limb for each row; equal ones become one phrase about both."""
    left, right = (_first(rules, posture, *sides) for sides in (("left_", "right_"), ("right_", "left_")))
    both = [(_plural(a), "") if a == b else (a.replace("{s}", "left"), b.replace("{s}", "right")) for a, b in zip(left, right)]
    return zip(*both)


def _plural(phrase):
    words = phrase.replace("{s}", "both").split()
    return " ".join([words[0], words[1] + "s", *words[2:]])


def _low(posture: Posture):
    return (posture.height("pelvis") < 0.5) & (posture.height("head") < 0.7)


def _lifted(posture: Posture, side, other, by):
    """Whether somebody upright has one foot so many metres above the other."""
    higher = posture.height(side + "ankle") > posture.height(other + "ankle") + by
    return higher & (posture.tilt() < 55) & (posture.height("pelvis") > 0.5)


def _each(rule):
    return rule("left_") & rule("right_")


def _outward(posture: Posture, side):
    return posture.left(side + "hand") * (1 if side == "left_" else -1)
