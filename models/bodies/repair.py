"""Repairs poses by a small change: limbs leave the body, joints return to their range, the hands of who sits come up to the floor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..rotations import rotvec_to_rotmat
from ..types import BodyPose
from .body import BodyModel, place_on_floor, pose_body
from .joints import BODY_JOINTS
from .plausibility import LIMITS, PART_NAMES, angle_excess, capsules, implausibility, is_plausible, pair_overlaps

STEPS, RATE, EPS = 120, 0.02, 0.01  # of Adam, over rotation vectors; the large epsilon leaves joints alone that hardly matter
REST = 0.02  # price of the squared turn in radians, against squared overlap
PER_METRE = 5.0  # weight of the hands' depth in metres beside overlap, a share of the radii
FINGER = 0.01  # radius, metres
_ARMS = ("upper_arm", "forearm", "hand")
_EXCESS = math.radians(LIMITS["joint_excess"])
MARGIN = 0.9  # of the limits: what the repair aims for
# Who sits or lies, with the pelvis at most so many metres above what carries, does not hover on hands that reach below it. Hands further
# down than the second number are meant to carry.
SEATED, CARRYING, BELOW, BELOW_AIM = 0.25, 0.25, 0.03, 0.01


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Args:
        broken: (B,) bool, rows that were implausible, or hovered on their hands.
        left: (B,) bool, rows that still are.
        moved: (B,) metres by which the joint that moved most did, against the pelvis.
    """

    broken: Tensor
    left: Tensor
    moved: Tensor

    def __str__(self):
        """One line for people."""
        if not self.broken.any():
            return f"{len(self.broken)} poses, all plausible"
        mended = int(self.broken.sum()) - int(self.left.sum())
        rest = f", {int(self.left.sum())} could not be" if self.left.any() else ""
        return f"{len(self.broken)} poses, {int(self.broken.sum())} implausible: {mended} repaired{rest}"


def repair(pose: BodyPose, body: BodyModel, locked=()) -> tuple[BodyPose, Repair]:
    """Puts poses on the floor and repairs what is implausible or hovers on its hands; other rows keep their joints bit for bit.

    Args:
        pose: B rows.
        body: an SMPL-format body.
        locked: joints (0 is the pelvis) that must not turn.

    Returns:
        (poses, Repair).
    """
    pose = place_on_floor(body, pose)
    broken = _is_broken(pose, body)
    left, moved = broken.clone(), torch.zeros(len(pose), device=pose.device)
    if not broken.any():
        return pose, Repair(broken, left, moved)
    rows = broken.nonzero()[:, 0]
    mended = place_on_floor(body, untangle(pose[rows], body, locked))
    left[rows] = _is_broken(mended, body)
    moved[rows] = (_from_pelvis(mended, body) - _from_pelvis(pose[rows], body)).norm(dim=-1).amax(1).to(pose.device)
    body_pose, transl = pose.body_pose.clone(), pose.transl.clone()
    body_pose[rows], transl[rows] = mended.body_pose, mended.transl
    return replace(pose, body_pose=body_pose, transl=transl), Repair(broken, left, moved)


def _is_broken(pose, body):
    hovers = hands_below_seat(pose, body).amax(1) > BELOW
    return (~is_plausible(implausibility(pose, body)) | hovers).to(pose.device)


def hands_below_seat(pose: BodyPose, body: BodyModel) -> Tensor:
    """How far the hands of people who sit or lie reach below all that should carry them.

    Args:
        pose: B rows, +Y up; where the floor is does not matter.
        body: an SMPL-format body.

    Returns:
        (B, 4) metres: left and right forearm, left and right finger tips; 0 for people who neither sit nor lie.
    """
    joints = pose_body(body, pose.to(body.device)).joints
    shapes = capsules(body, joints)
    below, pelvis = _below_seat(*shapes), joints[:, 0, 1] - _seat(*shapes)
    return below * ((pelvis < SEATED) & (below.amax(1) < CARRYING))[:, None]


def _seat(ends, radii):
    """Height (B,) of the lowest point of trunk and legs."""
    carries = [i for i, name in enumerate(PART_NAMES) if not name.endswith(_ARMS) and name != "head"]
    return (ends[:, carries, :, 1].amin(2) - radii[carries]).amin(1)


def _below_seat(ends, radii):
    """(B, 4) how far the forearms and the finger tips, which end twice as far from the wrist as a hand's capsule, are below the seat."""
    hands, forearms = ([i for i, name in enumerate(PART_NAMES) if name.endswith(part)] for part in ("hand", "forearm"))
    wrists, knuckles = ends[:, hands, 0, 1], ends[:, hands, 1, 1]
    lowest = torch.cat([ends[:, forearms, :, 1].amin(2) - radii[forearms], torch.minimum(wrists, 2 * knuckles - wrists) - FINGER], 1)
    return (_seat(ends, radii).detach()[:, None] - lowest).clamp(min=0)


def untangle(pose: BodyPose, body: BodyModel, locked=()) -> BodyPose:
    """Turns joints as little as it takes until overlap and joint excess are within the limits and no hand is below the seat. Every row goes
    its own way and stops as soon as it is there, so a row's result does not depend on the others."""
    with torch.inference_mode(False), torch.enable_grad():
        given = BodyPose(pose.global_orient.to(body.device).clone(), pose.body_pose.to(body.device).clone(), betas=pose.betas)
        free = torch.ones(BODY_JOINTS - 1, 1, device=body.device)
        free[[joint - 1 for joint in locked if joint]] = 0
        turn = torch.zeros(len(pose), BODY_JOINTS - 1, 3, device=body.device, requires_grad=True)
        sits = (hands_below_seat(given, body).amax(1, keepdim=True) > 0).float()
        optimizer, waiting, found = torch.optim.Adam([turn], RATE, eps=EPS), torch.ones(len(pose), dtype=torch.bool), turn.detach().clone()
        for _ in range(STEPS):
            overlap, excess, below = _beyond(given, turn * free, body, sits)
            there = (overlap.amax(1) <= (1 - MARGIN) * LIMITS["self_overlap"]) & (excess.amax((1, 2)) <= (1 - MARGIN) * _EXCESS)
            there = (there & (below.amax(1) <= BELOW - BELOW_AIM)).cpu()
            found[waiting] = turn.detach()[waiting]
            waiting &= ~there
            if not waiting.any():
                break
            optimizer.zero_grad(set_to_none=True)
            (overlap.square().sum() + excess.square().sum() + (PER_METRE * below).square().sum() + REST * turn.square().sum()).backward()
            optimizer.step()
        turned = given.body_pose @ rotvec_to_rotmat(found * free)
    return replace(pose, body_pose=turned.to(pose.device))


def _beyond(given, turn, body, sits):
    """Overlaps (B, pairs), angles (B, 21, 3), radians, and metres of the hands (B, 4) beyond what is aimed for, of poses whose joints are
    turned by rotvecs."""
    body_pose = given.body_pose @ rotvec_to_rotmat(turn)
    joints = pose_body(body, replace(given, body_pose=body_pose)).joints
    shapes = capsules(body, joints)
    overlap, below = pair_overlaps(*shapes) - MARGIN * LIMITS["self_overlap"], _below_seat(*shapes) * sits - BELOW_AIM
    return overlap.clamp(min=0), (torch.deg2rad(angle_excess(body_pose)) - MARGIN * _EXCESS).clamp(min=0), below.clamp(min=0)


def _from_pelvis(pose, body):
    joints = pose_body(body, pose).joints[:, :BODY_JOINTS]
    return joints - joints[:, :1]
