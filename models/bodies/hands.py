"""Finger poses by name, set by hand or read from a sentence. Left and right are apart.

A hand is ``(15, 3, 3)`` in SMPL-H's order: index, middle, pinky, ring, thumb, three joints each from the palm outwards. In the rest pose
the left arm points along +X and the palm looks down; so its fingers curl about -Z, fan out about Y, and the right hand is its mirror image.
Identity is the hand as the body or the avatar has it at rest.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import torch
from torch import Tensor

from ..checks import check_choice
from ..rotations import rotvec_to_rotmat
from ..types import BodyPose

FINGERS = ("index", "middle", "pinky", "ring", "thumb")
AUTO, AS_IS = "auto", "as is"

# Degrees. A finger: curl of its three joints, then fan (towards the thumb is positive). The thumb: rotation vector of its first joint, then
# the curl of the other two about _THUMB_HINGE.
_STRAIGHT = (0, 0, 0, 0)
_FIST = {"index": (72, 92, 55, 0), "middle": (72, 92, 55, 0), "pinky": (76, 90, 55, 0), "ring": (74, 92, 55, 0)}
_THUMB_HINGE = (0.70, 0.58, -0.42)  # across the thumb, which at rest points outwards, forwards and down; it bends towards the palm
_THUMB_OVER_FIST = ((34, 14, -6), 50, 62)
PRESETS = {
    "open": (_STRAIGHT, _STRAIGHT, _STRAIGHT, _STRAIGHT, ((0, 0, 0), 0, 0)),
    "relaxed": ((16, 22, 12, 0), (20, 26, 14, 0), (27, 30, 16, 0), (24, 29, 16, 0), ((14, 6, -4), 8, 10)),
    "fist": (*_FIST.values(), _THUMB_OVER_FIST),
    "point": ((0, 2, 2, 0), _FIST["middle"], _FIST["pinky"], _FIST["ring"], _THUMB_OVER_FIST),
    "grip": ((50, 55, 30, 0), (53, 58, 32, 0), (58, 60, 35, 2), (55, 60, 33, 1), ((45, 5, -18), 20, 25)),
    "wave": ((-4, 0, 0, 11), (-6, 0, 0, 2), (-2, 0, 0, -19), (-5, 0, 0, -8), ((-8, -22, 4), -6, -6)),
    "thumbs up": (*_FIST.values(), ((-22, -34, 8), -10, -14)),
    "peace": ((0, 2, 2, 10), (0, 2, 2, -9), _FIST["pinky"], _FIST["ring"], ((40, 24, -8), 58, 66)),
}
HAND_NAMES = tuple(PRESETS)

# What a sentence says about hands: pattern, preset, and the hands meant when no side is named ("always both": whatever side is named).
# The first that fits a hand wins.
_ON_BODY = r"(?:arm|hand|leg|foot|feet|knee|head|pose|balance|breath|still)"
_RULES = tuple((re.compile(pattern, re.I), preset, hands) for pattern, preset, hands in (
    (r"\bthumbs?[- ]?up\b", "thumbs up", "right"),
    (r"\b(?:peace|victory|v)[- ]sign", "peace", "right"),
    (r"\bpoint(?:s|ing)?\b(?! (?:\w+ )?(?:toe|foot|feet|of\b))", "point", "right"),
    (r"\bfists?\b|\bpunch|\bjab(?:s|bing)?\b|\buppercut|\bclench", "fist", "both"),
    (r"\bbox(?:er|ing)\b", "fist", "always both"),
    (r"\bwav(?:e|es|ing)\b|\bhigh[- ]five|\bhailing\b|\bgreet(?:s|ing)\b", "wave", "right"),
    (r"\bopen (?:hand|palm)|\bpalms?\b|\bclap|\bpray|\bsalut|\bhandstand|\bcartwheel|\bpush[- ]?ups?\b|\bplank|\ball fours\b|\bcrawl",
     "open", "both"),
    (rf"\b(?:hold(?:s|ing)?|lift(?:s|ing)?|carr(?:y|ies|ying)|pull(?:s|ing)?|swing(?:s|ing)?)\b(?! (?:\w+ ){{0,2}}{_ON_BODY})"
     r"|\bgrip|\bgrasp|\bclimb|\brow(?:s|ing)\b|\bhang(?:s|ing)? (?:from|on)\b|\bgolf|\bsword|\bracket|\bbarbell|\bdumbbell|\bsteer",
     "grip", "both"),
))
_SIDE = re.compile(r"\b(left|right)\b(?= (?:\w+ )?(?:hand|fist|arm|finger|thumb|index|palm|uppercut|jab|hook)s?\b)"
                   r"|\bwith (?:his|her|their|its|my|the) (left|right)\b(?! (?:leg|foot|knee|hip|shoulder))", re.I)
_CLAUSE = re.compile(r"[,;.]|\band\b|\bwhile\b|\bthen\b", re.I)


def hands_from_text(text: str) -> tuple[str, str]:
    """Reads from a sentence how its hands are held, by a small table of words; what it does not tell is "relaxed".

    A side named in a part of the sentence ("with the left fist") holds for that part only.

    Returns:
        (left, right) names of presets.
    """
    said: dict[str, tuple[int, str]] = {}
    for clause in _CLAUSE.split(text):
        sides = {(found[1] or found[2]).lower() for found in _SIDE.finditer(clause)}
        for rank, (pattern, preset, usual) in enumerate(_RULES):
            if pattern.search(clause):
                for side in _meant(clause, sides, usual):
                    said[side] = min(said.get(side, (rank, preset)), (rank, preset))
    return tuple(said[side][1] if side in said else "relaxed" for side in ("left", "right"))


def _meant(clause, sides, usual):
    if usual == "always both" or not sides and (usual == "both" or re.search(r"\bboth\b", clause, re.I)):
        return {"left", "right"}
    return sides or {usual}


def hand_rotmats(name: str, side: str) -> Tensor:
    """Returns the finger rotations ``(15, 3, 3)`` of a preset.

    Args:
        name: one of :data:`HAND_NAMES`.
        side: "left" or "right".

    Raises:
        InputError: the name or the side is unknown.
    """
    *fingers, (base, *bends) = PRESETS[check_choice("hand", name, HAND_NAMES)]
    check_choice("side", side, ("left", "right"))
    rotmats = []
    for *curls, fan in fingers:
        turns = _radians([[0.0, 0.0, -curl] for curl in curls])
        turns[0] = _radians([0.0, -fan, 0.0]) @ turns[0]
        rotmats.append(turns)
    rotmats.append(_radians([base, *([bend * part for part in _THUMB_HINGE] for bend in bends)]))
    left = torch.cat(rotmats)
    if side == "left":
        return left
    flip = torch.tensor([-1.0, 1.0, 1.0])
    return flip[:, None] * left * flip


def set_hands(pose: BodyPose, left: str = AUTO, right: str = AUTO, text: str = "") -> BodyPose:
    """Returns poses with other fingers.

    Args:
        pose: B rows.
        left, right: a preset, "auto" to read it from ``text``, or "as is" to leave that hand.
        text: the sentence; every row gets the same hands.

    Raises:
        InputError: a name is unknown.
    """
    told = hands_from_text(text)
    hands = torch.eye(3).expand(len(pose), 30, 3, 3).to(pose.body_pose).clone() if pose.hands is None else pose.hands.clone()
    for number, (side, name) in enumerate((("left", left), ("right", right))):
        if check_choice(side, name, (AUTO, AS_IS, *HAND_NAMES)) != AS_IS:
            hands[:, 15 * number : 15 * number + 15] = hand_rotmats(told[number] if name == AUTO else name, side).to(hands)
    return replace(pose, hands=hands)


def _radians(degrees):
    return rotvec_to_rotmat(torch.tensor(degrees) * (math.pi / 180))
