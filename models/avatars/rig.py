"""A character's skeleton: which bones are a human's, where they rest, and what each one moves.

The humanoid map (role -> node, roles named as SMPL joints) comes from the file's VRM map, else from bone names, is checked by
geometry, and is completed or replaced by what geometry alone tells (`bone_geometry`). A user's bone map overrides all of it. The
pelvis and the spine are read off the skeleton itself, whatever their names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..bodies.joints import JOINT_NAMES, PARENTS
from ..checks import InputError
from .bone_geometry import map_by_geometry
from .bone_map import apply_bone_map
from .bone_names import CENTRAL, FINGERS, SIDED, face_role, finger_of, read_bone_name, read_prefixed_name, vrm_role
from .gltf_file import NAME
from .twist import LIMBS, MOST, twist_roles

REQUIRED = ("pelvis",) + tuple(f"{s}_{p}" for s in ("left", "right") for p in ("hip", "knee", "ankle", "shoulder", "elbow"))
REMEDY = ("Give a character with two arms and two legs that stands upright at rest; or name its bones as in Mixamo, Unreal, "
          "Blender (.L/.R), Unity or SMPL; or write a bone map (<avatar>.bones.json) that says which bone is which.")
HANDS = tuple(f"{side}_{finger}{n}" for side in ("left", "right") for finger in FINGERS for n in (1, 2, 3))  # BodyPose.hands' order
TWISTS = tuple(f"{side}_{limb}_twist{n}" for side in ("left", "right") for limb in LIMBS for n in range(1, MOST + 1))
ROLES = JOINT_NAMES[:22] + HANDS
PARENT_ROLE = {name: JOINT_NAMES[parent] for name, parent in zip(JOINT_NAMES, PARENTS) if parent >= 0} | {
    name: f"{name[:-1]}{int(name[-1]) - 1}" if name[-1] != "1" else f"{name.split('_')[0]}_wrist" for name in HANDS
} | {name: name.split("_twist")[0] for name in TWISTS}


@dataclass(frozen=True)
class Rig:
    """A humanoid skeleton at rest, in the file's own axes and units.

    Args:
        names: of the N nodes; they may repeat.
        parents: (N,) node above, -1 at roots.
        world: (N, 4, 4) rest transforms, node to world.
        humanoid: role -> node, for the roles this skeleton has, parents first.
        face: face point ("nose", "left_eye", ...) -> node, where bones for them exist.
        R_body: (3, 3) turns the file's axes into the body frame (+Y up, +Z front, +X left).
        source: what the map was read from, for the report.
        notes: what was guessed or overridden, one sentence each, for the report.
    """

    names: list
    parents: np.ndarray
    world: np.ndarray
    humanoid: dict
    face: dict
    R_body: np.ndarray
    source: str
    notes: tuple = ()

    def position(self, role):
        """(3,) rest position of a role's bone in the body frame."""
        return self.R_body @ self.world[self.humanoid[role], :3, 3]

    def parent_role(self, role):
        """The role whose bone carries this one: the nearest mapped bone above it, else the human anatomy's.

        Feet and hands that hang on IK roots are brought back to shin and forearm this way.
        """
        lawful, above = [], role
        while above in PARENT_ROLE:
            above = PARENT_ROLE[above]
            lawful += [above] * (above in self.humanoid)
        role_of = {node: name for name, node in self.humanoid.items()}
        node = self.parents[self.humanoid[role]]
        while node >= 0:
            if role_of.get(int(node)) in lawful:
                return role_of[int(node)]
            node = self.parents[node]
        return lawful[0] if lawful else None

    def drivers(self):
        """(N,) for every node the position in ``humanoid`` of the bone it follows; nodes above the pelvis follow the pelvis."""
        number = {node: i for i, node in enumerate(self.humanoid.values())}
        found = np.full(len(self.names), -1)
        for node in range(len(self.names)):
            above = node
            while above >= 0 and int(above) not in number:
                above = self.parents[above]
            found[node] = number[int(above)] if above >= 0 else 0
        return found


