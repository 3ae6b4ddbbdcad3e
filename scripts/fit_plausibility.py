"""Finds the thresholds of models/bodies/plausibility.py: the 99th percentiles of the real captures of a text_pose folder.

Run: python scripts/fit_plausibility.py --data ../shared/data/text_pose
It prints the constants to paste, with the number of poses, and what they say about authored and held-out poses.
"""

from __future__ import annotations

import argparse
from dataclasses import fields

import torch

from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.bodies.plausibility import LIMITS, Implausibility, implausibility, is_plausible
from contrapposto.models.bodies.posture import measure_posture
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.types import BodyPose

CHUNK = 256
FAULT = 30.0  # degrees beyond a gymnast's range: the capture or its conversion is broken there (flipped ankles, folded necks)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/text_pose")
    data = load_text_pose(parser.parse_args().data)
    captured = data.rows("train", authored=False)
    measures = measure(data, captured)
    sound = measures["joint_excess"] <= FAULT
    measures = {name: values[sound] for name, values in measures.items()}
    print(f"# {int(sound.sum())} of {len(captured)} captured train poses; the others have a joint over {FAULT:.0f} degrees out of range")
    found = {name: round(torch.quantile(values, 0.99).item(), 4) for name, values in measures.items()}
    print(f"LIMITS = {found}")
    LIMITS.update(found)
    for what, rows in (("captured test", data.rows("test", authored=False)), ("authored test", data.rows("test", authored=True)[::8])):
        told = Implausibility(**measure(data, rows))
        over = {f.name: f"{(getattr(told, f.name) > LIMITS[f.name]).float().mean():.2%}" for f in fields(told)}
        print(f"# {what}: {len(rows)} poses, implausible {(~is_plausible(told)).float().mean():.2%}, over each limit {over}")


def measure(data, rows):
    """Returns {measure: (M,)}. The floor measures come from the skeleton that ``root_height`` belongs to."""
    body, parts = load_body_model(), []
    for chunk in rows.split(CHUNK):
        rotmats = data.rotmats(chunk)
        pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
        told = implausibility(pose, body)
        lowest = data.root_height[chunk] - measure_posture(pose).height("pelvis")
        parts.append({"joint_excess": told.joint_excess, "self_overlap": told.self_overlap, "sinking": (-lowest).clamp(min=0),
                      "floating": lowest.clamp(min=0)})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


if __name__ == "__main__":
    main()
