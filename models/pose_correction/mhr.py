"""Bodies from ComfyUI core's SAM 3D Body: MHR_POSE_DATA -> poses of our body before the camera that core found.

Core's own body has other joints, so ours is fitted: bones are turned into the directions that core's 70 points show, then the fit of
`fit.py` is run on the points in space and in the picture. A body of another size than ours is brought to our size along its rays, which
leaves the picture as it is. The layout is read off core's source and checked against a fixture, see `motion/core_rig.py`.
"""

from __future__ import annotations

import numpy as np
import torch

from ..bodies.body import BodyModel
from ..bodies.joints import BODY_JOINTS, OPENPOSE18_NAMES
from ..checks import InputError, numbers_of
from ..motion.core_rig import MHR_POINTS, mhr_to_joints
from ..motion.joints_ik import joints_to_pose
from ..render.camera import check_size, project, view_rotation
from ..types import BodyPose, Camera, Keypoints
from .fit import make_target
from .fit_points import PointMap
from .fit_solver import minimise
from .fit_terms import Problem, Unknowns, Weights, joints_of

NAME = "mhr pose data"
SPACE_ERROR = 0.03  # metres, expected distance between core's points and ours
_FACE = {"nose": 0, "left_eye": 1, "right_eye": 2, "left_ear": 3, "right_ear": 4}
_POINTS = _FACE | MHR_POINTS
_REMEDY = "Connect the pose data of core's SAM 3D Body."


def sam3d_to_body(data, body: BodyModel, prior) -> tuple[BodyPose, Camera, str]:
    """Poses our body like everybody that core found.

    Args:
        data: MHR_POSE_DATA: ``frames``, per picture a list of people with ``pred_keypoints_3d`` (70, 3) in camera axes, ``pred_cam_t``
            (3,) and ``focal_length`` in pixels; ``image_size`` (height, width).
        body: the body to pose, on the device of the fit.
        prior: PosePrior on the same device.

    Returns:
        (pose, camera, report): one row per person and picture, ``frame_index`` and ``person_index`` set.

    Raises:
        InputError: the data is something else, or shows nobody.
    """
    seen, frame_index, person_index = _read(data)
    height, width = _size(data)
    with torch.inference_mode(False), torch.no_grad():
        points = torch.from_numpy(np.stack([points for points, _ in seen])).to(body.device)
        focal = torch.tensor([focal for _, focal in seen], device=body.device)
        world = points @ view_rotation().to(points)  # the rotation is its own inverse
        start, _ = joints_to_pose(mhr_to_joints(world), body)
        scale = _leg(body.with_shape(None).joints[:, :BODY_JOINTS]) / _leg(mhr_to_joints(world))
        world = world * scale[:, None, None]
        rows = torch.ones_like(focal)
        camera = Camera(focal, focal, rows * width / 2, rows * height / 2, view_rotation().to(focal).expand(len(rows), 3, 3),
                        focal.new_zeros(len(rows), 3), width, height)
        pose, error = _fit(_openpose18(world), start, camera, body, prior)
    pose = BodyPose(pose.global_orient, pose.body_pose, pose.transl, pose.betas, None, frame_index, person_index)
    report = (f"{len(pose)} bodies in {len(data['frames'])} pictures of {width} x {height}; their points lie "
              f"{100 * float(error.median()):.1f} cm from core's (median), at {100 * float(scale.median()):.0f} % of core's size.")
    return pose, camera, report


def _fit(targets, start, camera, body, prior):
    """(pose, (B,) metres between the points and the targets)."""
    pixels, _ = project(targets, camera)
    target = make_target(Keypoints(pixels, torch.ones_like(pixels[..., 0]), "openpose18", camera.width, camera.height), camera)
    points = PointMap(body, 10)
    latents = prior.encode(start.body_pose).mean
    state = Unknowns(start.global_orient, torch.zeros_like(start.transl), latents, torch.eye(3).to(latents).expand(len(start), 21, 3, 3),
                     latents.new_zeros(len(start), points.shapes))
    placed = points.pose(state.root, joints_of(prior, state), state.transl, state.betas)
    state = Unknowns(state.root, (targets - placed.points).mean(1), state.latents, state.turns, state.betas)
    free = ("root", "transl", "latents", "betas")
    for names in (("root", "transl"), free, (*free, "turns")):
        problem = Problem(points, prior, target, Weights(smooth=SPACE_ERROR**-2, free=names), targets)
        state, _ = minimise(state, problem.energy, problem.system, problem.move, 12)
    error = (points.pose(state.root, joints_of(prior, state), state.transl, state.betas).points - targets).norm(dim=-1).mean(1)
    return BodyPose(state.root, joints_of(prior, state), state.transl, state.betas), error


def _read(data):
    """([(points (70, 3) camera axes, focal length)], frame_index, person_index)."""
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, (list, tuple)) or not frames:
        raise InputError(NAME, type(data).__name__, "holds no frames", _REMEDY)
    seen, frame_index, person_index = [], [], []
    for number, people in enumerate(frames):
        if not isinstance(people, (list, tuple)):
            raise InputError(NAME, f"picture {number}", "is no list of people", _REMEDY)
        for index, person in enumerate(people):
            seen.append(_person(person, number))
            frame_index.append(number)
            person_index.append(index)
    if not seen:
        raise InputError(NAME, f"{len(frames)} pictures", "show nobody", "Use pictures in which core finds someone.")
    return seen, torch.tensor(frame_index), torch.tensor(person_index)


def _person(person, number):
    entries = [person.get(key) if isinstance(person, dict) else None for key in ("pred_keypoints_3d", "pred_cam_t", "focal_length")]
    if any(entry is None for entry in entries):
        raise InputError(NAME, f"picture {number}", "holds a person without key points, place or focal length", _REMEDY)
    points, place, focal = (numbers_of(NAME, entry, f"a person in picture {number}", _REMEDY) for entry in entries)
    if points.shape != (70, 3) or place.size != 3 or focal.size < 1:
        raise InputError(NAME, points.shape, "are not 70 finite key points with a place and a focal length", _REMEDY)
    if not focal.ravel()[0] > 0:
        raise InputError(NAME, float(focal.ravel()[0]), "is not a focal length", _REMEDY)
    return points + place.reshape(3), float(focal.ravel()[0])


def _size(data):
    try:
        height, width = (int(side) for side in data["image_size"])
        check_size(width, height)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(NAME, str(data.get("image_size")), "is not the pictures' size", _REMEDY) from None
    return height, width


def _openpose18(points):
    """(B, 70, 3) core's points to (B, 18, 3); OpenPose's neck lies between the shoulders."""
    at = {name: points[:, index] for name, index in _POINTS.items()}
    at["neck"] = (at["left_shoulder"] + at["right_shoulder"]) / 2
    return torch.stack([at[name] for name in OPENPOSE18_NAMES], 1)


def _leg(joints):
    """(B,) mean length of thigh and shin of both legs from SMPL's joints (B, 22, 3)."""
    bones = ((1, 4), (4, 7), (2, 5), (5, 8))
    return sum((joints[:, a] - joints[:, b]).norm(dim=-1) for a, b in bones) / 4
