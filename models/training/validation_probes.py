"""Free sentences that are watched during training: does a sampled pose do what the words say, and on the right side?

They are for choosing between trainings; the frozen ones in ``metrics/probes.jsonl`` are for the score that is reported. Written before any
training; none of these sentences is among the training captions.
"""

from __future__ import annotations

from ..metrics.probes import Probe

_UPSIDE_DOWN = ("tilt(torso) > 120", "height(each_hand) < 0.4", "height(each_ankle) > 1.0")
_ON_CHAIR = ("bend(each_hip) > 45", "bend(each_knee) > 50", "tilt(torso) < 50", "0.3 < height(pelvis) < 0.9")
_ON_FLOOR = ("height(pelvis) < 0.4", "tilt(torso) < 50")
_CROUCHED = ("bend(each_knee) > 70", "height(pelvis) < 0.75", "tilt(torso) < 70", "height(each_knee) > 0.2")
_LYING = ("tilt(torso) > 60", "height(pelvis) < 0.4", "height(head) < 0.6")
_STANDING = ("tilt(torso) < 30", "height(pelvis) > 0.8")
_HANDS_LOW = ("height(each_hand) < height(neck)",)


def _sided(text, *conditions):
    return Probe(text, "side", conditions, sided=True)


VALIDATION_PROBES = (
    Probe("balancing upside down on her palms, heels toward the sky", "acrobatics", _UPSIDE_DOWN),
    Probe("an acrobat stands on his hands at the town fair", "acrobatics", _UPSIDE_DOWN),
    Probe("a secretary takes a seat at her typewriter", "sitting", _ON_CHAIR),
    Probe("an elderly gentleman resting on a stool", "sitting", _ON_CHAIR),
    Probe("schoolchildren seated on the ground in a circle with crossed legs", "sitting", (*_ON_FLOOR, "bend(each_knee) > 60")),
    Probe("she sits down on the lawn to read", "sitting", _ON_FLOOR),
    Probe("a pilgrim drops to both knees before the shrine", "kneeling",
          ("height(each_knee) < 0.25", "bend(each_knee) > 60", "tilt(torso) < 80")),
    Probe("a suitor asks for her hand in marriage on bended knee", "kneeling", ("height(any_knee) < 0.25", "tilt(torso) < 45")),
    Probe("both arms raised high in triumph", "arms", ("height(each_hand) > height(head)",)),
    Probe("an annoyed mother plants both fists on her hips", "arms", (*_STANDING, "distance(left_wrist, left_hip) < 0.32",
                                                                     "distance(right_wrist, right_hip) < 0.32", "bend(each_elbow) > 45")),
    Probe("a stern headmaster folds his arms across the chest", "arms", ("distance(left_wrist, right_elbow) < 0.33",
                                                                        "distance(right_wrist, left_elbow) < 0.33")),
    Probe("a scarecrow with outstretched arms at shoulder level", "arms", ("abs(elevation(each_arm)) < 25", "left(left_wrist) > 0.4",
                                                                          "left(right_wrist) < -0.4")),
    Probe("hands clasped behind the neck, elbows wide", "arms", ("distance(each_wrist, neck) < 0.33", "elevation(each_upper_arm) > -25")),
    _sided("a referee raises his left arm, the right one stays down",
           "height(left_hand) > height(head)", "height(right_hand) < height(neck) - 0.1"),
    _sided("a pupil lifting her right hand to answer", "height(right_hand) > height(head)", "height(left_hand) < height(neck) - 0.1"),
    _sided("her left hand is up", "height(left_hand) > height(left_shoulder)", "height(right_hand) < height(neck) - 0.1"),
    _sided("a sailor waves with the right hand from the deck", "height(right_hand) > height(right_shoulder)",
           "height(left_hand) < height(neck) - 0.1"),
    _sided("a drum majorette lifts the right knee to waist height", "elevation(right_thigh) > -30", "elevation(left_thigh) < -60"),
    _sided("the left knee is pulled up while she stands on the right leg", "elevation(left_thigh) > -30", "elevation(right_thigh) < -60"),
    _sided("the striker boots the ball with the left foot", "height(left_ankle) > height(right_ankle) + 0.1", "elevation(right_leg) < -45"),
    _sided("a martial artist kicks high with the right leg", "height(right_ankle) > height(left_ankle) + 0.4", "elevation(left_leg) < -45"),
    _sided("stretches her right arm out in front of her", "front(right_wrist) > 0.35", "front(left_wrist) < 0.35"),
    _sided("the left arm sticks out sideways", "left(left_wrist) > 0.45", "left(right_wrist) > -0.45"),
    Probe("an explorer crouches low to study footprints", "crouching", _CROUCHED),
    Probe("he squats to inspect a flat tyre", "crouching", _CROUCHED),
    Probe("a contortionist sinks into the splits", "floor", ("spread() > 115", "height(pelvis) < 0.6")),
    Probe("recruits grind out push-ups at boot camp", "floor", ("faces_up(chest) < -40", "bend(each_knee) < 45", "height(pelvis) < 0.7",
                                                               "height(each_hand) < 0.35")),
    Probe("an exhausted hiker lies flat on the meadow", "floor", _LYING),
    Probe("dozing on his back under an apple tree", "floor", (*_LYING, "faces_up(chest) > 30")),
    Probe("flat on her stomach beside the swimming pool", "floor", (*_LYING, "faces_up(chest) < -30")),
    Probe("an infant crawls toward its mother", "floor", ("height(each_knee) < 0.45", "height(any_hand) < 0.4", "45 < tilt(torso) < 125")),
    Probe("a postman walks along the lane", "moving", (*_STANDING, "apart(left_ankle, right_ankle) > 0.25", *_HANDS_LOW)),
    Probe("she runs as quickly as she can to catch the train", "moving", ("tilt(torso) < 50", "apart(left_ankle, right_ankle) > 0.35",
                                                                         "bend(any_knee) > 50", "height(pelvis) > 0.6")),
    Probe("a swordsman lunging deeply, one leg far ahead", "moving", ("apart(left_ankle, right_ankle) > 0.65", "bend(any_knee) > 45",
                                                                     "tilt(torso) < 60")),
    Probe("balances like a heron on a single leg", "moving",
          ("abs(height(left_ankle) - height(right_ankle)) > 0.2", "height(pelvis) > 0.7")),
    Probe("springing off the ground, limbs flung wide", "moving", ("spread() > 35", "distance(left_hand, right_hand) > 1.0")),
    Probe("hops with both knees drawn up under the chin", "moving", ("elevation(each_thigh) > -25", "bend(each_knee) > 50")),
    Probe("bends over to tap his shoes without bending the legs", "torso",
          ("tilt(torso) > 70", "bend(each_knee) < 50", "height(pelvis) > 0.6", "height(each_hand) < 0.6")),
    Probe("a violin soloist bows deeply after the concert", "torso",
          ("25 < tilt(torso) < 130", "bend(each_knee) < 50", "height(pelvis) > 0.7")),
    Probe("a sentry stands perfectly still beside the gate", "standing", (*_STANDING, "bend(each_knee) < 30", *_HANDS_LOW)),
)
