"""Poses written by hand: stances, arms and turns from ``authored/library.json``, jittered, brought to the floor.

The library speaks the language of a figure-drawing book, in degrees. A leg is (flexion, abduction, outward rotation, knee bend, ankle
extension); a stance leans its pelvis by ``pitch`` (forwards) and ``roll`` (to its left) and bends ``spine`` and ``neck`` by (forwards,
to the left, turned to the left). An arm either points: ``upper`` and ``fore`` are the directions of its two bones; or reaches: ``hand`` is
where the wrist is, ``pole`` where the elbow looks. Vectors are (away from the body on the arm's own side, up, front), in the ``frame`` of
the chest unless another one is named; places are metres from the head, pelvis, knee, ankle or foot. ``contact`` names two groups of
joints that meet the floor together, and the range of pitch in which they do. Everything is written once, and mirrored for the other side.

All samples of a stance are made in one batch. Rotations are rotmats relative to the parent, metres, +Y up, +Z front, +X the body's left.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...bodies.joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from ...bodies.posture import REFERENCE_OFFSETS
from ...bodies.skinning import chain
from ...rotations import rotation_about, rotvec_to_rotmat, vectors_to_rotmat

LIBRARY = Path(__file__).parent / "authored"
OFFSETS = torch.tensor(REFERENCE_OFFSETS)
FLIP = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
SPINE, NECK = (("spine1", 0.33), ("spine2", 0.33), ("spine3", 0.34)), (("neck", 0.42), ("head", 0.58))
# Spread of the jitter: degrees for angles, else shares of an arm's length.
LEG_JITTER, SPINE_JITTER, NECK_JITTER, PELVIS_JITTER = (5.0, 3.0, 5.0, 5.0, 4.0), (4.0, 3.0, 4.0), (6.0, 7.0, 4.0), (2.5, 1.5)
UPPER_JITTER, FORE_JITTER, TWIST_JITTER, WRIST_JITTER, TRUNK_JITTER = 0.09, 0.11, 12.0, 0.13, 0.022
PALM_TO_FLOOR = 62.0  # degrees of wrist extension where a hand carries weight
# Metres from a joint to the skin below it, for the floor.
_FLESH = {"foot": 0.025, "ankle": 0.085, "knee": 0.065, "pelvis": 0.1, "spine1": 0.1, "spine2": 0.1, "spine3": 0.1, "neck": 0.09,
          "head": 0.13, "wrist": 0.03, "elbow": 0.045, "shoulder": 0.07, "hip": 0.1, "collar": 0.06}
FLESH = torch.tensor([_FLESH[name.split("_")[-1]] for name in JOINT_NAMES[:BODY_JOINTS]])
# Frame of a reaching arm -> (joint that places are measured from, joint whose axes they use); {side} is the arm's own.
REACH = {"head": ("head", "head"), "pelvis": ("pelvis", "pelvis"), "knee": ("{side}_knee", "pelvis"), "ankle": ("{side}_ankle", "pelvis"),
         "foot": ("{side}_foot", "pelvis")}


@cache
def library():
    """The hand-written library: arms, both, asymmetric, stances, head, torso, subjects."""
    return json.loads((LIBRARY / "library.json").read_text(encoding="utf-8"))


def author_poses(stance, arms, count, generator, head=(0, 0, 0), torso=(0, 0, 0)) -> tuple[Tensor, Tensor]:
    """Makes jittered samples of one stance.

    Args:
        stance: an entry of the library's stances.
        arms: (left, right) entries for the arms.
        count: B samples.
        generator: of the jitter.
        head, torso: degrees added to the neck and the spine.

    Returns:
        (rotmats (B, 22, 3, 3), the root first; root heights (B,), metres of the pelvis above the floor).
    """
    jitter = _Jitter(stance, count, generator)
    pitch = stance.get("pitch", 0) + jitter.pitch
    if "contact" in stance:
        pitch = _pitch_of_contact(stance, arms, jitter, head, torso)
    rotmats = _pose(stance, arms, jitter, pitch, head, torso)
    trunk = [JOINT_NAMES.index(name) for name in ("spine1", "spine2", "spine3", "neck", "head", "left_collar", "right_collar")]
    rotmats[:, trunk] = rotmats[:, trunk] @ rotvec_to_rotmat(jitter.trunk)
    return rotmats, -lowest_point(rotmats) + stance.get("air", 0) * jitter.air


def mirror_rotmats(rotmats: Tensor) -> Tensor:
    """(B, 22, 3, 3) with left and right exchanged."""
    other = [JOINT_NAMES.index(_other_side(name)) for name in JOINT_NAMES[:BODY_JOINTS]]
    return FLIP @ rotmats[:, other] @ FLIP


def place_joints(rotmats: Tensor) -> tuple[Tensor, Tensor]:
    """Rotmats (B, 22, 3, 3) -> (global rotations, places (B, 22, 3) with the pelvis at the origin) on the reference skeleton."""
    transforms = torch.zeros(len(rotmats), BODY_JOINTS, 4, 4)
    transforms[..., :3, :3], transforms[..., :3, 3], transforms[..., 3, 3] = rotmats, OFFSETS, 1
    world = chain(transforms, PARENTS[:BODY_JOINTS])
    return world[..., :3, :3], world[..., :3, 3]


def lowest_point(rotmats: Tensor) -> Tensor:
    """(B,) metres of the lowest point of the body's flesh above the pelvis (so usually negative)."""
    world, places = place_joints(rotmats)
    head = JOINT_NAMES.index("head")
    crown = (places[:, head] + world[:, head] @ torch.tensor([0.0, 0.12, 0.02]))[:, 1] - 0.07
    return torch.minimum((places[..., 1] - FLESH).amin(1), crown)


