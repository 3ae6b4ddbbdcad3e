"""Says in words what a pose shows: "standing, left knee bent, right leg straight, right arm raised above the head, left arm hanging".

Every part of the body gets exactly one statement, chosen by conditions on the posture, so two poses with the same description agree in
all of them and left is always the person's left. Arms are described against the chest, so they read the same lying or standing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.conditions import all_hold
from ..bodies.joints import mirror_pose
from ..bodies.posture import measure_posture
from ..types import BodyPose


@dataclass(frozen=True)
class Statement:
    """Something that is plainly true of a pose.

    Args:
        phrases: ways to say it, the plainest first; {s} is the side of a limb, {o} the other one, {p} his, her or their.
        conditions: all must hold; those of limbs are written for the left side.
    """

    phrases: tuple[str, ...]
    conditions: tuple[str, ...]


def _of(phrases, *conditions):
    return Statement(tuple(phrases.split(" / ")), conditions)


_LOW = ("height(pelvis) < 0.5", "height(head) < 0.7", "tilt(torso) > 55")
_LIFTED = ("tilt(torso) < 55", "height(pelvis) > 0.5")
_NOTHING = Statement(("",), ())

# Each part is searched from the top; the last statement always holds.
BODY = (
    _of("upside down / inverted, head down", "tilt(torso) > 120", "height(pelvis) > 0.5"),
    _of("hips high with the hands on the floor / hands on the ground, hips in the air", "height(pelvis) > height(head) + 0.1",
        "tilt(torso) > 70", "height(each_hand) < 0.4"),
    _of("in a plank / holding the body straight on hands and toes", "faces_up(chest) < -35", "height(spine3) > 0.3",
        "height(each_hand) < 0.3", "bend(each_knee) < 45", "bend(each_hip) < 50"),
    _of("lying on the back / lying face up / flat on the back", *_LOW, "faces_up(chest) > 35"),
    _of("lying on the stomach / lying face down / prone on the floor", *_LOW, "faces_up(chest) < -35"),
    _of("lying on the left side / on {p} left side", *_LOW, "height(left_shoulder) < height(right_shoulder)"),
    _of("lying on the right side / on {p} right side", *_LOW),
    _of("on hands and knees / on all fours", "tilt(torso) > 45", "height(each_knee) < 0.4", "height(each_hand) < 0.4"),
    _of("kneeling / on both knees / kneeling on the floor", "height(each_knee) < 0.42", "bend(each_knee) > 55", "ahead(each_ankle) < 0.05"),
    _of("kneeling on the left knee / left knee on the ground", "height(left_knee) < 0.35", "bend(left_knee) > 55", "tilt(torso) < 60"),
    _of("kneeling on the right knee / right knee on the ground", "height(right_knee) < 0.35", "bend(right_knee) > 55", "tilt(torso) < 60"),
    _of("propped up on the stomach / prone, chest lifted", "height(pelvis) < 0.45", "faces_up(pelvis) < -30", "tilt(torso) > 20"),
    _of("sitting on the floor / sitting on the ground / seated on the floor", "height(pelvis) < 0.45", "tilt(torso) < 70"),
    _of("sitting / sitting on a chair / seated", "height(pelvis) < 0.8", "bend(each_hip) > 50", "bend(each_knee) > 50",
        "ahead(each_ankle) > 0.2"),
    _of("squatting / crouching / in a squat", "height(pelvis) < 0.8", "bend(each_knee) > 65"),
    _of("bent over / bending over / bent far forward", "tilt(torso) > 55"),
    _of("standing / standing upright / on {p} feet", "height(pelvis) > 0.6"),
    _of("low on the floor / down on the ground"),
)
STANDING = len(BODY) - 2
TORSO = (
    _of("leaning forward / bent a little forward", "18 < tilt(torso) < 55.001", "faces_up(chest) < -12"),
    _of("leaning back / leaning backwards", "12 < tilt(torso) < 55.001", "faces_up(chest) > 12"),
    _of("bending to the left / leaning to the left", "lean_left(chest) > 16"),
    _of("bending to the right / leaning to the right", "lean_left(chest) < -16"),
    _of("turned to the left / upper body twisted left", "turn(chest) > 18"),
    _of("turned to the right / upper body twisted right", "turn(chest) < -18"),
    _NOTHING,
)
LEG = (
    _of("{s} leg stretched up / {s} leg high in the air", "elevation(left_leg) > 20"),
    _of("{s} leg lifted / raising the {s} leg / {s} foot in the air, leg straight",
        "height(left_ankle) > height(right_ankle) + 0.3", *_LIFTED, "bend(left_knee) < 45"),
    _of("{s} knee raised / lifting the {s} knee / {s} knee up / with {p} {s} thigh lifted",
        "height(left_ankle) > height(right_ankle) + 0.12", *_LIFTED, "elevation(left_thigh) > -40"),
    _of("{s} heel pulled up / {s} foot lifted behind", "height(left_ankle) > height(right_ankle) + 0.2", *_LIFTED, "bend(left_knee) > 60"),
    _of("{s} knee fully bent / {s} leg folded", "bend(left_knee) > 110"),
    _of("{s} knee bent / bending the {s} knee", "bend(left_knee) > 40"),
    _of("{s} knee slightly bent", "bend(left_knee) > 20"),
    _of("{s} leg straight / {s} knee straight"),
)
STEP = (
    _of("left foot in front / left leg forward / stepping forward with the left foot", "ahead(left_ankle) > ahead(right_ankle) + 0.35"),
    _of("right foot in front / right leg forward / stepping forward with the right foot", "ahead(right_ankle) > ahead(left_ankle) + 0.35"),
    _of("in the splits / legs spread far apart", "spread() > 110"),
    _of("legs apart / feet wide apart", "spread() > 60"),
    _NOTHING,
)
ARM = (
    _of("{s} hand at the face / touching {p} face with the {s} hand / {s} hand near the mouth", "distance(left_hand, face) < 0.2"),
    _of("{s} hand at the head / {s} hand on {p} head", "distance(left_hand, head) < 0.28"),
    _of("{s} arm raised above the head / {s} hand above the head / raising the {s} arm / {s} hand up / {s} hand in the air",
        "up(left_hand) > 0.5"),
    _of("{s} hand on the hip / {s} fist at {p} hip", "distance(left_wrist, left_hip) < 0.27", "bend(left_elbow) > 40"),
    _of("{s} arm behind the back / {s} hand behind {p} back", "front(left_hand) < -0.1", "up(left_hand) < 0.1"),
    _of("{s} arm stretched forward / reaching forward with the {s} hand / {s} arm out in front", "front(left_hand) > 0.42",
        "bend(left_elbow) < 50"),
    _of("{s} arm stretched to the side / stretching the {s} arm sideways / {s} arm out to the side", "left(left_hand) > 0.5",
        "up(left_hand) > -0.2", "bend(left_elbow) < 50"),
    _of("{s} hand raised / {s} hand lifted", "up(left_hand) > 0.2"),
    _of("{s} hand in front of the body", "front(left_hand) > 0.15"),
    _of("{s} arm hanging / {s} arm down / {s} hand lowered", "up(left_hand) < -0.3", "bend(left_elbow) < 50"),
    _of("{s} elbow bent / bending the {s} arm", "bend(left_elbow) > 40"),
    _of("{s} arm held away from the body"),
)
HANDS = (_of("hands together / both hands together in front", "distance(left_hand, right_hand) < 0.15", "front(each_hand) > 0.1"), _NOTHING)
HEAD = (
    _of("looking to the left / head turned left / looking left", "turn(head) > 18"),
    _of("looking to the right / head turned right / looking right", "turn(head) < -18"),
    _of("head tilted to the left / tilting {p} head left", "lean_left(head) > 16"),
    _of("head tilted to the right / tilting {p} head right", "lean_left(head) < -16"),
    _of("looking up / head back, looking up", "faces_up(head) - faces_up(chest) > 20", "tilt(torso) < 70"),
    _of("looking down / head down", "faces_up(head) - faces_up(chest) < -20", "tilt(torso) < 70"),
    _NOTHING,
)
# Statements are made in this order: (part, whether of the right limb).
COLUMNS = ((BODY, False), (TORSO, False), (LEG, False), (LEG, True), (STEP, False), (ARM, False), (ARM, True), (HANDS, False),
           (HEAD, False))
PAIRS = {2: 3, 5: 6}  # columns of a left and of the right limb


def state(pose: BodyPose) -> Tensor:
    """(B, C) int64, which statement of each of the ``COLUMNS`` is true of each row."""
    shown, mirrored = measure_posture(pose), measure_posture(mirror_pose(pose))
    met = [torch.stack([all_hold(statement.conditions, mirrored if right else shown) for statement in part]) for part, right in COLUMNS]
    return torch.stack([column.int().argmax(0) for column in met], 1)


def describe_poses(pose: BodyPose) -> list[str]:
    """Returns one description per row, from the whole body to the head."""
    return [_describe(row) for row in state(pose).tolist()]


def _describe(row):
    said = []
    for column, ((part, right), number) in enumerate(zip(COLUMNS, row)):
        phrase, other = part[number].phrases[0], PAIRS.get(column)
        if other and row[other] == number:
            said.append(both(phrase))
        elif not (column in PAIRS.values() and row[column - 1] == number):
            said.append(phrase.replace("{s}", "right" if right else "left"))
    return ", ".join(filter(None, said))


def both(phrase):
    """ "{s} arm hanging" to "both arms hanging"."""
    words = phrase.replace("{s}", "both").split()
    return " ".join([words[0], words[1] + "s", *words[2:]])
