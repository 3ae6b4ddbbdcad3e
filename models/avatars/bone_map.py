"""A user's own bone map: JSON that says which bone plays which joint. It overrides whatever was read from the file or guessed."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from ..assets.files import check_file
from ..bodies.joints import JOINT_NAMES
from ..checks import InputError
from .bone_names import FINGERS, vrm_role

NAME = "bone map"
SUFFIX = ".bones.json"  # beside the avatar: ``hero.glb`` has ``hero.bones.json``
MAX_CHARACTERS = 200_000
ALLOWED = JOINT_NAMES[:22] + tuple(f"{side}_{finger}{n}" for side in ("left", "right") for finger in FINGERS for n in (1, 2, 3))
EXAMPLE = '{"left_shoulder": "UpperArm_L", "head": "Skull", "spine1": null}'


def find_bone_map(avatar_path, given=None):
    """Returns role -> bone name (None: no bone plays it), from ``given`` or from the file beside the avatar; empty without one.

    Args:
        avatar_path: the character's file.
        given: None, a dict, JSON text, or a Path to a JSON file. Keys are our joint names or VRM's humanoid bone names.

    Raises:
        InputError: it is not JSON, or names a joint that does not exist.
    """
    if isinstance(given, str) and not given.strip():
        given = None
    beside = Path(avatar_path).with_suffix(SUFFIX)
    if given is None and not beside.is_file():
        return {}
    source = beside if given is None else given
    entries = _parse(check_file(NAME, source, (".json",)).read_text("utf-8", "replace")) if isinstance(source, Path) else source
    entries = _parse(entries) if isinstance(entries, str) else entries
    if not isinstance(entries, dict):
        raise InputError(NAME, type(entries).__name__, "is not an object of joints and bones", f"Write it like {EXAMPLE}.")
    return {_role(key): _bone(key, value) for key, value in entries.items()}


def apply_bone_map(found, entries, names, order, used):
    """Returns the humanoid map with the user's entries in place of what was found.

    Args:
        found: role -> node. entries: role -> bone name or None. names: of all nodes.
        order: nodes, parents first. used: nodes that move vertices; they win among bones of one name.

    Raises:
        InputError: no bone has such a name, or one bone is to play two joints.
    """
    chosen = {role: None if bone is None else _node(role, bone, names, order, used) for role, bone in entries.items()}
    owner = {}
    for role, node in chosen.items():
        if node is not None and node in owner:
            raise InputError(NAME, names[node], f"is to play two joints: {owner[node]} and {role}", "Give each joint a bone of its own.")
        owner[node] = role
    kept = {role: node for role, node in found.items() if role not in chosen and node not in owner}
    return kept | {role: node for role, node in chosen.items() if node is not None}


def _parse(text):
    if len(text) > MAX_CHARACTERS:
        raise InputError(NAME, f"{len(text)} characters", f"is longer than {MAX_CHARACTERS}", f"Write it like {EXAMPLE}.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(NAME, text[:40], f"is not JSON ({str(error)[:80]})", f"Write it like {EXAMPLE}.") from None


def _role(key):
    role = key if key in ALLOWED else vrm_role(key)
    if role not in ALLOWED:
        close = difflib.get_close_matches(key.lower(), ALLOWED, 3, 0.4) or ALLOWED[:6]
        raise InputError(NAME, key, "is not a joint of the body", f"Use one of our joint names, for example {', '.join(close)}.")
    return role


def _bone(key, value):
    if value is not None and not isinstance(value, str):
        raise InputError(NAME, key, f"is mapped to {value!r:.40}, which is not a bone's name", "Write its name in quotes, or null.")
    return value


def _node(role, bone, names, order, used):
    same = [node for node in order if names[node] == bone]
    same = [node for node in same if node in used] or same
    if not same:
        close = difflib.get_close_matches(bone, names, 3, 0.4) or names[:5]
        raise InputError(NAME, bone, f"is no bone of this character (wanted for {role})", f"It has bones such as {', '.join(close)}.")
    return same[0]
