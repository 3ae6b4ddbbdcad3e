"""Control over sampling: begin at a given pose (SDEdit, Meng et al. 2022), keep parts of it (RePaint, Lugmayr et al. 2022), redraw rows.

Kept parts are replaced at every noise level, so that the free parts grow to fit them, and copied once more at the end, so that they are
exact. Everything about the start pose that the network does not know (place, heading, shape, hands, row numbers) is carried over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..bodies.joints import BODY_JOINTS, JOINT_NAMES
from ..bodies.posture import remove_heading
from ..checks import InputError, check_choice, check_range
from ..types import BodyPose
from .diffusion import candidate_noise
from .network import ROOT

_SIDES = {part: tuple(f"{side}_{joint}" for joint in joints) for side in ("left", "right") for part, joints in (
    (f"{side} arm", ("collar", "shoulder", "elbow", "wrist")), (f"{side} leg", ("hip", "knee", "ankle", "foot")))}
_ARMS, _LEGS = (_SIDES[f"left {limb}"] + _SIDES[f"right {limb}"] for limb in ("arm", "leg"))
_HEAD, _TORSO = ("neck", "head"), ("spine1", "spine2", "spine3")
PARTS = {  # name -> joints; the pelvis stands for the heading and tilt of the whole body
    "arms": _ARMS, "left arm": _SIDES["left arm"], "right arm": _SIDES["right arm"],
    "legs": _LEGS, "left leg": _SIDES["left leg"], "right leg": _SIDES["right leg"],
    "head": _HEAD, "torso": _TORSO, "root": ("pelvis",),
    "upper body": _TORSO + _HEAD + _ARMS, "lower body": ("pelvis",) + _LEGS,
}
ALL_BUT = "all but "
KEEP_CHOICES = (*PARTS, *(ALL_BUT + part for part in PARTS))


def parts_to_joints(keep) -> tuple[int, ...]:
    """Returns the joints (0 is the pelvis) of parts of the body.

    Args:
        keep: names of :data:`KEEP_CHOICES`, as a sequence or as one text with commas; empty or "none" is nothing.

    Raises:
        InputError: a name is unknown.
    """
    names = keep.split(",") if isinstance(keep, str) else keep
    names = [name.strip().lower() for name in names if name.strip().lower() not in ("", "none")]
    joints = set()
    for name in names:
        part = PARTS[check_choice("keep_parts", name, KEEP_CHOICES).removeprefix(ALL_BUT)]
        joints |= {joint for joint in JOINT_NAMES[:BODY_JOINTS] if (joint in part) != name.startswith(ALL_BUT)}
    return tuple(index for index, name in enumerate(JOINT_NAMES[:BODY_JOINTS]) if name in joints)


def parse_redraw(text: str, seed: int, count: int) -> list[int]:
    """Returns the seed of each of ``count`` candidates: ``seed``, but for those that a text such as "3=99, 5=12" names.

    Candidates are counted from 1.

    Raises:
        InputError: the text is not such a list, or names a candidate that does not exist.
    """
    seeds = [seed] * count
    for entry in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*=\s*", "=", text.strip()))):
        found = re.fullmatch(r"(\d+)=(\d+)", entry, re.ASCII)
        if not found:
            raise InputError("redraw", text, f"holds {entry!r}", "Write candidate=seed pairs, for example 3=99, 5=12.")
        row = int(found[1])
        if not 1 <= row <= count:
            raise InputError("redraw", text, f"names candidate {row} of {count}", f"Choose candidates from 1 to {count}.")
        seeds[row - 1] = int(found[2])
    return seeds


def seeded_noise(seed: int, seeds, count: int, dim: int, highest: int) -> Tensor:
    """Noise ``(count, dim)``: row i is candidate i of its own seed, so equal seeds give the batch of one seed.

    Raises:
        InputError: there is not one valid seed per candidate.
    """
    if seeds is None:
        return candidate_noise(seed, count, dim)
    if len(seeds) != count:
        raise InputError("seeds", len(seeds), f"do not match {count} candidates", "Give one seed per candidate.")
    batches = {one: candidate_noise(check_range("seeds", one, 0, highest), count, dim) for one in dict.fromkeys(seeds)}
    return torch.stack([batches[one][row] for row, one in enumerate(seeds)])


@dataclass(frozen=True)
class Start:
    """Where sampling starts, and what it must not change.

    Args:
        pose: (N) rows, one per result.
        x: (N, D) their standardised vectors, heading removed.
        strength: 0 keeps the pose, 1 begins from noise alone.
        joints: kept joints, 0 is the pelvis.
    """

    pose: BodyPose
    x: Tensor
    strength: float
    joints: tuple[int, ...]

    def locked(self):
        """(D,) bool: the kept numbers of the vector, which holds 6 per joint and the root last."""
        locked = torch.zeros(self.x.shape[1], dtype=torch.bool, device=self.x.device)
        for joint in self.joints:
            at = 6 * (joint - 1) if joint else self.x.shape[1] - ROOT
            locked[at : at + 6] = True
        return locked

    def part(self, first: int, prompts: int, count: int):
        """The rows of some prompts."""
        rows = slice(first * count, (first + prompts) * count)
        return replace(self, pose=self.pose[rows], x=self.x[rows])

    def restore(self, sampled: BodyPose) -> BodyPose:
        """Returns sampled poses with the kept joints bit for bit, and the place, heading, shape and hands of the start."""
        start = self.pose
        turn = start.global_orient @ remove_heading(start.global_orient).transpose(-1, -2)
        root = start.global_orient if 0 in self.joints else turn @ sampled.global_orient
        body, kept = sampled.body_pose.clone(), [joint - 1 for joint in self.joints if joint]
        body[:, kept] = start.body_pose[:, kept]
        return replace(start, global_orient=root, body_pose=body)


def plan_start(model, start_pose: BodyPose | None, strength: float, keep, rows: int) -> Start | None:
    """Checks what is asked for; returns None when nothing of a start pose is wanted.

    Args:
        model: TextToPose.
        start_pose: one row for all results, or ``rows`` rows.

    Raises:
        InputError: kept parts without a pose or for a latent model, wrong rows, an unknown part, a strength out of range.
    """
    joints = parts_to_joints(keep)
    check_range("strength", strength, 0, 1)
    if start_pose is None:
        if joints:
            raise InputError("keep_parts", keep, "has no pose to keep parts of", "Connect start_pose, or choose none.")
        return None
    if strength == 1 and not joints:
        return None
    if len(start_pose) not in (1, rows):
        raise InputError("start_pose", len(start_pose), f"rows do not fit {rows} candidates", f"Give 1 row or {rows} rows.")
    latent = model.network.config.representation == "latent"
    if latent and any(joints):
        raise InputError("keep_parts", keep, "cannot be kept by weights that sample a latent code",
                         "Choose none or root, or weights that sample joint rotations.")
    from .model import pose_to_vector

    pose = start_pose.to(model.device)[[row % len(start_pose) for row in range(rows)]]
    upright = replace(pose, global_orient=remove_heading(pose.global_orient))
    x = (pose_to_vector(upright, model.pose_prior if latent else None) - model.mean) / model.std
    return Start(pose, x, strength, joints)
