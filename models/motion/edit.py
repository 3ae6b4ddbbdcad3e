"""Editing motions: rows in time order, any device. Rotations are interpolated on the sphere, never number by number.

Every function takes BodyPose rows of one person and returns a new BodyPose whose ``frame_index`` counts from 0. ``hands`` and ``betas``
are kept; shape coefficients are interpolated like positions.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..bodies.joints import mirror_pose
from ..checks import InputError, check_choice, check_range
from ..rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ..types import BodyPose
from .floor import check_rows
from .geometry import nearest_rotmat, turn_by_part

DEFAULT_FPS = 30.0
MAX_FRAMES = 100_000
MAX_BLEND = 1000
TIMINGS = ("minimum jerk", "linear")
_ROTATIONS = ("global_orient", "body_pose", "hands")
_VECTORS = ("transl", "betas")


def resample(pose: BodyPose, fps: float) -> BodyPose:
    """The same motion at another frame rate, first and last moment kept, by slerp between the two nearest frames.

    Args:
        pose: T rows with ``fps``.
        fps: frames per second, 1 to 240.

    Raises:
        InputError: the rate is out of range, the motion has none, or it would become too long.
    """
    check_range("fps", fps, 1, 240)
    old = _rate(pose)
    count = max(round((len(pose) - 1) / old * fps) + 1, 1)
    if count > MAX_FRAMES:
        raise InputError("fps", fps, f"gives {count} frames", f"Trim the motion first; at most {MAX_FRAMES} frames are made.")
    times = torch.arange(count, device=pose.device, dtype=torch.float64) * (old / fps)
    return replace(sample(pose, times), fps=float(fps))


def change_speed(pose: BodyPose, factor: float) -> BodyPose:
    """Plays ``factor`` times as fast at the same frame rate: 2 halves the number of frames. Between 0.05 and 20.

    Raises:
        InputError: the factor is out of range or gives too many frames.
    """
    check_range("speed", factor, 0.05, 20)
    count = max(round((len(pose) - 1) / factor) + 1, 1)
    if count > MAX_FRAMES:
        raise InputError("speed", factor, f"gives {count} frames", f"Trim the motion first; at most {MAX_FRAMES} frames are made.")
    return sample(pose, torch.arange(count, device=pose.device, dtype=torch.float64) * factor)


def sample(pose: BodyPose, times: Tensor) -> BodyPose:
    """The pose at any moments ``times (N,)``, in frames; moments outside the motion hold its ends."""
    check_rows(pose)
    times = times.to(pose.device).clamp(0, len(pose) - 1)
    before = times.floor().long().clamp(max=max(len(pose) - 2, 0))
    after = (before + 1).clamp(max=len(pose) - 1)
    return _numbered(mix(pose[before], pose[after], (times - before).to(pose.transl.dtype)))


def mix(a: BodyPose, b: BodyPose, part: Tensor) -> BodyPose:
    """Row by row between two poses: ``part (B,)`` 0 gives a, 1 gives b; slerp for rotations, straight lines for the rest."""
    mixed = {}
    for name in (*_ROTATIONS, *_VECTORS):
        one, other = getattr(a, name), getattr(b, name)
        if one is None or other is None:
            mixed[name] = None
        elif name in _VECTORS:
            mixed[name] = torch.lerp(one, other, part[:, None])
        else:
            mixed[name] = turn_by_part(one, other, part.view(-1, *[1] * (one.ndim - 3)).expand(one.shape[:-2]))
    return replace(a, **mixed)


def trim(pose: BodyPose, start: int = 0, end: int | None = None) -> BodyPose:
    """Frames ``start`` to ``end`` (not included; None or 0 is the last). Negative numbers count from the end.

    Raises:
        InputError: nothing would be left.
    """
    kept = range(len(pose))[slice(start, end or None)]
    if len(kept) == 0:
        raise InputError("trim", (start, end), f"leaves none of the {len(pose)} frames", "Choose a start before the end.")
    return _numbered(pose[kept.start : kept.stop])


def loop(pose: BodyPose, blend: int = 10, in_place: bool = True) -> BodyPose:
    """Makes the motion repeat without a jump: its last ``blend`` frames pass over into its first ones.

    Args:
        pose: T rows; the result has T - blend.
        blend: frames of the seam.
        in_place: take the steady travel over the floor out, so that the end meets the start; else the figure slides back during the seam.

    Raises:
        InputError: the motion is shorter than twice the blend.
    """
    blend = int(check_range("blend", blend, 1, MAX_BLEND))
    if len(pose) < 2 * blend + 1:
        raise InputError("blend", blend, f"frames are too many for a motion of {len(pose)}", f"Choose at most {(len(pose) - 1) // 2}.")
    length = len(pose) - blend
    if in_place:
        drift = (pose.transl[length:] - pose.transl[:blend]).mean(0) * pose.transl.new_tensor([1.0, 0.0, 1.0])
        done = torch.arange(len(pose), device=pose.device, dtype=pose.transl.dtype)[:, None] / length
        pose = replace(pose, transl=pose.transl - drift * done)
    part = _ease(torch.arange(1, blend + 1, device=pose.device, dtype=pose.transl.dtype) / (blend + 1))
    seam = mix(pose[length : len(pose)], pose[:blend], part)
    return _numbered(_cat(pose[blend:length], seam))


def smooth(pose: BodyPose, seconds: float = 0.1) -> BodyPose:
    """Gaussian smoothing over time. Rotations are averaged in the tangent space of each frame, ``R exp(sum_k w_k log(R^T R_k))``.

    Args:
        pose: T rows.
        seconds: standard deviation of the window, 0 to 2; 0 changes nothing.

    Raises:
        InputError: the width is out of range.
    """
    check_range("smoothing", seconds, 0, 2)
    sigma = seconds * (pose.fps or DEFAULT_FPS)
    check_rows(pose)
    if sigma < 1e-3 or len(pose) < 2:
        return _numbered(pose)
    reach = min(int(3 * sigma + 1), len(pose) - 1)
    steps = torch.arange(-reach, reach + 1, device=pose.device)
    weights = torch.exp(-0.5 * (steps / sigma).square())
    weights = weights / weights.sum()
    frames = torch.arange(len(pose), device=pose.device)
    smoothed = {}
    for name in (*_ROTATIONS, *_VECTORS):
        value = getattr(pose, name)
        if value is None:
            continue
        total = torch.zeros_like(value[..., 0] if name in _ROTATIONS else value)
        for step, weight in zip(steps.tolist(), weights.tolist()):
            other = value[(frames + step).clamp(0, len(pose) - 1)]
            total = total + weight * (rotmat_to_rotvec(value.transpose(-1, -2) @ other) if name in _ROTATIONS else other)
        smoothed[name] = nearest_rotmat(value @ rotvec_to_rotmat(total)) if name in _ROTATIONS else total
    return _numbered(replace(pose, **smoothed))


def mirror(pose: BodyPose) -> BodyPose:
    """Left and right change places, over the plane x = 0."""
    return mirror_pose(pose)


def between(poses: BodyPose, seconds: float = 1.0, fps: float = DEFAULT_FPS, timing="minimum jerk", hold: float = 0.0) -> BodyPose:
    """A motion through key poses, one per row, such as the answers to several prompts.

    Each pair of neighbours is joined by slerp along the minimum-jerk curve 10 s^3 - 15 s^4 + 6 s^5, which starts and ends at rest
    as a reaching person does (Flash and Hogan 1985); "linear" runs evenly.

    Args:
        poses: N rows, at least two.
        seconds: from one key pose to the next, 0.05 to 60.
        fps: frames per second, 1 to 240.
        timing: one of ``TIMINGS``.
        hold: seconds for which each key pose is held, 0 to 60.

    Raises:
        InputError: fewer than two poses, or a number out of range.
    """
    check_range("seconds", seconds, 0.05, 60)
    check_range("fps", fps, 1, 240)
    check_range("hold", hold, 0, 60)
    check_choice("timing", timing, TIMINGS)
    if len(poses) < 2:
        raise InputError("key poses", len(poses), "is too few", "Give at least two poses, for example count 2 in Text to Pose.")
    steps, still = max(round(seconds * fps), 1), round(hold * fps)
    if (len(poses) - 1) * (steps + still) > MAX_FRAMES:
        raise InputError("seconds", seconds, "gives too many frames", f"At most {MAX_FRAMES} frames are made.")
    part = torch.arange(steps, device=poses.device, dtype=torch.float64) / steps
    part = torch.cat([part.new_zeros(still), part if timing == "linear" else _ease(part)])
    starts = torch.arange(len(poses) - 1, device=poses.device)
    times = torch.cat([(starts[:, None] + part).flatten(), part.new_full((still + 1,), len(poses) - 1)])
    return replace(sample(poses, times), fps=float(fps))


def concatenate(first: BodyPose, second: BodyPose, blend: int = 10, follow=True) -> BodyPose:
    """Plays two motions one after another; the second is brought to the first's frame rate.

    Args:
        first, second: T1 and T2 rows.
        blend: frames over which the first passes into the second, 0 for a cut.
        follow: move and turn the second about the vertical so that it goes on where and as the first ends.

    Raises:
        InputError: the blend is longer than either motion.
    """
    blend = int(check_range("blend", blend, 0, MAX_BLEND))
    if not len(first) or not len(second):
        raise InputError("motion", 0, "frames hold nothing", "Give at least one pose.")
    if second.fps and first.fps and abs(second.fps - first.fps) > 1e-3:
        second = resample(second, first.fps)
    if blend > min(len(first), len(second)):
        raise InputError("blend", blend, f"is longer than a motion of {min(len(first), len(second))} frames", "Choose a shorter blend.")
    second = second.to(first.device)
    if follow:
        second = _continued(second, first[-1 if blend == 0 else len(first) - blend])
    if blend == 0:
        return _numbered(_cat(first, second))
    part = _ease(torch.arange(1, blend + 1, device=first.device, dtype=first.transl.dtype) / (blend + 1))
    seam = mix(first[len(first) - blend : len(first)], second[:blend], part)
    return _numbered(_cat(first[: len(first) - blend], seam, second[blend : len(second)]))


def _continued(pose, end):
    """The motion turned about +Y and moved over the floor so that its first frame stands where, and looks as, ``end`` does."""
    from ..bodies.posture import heading

    angle = heading(end.global_orient) - heading(pose.global_orient[:1])
    rotvec = angle.new_zeros(1, 3)
    rotvec[:, 1] = angle
    turn = rotvec_to_rotmat(rotvec)
    transl = (turn @ (pose.transl - pose.transl[:1])[..., None])[..., 0]
    transl = transl + pose.transl[:1] * transl.new_tensor([0, 1, 0]) + end.transl * transl.new_tensor([1, 0, 1])
    return replace(pose, global_orient=turn @ pose.global_orient, transl=transl)


def _cat(*poses):
    return replace(BodyPose.cat(poses), fps=poses[0].fps)


def _ease(part):
    return part**3 * (10 - 15 * part + 6 * part**2)


def _numbered(pose):
    return replace(pose, frame_index=torch.arange(len(pose), device=pose.device))


def _rate(pose):
    check_rows(pose)
    if not pose.fps:
        remedy = "Load it from a motion file, or make one of single poses with Edit Motion (between)."
        raise InputError("motion", f"{len(pose)} poses", "has no frame rate", remedy)
    return pose.fps
