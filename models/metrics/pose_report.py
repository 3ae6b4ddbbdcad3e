"""What can be said about a set of poses: how far from a reference set, how plausible, how varied. For people, as a table and as JSON."""

from __future__ import annotations

from dataclasses import fields

from ..bodies.plausibility import LIMITS, implausibility, is_plausible
from ..checks import InputError
from ..types import BodyPose
from .frechet import MIN_ROWS, frechet_distance, frechet_pose_distance
from .poses import multimodality, pose_distance, pose_features, pose_points


def evaluate_poses(pose: BodyPose, body, reference: BodyPose | None = None, prior=None) -> dict:
    """Measures poses.

    Args:
        pose: B rows.
        body: BodyModel on which plausibility is measured.
        reference: poses to compare with: row by row when there are as many, and as distributions when both have at least 200 rows.
        prior: pose prior, for the Frechet distance of its codes (FPD).

    Returns:
        {measure: number}, and under "left out" {measure: reason}.

    Raises:
        InputError: there are no poses.
    """
    if len(pose) == 0:
        raise InputError("poses", 0, "cannot be measured", "Give at least one pose.")
    measures, left_out = {"poses": len(pose)}, {}
    found = implausibility(pose, body)
    measures["plausible share"] = float(is_plausible(found).float().mean())
    for measure in fields(found):
        measures[f"{measure.name}, mean"] = float(getattr(found, measure.name).mean())
        measures[f"{measure.name}, share above {LIMITS[measure.name]:.3g}"] = \
            float((getattr(found, measure.name) > LIMITS[measure.name]).float().mean())
    if len(pose) > 1:
        measures["variety, metres"] = multimodality(pose_points(pose)[None])
    else:
        left_out["variety, metres"] = "there is one pose only"
    _against(measures, left_out, pose, reference, prior)
    return measures | {"left out": left_out}


def as_table(measures: dict) -> str:
    """A Markdown table of ``evaluate_poses``' result."""
    lines = ["| measure | value |", "|---|---|"]
    lines += [f"| {name} | {value if isinstance(value, int) else format(value, '.4f')} |" for name, value in measures.items()
              if name != "left out"]
    return "\n".join([*lines, *(f"| {name} | - ({reason}) |" for name, reason in measures["left out"].items())])


def _against(measures, left_out, pose, reference, prior):
    names = ("distance row by row, metres", "Frechet distance, joint space", "Frechet pose distance, prior")
    if reference is None:
        left_out |= dict.fromkeys(names, "no reference poses are given")
        return
    reference = reference.to(pose.device)
    if len(reference) == len(pose):
        measures[names[0]] = float(pose_distance(pose, reference).mean())
    else:
        left_out[names[0]] = f"{len(pose)} and {len(reference)} poses do not belong together"
    if min(len(pose), len(reference)) < MIN_ROWS:
        left_out |= dict.fromkeys(names[1:], f"both sides need at least {MIN_ROWS} poses")
        return
    measures[names[1]] = frechet_distance(pose_features(pose), pose_features(reference))
    if prior is None:
        left_out[names[2]] = "no pose prior is given"
    else:
        measures[names[2]] = frechet_pose_distance(prior, pose.body_pose, reference.body_pose)
