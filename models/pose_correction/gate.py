"""Which pictures need correction: hard poses do, easy ones do not, and bodies that are cut off cannot be (Weng et al. 2023, 3.2).

The score is the squared length of the pose's code. The paper writes a length above 30, its code sums squares: a unit Gaussian of 32
dimensions has a squared length of 32 on average, so 30 divides squares sensibly and lengths hardly ever reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.body import BodyModel, pose_body
from ..bodies.joints import BODY_JOINTS
from ..checks import InputError, check_choice, check_range, check_shape
from ..render.camera import match_rows, project
from ..types import BodyPose, Camera

THRESHOLD = 30.0
EASY, HARD, CUT_OFF, NOBODY = "easy", "hard", "cut off", "nobody"
CUT_OFF_CHOICES = ("pass through", "correct")
INSIDE = 0.7  # share of the joints that must lie in the picture
CLOSE_UP = 0.6  # trunk as a share of the picture's height from which a picture is a close-up


def difficulty(prior, pose: BodyPose, seed=0, sample=True) -> Tensor:
    """(B,) squared length of the code of each pose.

    Args:
        prior: PosePrior; scores of different priors cannot be compared.
        pose: B rows; the root does not count.
        seed: of the draw, which all rows share, so that a row's score does not depend on its neighbours.
        sample: draw the code, as the paper; False takes the mean code, which gives lower and steadier scores.
    """
    codes = prior.encode(pose.body_pose)
    if not sample:
        return codes.mean.square().sum(1)
    noise = torch.randn(codes.mean.shape[1], generator=torch.Generator().manual_seed(seed)).to(codes.mean)
    return (codes.mean + codes.std * noise).square().sum(1)


@dataclass(frozen=True)
class Framing:
    """How bodies lie in their pictures.

    Args:
        inside: (B,) share of the 22 joints that lie in the picture, 0..1.
        trunk: (B,) length from the neck to the pelvis as a share of the picture's height.
    """

    inside: Tensor
    trunk: Tensor

    def cut_off(self, inside=INSIDE, close_up=CLOSE_UP) -> Tensor:
        """(B,) bool: too little of the body is in the picture, or it comes too close."""
        return (self.inside < inside) | (self.trunk > close_up)


def measure_framing(pose: BodyPose, camera: Camera, body: BodyModel) -> Framing:
    """Projects the joints and counts those in the picture."""
    posed = pose_body(body, pose)
    camera = match_rows(camera, len(pose)).to(posed.device)
    points, depth = project(posed.joints[:, :BODY_JOINTS], camera)
    limit = points.new_tensor([camera.width, camera.height])
    seen = (depth > 0) & (points >= 0).all(-1) & (points < limit).all(-1)
    trunk = (points[:, 12] - points[:, 0]).norm(dim=-1) / camera.height
    return Framing(seen.float().mean(1), trunk)


@dataclass(frozen=True)
class Verdict:
    """What is to be done with each picture.

    Args:
        scores: (B,) difficulty of each person.
        states: for each picture "easy", "hard", "cut off" or "nobody".
        correct: (N,) bool, the pictures to be corrected.
        picture: (B,) picture of each person.
    """

    scores: Tensor
    states: tuple[str, ...]
    correct: Tensor
    picture: Tensor

    def report(self) -> str:
        """A line for each picture."""
        scores = [[] for _ in self.states]
        for picture, score in zip(self.picture.tolist(), self.scores.tolist()):
            scores[picture].append(f"{score:.1f}")
        return "\n".join(f"picture {number}: {state}{', ' * bool(told)}{' and '.join(told)}"
                         for number, (state, told) in enumerate(zip(self.states, scores)))


def judge(scores: Tensor, picture: Tensor, pictures: int, threshold=THRESHOLD, cut_off: Tensor | None = None,
          cut_off_choice="pass through") -> Verdict:
    """Decides picture by picture: the hardest person in it counts.

    Args:
        scores: (B,) from `difficulty`.
        picture: (B,) int64 picture of each person, 0 .. pictures - 1 (a pose's ``frame_index``).
        pictures: N.
        threshold: tau; a score above it is hard.
        cut_off: (B,) bool, persons that are cut off or too close, or None.
        cut_off_choice: "pass through" leaves a picture alone in which a hard person is cut off; "correct" corrects it all the same.

    Raises:
        InputError: shapes do not fit, or a picture's number is outside.
    """
    rows = check_shape("scores", scores, "B")["B"]
    check_shape("picture", picture, "B", B=rows)
    check_choice("cut off", cut_off_choice, CUT_OFF_CHOICES)
    check_range("threshold", threshold, 0.0, 1e6)
    if rows:
        check_range("picture number", int(picture.max()), 0, pictures - 1)
        check_range("picture number", int(picture.min()), 0, pictures - 1)
    hard = scores > threshold
    cut = torch.zeros_like(hard) if cut_off is None else cut_off & hard
    any_hard, any_cut, any_one = (_in_picture(flag, picture, pictures) for flag in (hard, cut, torch.ones_like(hard)))
    correct = any_hard & ~any_cut if cut_off_choice == "pass through" else any_hard
    states = tuple(NOBODY if not there else CUT_OFF if cut else HARD if hard else EASY
                   for there, cut, hard in zip(any_one.tolist(), any_cut.tolist(), any_hard.tolist()))
    return Verdict(scores, states, correct, picture)


def _in_picture(flag, picture, pictures):
    found = torch.zeros(pictures, dtype=torch.bool, device=flag.device)
    found[picture.to(flag.device)[flag]] = True
    return found


def compose(first: Tensor, corrected: Tensor | None, correct: Tensor) -> Tensor:
    """Puts corrected pictures in the place of the first ones.

    Args:
        first: (N, ...) pictures.
        corrected: (N, ...) the same number, or one for each picture to be corrected, in order; None when there are none.
        correct: (N,) bool.

    Raises:
        InputError: the numbers or sizes of pictures do not fit.
    """
    wanted = int(correct.sum())
    if wanted == 0:
        return first
    check_shape("corrected", corrected, "N H W C", H=first.shape[1], W=first.shape[2], C=first.shape[3])
    correct = correct.to(first.device)
    rows = corrected if len(corrected) == wanted else corrected[correct.to(corrected.device)] if len(corrected) == len(first) else None
    if rows is None:
        raise InputError("corrected", f"{len(corrected)} pictures", f"are neither all {len(first)} nor the {wanted} hard ones",
                         "Correct the whole batch, or the pictures that Keep Hard Pictures gives.")
    result = first.clone()
    result[correct] = rows.to(first)
    return result