def build_rig(scene, path, bone_map=None):
    """Finds the human in a GltfScene.

    Args:
        scene: the read file.
        path: its name in messages.
        bone_map: role -> bone name (None: no bone) that overrides what is found; see `bone_map.find_bone_map`.

    Raises:
        InputError: no skeleton, or not a humanoid; the message lists the bones that were found and missed.
    """
    used = _moving_nodes(scene)
    if not any(part.skinned for part in scene.parts) and len(used) < len(REQUIRED):
        raise InputError(NAME, path, "has no skeleton: its mesh is not bound to bones",
                         "Rig it first, for example with Mixamo or Blender's Rigify.")
    parents, positions = scene.parents, scene.world[:, :3, 3]
    source = "the file's VRM map" if scene.vrm_bones else "bone names"
    found = _from_vrm(scene.vrm_bones) if scene.vrm_bones else _from_names(scene, used)
    found = found if bone_map is None else apply_bone_map(found, bone_map, scene.names, scene.order, used)
    found, source, notes = _with_geometry(found, scene, used, source, fixed=bone_map or {})
    found = _with_pelvis_and_spine(found, parents, positions)
    if bone_map:
        found = apply_bone_map(found, bone_map, scene.names, scene.order, used)
        notes += (f"{len(bone_map)} joints were set by the bone map",)
    _check_complete(found, scene, path)
    face = {role: node for role, node in _face_bones(scene).items() if _is_below(node, found.get("head"), parents)}
    humanoid = {role: found[role] for role in ROLES if role in found}
    R_body = _check_geometry(humanoid, positions, path)
    return Rig(scene.names, parents, scene.world, humanoid, face, R_body, source, notes)


def with_twists(rig, scene):
    """Returns the rig with its twist bones as further roles, which only a skin needs."""
    found = twist_roles(rig.humanoid, rig.names, rig.parents, rig.world[:, :3, 3], _moving_nodes(scene))
    return replace(rig, humanoid=rig.humanoid | {role: found[role] for role in TWISTS if role in found})


def _with_geometry(found, scene, used, source, fixed):
    """Completes a map that lacks required bones, and replaces one that no human body can have, by what geometry tells.

    Returns:
        (role -> node, source, notes). What the user has fixed is never replaced.
    """
    positions = scene.world[:, :3, 3]
    missed = [role for role in REQUIRED[1:] if role not in found]
    wrong = [] if missed else _contradictions(found, positions)
    if not missed and not wrong:
        return found, source, ()
    guess, notes = map_by_geometry(scene.parents, positions, used, *_skin(scene))
    if not guess or _contradictions(guess, positions):
        return found, source, ()
    merged = {role: node for role, node in guess.items() if role not in found and node not in found.values()} | found
    whole = all(role in merged for role in REQUIRED[1:]) and not _contradictions(merged, positions)
    if whole and 0 < len(missed) < len(REQUIRED) - 1:
        added = [role for role in ROLES if role in merged and role not in found]
        told = ", ".join(f"{role} = {scene.names[merged[role]]}" for role in added)
        return merged, f"{source} and geometry", (f"Guessed by geometry: {told}", *notes)
    kept = {role: found[role] for role in fixed if role in found}
    merged = {role: node for role, node in guess.items() if role not in fixed and node not in kept.values()} | kept
    why = f"bone names contradict the skeleton ({wrong[0]})" if wrong else f"bone names say nothing about {', '.join(missed[:3])}"
    told = ", ".join(f"{role} = {scene.names[node]}" for role, node in merged.items() if role not in kept)
    return merged, "geometry", (f"All bones were guessed by geometry, for {why}: {told}", *notes)


