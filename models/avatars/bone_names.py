"""What bone names mean: a name becomes a side and a role, for the rigging conventions in common use.

Covered: Mixamo, Unreal, Rigify (DEF-), Blender (.L/.R), Character Creator, DAZ, MakeHuman, MMD, 3ds Max Biped, VRoid, Unity, SMPL,
ours; with any prefix before them.
Roles are SMPL joint names (``left_knee``), so that nothing has to be translated twice.
"""

from __future__ import annotations

import re

SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
NOISE = {
    "mixamorig", "def", "bip", "biped", "valve", "valvebiped", "cc", "base", "j", "b", "c", "m", "f", "armature", "rig", "bone",
    "jnt", "joint", "bind", "sk", "skin", "bend", "character", "char", "skeleton", "avg",
}  # fmt: skip
NOT_A_LIMB = {
    "twist", "roll", "ik", "pole", "target", "ctrl", "control", "end", "leaf", "tip", "nub", "share", "sec", "adj", "null", "mch", "org",
    "helper", "root", "effector", "site", "top",
}  # fmt: skip

FOUR_LEGGED = {"front", "back", "rear", "hind"}  # legs named so are not a human's

# Role -> names without side and digits, the surest first. A later role never takes a bone that an earlier one has.
CENTRAL = {
    "pelvis": ("hips", "pelvis", "hip", "lowerbody"),
    "head": ("head",),
    "neck": ("neck", "necklower"),
}
SIDED = {
    "hip": ("upleg", "upperleg", "thigh", "legupper", "hip", "femur", "leg"),
    "knee": ("lowerleg", "lowleg", "calf", "shin", "leglower", "knee", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "ball", "foot"),
    "shoulder": ("upperarm", "uparm", "armupper", "shldr", "arm", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "armlower", "elbow"),
    "wrist": ("wrist", "hand", "palm"),
    "collar": ("clavicle", "collar", "shoulder"),
}
FINGERS = ("index", "middle", "pinky", "ring", "thumb")  # SMPL+H's order
_FINGER = re.compile(r"^(?:hand|f|finger)?(thumb|index|middle|mid|ring|pinky|little)(?:finger)?(?:proximal|intermediate|distal)?$")
_FINGER_NAMES = {"mid": "middle", "little": "pinky"}
_COUNTED = ("thumb", "index", "middle", "ring", "pinky")  # how MakeHuman (from 1) and 3ds Max (from 0) number fingers
_MAKEHUMAN_FINGER, _BIPED_FINGER = re.compile(r"finger_?([1-5])-\d", re.I), re.compile(r"finger([0-4])\d?$", re.I)
_FACE = {"nose": "nose", "eye": "eye", "ear": "ear"}

_JAPANESE = {
    "下半身": "lowerbody", "頭": "head", "首": "neck", "肩": "clavicle", "腕": "upperarm", "ひじ": "forearm", "肘": "forearm",
    "手首": "hand", "足": "thigh", "ひざ": "shin", "膝": "shin", "足首": "foot", "つま先": "toe", "足先EX": "toe", "目": "eye",
    "親指": "thumb", "人指": "index", "人差指": "index", "人差し指": "index", "中指": "middle", "薬指": "ring", "小指": "pinky",
}  # fmt: skip
_JAPANESE_SIDES = {"左": "left", "右": "right"}
_DIGITS = re.compile(r"[0-9０-９]+")

_VRM_LIMBS = {
    "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle", "Toes": "foot", "Shoulder": "collar", "UpperArm": "shoulder",
    "LowerArm": "elbow", "Hand": "wrist", "Eye": "eye",
}  # fmt: skip
_VRM_PHALANGES = {"Metacarpal": 1, "Proximal": 1, "Intermediate": 2, "Distal": 3}


def read_bone_name(name):
    """Returns (side, key) of a bone name: "left", "right" or "", and the rest in lower case without digits and prefixes.

    Example: ``mixamorig:LeftUpLeg`` -> ("left", "upleg"). The key is "" for helpers such as twist and IK bones.
    """
    side, words = _words(name)
    return side, "".join(words)


