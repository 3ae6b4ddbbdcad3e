"""What the fit minimises (SMPLify, Bogo et al. 2016, equation 1, with VPoser's code in the place of the mixture of Gaussians):

    sum_i score_i GM(point_i(z, turns, betas, root, transl) - keypoint_i)  +  |z|^2  +  |turns|^2  +  |betas|^2  +  knees and elbows

Each term gives an energy, and its part of Gauss-Newton's normal equations. Key points count in units of ``noise`` times the person's size,
so a picture's resolution does not matter. GM is the Geman-McClure function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..bodies.joints import JOINT_NAMES
from ..rotations import rotvec_to_rotmat
from ..types import Camera
from .fit_points import PointMap, decode_with_slope, project_with_slope

JOINTS = 21
# Hinges: joint of body_pose, the axis it bends about and the sign of a natural bend (models/bodies/plausibility.py)
_HINGES = (("left_knee", 0, 1.0), ("right_knee", 0, 1.0), ("left_elbow", 1, -1.0), ("right_elbow", 1, 1.0))
_HINGE_JOINTS = [JOINT_NAMES.index(name) - 1 for name, _, _ in _HINGES]
_HINGE_AXES = [axis for _, axis, _ in _HINGES]
_HINGE_SIGNS = [sign for _, _, sign in _HINGES]
KEEP_SLOPE = 3  # Gauss-Newton steps for which the code's slope is kept
NEAREST = 0.2  # metres: no point may come closer to the camera, or behind it


@dataclass(frozen=True)
class Unknowns:
    """What the fit looks for.

    Args:
        root: (B, 3, 3) rotation of the body in the world.
        transl: (B, 3) metres, SMPL's translation.
        latents: (B, D) code of the pose.
        turns: (B, 21, 3, 3) what each joint turns beyond the decoded pose, in its parent's axes.
        betas: (B, K) shape.
    """

    root: Tensor
    transl: Tensor
    latents: Tensor
    turns: Tensor
    betas: Tensor

    def __getitem__(self, rows):
        return Unknowns(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __len__(self):
        return len(self.root)

    @staticmethod
    def cat(parts):
        """The rows of several, one after another."""
        return Unknowns(*(torch.cat([getattr(part, name) for part in parts]) for name in Unknowns.__dataclass_fields__))

    def where(self, flags, other):
        """These unknowns in the flagged rows, ``other``'s elsewhere."""
        def chosen(name):
            mine = getattr(self, name)
            return torch.where(flags.view(-1, *[1] * (mine.ndim - 1)), mine, getattr(other, name))
        return Unknowns(*(chosen(name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Target:
    """What the fit looks at.

    Args:
        keypoints: (B, 18, 2) pixels.
        scores: (B, 18) 0 where a point is not there.
        camera: B rows.
        unit: (B,) pixels that count as one: the expected error of a key point.
    """

    keypoints: Tensor
    scores: Tensor
    camera: Camera
    unit: Tensor

    def __getitem__(self, rows):
        return Target(self.keypoints[rows], self.scores[rows], self.camera[rows], self.unit[rows])


@dataclass(frozen=True)
class Weights:
    """How much each term counts in one stage; an unknown without weight is held still where its flag says so.

    Args:
        latents, turns, betas: of the squared priors.
        hinges: of knees and elbows that bend the wrong way, per squared radian.
        robust: where the Geman-McClure function bends, in units of a key point's expected error.
        smooth: of the squared distance of each point from the neighbouring frames', per squared metre.
        free: names of the unknowns that may move.
    """

    latents: float = 1.0
    turns: float = 20.0
    betas: float = 1.0
    hinges: float = 30.0
    robust: float = 10.0
    smooth: float = 0.0
    free: tuple[str, ...] = ("root", "transl", "latents", "turns", "betas")


class Problem:
    """Energies and normal equations of one stage for B rows.

    Args:
        points: PointMap.
        prior: PosePrior.
        target: Target.
        weights: Weights.
        neighbours: (B, 18, 3) points that each row is drawn to, metres, or None.
        guess: (mean (B, D), std (B, D)) of the code as the key points suggest it, or None for the prior's own 0 and 1.
    """

    def __init__(self, points: PointMap, prior, target: Target, weights: Weights, neighbours=None, guess=None):
        self.points, self.prior, self.target, self.weights = points, prior, target, weights
        self.neighbours, self.guess = neighbours, guess
        self._slope, self._steps_since = None, 0

    def __getitem__(self, rows):
        neighbours = None if self.neighbours is None else self.neighbours[rows]
        guess = None if self.guess is None else tuple(part[rows] for part in self.guess)
        return Problem(self.points, self.prior, self.target[rows], self.weights, neighbours, guess)

    def energy(self, state: Unknowns) -> Tensor:
        """(B,) what is minimised."""
        w = self.weights
        rotmats = joints_of(self.prior, state)
        placed = self.points.pose(state.root, rotmats, state.transl, state.betas)
        pixels, _, z = project_with_slope(placed.points, self.target.camera)
        squared = (self._misfit(pixels).square()).sum(-1)
        bend = w.robust**2
        energy = (self._counts() * bend * squared / (bend + squared)).sum(1)
        energy = energy + torch.where(z < NEAREST, 1e6 * (NEAREST - z), torch.zeros_like(z)).sum(1)
        mean, std = self._code_prior(state)
        energy = energy + w.latents * ((state.latents - mean) / std).square().sum(1)
        energy = energy + w.turns * (3 - state.turns.diagonal(dim1=-2, dim2=-1).sum(-1)).sum(1) + w.betas * state.betas.square().sum(1)
        energy = energy + w.hinges * _hinge_bend(rotmats).clamp(max=0).square().sum(1)
        if self.neighbours is not None:
            energy = energy + w.smooth * (placed.points - self.neighbours).square().sum((1, 2))
        return energy

    def system(self, state: Unknowns):
        """Gauss-Newton's normal equations (H (B, P, P), g (B, P)) of the unknowns that are free, in the order of `move`."""
        w = self.weights
        rotmats, code_slope = joints_of(self.prior, state), self._code_slope(state)
        placed = self.points.pose(state.root, rotmats, state.transl, state.betas)
        pixels, slope, _ = project_with_slope(placed.points, self.target.camera)
        misfit = self._misfit(pixels)
        bend = w.robust**2
        scale = (self._counts() * (bend / (bend + misfit.square().sum(-1))).square()).sqrt()[..., None]  # reweighted least squares
        unit = self.target.unit[:, None, None, None]
        rows = self._columns(state, placed, code_slope, slope / unit)
        J, r = (rows * scale[..., None]).flatten(1, 2), (misfit * scale).flatten(1)
        if self.neighbours is not None and w.smooth:
            eye = torch.eye(3, device=r.device).expand(*placed.points.shape[:2], 3, 3)
            lift = w.smooth**0.5
            J = torch.cat([J, lift * self._columns(state, placed, code_slope, eye).flatten(1, 2)], 1)
            r = torch.cat([r, lift * (placed.points - self.neighbours).flatten(1)], 1)
        H, g = J.mT @ J, (J.mT @ r[..., None])[..., 0]
        diagonal, pull = self._priors(state, rotmats, code_slope)
        return H + torch.diag_embed(diagonal), g + pull

    def move(self, state: Unknowns, step: Tensor) -> Unknowns:
        """The unknowns after a step (B, P)."""
        parts, taken = {}, 0
        for name in self.weights.free:
            size = _SIZES[name](state)
            parts[name], taken = step[:, taken : taken + size], taken + size
        changed = {}
        if "root" in parts:
            changed["root"] = rotvec_to_rotmat(_bounded(parts["root"], 1.0)) @ state.root
        if "transl" in parts:
            changed["transl"] = state.transl + parts["transl"]
        if "latents" in parts:
            changed["latents"] = state.latents + parts["latents"]
        if "turns" in parts:
            changed["turns"] = rotvec_to_rotmat(_bounded(parts["turns"].unflatten(1, (-1, 3)), 0.5)) @ state.turns
        if "betas" in parts:
            changed["betas"] = state.betas + parts["betas"]
        return replace(state, **changed)

    def _code_slope(self, state):
        """How the joints turn with the code: by far the dearest part, and slow to change, so it is kept for some steps."""
        if "latents" not in self.weights.free:
            return None
        if self._steps_since % KEEP_SLOPE == 0:
            self._slope = decode_with_slope(self.prior, state.latents)[1]
        self._steps_since += 1
        return self._slope

    def _columns(self, state, placed, code_slope, slope):
        """(B, 18, C, P) change of each point, seen through ``slope (B, 18, C, 3)``, per free unknown."""
        free = self.weights.free
        columns = []
        needs_joints = {"latents", "turns"} & set(free)
        if "root" in free or needs_joints:
            lever = self.points.moments(placed) if needs_joints else (placed.points - placed.joints[:, :1])[:, :, None]  # (B, 18, J, 3)
            turned = torch.linalg.cross(lever[:, :, None], slope[:, :, :, None].expand(-1, -1, -1, lever.shape[2], -1), dim=-1)
        if needs_joints:
            parents = placed.turns[:, self.points.parents[1:]]  # (B, 21, 3, 3)
            local = torch.einsum("bpcjd,bjde->bpcje", turned[:, :, :, 1:], parents)
        for name in free:
            if name == "root":
                columns.append(turned[:, :, :, 0])
            elif name == "transl":
                columns.append(slope)
            elif name == "latents":
                through = code_slope if _is_still(state.turns) else state.turns @ code_slope
                columns.append((local.flatten(3).flatten(1, 2) @ through.flatten(1, 2)).unflatten(1, local.shape[1:3]))
            elif name == "turns":
                columns.append(local.flatten(3))
            elif name == "betas":
                columns.append(slope @ self.points.shape_moves(placed)[..., : state.betas.shape[1]])
        return torch.cat(columns, -1)

    def _priors(self, state, rotmats, code_slope):
        """Diagonal (B, P) and gradient (B, P) of the squared priors and of the hinges."""
        w = self.weights
        bend = _hinge_bend(rotmats).clamp(max=0)
        diagonal, pull = [], []
        for name in w.free:
            size = _SIZES[name](state)
            d, g = state.transl.new_zeros(len(state), size), state.transl.new_zeros(len(state), size)
            if name == "latents":
                mean, std = self._code_prior(state)
                d, g = (w.latents / std.square()).expand(len(state), -1).clone(), w.latents * (state.latents - mean) / std.square()
                hinge = code_slope[:, _HINGE_JOINTS, _HINGE_AXES] * g.new_tensor(_HINGE_SIGNS)[:, None]  # (B, 4, D)
                g = g + w.hinges * (bend[..., None] * hinge).sum(1)
                d = d + w.hinges * ((bend < 0)[..., None] * hinge.square()).sum(1)
            elif name == "turns":
                d, g = d + w.turns, w.turns * _sine_axis(state.turns)
                g[:, _HINGE_JOINTS, _HINGE_AXES] += w.hinges * bend * g.new_tensor(_HINGE_SIGNS)
                g = g.flatten(1)
                d = d.unflatten(1, (-1, 3))
                d[:, _HINGE_JOINTS, _HINGE_AXES] += w.hinges * (bend < 0)
                d = d.flatten(1)
            elif name == "betas":
                d, g = d + w.betas, w.betas * state.betas
            diagonal.append(d)
            pull.append(g)
        return torch.cat(diagonal, 1), torch.cat(pull, 1)

    def _code_prior(self, state):
        return self.guess if self.guess is not None else (torch.zeros_like(state.latents), torch.ones_like(state.latents))

    def _misfit(self, pixels):
        return (pixels - self.target.keypoints) / self.target.unit[:, None, None]

    def _counts(self):
        return self.target.scores * self.points.hangs


_SIZES = {
    "root": lambda state: 3, "transl": lambda state: 3, "latents": lambda state: state.latents.shape[1],
    "turns": lambda state: 3 * JOINTS, "betas": lambda state: state.betas.shape[1],
}


def joints_of(prior, state: Unknowns) -> Tensor:
    """(B, 21, 3, 3) the pose: the decoded code, turned by ``turns``."""
    return state.turns @ prior.decode(state.latents)


def _hinge_bend(rotmats):
    """(B, 4) sine of the angle by which knees and elbows bend the natural way; below zero is the wrong way."""
    bend = _sine_axis(rotmats[:, _HINGE_JOINTS])
    return bend[:, range(len(_HINGES)), _HINGE_AXES] * bend.new_tensor(_HINGE_SIGNS)


def _sine_axis(rotmats):
    """(..., 3) the rotation axis times the sine of the angle: the rotvec of small turns, without its seam at a half turn."""
    skew = (rotmats - rotmats.mT) / 2
    return torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)


def _bounded(rotvec, most):
    """Rotvecs (..., 3) no longer than ``most`` radians."""
    return rotvec * (most / rotvec.norm(dim=-1, keepdim=True).clamp(min=most))


def _is_still(turns):
    return bool((turns.diagonal(dim1=-2, dim2=-1) == 1).all())
