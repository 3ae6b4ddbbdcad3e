"""A body from OpenPose points, after SMPLify (Bogo et al. 2016): where the camera is, then the pose through the prior's code, then details.

    start poses x starting directions -> camera stage (trunk) -> pose stage (code) -> the better ones -> shape -> the best -> single joints

Every person, picture and start is a row of one batch. The unknown side of the body (front or back, a limb bent toward the camera or away)
is what the several starts are for: each runs through the first stages, and the one that explains the points best and most plausibly stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..bodies.body import BodyModel
from ..checks import InputError, check_choice, check_range, check_shape
from ..render.camera import check_size, match_rows, project, view_rotation
from ..types import BodyPose, Camera, Keypoints
from .fit_camera import place_before_camera
from .fit_points import PointMap
from .fit_solver import minimise
from .fit_terms import Problem, Target, Unknowns, Weights, joints_of

FOV = math.radians(60)
TRUNK = (1, 2, 5, 8, 11)  # neck, shoulders, hips of OpenPose-18
FEWEST = 5  # points that a body is fitted to
NOISE = 0.01  # expected error of a key point, as a share of the person's size in the picture
YAWS = (0.0, 90.0, 180.0, 270.0)


@dataclass(frozen=True)
class FitResult:
    """Fitted bodies.

    Args:
        pose: B rows in the world of ``camera``, in the order of the key points.
        camera: B rows; people of one picture share their camera, so that they stand in one space.
        residual: (B,) pixels, mean distance of the points from the key points, weighted by score.
        energy: (B,) what was minimised; high values are doubtful fits.
        fitted: (B,) bool, False where too few key points were there; such rows hold the rest pose.
        latents: (B, D) code of each pose.
    """

    pose: BodyPose
    camera: Camera
    residual: Tensor
    energy: Tensor
    fitted: Tensor
    latents: Tensor


def fit_body(keypoints: Keypoints, body: BodyModel, prior, camera: Camera | None = None, frame_index=None, person_index=None, fov=FOV,
             smooth=0.0, noise=NOISE, shape=True, on_step=None) -> FitResult:
    """Fits a body to each row of key points.

    Args:
        keypoints: B rows, order "openpose18"; score 0 means not there. Points outside the picture count like others.
        body: the body to fit, on the device of the fit.
        prior: PosePrior on the same device.
        camera: B rows or one; its lens and place are kept. None stands at the origin and looks along -Z with ``fov``.
        frame_index, person_index: (B,) int64, kept in the pose; rows of one person are neighbours in time.
        fov: vertical opening angle in radians where no camera is given.
        smooth: 0 fits each picture alone; 1 is a gentle smoothness over the frames of a person.
        noise: expected error of a key point as a share of the person's size, 0.002 to 0.1. Larger trusts the prior more.
        shape: fit the shape coefficients too, one shape for all frames of a person.
        on_step: called with (done, all) steps.

    Raises:
        InputError: the order is another, numbers are not finite, or nobody can be fitted.
    """
    check_keypoints(keypoints)
    check_range("fov", fov, math.radians(5), math.radians(150), "radians")
    check_range("noise", noise, 0.002, 0.1)
    check_range("smooth", smooth, 0.0, 100.0)
    keypoints = keypoints.to(body.device)
    camera = front_camera(keypoints.width, keypoints.height, fov) if camera is None else camera
    camera = match_rows(camera, len(keypoints)).to(body.device)
    usable = keypoints.scores > 0
    fitted = (usable.sum(1) >= FEWEST) & (usable[:, list(TRUNK)].sum(1) >= 2)
    if not bool(fitted.any()):
        raise InputError("keypoints", f"{len(keypoints)} people", f"have fewer than {FEWEST} points, or no trunk",
                         "Use pictures that show shoulders and hips.")
    with torch.inference_mode(False), torch.no_grad():
        return _fit(keypoints, body, prior, camera, fitted, frame_index, person_index, smooth, noise, shape, on_step)


def check_keypoints(keypoints: Keypoints):
    """Checks key points before a fit.

    Raises:
        InputError: another order, numbers that are not finite, or no rows.
    """
    check_choice("keypoint order", keypoints.order, ("openpose18",))
    check_shape("keypoints", keypoints.keypoints_2d, "B 18 2")
    check_size(keypoints.width, keypoints.height)
    if len(keypoints) == 0:
        raise InputError("keypoints", 0, "people are nobody to fit", "Use a picture in which the pose detector finds someone.")
    there = keypoints.scores > 0
    if not bool(torch.isfinite(keypoints.scores).all()) or not bool(torch.isfinite(keypoints.keypoints_2d[there]).all()):
        raise InputError("keypoints", tuple(keypoints.keypoints_2d.shape), "hold NaN or infinity", "Detect them again.")


def front_camera(width, height, fov=FOV) -> Camera:
    """One camera at the origin that looks along -Z, at the front of bodies standing there."""
    check_size(width, height)
    one = torch.ones(1)
    focal = one * height / 2 / math.tan(fov / 2)
    return Camera(focal, focal, one * width / 2, one * height / 2, view_rotation()[None], torch.zeros(1, 3), width, height)


def _fit(keypoints, body, prior, camera, fitted, frame_index, person_index, smooth, noise, shape, on_step):
    points = PointMap(body, 10)
    rows = fitted.nonzero()[:, 0]
    target = _target(keypoints[rows], camera[rows], noise)
    state, guess = _starts(points, prior, target)
    starts = len(state) // len(rows)
    many = target[torch.arange(len(rows), device=rows.device).repeat_interleave(starts)]
    trunk = replace(many, scores=many.scores * _only(TRUNK, many.scores))
    state, _ = _stage(points, prior, trunk, state, Weights(free=("root", "transl"), robust=100.0), 6)
    state, energy = _stage(points, prior, many, state, Weights(free=("root", "transl", "latents"), latents=4.0, robust=30.0), 8, guess)
    keep = _best(energy, starts, 2)
    state, many = state[keep], many[keep]
    free = ("root", "transl", "latents") + (("betas",) if shape else ())
    state, energy = _stage(points, prior, many, state, Weights(free=free, robust=10.0), 12)
    keep = _best(energy, 2, 1)
    state = state[keep]
    state, energy = _stage(points, prior, target, state, Weights(free=(*free, "turns"), robust=10.0), 10)
    return _result(points, prior, target, state, energy, keypoints, camera, fitted, frame_index, person_index)


def _target(keypoints, camera, noise):
    there = (keypoints.scores > 0)[..., None]
    places = torch.where(there, keypoints.keypoints_2d, torch.zeros_like(keypoints.keypoints_2d))
    high = torch.where(there, places, -torch.inf).amax(1)
    low = torch.where(there, places, torch.inf).amin(1)
    size = (high - low).norm(dim=-1).clamp(min=4.0)
    return Target(places, keypoints.scores.clamp(0, 1), camera, noise * size)


def _only(names, scores):
    flags = torch.zeros_like(scores[0])
    flags[list(names)] = 1
    return flags


def _starts(points, prior, target):
    """The mean pose, seen from several sides, in front of the camera."""
    count, turns = len(target.keypoints), len(YAWS)
    yaw = torch.deg2rad(torch.tensor(YAWS, device=target.unit.device)).repeat(count)
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    root = torch.stack([yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos()], -1).unflatten(-1, (3, 3))
    latents = zero.new_zeros(len(yaw), prior.latent_size)
    many = target[torch.arange(count, device=yaw.device).repeat_interleave(turns)]
    state = fresh_unknowns(root, latents, points.shapes)
    return place(points, prior, state, many), None


def fresh_unknowns(root, latents, shapes):
    """Unknowns of the mean shape at the origin."""
    rows = len(root)
    eye = torch.eye(3, device=root.device).expand(rows, 21, 3, 3)
    return Unknowns(root, root.new_zeros(rows, 3), latents, eye, root.new_zeros(rows, shapes))


def place(points, prior, state, target):
    """Unknowns moved before the camera."""
    placed = points.pose(state.root, joints_of(prior, state), state.transl, state.betas)
    step = place_before_camera(placed.points, target.keypoints, target.scores * points.hangs, target.camera)
    return replace(state, transl=state.transl + step)


def _stage(points, prior, target, state, weights, steps, guess=None):
    problem = Problem(points, prior, target, weights, guess=guess)
    return minimise(state, problem.energy, problem.system, problem.move, steps)


def _best(energy, starts, keep):
    """Indices of the ``keep`` best of every ``starts`` rows."""
    table = energy.unflatten(0, (-1, starts))
    chosen = table.topk(keep, dim=1, largest=False).indices
    return (chosen + starts * torch.arange(len(table), device=energy.device)[:, None]).flatten()


def _result(points, prior, target, state, energy, keypoints, camera, fitted, frame_index, person_index):
    count, rows = len(keypoints), fitted.nonzero()[:, 0]
    problem = Problem(points, prior, target, Weights())
    pixels, _ = project(problem.placed(state).points, target.camera)
    weight = target.scores * points.hangs
    distance = ((pixels - target.keypoints).norm(dim=-1) * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    eye = torch.eye(3, device=rows.device)

    def whole(value, rest):
        return torch.as_tensor(rest).to(value).expand(count, *value.shape[1:]).clone().index_copy(0, rows, value)

    pose = BodyPose(whole(state.root, eye), whole(joints_of(prior, state), eye), whole(state.transl, 0.0), whole(state.betas, 0.0),
                    frame_index=frame_index, person_index=person_index)
    return FitResult(pose, camera, whole(distance, torch.nan), whole(energy, torch.nan), fitted, whole(state.latents, 0.0))