class _Jitter:
    """Random numbers of B samples, drawn once, so that a pose can be built again at another pitch."""

    def __init__(self, stance, count, generator):
        spread = stance.get("jitter", 1)
        draw = lambda *shape: torch.randn(count, *shape, generator=generator)
        self.pitch, self.roll = draw() * PELVIS_JITTER[0] * spread, draw() * PELVIS_JITTER[1] * spread
        legs = draw(2, 5) * torch.tensor(LEG_JITTER) * spread
        if "contact" in stance:  # what kneels or planks stands evenly
            self.roll, legs[..., 1] = 0.4 * self.roll, 0.5 * legs[..., 1]
            if stance["left"] == stance["right"]:
                legs[:, 1] = legs[:, 0]
        self.legs = {"left": legs[:, 0], "right": legs[:, 1]}
        self.spine, self.neck = draw(3) * torch.tensor(SPINE_JITTER) * spread, draw(3) * torch.tensor(NECK_JITTER) * spread
        self.upper, self.fore = ({side: draw(3) * share * spread for side in ("left", "right")} for share in (UPPER_JITTER, FORE_JITTER))
        self.twist = {side: torch.deg2rad(draw() * TWIST_JITTER) for side in ("left", "right")}
        self.wrist = {side: rotvec_to_rotmat(draw(3) * WRIST_JITTER) for side in ("left", "right")}
        self.trunk, self.air = draw(7, 3) * TRUNK_JITTER * spread, (1 + 0.2 * draw()).clamp(min=0.3)


def _turn(axis, degrees):
    return rotation_about(axis, torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float32)))


def _pose(stance, arms, jitter, pitch, head, torso):
    """(B, 22, 3, 3) at some pitch (B,)."""
    rotmats = torch.eye(3).repeat(len(pitch), BODY_JOINTS, 1, 1)

    def put(name, value):
        rotmats[:, JOINT_NAMES.index(name)] = value

    put("pelvis", _turn("z", -(stance.get("roll", 0) + jitter.roll)) @ _turn("x", pitch))
    for side in ("left", "right"):
        for joint, turn in _leg(stance, side, jitter.legs[side]).items():
            put(f"{side}_{joint}", turn if side == "left" else FLIP @ turn @ FLIP)
    for joints, angles in ((SPINE, torch.tensor(stance.get("spine", (0, 0, 0))) + jitter.spine + torch.tensor(torso)),
                           (NECK, _neck(stance, jitter, head))):
        forwards, sideways, turned = angles.unbind(-1)
        for name, share in joints:
            put(name, _turn("y", turned * share) @ _turn("z", sideways * share) @ _turn("x", forwards * share))
    for side, arm in zip(("left", "right"), arms):
        for joint, turn in _arm(arm, side, rotmats, jitter).items():
            put(f"{side}_{joint}", turn if side == "left" else FLIP @ turn @ FLIP)
    return rotmats


