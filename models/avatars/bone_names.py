"""What bone names mean: a name becomes a side and a role, for the rigging conventions in common use.

Covered: Mixamo, Unreal, Rigify (DEF-), Blender (.L/.R), Character Creator, DAZ, 3ds Max Biped, VRoid, Unity, SMPL, ours.
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
_FACE = {"nose": "nose", "eye": "eye", "ear": "ear"}

_VRM_LIMBS = {
    "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle", "Toes": "foot", "Shoulder": "collar", "UpperArm": "shoulder",
    "LowerArm": "elbow", "Hand": "wrist", "Eye": "eye",
}  # fmt: skip
_VRM_PHALANGES = {"Metacarpal": 1, "Proximal": 1, "Intermediate": 2, "Distal": 3}


def read_bone_name(name):
    """Returns (side, key) of a bone name: "left", "right" or "", and the rest in lower case without digits and prefixes.

    Example: ``mixamorig:LeftUpLeg`` -> ("left", "upleg"). The key is "" for helpers such as twist and IK bones.
    """
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", re.split(r"[:|]", name)[-1])
    words = [part for word in words for part in _split_side(word.lower())]
    if NOT_A_LIMB & set(words):
        return "", ""
    side = next((SIDES[word] for word in words if word in SIDES), "")
    return side, "".join(word for word in words if word not in SIDES and word not in NOISE)


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
    """``leftarm`` -> left, arm; words that merely begin with an l or r stay whole."""
    for side in ("left", "right"):
        if word.startswith(side) and len(word) > len(side):
            return side, word.removeprefix(side)
    return (word,)
