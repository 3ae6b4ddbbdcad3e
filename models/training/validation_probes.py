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


# Written later than the others, when the action bank was there, and used in the same way.
_HANDS_AT_WORK = ("front(each_hand) > 0.1", "height(each_hand) < height(neck)")
_UPRIGHT = ("tilt(torso) < 35", "height(pelvis) > 0.75")
_ONE_AT_FACE = ("distance(any_hand, face) < 0.32",)
_BENT = ("tilt(torso) > 30", "height(pelvis) > 0.5")
_LOW_HANDS = ("height(any_hand) < 0.5",)
MORE = (
    Probe("a grocer stacking tins on the shelf", "work", (*_UPRIGHT, "front(any_hand) > 0.2")),
    Probe("vacuuming under the couch", "work", ("front(any_hand) > 0.15", "height(pelvis) > 0.5")),
    Probe("a joiner sanding a table top", "work", _HANDS_AT_WORK),
    Probe("gathering fallen apples from the orchard floor", "work", _LOW_HANDS),
    Probe("the gardener kneels to plant lettuce", "work", ("height(any_knee) < 0.3", "height(any_hand) < 0.6")),
    Probe("cleaning the bathroom mirror", "work", (*_UPRIGHT, "front(any_hand) > 0.15", "height(any_hand) > height(spine2)")),
    Probe("a porter heaving a trunk onto the luggage rack", "work", ("height(each_hand) > height(neck)",)),
    Probe("a washerwoman wringing out sheets", "work", _HANDS_AT_WORK),
    Probe("lifting a sleeping toddler out of the cot", "work", ("tilt(torso) > 15", "front(each_hand) > 0.1")),
    Probe("a plumber lying on his back under the sink", "work", (*_LYING, "faces_up(chest) > 20")),
    Probe("a goat farmer milking on a low stool", "work", ("bend(each_knee) > 50", "height(pelvis) < 0.8", "front(each_hand) > 0.1")),
    Probe("a lumberjack about to bring down his axe", "work", ("height(any_hand) > height(neck)",)),
    Probe("the barman shakes a cocktail", "role", (*_UPRIGHT, "front(each_hand) > 0.05", "height(each_hand) > height(pelvis)")),
    Probe("a news reader behind her desk, hands folded", "role", ("distance(left_hand, right_hand) < 0.35", "tilt(torso) < 30")),
    Probe("a preacher blesses his flock with outspread arms", "role", ("distance(left_hand, right_hand) > 0.7",
                                                                      "height(each_hand) > height(pelvis) + 0.1")),
    Probe("an usher showing people to their seats", "role", (*_UPRIGHT, "distance(any_hand, pelvis) > 0.4")),
    Probe("a hiker drinking from a canteen", "role", _ONE_AT_FACE),
    Probe("the drummer of a marching band", "role", (*_UPRIGHT, "front(each_hand) > 0.1")),
    Probe("an air hostess pointing out the emergency exits", "role", ("distance(left_hand, right_hand) > 0.5", *_UPRIGHT)),
    Probe("a cowboy drawing his gun", "role", (*_UPRIGHT, "bend(any_elbow) > 20")),
    Probe("a bride and her bouquet held at the waist", "role", (*_UPRIGHT, "distance(left_hand, right_hand) < 0.4",
                                                                "front(each_hand) > 0.08")),
    Probe("a tightrope artist high above the ring", "role", ("distance(left_hand, right_hand) > 0.9",)),
    Probe("a toreador standing tall with his feet together", "role", (*_UPRIGHT, "distance(left_ankle, right_ankle) < 0.35")),
    Probe("he facepalms", "emotion", _ONE_AT_FACE),
    Probe("utterly worn out, she drops into a chair", "emotion", _ON_CHAIR),
    Probe("jubilant fans throwing their arms up", "emotion", ("height(each_hand) > height(neck)",)),
    Probe("sobbing on the floor with the knees drawn up", "emotion", (*_ON_FLOOR, "bend(each_knee) > 60")),
    Probe("crestfallen, staring at the ground", "emotion", ("faces_up(head) < -12", "tilt(torso) < 60")),
    Probe("taken aback, hands flying to the cheeks", "emotion", ("distance(each_hand, head) < 0.35",)),
    Probe("bashful, hands behind the back", "emotion", ("front(each_hand) < 0.02", "height(each_hand) < height(spine3)")),
    Probe("proud as punch, chest out and fists at the waist", "emotion", ("distance(left_wrist, left_hip) < 0.33",
                                                                         "distance(right_wrist, right_hip) < 0.33")),
    Probe("chilled to the bone, rubbing both upper arms", "emotion", ("distance(left_hand, right_elbow) < 0.35",
                                                                     "distance(right_hand, left_elbow) < 0.35")),
    Probe("who cares, shrugs the teenager", "gesture", ("bend(each_elbow) > 30", "height(each_hand) > height(pelvis)")),
    Probe("blowing a kiss to the audience", "gesture", ("distance(any_hand, face) < 0.4",)),
    Probe("tapping the side of the forehead", "gesture", ("distance(any_hand, head) < 0.32",)),
    Probe("fingers in both ears", "gesture", ("distance(each_hand, head) < 0.32",)),
    Probe("beckoning a dog from a squat", "gesture", ("bend(each_knee) > 60", "height(pelvis) < 0.75")),
    Probe("a toast to the birthday child with raised glass", "gesture", ("height(any_hand) > height(spine3)", "height(pelvis) > 0.35")),
    Probe("pressing both palms against a pane of glass", "gesture", ("front(each_hand) > 0.25",)),
    Probe("sprawled on the couch, gazing at the ceiling", "floor", ("faces_up(chest) > 15",)),
    Probe("a drunkard sleeping it off on one side", "floor", _LYING),
    Probe("floating on the back in the sea", "floor", (*_LYING, "faces_up(chest) > 25")),
    Probe("sniping from a prone position", "floor", ("faces_up(chest) < -10", "height(pelvis) < 0.4")),
    Probe("the corpse lies face down in the library", "floor", (*_LYING, "faces_up(chest) < -30")),
    Probe("huddled on the doorstep hugging the knees", "floor", (*_ON_FLOOR, "bend(each_knee) > 60")),
    Probe("peering under the bed on hands and knees", "floor", ("height(each_knee) < 0.4", "tilt(torso) > 40")),
    Probe("a batsman swings at the ball", "sport", ("distance(left_hand, right_hand) < 0.45", "height(pelvis) > 0.6")),
    Probe("heading the ball at the far post", "sport", ("height(pelvis) > 0.6", "tilt(torso) < 60")),
    Probe("the bowler releases the ball down the lane", "sport", ("bend(any_knee) > 25", "height(pelvis) > 0.4")),
    Probe("lifting kettlebells in front of the body", "sport", ("height(pelvis) > 0.4", "front(any_hand) > 0.05")),
    Probe("a fencer in full lunge", "sport", ("apart(left_ankle, right_ankle) > 0.55", "front(any_hand) > 0.3")),
    Probe("downhill racer crouched over the skis", "sport", ("bend(each_knee) > 35", "tilt(torso) > 15")),
    Probe("a lifter jerks the bar overhead", "sport", ("height(each_hand) > height(head)",)),
    Probe("a discus thrower winding up", "sport", ("distance(left_hand, right_hand) > 0.4", "height(pelvis) > 0.4")),
    Probe("swan lake, one leg high behind", "dance", ("abs(height(left_ankle) - height(right_ankle)) > 0.3",)),
    Probe("a flamenco finale with both hands overhead", "dance", ("height(each_hand) > height(head)",)),
    _sided("a traffic warden stretches the left arm out to stop the cars", "distance(left_hand, left_shoulder) > 0.45",
           "height(left_hand) > height(pelvis) + 0.2", "height(right_hand) < height(neck)"),
    _sided("her right palm rests on her right hip", "distance(right_wrist, right_hip) < 0.33", "distance(left_wrist, left_hip) > 0.2"),
    _sided("the umpire lifts a finger of his right hand to the sky", "height(right_hand) > height(head)",
           "height(left_hand) < height(neck)"),
    _sided("scratching his head with the left hand", "distance(left_hand, head) < 0.32", "distance(right_hand, head) > 0.4"),
    _sided("standing on the right leg like a stork", "height(left_ankle) > height(right_ankle) + 0.15"),
    _sided("phone pressed to the right ear", "distance(right_hand, head) < 0.32", "distance(left_hand, head) > 0.35"),
    _sided("stepping onto the kerb with the right foot", "height(right_ankle) > height(left_ankle) + 0.05"),
    _sided("looking back over the left shoulder", "turn(head) + turn(chest) > 15"),
    _sided("lying on her right side", "tilt(torso) > 55", "height(left_shoulder) > height(right_shoulder) + 0.1"),
    _sided("the left elbow on the table, chin in the left hand", "distance(left_hand, face) < 0.3"),
)

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
    *MORE,
)