def _neck(stance, jitter, head):
    """Degrees (B, 3) forwards, sideways, turned; the library writes a neck as (nod, turn, tilt)."""
    nod, turned, tilt = (torch.tensor(stance.get("neck", (0, 0, 0))) + jitter.neck + torch.tensor(head)).unbind(-1)
    return torch.stack([nod, tilt, turned], -1)


def _leg(stance, side, jitter):
    """Hip, knee, ankle and foot of a left leg."""
    flexion, abduction, rotation, knee, ankle = (torch.tensor(stance[side]) + jitter).unbind(-1)
    turns = {"hip": _turn("x", -flexion) @ _turn("z", abduction) @ _turn("y", rotation), "knee": _turn("x", knee.clamp(min=0)),
             "ankle": _turn("x", ankle)}
    written = stance[side][4]
    if written > 25 and not stance.get("lying"):  # a foot on its ball bends at the toes
        turns["foot"] = _turn("x", torch.full_like(knee, -0.7 * min(written - 10, 35)))
    return turns


def _arm(arm, side, rotmats, jitter):
    """Collar, shoulder, elbow and wrist of an arm, as a left one. The collar follows the upper arm up and forwards."""
    flip = torch.eye(3) if side == "left" else FLIP
    world, places = place_joints(rotmats)
    upper, _ = _arm_directions(arm, side, world, places, torch.eye(3), flip, jitter)
    lift = (torch.rad2deg(torch.asin(upper[:, 1].clamp(-1, 1))) + 20) * 0.28
    collar = _turn("z", lift.clamp(0, 26)) @ _turn("y", -12 * upper[:, 2].clamp(-0.5, 1))
    upper, fore = _arm_directions(arm, side, world, places, collar, flip, jitter)
    shoulder, elbow = _bones_to_rotmats(upper, fore)
    along = normalize(OFFSETS[JOINT_NAMES.index("left_wrist")], dim=0)
    elbow = elbow @ rotvec_to_rotmat(along * jitter.twist[side][:, None])
    bend = _turn("z", PALM_TO_FLOOR) if arm.get("palm") == "floor" else torch.eye(3)
    return {"collar": collar, "shoulder": collar.mT @ shoulder, "elbow": shoulder.mT @ elbow, "wrist": bend @ jitter.wrist[side]}


def _arm_directions(arm, side, world, places, collar, flip, jitter):
    """Unit directions (B, 3) of both bones in the chest's axes, as a left arm's."""
    chest = JOINT_NAMES.index("spine3")
    to_chest = lambda vector: ((world[:, chest].mT @ (flip @ vector[..., None]))[..., 0]) @ flip
    frame = arm.get("frame", "chest")
    if "upper" in arm:
        upper = normalize(normalize(torch.tensor(arm["upper"]).float(), dim=0) + jitter.upper[side], dim=-1)
        fore = normalize(normalize(torch.tensor(arm["fore"]).float(), dim=0) + jitter.fore[side], dim=-1)
        return (upper, fore) if frame == "chest" else (to_chest(upper), to_chest(fore))
    hand = torch.tensor(arm["hand"]).float() + 0.12 * jitter.upper[side]
    pole = torch.tensor(arm["pole"]).float() + 1.2 * jitter.fore[side]
    if frame != "chest":
        origin, axes = (JOINT_NAMES.index(name.format(side=side)) for name in REACH[frame])
        turn = world[:, axes] @ flip
        offset = places[:, origin] - places[:, chest] + (turn @ hand[..., None])[..., 0]
        hand = (world[:, chest].mT @ offset[..., None])[..., 0] @ flip
        pole = (flip @ world[:, chest].mT @ turn @ pole[..., None])[..., 0]
    joints = [OFFSETS[JOINT_NAMES.index(f"left_{name}")] for name in ("collar", "shoulder", "elbow", "wrist")]
    shoulder = joints[0] + (collar @ joints[1])
    return _two_bones(hand - shoulder, pole, joints[2].norm(), joints[3].norm())


