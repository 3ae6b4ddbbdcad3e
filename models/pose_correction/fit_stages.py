"""The stages of the fit, and the choice among its starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..rotations import rotation_about
from .fit_camera import place_before_camera
from .fit_points import PointMap
from .fit_solver import minimise
from .fit_terms import Problem, Target, Unknowns, Weights, joints_of
from .lifter import bundled_lifter

ROWS_AT_ONCE = 512
TRUNK = (1, 2, 5, 8, 11)  # neck, shoulders, hips of OpenPose-18
SPACE = 0.05  # metres by which a point may leave the middle of its neighbours in time, at smooth = 1
PLACE, CODE, SHAPE, JOINTS, SMOOTH = 5, 6, 8, 8, 4  # iterations
SMOOTH_ROUNDS = 4
DRAWN = 1  # starts drawn around the lifter's guess
SEED = 0


@dataclass(frozen=True)
class Plan:
    """What the fit is to do. ``on_step`` is called with (done, all)."""

    shape: bool = True
    smooth: float = 0.0
    on_step: object = None


@dataclass(frozen=True)
class Tracks:
    """Who is whose neighbour in time.

    Args:
        before, after: (B,) row of the same person in the picture before and after, or the row itself at an end.
        person: (B,) a number for each person.
        several: whether anybody is in more than one picture.
    """

    before: Tensor
    after: Tensor
    person: Tensor
    several: bool

    @staticmethod
    def of(frame: Tensor, person: Tensor) -> Tracks:
        """Tracks of rows with a picture number and a person number each."""
        _, person = person.unique(return_inverse=True)
        order = torch.argsort(person * (int(frame.max()) + 1) + frame, stable=True)
        same = (person[order][1:] == person[order][:-1]) & (frame[order][1:] != frame[order][:-1])
        before, after = torch.arange(len(frame), device=frame.device), torch.arange(len(frame), device=frame.device)
        before[order[1:][same]] = order[:-1][same]
        after[order[:-1][same]] = order[1:][same]
        return Tracks(before, after, person, bool(same.any()))

    def middle(self, values: Tensor) -> Tensor:
        """Mean of the neighbours' values; at the ends the neighbour's own."""
        before, after = values[self.before], values[self.after]
        rows = torch.arange(len(values), device=values.device)
        first, last = self.before == rows, self.after == rows
        shape = (-1, *[1] * (values.ndim - 1))
        middle = (before + after) / 2
        middle = torch.where(first.view(shape), after, middle)
        return torch.where(last.view(shape), before, middle)

    def mean(self, values: Tensor) -> Tensor:
        """Each row's value replaced by its person's mean."""
        count = torch.bincount(self.person)[:, None].to(values)
        sums = values.new_zeros(len(count), values.shape[1]).index_add_(0, self.person, values)
        return (sums / count)[self.person]


def run(points: PointMap, prior, target: Target, tracks: Tracks, plan: Plan):
    """Runs all stages. Returns (Unknowns of B rows, (B,) energy)."""
    work = _Work(points, prior, plan)
    state, guess, starts = make_starts(points, prior, target)
    many = target[torch.arange(len(target.unit), device=target.unit.device).repeat_interleave(starts)]
    trunk = replace(many, scores=many.scores * _only(TRUNK, many.scores))
    # Camera stage: where the trunk is, with the start's pose held still.
    state, _ = work.stage(trunk, state, Weights(free=("root", "transl"), robust=100.0), PLACE)
    # Pose stage: the code, loosely.
    state, energy = work.stage(many, state, Weights(free=("root", "transl", "latents"), robust=30.0), CODE, guess)
    keep = best(energy, starts, 2)
    state, many, guess = state[keep], many[keep], guess and tuple(part[keep] for part in guess)
    # Shape stage: the better two, with the body's proportions.
    free = ("root", "transl", "latents") + (("betas",) if plan.shape else ())
    state, energy = work.stage(many, state, Weights(free=free), SHAPE, guess)
    keep = choose(points, prior, state, energy, 2, tracks, plan.smooth)
    state, guess = state[keep], guess and tuple(part[keep] for part in guess)
    # Joints stage: what the prior does not know.
    if tracks.several:
        state, free = replace(state, betas=tracks.mean(state.betas)), ("root", "transl", "latents")
    weights = Weights(free=(*free, "turns"))
    state, energy = work.stage(target, state, weights, JOINTS, guess)
    if plan.smooth and tracks.several:
        state, energy = _smooth(work, target, state, replace(weights, smooth=plan.smooth / SPACE**2), guess, tracks)
    return state, energy


def _smooth(work, target, state, weights, guess, tracks):
    """Draws each frame's points to the middle of its neighbours', again and again (block Jacobi)."""
    for _ in range(SMOOTH_ROUNDS):
        placed = work.points.pose(state.root, joints_of(work.prior, state), state.transl, state.betas)
        state, energy = work.stage(target, state, weights, SMOOTH, guess, tracks.middle(placed.points))
    return state, energy


class _Work:
    """What all stages share, and how much is done."""

    def __init__(self, points, prior, plan):
        self.points, self.prior, self.plan, self.done = points, prior, plan, 0
        self.all = PLACE + CODE + SHAPE + JOINTS + (SMOOTH_ROUNDS * SMOOTH if plan.smooth else 0)

    def stage(self, target, state, weights, steps, guess=None, neighbours=None):
        """Minimises all rows, so many at a time."""
        problem = Problem(self.points, self.prior, target, weights, neighbours, guess)
        parts, energies, start = [], [], self.done
        for first in range(0, len(state), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            part = problem[rows]
            share = min(1.0, ROWS_AT_ONCE / len(state))
            moved, energy = minimise(state[rows], part.energy, part.system, part.move, steps, lambda share=share: self._step(share))
            parts.append(moved)
            energies.append(energy)
        self.done = start + steps
        self._step(0)
        return parts[0] if len(parts) == 1 else Unknowns.cat(parts), torch.cat(energies)

    def _step(self, share):
        self.done += share
        if self.plan.on_step is not None:
            self.plan.on_step(min(int(self.done), self.all), self.all)


def make_starts(points: PointMap, prior, target: Target):
    """Starting unknowns: the lifter's guess, draws around it, and the mean pose turned round.

    Returns:
        (Unknowns of B * S rows, all starts of the first row first; (mean, std) of the code or None; S). The lifter speaks the codes of the
        open prior only; for another prior its poses are encoded, and its certainty is not used.
    """
    lifter, own = bundled_lifter(str(target.unit.device))
    seen = lifter.guess(target.keypoints, target.scores, target.camera)
    root = target.camera.R.mT @ seen.root
    generator = torch.Generator().manual_seed(SEED)
    drawn = [seen.mean + seen.std * torch.randn(seen.mean.shape, generator=generator).to(seen.mean) for _ in range(DRAWN)]
    codes, guess = [seen.mean, *drawn], (seen.mean, seen.std)
    if prior.sha256 != lifter.config.prior_sha256:
        codes, guess = [prior.encode(own.decode(code)).mean for code in codes], None
    turned = root @ rotation_about("y", math.pi).to(root)
    codes.append(torch.zeros_like(codes[0]))
    roots = [root] * (1 + DRAWN) + [turned]
    starts = len(codes)
    state = fresh_unknowns(_interleave(roots), _interleave(codes), points.shapes)
    many = target[torch.arange(len(root), device=root.device).repeat_interleave(starts)]
    return place(points, prior, state, many), guess and tuple(part.repeat_interleave(starts, 0) for part in guess), starts


def _interleave(parts):
    return torch.stack(parts, 1).flatten(0, 1)


def fresh_unknowns(root, latents, shapes) -> Unknowns:
    """Unknowns of the mean shape at the origin."""
    eye = torch.eye(3, device=root.device).expand(len(root), 21, 3, 3)
    return Unknowns(root, root.new_zeros(len(root), 3), latents, eye, root.new_zeros(len(root), shapes))


def place(points: PointMap, prior, state: Unknowns, target: Target) -> Unknowns:
    """Unknowns moved before the camera."""
    placed = points.pose(state.root, joints_of(prior, state), state.transl, state.betas)
    step = place_before_camera(placed.points, target.keypoints, target.scores * points.hangs, target.camera)
    return replace(state, transl=state.transl + step)


def best(energy: Tensor, starts: int, keep: int) -> Tensor:
    """Indices of the ``keep`` best of every ``starts`` rows."""
    chosen = energy.unflatten(0, (-1, starts)).topk(keep, dim=1, largest=False).indices
    return (chosen + starts * torch.arange(len(chosen), device=energy.device)[:, None]).flatten()


def choose(points, prior, state, energy, starts, tracks, smooth) -> Tensor:
    """Indices of one of every ``starts`` rows: the best alone, or over time the cheapest way through all pictures (Viterbi)."""
    if not smooth or not tracks.several:
        return best(energy, starts, 1)
    placed = points.pose(state.root, joints_of(prior, state), state.transl, state.betas).points.unflatten(0, (-1, starts))
    cost, back = energy.unflatten(0, (-1, starts)).clone(), {}
    rows = torch.arange(len(cost), device=cost.device)
    firsts, afters, befores = (tracks.before == rows).tolist(), tracks.after.tolist(), tracks.before.tolist()
    chosen = torch.zeros(len(cost), dtype=torch.int64, device=cost.device)
    for first in (row for row, is_first in enumerate(firsts) if is_first):
        row = first
        while afters[row] != row:
            after = afters[row]
            jump = (placed[row][:, None] - placed[after][None]).square().sum((-2, -1)) * smooth / SPACE**2
            total, back[after] = (cost[row][:, None] + jump).min(0)
            cost[after] += total
            row = after
        chosen[row] = cost[row].argmin()
        while befores[row] != row:
            chosen[befores[row]] = back[row][chosen[row]]
            row = befores[row]
    return chosen + starts * rows


def _only(names, scores):
    flags = torch.zeros_like(scores[0])
    flags[list(names)] = 1
    return flags