def _contradictions(found, positions):
    """What in a complete map no standing human can have; empty when it may be right."""
    at = {role: positions[node] for role, node in found.items()}
    up = at["left_shoulder"] + at["right_shoulder"] - at["left_ankle"] - at["right_ankle"]
    up = up / max(np.linalg.norm(up), 1e-12)
    lateral = at["left_hip"] - at["right_hip"]
    said, heading = [], np.zeros(3)
    for side, sign in (("left", 1), ("right", -1)):
        heights = [at[f"{side}_{part}"] @ up for part in ("shoulder", "hip", "knee", "ankle")]
        if sorted(heights, reverse=True) != heights:
            said.append(f"{side} shoulder, hip, knee and ankle are not one above the other")
        chains = (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
        for a, b, c in ([f"{side}_{part}" for part in chain] for chain in chains):
            lengths = [np.linalg.norm(at[b] - at[a]), np.linalg.norm(at[c] - at[b]) if c in at else 0.0]
            if c in at and min(lengths) > 0 and not 0.3 < lengths[0] / lengths[1] < 3.3:
                said.append(f"{a} to {b} and {b} to {c} differ in length more than threefold")
        if sign * (at[f"{side}_elbow"] - (at["left_shoulder"] + at["right_shoulder"]) / 2) @ lateral < 0:
            said.append(f"the {side} arm is on the side of the other leg")
        if f"{side}_foot" in at:
            heading = heading + at[f"{side}_foot"] - at[f"{side}_ankle"]
    front = np.cross(lateral, up)
    if heading @ front < -0.5 * np.linalg.norm(heading) * np.linalg.norm(front):
        said.append("the toes point backwards, so left and right are exchanged")
    return said


def _skin(scene, most=20_000):
    """(V, 3) rest vertices, at most about so many, and (V,) the node that moves each most."""
    points, owners = [], []
    step = 1 + sum(len(part.vertices) for part in scene.parts) // most
    for part in scene.parts:
        own = np.take_along_axis(part.joints, part.weights.argmax(1)[:, None], 1)[::step, 0]
        binds = {int(node): scene.world[node] @ part.binds[int(node)] for node in np.unique(own)}
        maps = np.stack([binds[int(node)] for node in own]) if len(own) else np.zeros((0, 4, 4))
        points.append(np.einsum("vij,vj->vi", maps[:, :3, :3], part.vertices[::step]) + maps[:, :3, 3])
        owners.append(own)
    return np.concatenate(points), np.concatenate(owners)


def _moving_nodes(scene):
    """Nodes that move some vertex, themselves or through a node below."""
    used = set()
    for part in scene.parts:
        for node in np.unique(part.joints[part.weights > 0]):
            while node >= 0 and int(node) not in used:
                used.add(int(node))
                node = scene.parents[node]
    return used


def _from_vrm(bones):
    return {role: node for bone, node in bones.items() if (role := vrm_role(bone)) is not None and not role.endswith("eye")}


def _from_names(scene, used):
    """Role -> node by names; of several bones with one name the topmost that moves some vertex is taken."""
    by_key = {}
    for node in scene.order:
        if node in used:
            by_key.setdefault(read_bone_name(scene.names[node]), []).append(node)
    for node in scene.order:  # names behind some prefix come after those without one
        if node in used and (key := read_prefixed_name(scene.names[node]))[1]:
            by_key.setdefault(key, []).append(node)
    found, taken = {}, set()

    def take(role, keys):
        for key in keys:
            node = next((n for n in by_key.get(key, ()) if n not in taken), None)
            if node is not None:
                found[role] = node
                taken.add(node)
                return

    for role, keys in CENTRAL.items():
        take(role, [("", key) for key in keys])
    for side in ("left", "right"):
        for role, keys in SIDED.items():
            take(f"{side}_{role}", [(side, key) for key in keys])
        _take_fingers(found, by_key, side, scene.parents)
    return found


def _take_fingers(found, by_key, side, parents):
    """The first three bones of each finger below the hand, in the order of the chain."""
    hand, bones = found.get(f"{side}_wrist"), {}
    for (bone_side, key), nodes in by_key.items():
        finger = finger_of(key)
        if bone_side == side and finger:
            bones.setdefault(finger, set()).update(node for node in nodes if _is_below(node, hand, parents))
    for finger, nodes in bones.items():
        chain = sorted(nodes, key=lambda node: len(_ancestors(node, parents)))[:3]
        if all(_is_below(b, a, parents) for a, b in zip(chain, chain[1:])):
            found.update({f"{side}_{finger}{i + 1}": node for i, node in enumerate(chain)})


def _face_bones(scene):
    roles = {bone_role: node for bone, node in scene.vrm_bones.items() if (bone_role := vrm_role(bone)) and bone_role.endswith("eye")}
    for node in scene.order:
        role = face_role(*read_bone_name(scene.names[node]))
        if role is not None:
            roles.setdefault(role, node)
    return roles


def _ancestors(node, parents):
    chain = []
    while node >= 0:
        chain.append(int(node))
        node = parents[node]
    return chain


def _is_below(node, top, parents):
    return top is not None and node != top and top in _ancestors(node, parents)


def _with_pelvis_and_spine(found, parents, positions):
    """Sets the pelvis to the bone that carries both legs and the trunk, and shares the bones above it out among the spine joints."""
    legs = [found.get(f"{s}_hip") for s in ("left", "right")]
    arms = [found.get(f"{s}_shoulder") for s in ("left", "right")]
    if None in legs + arms:
        return found
    common = set.intersection(*(set(_ancestors(node, parents)) for node in legs + arms))
    carrier = next((node for node in _ancestors(legs[0], parents) if node in common), None)
    span = np.linalg.norm(positions[arms[0]] + positions[arms[1]] - positions[legs[0]] - positions[legs[1]]) / 2
    near = carrier is not None and np.linalg.norm(positions[carrier] - (positions[legs[0]] + positions[legs[1]]) / 2) < 0.7 * span
    if near:
        found = {**found, "pelvis": carrier}
    head = found.get("head", _head_above(arms, parents))
    found = {**found, "head": head} if head is not None else found
    top = found.get("head", found.get("neck", arms[0]))
    path = _ancestors(top, parents)[::-1]
    path = path[path.index(found["pelvis"]) + 1 : -1] if found.get("pelvis") in path else []
    chest = [i for i, node in enumerate(path) if all(node in _ancestors(arm, parents) for arm in arms)]
    spine, neck = path[: max(chest) + 1] if chest else [], path[max(chest) + 1 :] if chest else []
    spine = [node for node in spine if np.linalg.norm(positions[node] - positions[arms[0]]) > 0]
    found = {role: node for role, node in found.items() if node not in spine or role == "pelvis"}
    if neck:
        found["neck"] = neck[0]
    return found | dict(zip(*_spine_shares(spine)))


def _head_above(arms, parents):
    """The end of the single chain that leaves the chest beside the arms: the head of rigs that count it as spine. None without one."""
    lines = [_ancestors(arm, parents) for arm in arms]
    node = next((node for node in lines[0] if node in lines[1]), None)
    beside, head = set(lines[0]) | set(lines[1]), None
    while node is not None:
        above = [int(child) for child in np.flatnonzero(parents == node) if child not in beside]
        node = above[0] if len(above) == 1 else None
        head = head if node is None else node
    return head


def _spine_shares(spine):
    """One spine bone plays spine3, two play spine2 and spine3, more are spread over all three; the others follow their parent."""
    if len(spine) < 3:
        return ("spine2", "spine3")[2 - len(spine) :] if spine else (), spine
    steps = np.linspace(0, len(spine) - 1, 3).round().astype(int)
    return ("spine1", "spine2", "spine3"), [spine[i] for i in steps]


def _check_complete(found, scene, path):
    missed = [role for role in REQUIRED if role not in found]
    if missed:
        have = ", ".join(f"{role} ({scene.names[node]})" for role, node in found.items() if role in JOINT_NAMES) or "none"
        raise InputError(NAME, path, f"is not a humanoid that can be posed: bones found: {have}; missed: {', '.join(missed)}", REMEDY)


def _check_geometry(humanoid, positions, path):
    """Returns R_body after checking that the skeleton stands like a human."""
    at = {role: positions[node] for role, node in humanoid.items()}
    hips, shoulders = (at["left_hip"] + at["right_hip"]) / 2, (at["left_shoulder"] + at["right_shoulder"]) / 2
    feet = (at["left_ankle"] + at["right_ankle"]) / 2
    size = np.linalg.norm(shoulders - feet)
    limbs = [role for role in REQUIRED if role.split("_")[-1] in ("knee", "ankle", "elbow")]
    lengths = [np.linalg.norm(at[role] - at[PARENT_ROLE[role]]) for role in limbs]
    if not np.isfinite(size) or size < 1e-6 or min(lengths) < 0.01 * size:
        raise InputError(NAME, path, "has limbs without length", "Export it with its skeleton in rest pose.")
    trunk, legs = shoulders - hips, hips - feet
    if trunk @ legs < 0.5 * np.linalg.norm(trunk) * np.linalg.norm(legs):
        raise InputError(NAME, path, "does not stand upright at rest: trunk and legs are more than 60 degrees apart (a quadruped?)", REMEDY)
    up = np.zeros(3)
    longest = np.abs(trunk + legs).argmax()
    up[longest] = np.sign((trunk + legs)[longest])
    lateral = at["left_hip"] - at["right_hip"] + at["left_shoulder"] - at["right_shoulder"]
    lateral = lateral - (lateral @ up) * up
    if np.linalg.norm(lateral) < 0.01 * size:
        raise InputError(NAME, path, "has left and right bones in the same place", REMEDY)
    lateral = lateral / np.linalg.norm(lateral)
    return np.stack([lateral, up, np.cross(lateral, up)])