def _two_bones(reach, pole, upper_length, fore_length):
    """Directions of two bones from a shoulder to a hand (B, 3) away, the elbow on the pole's side: the law of cosines."""
    straight = normalize(reach, dim=-1)
    length = reach.norm(dim=-1, keepdim=True).clamp(0.12, 0.985 * float(upper_length + fore_length))
    cosine = ((upper_length**2 + length**2 - fore_length**2) / (2 * upper_length * length)).clamp(-1, 1)
    across = normalize(pole - (pole * straight).sum(-1, keepdim=True) * straight, dim=-1)
    upper = cosine * straight + (1 - cosine**2).sqrt() * across
    return upper, normalize(straight * length - upper * upper_length, dim=-1)


def _bones_to_rotmats(upper, fore):
    """Rotations of upper arm and forearm in the chest's axes, (B, 3, 3) each; both share the elbow's hinge, which fades to the rest
    pose's where the arm is straight."""
    out = torch.tensor([1.0, 0.0, 0.0])
    bend = fore - (fore * upper).sum(-1, keepdim=True) * upper
    size = bend.norm(dim=-1, keepdim=True)
    rest = (vectors_to_rotmat(out.expand_as(upper), upper) @ torch.tensor([0.0, 0.0, 1.0]))
    share = (size / 0.25).clamp(max=1)
    front = normalize(bend / size.clamp(min=1e-6) * share + rest * (1 - share), dim=-1)
    front = normalize(front - (front * upper).sum(-1, keepdim=True) * upper, dim=-1)
    hinge = torch.linalg.cross(front, upper)
    shared = (hinge * fore).sum(-1, keepdim=True)
    hinge_fore = torch.where(shared.abs() < 0.99, normalize(hinge - shared * fore, dim=-1), hinge)
    frames = []
    for bone, axis, joint in ((upper, hinge, "left_elbow"), (fore, hinge_fore, "left_wrist")):
        rest_bone = OFFSETS[JOINT_NAMES.index(joint)]
        frames.append(torch.stack([bone, axis, torch.linalg.cross(bone, axis)], -1) @ vectors_to_rotmat(rest_bone, out))
    return frames


def _pitch_of_contact(stance, arms, jitter, head, torso):
    """(B,) degrees of pitch at which both groups of joints are equally near the floor: a scan, then false position."""
    groups = [[JOINT_NAMES.index(name) for name in stance["contact"][group]] for group in ("first", "second")]

    def gap(pitch):
        _, places = place_joints(_pose(stance, arms, jitter, pitch, head, torso))
        first, second = ((places[:, group, 1] - FLESH[group]).amin(1) for group in groups)
        return first - second

    low, high = stance["contact"]["pitch"]
    scan = torch.linspace(low, high, 7)
    gaps = torch.stack([gap(jitter.pitch * 0 + pitch) for pitch in scan], 1)
    crossing = gaps[:, :-1] * gaps[:, 1:] < 0
    nearest = gaps.abs().argmin(1)
    beside = torch.nn.functional.one_hot(nearest, 7)
    usable = crossing & ((beside[:, :-1] + beside[:, 1:]) > 0)
    at = usable.int().argmax(1)
    rows = torch.arange(len(at))
    x0, x1, y0, y1 = scan[at], scan[at + 1], gaps[rows, at], gaps[rows, at + 1]
    for _ in range(3):
        middle = x0 - y0 * (x1 - x0) / torch.where((y1 - y0).abs() < 1e-9, 1e-9, y1 - y0)
        found = gap(middle)
        left = found * y0 < 0
        x1, y1 = torch.where(left, middle, x1), torch.where(left, found, y1)
        x0, y0 = torch.where(left, x0, middle), torch.where(left, y0, found)
    return torch.where(usable.any(1), middle, scan[nearest])


def _other_side(name):
    return name.replace("left", "-").replace("right", "left").replace("-", "right") if "_" in name else name