def read_prefixed_name(name):
    """Returns (side, key) of a name whose first words mean nothing: the longest ending that is a known key, or ("", "").

    Example: ``Hero_LeftForeArm`` -> ("left", "forearm").
    """
    side, words = _words(name)
    if FOUR_LEGGED & set(words):
        return "", ""
    endings = ("".join(words[i:]) for i in range(1, len(words)))
    known = next((key for key in endings if key in _KEYS or finger_of(key)), "")
    return (side, known) if known else ("", "")


def _words(name):
    """Side and remaining words of a name."""
    name = re.split(r"[:|]", name)[-1]
    japanese = _read_japanese(name)
    if japanese is not None:
        return japanese
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)
    words = [part for word in words for part in _split_side(word.lower())]
    if NOT_A_LIMB & set(words):
        return "", []
    side = next((SIDES[word] for word in words if word in SIDES), "")
    counted = [(_MAKEHUMAN_FINGER.search(name), 1), (_BIPED_FINGER.search(name), 0)]
    finger = next((_COUNTED[int(found[1]) - start] for found, start in counted if found), None)
    return side, [finger] if finger else [word for word in words if word not in SIDES and word not in NOISE]


def _read_japanese(name):
    """Side and key of an MMD bone name; None for other names. Deform copies end in D; twist, IK and control bones have no key."""
    if name.isascii():
        return None
    side = _JAPANESE_SIDES.get(name[0], "")
    plain = _DIGITS.sub("", name[1:] if side else name)
    plain = plain.removesuffix("D").removesuffix("Ｄ")
    return (side, [_JAPANESE[plain]]) if plain in _JAPANESE else ("", [])


def finger_of(key):
    """Returns the finger that a key names ("index"), or None."""
    found = _FINGER.match(key)
    return _FINGER_NAMES.get(found[1], found[1]) if found else None


def face_role(side, key):
    """Returns the face point that a bone stands for ("nose", "left_eye", ...), or None."""
    if key not in _FACE or (key == "nose") == bool(side):
        return None
    return f"{side}_{_FACE[key]}" if side else "nose"


def vrm_role(bone):
    """Returns our role for a VRM humanoid bone name (0.x and 1.0), or None for those we do not use.

    Spine bones are left out: the spine is read off the skeleton, since rigs have from one to six of them.
    """
    central = {"hips": "pelvis", "neck": "neck", "head": "head"}
    if bone in central:
        return central[bone]
    side = next((s for s in ("left", "right") if bone.startswith(s)), None)
    if side is None:
        return None
    part = bone.removeprefix(side)
    if part in _VRM_LIMBS:
        return f"{side}_{_VRM_LIMBS[part]}"
    finger = re.match(r"(Thumb|Index|Middle|Ring|Little)(\w+)", part)
    if not finger or finger[2] not in _VRM_PHALANGES:
        return None
    phalanx = _VRM_PHALANGES[finger[2]]
    if finger[1] == "Thumb" and finger[2] == "Proximal":  # VRM 1.0: metacarpal, proximal, distal; VRM 0.x: proximal, intermediate, distal
        phalanx = 2
    return f"{side}_{_FINGER_NAMES.get(finger[1].lower(), finger[1].lower())}{phalanx}"


def _split_side(word):
    """``leftarm`` -> left, arm; ``rshoulder`` -> r, shoulder; words that merely begin with an l or r stay whole."""
    for side in ("left", "right"):
        if word.startswith(side) and len(word) > len(side):
            return side, word.removeprefix(side)
    if word[0] in "lr" and (word[1:] in _LIMB_KEYS or finger_of(word[1:])):
        return word[0], word[1:]
    return (word,)


_LIMB_KEYS = {key for keys in SIDED.values() for key in keys}
_KEYS = _LIMB_KEYS | {key for keys in CENTRAL.values() for key in keys}
