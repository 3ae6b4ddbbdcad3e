"""A body from OpenPose points, after SMPLify (Bogo et al. 2016): where the camera is, then the pose through the prior's code, then details.

    starts -> camera stage (trunk) -> pose stage (code) -> the better ones -> shape -> the best -> single joints -> frames smoothed

Every person, picture and start is a row of one batch. What a picture does not show (front or back, a limb bent toward the camera or away)
is what the several starts are for: each runs through the first stages, and the one that explains the points best and most plausibly stays.
The stages are in `fit_stages`, the terms in `fit_terms`, the derivatives in `fit_points`, the solver in `fit_solver`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.body import BodyModel
from ..checks import InputError, check_choice, check_range, check_shape
from ..render.camera import check_size, match_rows, project, view_rotation
from ..types import BodyPose, Camera, Keypoints
from . import fit_stages
from .fit_points import PointMap
from .fit_terms import Target, joints_of

FOV = math.radians(60)
FEWEST = 5  # points that a body is fitted to
NOISE = 0.01  # expected error of a key point, as a share of the person's size in the picture
SHAPES = 10


@dataclass(frozen=True)
class FitResult:
    """Fitted bodies.

    Args:
        pose: B rows in the world of ``camera``, in the order of the key points.
        camera: B rows; people of one picture share their camera, so that they stand in one space.
        residual: (B,) pixels, mean distance of the points from the key points, weighted by score; NaN where nothing was fitted.
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

    def only_fitted(self) -> FitResult:
        """The rows that were fitted."""
        rows = self.fitted.nonzero()[:, 0]
        return FitResult(self.pose[rows], self.camera[rows], self.residual[rows], self.energy[rows], self.fitted[rows], self.latents[rows])


def fit_body(keypoints: Keypoints, body: BodyModel, prior, camera: Camera | None = None, frame_index=None, person_index=None, fov=FOV,
             smooth=0.0, noise=NOISE, shape=True, on_step=None) -> FitResult:
    """Fits a body to each row of key points.

    Args:
        keypoints: B rows, order "openpose18"; score 0 means not there. Points outside the picture count like others.
        body: the body to fit, on the device of the fit.
        prior: PosePrior on the same device.
        camera: B rows or one; its lens and place are kept. None stands at the origin and looks along -Z with ``fov``.
        frame_index, person_index: (B,) int64, kept in the pose; rows of one person are neighbours in time. None means 0.
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
    fitted = _enough_points(keypoints)
    camera = front_camera(keypoints.width, keypoints.height, fov) if camera is None else camera
    camera = match_rows(camera, len(keypoints)).to(body.device)
    zero = torch.zeros(len(keypoints), dtype=torch.int64, device=body.device)
    frame, person = (zero if index is None else index.to(body.device) for index in (frame_index, person_index))
    with torch.inference_mode(False), torch.no_grad():
        rows = fitted.nonzero()[:, 0]
        target = make_target(keypoints[rows], camera[rows], noise)
        points = PointMap(body, SHAPES)
        plan = fit_stages.Plan(shape, smooth, on_step)
        state, energy = fit_stages.run(points, prior, target, fit_stages.Tracks.of(frame[rows], person[rows]), plan)
        return _result(points, prior, target, state, energy, camera, fitted, frame, person)


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


def _enough_points(keypoints):
    """(B,) bool: people with enough points, two of them on the trunk."""
    there = keypoints.scores > 0
    fitted = (there.sum(1) >= FEWEST) & (there[:, list(fit_stages.TRUNK)].sum(1) >= 2)
    if not bool(fitted.any()):
        raise InputError("keypoints", f"{len(keypoints)} people", f"have fewer than {FEWEST} points, or no trunk",
                         "Use pictures that show shoulders and hips.")
    return fitted


def front_camera(width, height, fov=FOV) -> Camera:
    """One camera at the origin that looks along -Z, at the front of bodies standing there."""
    check_size(width, height)
    one = torch.ones(1)
    focal = one * height / 2 / math.tan(fov / 2)
    return Camera(focal, focal, one * width / 2, one * height / 2, view_rotation()[None], torch.zeros(1, 3), width, height)


def make_target(keypoints: Keypoints, camera: Camera, noise=NOISE) -> Target:
    """Key points as the fit sees them: missing ones at zero, errors in units of ``noise`` times the person's size."""
    there = (keypoints.scores > 0)[..., None]
    places = torch.where(there, keypoints.keypoints_2d, torch.zeros_like(keypoints.keypoints_2d))
    high = torch.where(there, places, -torch.inf).amax(1)
    low = torch.where(there, places, torch.inf).amin(1)
    size = (high - low).norm(dim=-1).clamp(min=4.0)
    return Target(places, keypoints.scores.clamp(0, 1), camera, noise * size)


def _result(points, prior, target, state, energy, camera, fitted, frame, person):
    count, rows = len(fitted), fitted.nonzero()[:, 0]
    joints = joints_of(prior, state)
    pixels, _ = project(points.pose(state.root, joints, state.transl, state.betas).points, target.camera)
    weight = target.scores * points.hangs
    distance = ((pixels - target.keypoints).norm(dim=-1) * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    eye = torch.eye(3, device=rows.device)

    def whole(value, rest):
        return torch.as_tensor(rest).to(value).expand(count, *value.shape[1:]).clone().index_copy(0, rows, value)

    pose = BodyPose(whole(state.root, eye), whole(joints, eye), whole(state.transl, 0.0), whole(state.betas, 0.0), None, frame, person)
    return FitResult(pose, camera, whole(distance, torch.nan), whole(energy, torch.nan), fitted, whole(state.latents, 0.0))
