"""Free sentences with geometric conditions: does a sampled pose do what the words say, and on the right side?

Written before any training; none of these sentences is among the training captions. A condition looks at joint positions only, so a
probe that passes is not yet a beautiful pose, but one that fails is wrong. Positions are metres on a skeleton about 1.7 m tall, the lowest joint at
y = 0, the person facing +Z with +X the left side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES

X, Y, Z = range(3)


@dataclass(frozen=True)
class Probe:
    """A sentence, its family, and the test that its poses must pass: ``Joints -> (N,) bool``."""

    text: str
    family: str
    holds: object


class Joints:
    """Positions of N poses by joint name: ``joints.left_wrist`` is (N, 3)."""

    def __init__(self, positions: Tensor):
        """positions (N, 22, 3); the lowest joint of each pose is put on y = 0."""
        lowest = positions[..., Y].amin(1)
        self.positions = positions - torch.stack([torch.zeros_like(lowest), lowest, torch.zeros_like(lowest)], -1)[:, None]

    def __getattr__(self, name):
        return self.positions[:, JOINT_NAMES.index(name)]

    @property
    def up(self):
        """(N, 3) unit vector from pelvis to neck."""
        return torch.nn.functional.normalize(self.neck - self.pelvis, dim=-1)

    @property
    def front(self):
        """(N, 3) unit vector out of the chest."""
        return torch.nn.functional.normalize(torch.linalg.cross(self.left_shoulder - self.right_shoulder, self.up), dim=-1)


def joint_positions(rotmats: Tensor, rest_offsets: Tensor, parents) -> Tensor:
    """Forward kinematics: parent-relative rotmats (N, 22, 3, 3), root first, to positions (N, 22, 3) with the pelvis at 0."""
    turns, places = [rotmats[:, 0]], [torch.zeros_like(rotmats[:, 0, 0])]
    for joint in range(1, rotmats.shape[1]):
        parent = parents[joint]
        turns.append(turns[parent] @ rotmats[:, joint])
        places.append(places[parent] + turns[parent] @ rest_offsets[joint])
    return torch.stack(places, 1)


def distance(a, b):
    return (a - b).norm(dim=-1)


def cosine_of_bend(a, b, c):
    """Cosine of the angle at b: -1 straight, 0 a right angle, 1 folded."""
    return torch.nn.functional.cosine_similarity(a - b, c - b, dim=-1)


def upright(j):
    return j.up[:, Y] > 0.75


def horizontal(j):
    return j.up[:, Y].abs() < 0.5


def leg(j, side):
    """Returns (hip, knee, ankle) of a side."""
    return tuple(getattr(j, f"{side}_{part}") for part in ("hip", "knee", "ankle"))


def arm(j, side):
    """Returns (shoulder, elbow, wrist) of a side."""
    return tuple(getattr(j, f"{side}_{part}") for part in ("shoulder", "elbow", "wrist"))


def hand_up(j, side):
    return arm(j, side)[2][:, Y] > j.head[:, Y]


def hand_low(j, side):
    return arm(j, side)[2][:, Y] < arm(j, side)[0][:, Y] - 0.1


def straight(joints, limit=-0.8):
    return cosine_of_bend(*joints) < limit


def thigh_level(j, side, slack=0.22):
    hip, knee, _ = leg(j, side)
    return (hip[:, Y] - knee[:, Y]).abs() < slack


def knee_raised(j, side):
    hip, knee, _ = leg(j, side)
    return (knee[:, Y] > hip[:, Y] - 0.17) & (knee[:, Z] > hip[:, Z])


def standing_on(j, side):
    hip, knee, ankle = leg(j, side)
    return (hip[:, Y] - ankle[:, Y] > 0.6) & (knee[:, Y] < hip[:, Y] - 0.25)


def kneeling(j, side):
    hip, knee, _ = leg(j, side)
    return (knee[:, Y] < 0.2) & (hip[:, Y] > knee[:, Y] + 0.2)


def either(test, j):
    return test(j, "left") | test(j, "right")


def both(test, j):
    return test(j, "left") & test(j, "right")


def sits_on_chair(j):
    shin = lambda j, side: leg(j, side)[1][:, Y] - leg(j, side)[2][:, Y] > 0.2
    return both(thigh_level, j) & both(shin, j) & (j.up[:, Y] > 0.55) & (j.pelvis[:, Y] > 0.25)


def sits_on_floor(j):
    return (j.pelvis[:, Y] < 0.32) & (j.up[:, Y] > 0.55)


def lies(j):
    return (j.positions[..., Y].amax(1) < 0.7) & horizontal(j)


def upside_down(j):
    return (j.head[:, Y] < j.pelvis[:, Y] - 0.2) & both(lambda j, s: leg(j, s)[2][:, Y] > j.pelvis[:, Y] + 0.25, j)


def on_hands_and_knees(j):
    hand = lambda j, s: arm(j, s)[2][:, Y] < 0.35
    return both(hand, j) & both(lambda j, s: leg(j, s)[1][:, Y] < 0.4, j) & (j.up[:, Y].abs() < 0.7) & (j.pelvis[:, Y] > 0.3)


def crouches(j):
    bent = lambda j, s: ~straight(leg(j, s), -0.5)
    return (j.pelvis[:, Y] < 0.72) & both(bent, j) & (j.up[:, Y] > 0.3)


def touches_toes(j):
    low = lambda j, s: arm(j, s)[2][:, Y] < leg(j, s)[1][:, Y]
    return (j.up[:, Y] < 0.3) & both(low, j) & both(lambda j, s: straight(leg(j, s), -0.6), j) & (j.pelvis[:, Y] > 0.6)


def push_up_shape(j):
    return horizontal(j) & (j.front[:, Y] < -0.5) & both(lambda j, s: straight(leg(j, s), -0.7), j) & (j.pelvis[:, Y] < 0.7) & (
        j.left_wrist[:, Y] < j.left_shoulder[:, Y])


def reach_forward(j, side):
    shoulder, _, wrist = arm(j, side)
    return (wrist[:, Z] > shoulder[:, Z] + 0.3) & ((wrist - shoulder)[:, Y].abs() < 0.3)


def reach_out(j, side):
    shoulder, _, wrist = arm(j, side)
    sign = 1 if side == "left" else -1
    return (sign * (wrist - shoulder)[:, X] > 0.35) & ((wrist - shoulder)[:, Y].abs() < 0.25)


def hand_at_hip(j, side):
    hip, elbow, wrist = leg(j, side)[0], arm(j, side)[1], arm(j, side)[2]
    return (distance(wrist, hip) < 0.32) & (elbow[:, X].abs() > wrist[:, X].abs() + 0.02)


def ankle_high(j, side, other):
    return (leg(j, side)[2][:, Y] > leg(j, other)[2][:, Y] + 0.4) & standing_on(j, other)


def stride(j):
    return (j.left_ankle - j.right_ankle)[:, Z].abs()


def ankles_apart(j):
    return distance(j.left_ankle, j.right_ankle)


PROBES = (
    Probe("balancing upside down on her palms, heels toward the sky", "acrobatics", upside_down),
    Probe("an acrobat stands on his hands at the town fair", "acrobatics", upside_down),
    Probe("a secretary takes a seat at her typewriter", "sitting", sits_on_chair),
    Probe("an elderly gentleman resting on a stool", "sitting", sits_on_chair),
    Probe("schoolchildren seated on the ground in a circle with crossed legs", "sitting", sits_on_floor),
    Probe("she sits down on the lawn to read", "sitting", lambda j: sits_on_floor(j) | sits_on_chair(j)),
    Probe("a pilgrim drops to both knees before the shrine", "kneeling", lambda j: both(kneeling, j) & (j.pelvis[:, Y] > 0.1)),
    Probe("a suitor asks for her hand in marriage on bended knee", "kneeling", lambda j: either(kneeling, j) & upright(j)),
    Probe("both arms raised high in triumph", "arms", lambda j: both(hand_up, j)),
    Probe("a referee raises his left arm, the right one stays down", "side", lambda j: hand_up(j, "left") & hand_low(j, "right")),
    Probe("a pupil lifting her right hand to answer", "side", lambda j: hand_up(j, "right") & hand_low(j, "left")),
    Probe("her left hand is up", "side", lambda j: (j.left_wrist[:, Y] > j.left_shoulder[:, Y]) & hand_low(j, "right")),
    Probe("a drum majorette lifts the right knee to waist height", "side", lambda j: knee_raised(j, "right") & standing_on(j, "left")),
    Probe("the left knee is pulled up while she stands on the right leg", "side",
          lambda j: knee_raised(j, "left") & standing_on(j, "right")),
    Probe("an explorer crouches low to study footprints", "crouching", crouches),
    Probe("he squats to inspect a flat tyre", "crouching", crouches),
    Probe("a contortionist sinks into the splits", "floor", lambda j: (ankles_apart(j) > 1.1) & (j.pelvis[:, Y] < 0.4)),
    Probe("recruits grind out push-ups at boot camp", "floor", push_up_shape),
    Probe("an exhausted hiker lies flat on the meadow", "floor", lies),
    Probe("dozing on his back under an apple tree", "floor", lambda j: lies(j) & (j.front[:, Y] > 0.4)),
    Probe("flat on her stomach beside the swimming pool", "floor", lambda j: lies(j) & (j.front[:, Y] < -0.4)),
    Probe("an infant crawls toward its mother", "floor", on_hands_and_knees),
    Probe("a postman walks along the lane", "walking", lambda j: upright(j) & (stride(j) > 0.2) & either(standing_on, j)),
    Probe("she runs as quickly as she can to catch the train", "walking",
          lambda j: (j.up[:, Y] > 0.6) & (stride(j) > 0.3) & either(lambda j, s: ~straight(leg(j, s), -0.5), j)),
    Probe("a sailor waves with the right hand from the deck", "side",
          lambda j: (j.right_wrist[:, Y] > j.right_shoulder[:, Y]) & hand_low(j, "left")),
    Probe("a scarecrow with outstretched arms at shoulder level", "arms", lambda j: both(reach_out, j)),
    Probe("the striker boots the ball with the left foot", "side",
          lambda j: (j.left_ankle[:, Y] > j.right_ankle[:, Y] + 0.1) & standing_on(j, "right")),
    Probe("a martial artist kicks high with the right leg", "side", lambda j: ankle_high(j, "right", "left")),
    Probe("a swordsman lunging deeply, one leg far ahead", "legs", lambda j: (stride(j) > 0.55) & (j.up[:, Y] > 0.6)),
    Probe("an annoyed mother plants both fists on her hips", "arms", lambda j: both(hand_at_hip, j) & upright(j)),
    Probe("a stern headmaster folds his arms across the chest", "arms",
          lambda j: (distance(j.left_wrist, j.right_elbow) < 0.3) & (distance(j.right_wrist, j.left_elbow) < 0.3)),
    Probe("bends over to tap his shoes without bending the legs", "torso", touches_toes),
    Probe("a violin soloist bows deeply after the concert", "torso", lambda j: (j.up[:, Y] < 0.85) & both(standing_on, j)),
    Probe("springing off the ground, limbs flung wide", "jumping",
          lambda j: (ankles_apart(j) > 0.6) & (distance(j.left_wrist, j.right_wrist) > 0.9)),
    Probe("hops with both knees drawn up under the chin", "jumping", lambda j: both(lambda j, s: knee_raised(j, s) | thigh_level(j, s), j)),
    Probe("balances like a heron on a single leg", "legs", lambda j: (standing_on(j, "left") & ~straight(leg(j, "right"), -0.7)) | (
        standing_on(j, "right") & ~straight(leg(j, "left"), -0.7))),
    Probe("stretches her right arm out in front of her", "side", lambda j: reach_forward(j, "right") & ~reach_forward(j, "left")),
    Probe("the left arm sticks out sideways", "side", lambda j: reach_out(j, "left") & ~reach_out(j, "right")),
    Probe("hands clasped behind the neck, elbows wide", "arms",
          lambda j: both(lambda j, s: distance(arm(j, s)[2], j.neck) < 0.3, j) & (j.left_elbow[:, Y] > j.left_shoulder[:, Y] - 0.15)),
    Probe("a sentry stands perfectly still beside the gate", "standing", lambda j: upright(j) & both(standing_on, j) & both(hand_low, j)),
)
