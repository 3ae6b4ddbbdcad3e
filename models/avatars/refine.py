"""Retargeting (PAS section 3.4, stage 2): hands, feet and head go where the body's are, though the avatar has other proportions.

Stage 1 copies directions, so an avatar with longer forearms claps beside its hands. Here every free bone ``b`` gets a small world turn
``exp(d_b)`` on top of stage 1. A joint's place is a sum of bones, ``p_e = root + sum_b exp(d_b) D_b o_eb``, so its derivative is
``-[u_eb]x`` with ``u_eb`` the bone's posed vector. For all frames at once, damped Gauss-Newton minimises

    sum_e |p_e(d) - goal_e|^2 / s_e^2  +  sum_b |d_b - m_b|^2 / v_b

with ``m`` the mean of the neighbouring frames where a motion is to be smooth. There are few goals and many bones, so each step is solved
in the space of the goals: ``d = m + V J^T (J V J^T + S^2)^-1 (r + J (d - m))``.

Goals are the body's joints scaled by leg length about its lowest point; soles, not ankles, keep their height; a goal whose hand would be
inside the trunk, a thigh or the head is moved out of it. Hands and feet keep the orientation of stage 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES
from ..rotations import rotvec_to_rotmat
from .capsules import Capsules, fit_capsules

STEPS = 2
EXACT = 2e-3  # metres: s_e of wrists and ankles
HEAD = 0.03  # metres: of the head, whose place the trunk's length decides
STRETCH = 1.04  # a goal may lie so many arm lengths from the shoulder: the collar and trunk give a little
MOST_TURN = 0.7  # radians in one step
FREEDOM = {"spine": 0.06, "neck": 0.1, "collar": 0.12, "shoulder": 1.0, "elbow": 1.0, "hip": 1.0, "knee": 1.0}  # v_b, rad^2
ROOT_FREEDOM = 2e-3  # metres^2
LIMBS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
HINGE_TRUST = 0.15  # how much the anatomical hinge counts beside the bend that is there


@dataclass(frozen=True, eq=False)
class Reach:
    """The constants of stage 2 for one avatar with one body.

    Args:
        free: (F,) free drivers. variance: (F,) their v_b. goals: (E,) drivers that have goals, wrists and ankles first, then the head.
        joints: (E,) the body's joints. bones: (E, F, 3) what each free bone adds to each goal's driver, at rest. fixed: (E, 3) the
            pelvis' part. limbs: (L, 3) numbers in ``free`` and ``goals`` of each limb's two bones and its end.
        hinges: (L, 3) axis of each limb's hinge in the body's T-pose. lengths: (L, 2) file units.
        soles: for each goal None or (columns of the body's, columns of the avatar's contact points). capsules: of the avatar.
    """

    free: Tensor
    variance: Tensor
    goals: Tensor
    joints: Tensor
    bones: Tensor
    fixed: Tensor
    limbs: Tensor
    hinges: Tensor
    lengths: Tensor
    noise: Tensor
    soles: tuple
    capsules: Capsules


def refine_pose(D: Tensor, root: Tensor, posed, avatar, both, scale: float, steps: Tensor, ground: Tensor, smooth: float):
    """Turns the bones of stage 1 so that hands, feet and head meet their goals.

    Args:
        D: (B, D, 3, 3) turns of stage 1. root: (B, 3) pelvis, world. posed: the PosedBody. both: the Pairing.
        scale: metres per file unit. steps: (B or 1,) metres of the avatar per metre of the body. ground: (B,) the body's lowest height.
        smooth: 0 (frames are on their own) to 1.

    Returns:
        (B, D, 3, 3) turns, (B, 3) pelvis and {goal's role: (B,) metres by which it is missed}.
    """
    reach = both.reach(avatar)
    root = torch.stack([root[:, 0], ground + steps * (posed.joints[:, 0, 1] - ground), root[:, 2]], -1)
    goals = body_goals(posed, both, reach, D, root, scale, steps, ground)
    free = D[:, reach.free]
    fixed = scale * (D[:, :1] @ reach.fixed[..., None])[..., 0]
    shift = torch.zeros_like(root)
    joints = root[:, None] + scale * (both.chain @ (D[:, both.above] * both.offsets[:, None]).sum(-1))
    hands = scale * (D[:, reach.goals[:2]] @ reach.capsules.hands[..., None])[..., 0]
    clear = reach.capsules.push_out(goals, hands, joints, D, scale)
    mean = turns = _bend(free, both.A[reach.free], reach, root[:, None] + fixed, clear, scale)
    for _ in range(STEPS):
        vectors = scale * torch.einsum("bfij,efj->befi", rotvec_to_rotmat(turns) @ free, reach.bones)
        places = (root + shift)[:, None] + fixed + vectors.sum(2)
        mean, shift_mean = (_smoothed(value, smooth) for value in (turns if smooth else mean, shift))
        residual = _within_reach(clear, places, vectors, reach, scale) - places
        turns, shift = _step(vectors, residual, turns, mean, shift, shift_mean * min(smooth, 0.9), reach)
    D = D.clone()
    D[:, reach.free] = rotvec_to_rotmat(turns) @ free
    missed = (clear - (root + shift)[:, None] - fixed - scale * torch.einsum("bfij,efj->bei", D[:, reach.free], reach.bones)).norm(dim=-1)
    return D, root + shift, {both.roles[goal]: missed[:, e] for e, goal in enumerate(reach.goals.tolist())}


def _step(vectors, residual, turns, mean, shift, shift_mean, reach):
    """One Gauss-Newton step, solved in the space of the goals.

    Args:
        vectors: (B, E, F, 3). residual: (B, E, 3). turns, mean: (B, F, 3). shift, shift_mean: (B, 3).
    """
    rows, count = residual.shape[:2]
    weighted = vectors * reach.variance[:, None]
    inner = torch.einsum("befi,bgfi->beg", weighted, vectors) + ROOT_FREEDOM
    blocks = inner[..., None, None] * torch.eye(3, device=vectors.device) - torch.einsum("befj,bgfi->begij", weighted, vectors)
    system = blocks.transpose(2, 3).reshape(rows, 3 * count, 3 * count) + torch.diag(reach.noise.repeat_interleave(3))
    moved = torch.linalg.cross((turns - mean)[:, None].expand_as(vectors), vectors).sum(2) + (shift - shift_mean)[:, None]
    solved = torch.linalg.solve_ex(system, (residual + moved).flatten(1))[0].view(rows, count, 3)
    pull = torch.linalg.cross(vectors, solved[:, :, None].expand_as(vectors)).sum(1)
    goal = mean + reach.variance[:, None] * pull
    change = goal - turns
    change = change * (MOST_TURN / change.norm(dim=-1, keepdim=True).clamp(min=MOST_TURN))
    return turns + change, shift_mean + ROOT_FREEDOM * solved.sum(1)


def body_goals(posed, both, reach, D, root, scale, steps, ground):
    """(B, E, 3) where wrists, ankles and head are to be, world, metres."""
    goals = steps[:, None, None] * posed.joints[:, reach.joints]
    goals[..., 1] += ((1 - steps) * ground)[:, None]
    row = posed.T_world_joint[:, :, 1]
    row = torch.cat([row[..., :3], row[..., 3:] - (row[..., :3] * posed.shaped.joints).sum(-1, keepdim=True)], -1).flatten(1)
    for i, sole in enumerate(reach.soles):
        if sole is not None:
            theirs = (row @ both.body_rows[:, sole[0]]).amin(1)
            goals[:, i, 1] = ground + steps * (theirs - ground) + _sole_drop(D, both, reach, i, sole[1], scale)
    if goals.shape[1] > len(reach.limbs):  # the head: the body's direction, the avatar's own length of trunk
        way = torch.nn.functional.normalize(goals[:, -1] - root, dim=-1)
        length = scale * torch.einsum("bfij,fj->bfi", D[:, reach.free], reach.bones[-1]).sum(1)
        length = (length + scale * (D[:, 0] @ reach.fixed[-1])).norm(dim=-1, keepdim=True)
        goals[:, -1] = root + way * length
    return goals


def _sole_drop(D, both, reach, i, columns, scale):
    """(B,) how far an ankle is above the lowest point of its foot, which keeps the turns of stage 1."""
    row = scale * D[:, :, 1]
    row = torch.cat([row, -(row * both.rest).sum(-1, keepdim=True)], -1)
    ankle = reach.goals[i]
    lift = torch.zeros_like(row[..., 3])
    below = both.chain[:, ankle] > 0
    offset = scale * ((both.chain * below) @ (D[:, both.above] @ both.offsets[..., None])[..., 1, 0].T).T
    lift = offset - offset[:, ankle, None]  # heights of the foot's joints over the ankle
    row = torch.cat([row[..., :3], (row[..., 3] + lift)[..., None]], -1)
    keep = below[None, :, None]
    return -((row * keep).flatten(1) @ both.avatar_rows[:, columns]).amin(1)


def _bend(free, A, reach, start, goals, scale):
    """(B, F, 3) first turns: each elbow and knee is bent until its limb is as long as its goal is far, and the limb aimed."""
    turns = torch.zeros_like(free[..., 0])
    vectors = scale * torch.einsum("bfij,efj->befi", free, reach.bones)
    places = start + vectors.sum(2)
    for (first, second, end), hinge, (a, b) in zip(reach.limbs.tolist(), reach.hinges, (scale * reach.lengths).tolist()):
        upper, lower = vectors[:, end, first], vectors[:, end, second]
        distance = (goals[:, end] - places[:, end] + upper + lower).norm(dim=-1).clamp(abs(a - b) + 1e-3 * a, 0.9995 * (a + b))
        wanted = ((distance**2 - a * a - b * b) / (2 * a * b)).clamp(-1, 1).acos()
        across = torch.linalg.cross(upper, lower) / (a * b) + HINGE_TRUST * (free[:, first] @ A[first].T @ hinge)
        axis = torch.nn.functional.normalize(across, dim=-1)
        more = (wanted - torch.atan2(torch.linalg.cross(upper, lower).norm(dim=-1), (upper * lower).sum(-1)))[:, None] * axis
        bent = torch.stack([-more * b / (a + b), more * a / (a + b)], 1)
        reached = (rotvec_to_rotmat(bent) @ torch.stack([upper, lower], 1)[..., None]).sum(1)[..., 0]
        turns[:, [first, second]] = bent + _aim(reached, goals[:, end] - places[:, end] + upper + lower)[:, None]
    return turns


def _aim(source, target):
    """(B, 3) rotation vectors of the smallest turns of one direction into another."""
    across = torch.linalg.cross(source, target)
    sine = across.norm(dim=-1, keepdim=True)
    return across / sine.clamp(min=1e-9) * torch.atan2(sine, (source * target).sum(-1, keepdim=True))


def _within_reach(goals, places, vectors, reach, scale):
    """Goals of limbs brought to where the limb, a little stretched, can reach from its present root."""
    limbs = reach.limbs
    ends = limbs[:, 2]
    chain = torch.stack([vectors[:, end, first] + vectors[:, end, second] for first, second, end in limbs.tolist()], 1)
    roots = places[:, ends] - chain
    ways = goals[:, ends] - roots
    length = ways.norm(dim=-1, keepdim=True)
    most = STRETCH * scale * reach.lengths.sum(1)[:, None]
    goals = goals.clone()
    goals[:, ends] = roots + ways * (most / length.clamp(min=1e-9)).clamp(max=1)
    return goals


def _smoothed(values, smooth):
    """Mean of each row's neighbours in time, mixed by ``smooth``; the ends have one neighbour."""
    if not smooth or len(values) < 3:
        return values
    padded = torch.cat([values[:1], values, values[-1:]])
    return values + min(smooth, 0.9) * ((padded[:-2] + padded[2:]) / 2 - values)


def make_reach(avatar, body, both) -> Reach:
    """Works out the Reach of an avatar with a body."""
    of, device = both.of, both.A.device
    free = [role for role in both.roles if _freedom(role) is not None]
    limbs = [[f"{side}_{part}" for part in limb] for limb in LIMBS for side in ("left", "right")]
    limbs = [limb for limb in limbs if all(role in of for role in limb)]
    ends = [limb[2] for limb in limbs] + ["head"] * ("head" in of)
    bones, fixed = torch.zeros(len(ends), len(free), 3), torch.zeros(len(ends), 3)
    above, offsets = both.above.tolist(), both.offsets.cpu()
    for e, role in enumerate(ends):
        node = of[role]
        while node != above[node]:
            carrier = both.roles[above[node]]
            target = bones[e, free.index(carrier)] if carrier in free else fixed[e]
            target += offsets[node]
            node = above[node]
    hinges = [(0.0, -1.0 if limb[0].startswith("left") else 1.0, 0.0) if "shoulder" in limb[0] else (1.0, 0.0, 0.0) for limb in limbs]
    numbers = [(free.index(a), free.index(b), e) for e, (a, b, _) in enumerate(limbs)]
    lengths = torch.stack([torch.stack([bones[e, first].norm(), bones[e, second].norm()]) for first, second, e in numbers])
    noise = [(HEAD if role == "head" else EXACT) ** 2 for role in ends]
    tensors = {
        "free": torch.tensor([of[role] for role in free]), "variance": torch.tensor([_freedom(role) for role in free]),
        "goals": torch.tensor([of[role] for role in ends]), "joints": torch.tensor([JOINT_NAMES.index(role) for role in ends]),
        "bones": bones, "fixed": fixed, "limbs": torch.tensor(numbers), "hinges": torch.tensor(hinges), "lengths": lengths,
        "noise": torch.tensor(noise)}  # fmt: skip
    soles = tuple(_sole(avatar, body, both, role) for role in ends)
    return Reach(**{name: value.to(device) for name, value in tensors.items()}, soles=soles, capsules=fit_capsules(avatar, both))


def _freedom(role):
    """A bone's v_b, or None for those that stay as stage 1 turned them."""
    return FREEDOM.get(role.split("_")[-1].rstrip("123"))


def _sole(avatar, body, both, role):
    """(columns of the body's, of the avatar's contact points) that belong to the foot of an ankle; None for other joints."""
    if not role.endswith("ankle"):
        return None
    foot = role.replace("ankle", "foot")
    theirs = body.weights[both.body_contacts].argmax(1)
    columns = [torch.isin(theirs, theirs.new_tensor([JOINT_NAMES.index(role), JOINT_NAMES.index(foot)])).nonzero()[:, 0]]
    owner = avatar.slot_driver[avatar.weights[avatar.contacts].argmax(1)]
    columns.append(torch.isin(owner, owner.new_tensor([both.of[r] for r in (role, foot) if r in both.of])).nonzero()[:, 0])
    return columns if all(len(c) for c in columns) else None
