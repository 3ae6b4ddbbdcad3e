"""Measures the difficulty gate on the text_pose data: shares of poses above a threshold, and how a pose's score grows as it is entered.

    python scripts/measure_gate.py [--data DIR] [--picture docs/pictures/gate.png]

Prints the tables of docs/pose_correction_gate.md and draws its picture.
"""

from __future__ import annotations

import argparse
import sys

import torch

from contrapposto.models.pose_correction.gate import difficulty
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.types import BodyPose

THRESHOLDS = (20, 25, 30, 35, 40, 45, 50, 60)
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
HARDEST = 40


def poses(rotvec):
    return BodyPose(torch.eye(3).expand(len(rotvec), 3, 3), rotvec_to_rotmat(rotvec))


def main():
    parser = argparse.ArgumentParser(description="Measures the difficulty gate.")
    parser.add_argument("--data", default="../shared/data/text_pose")
    parser.add_argument("--picture", default="docs/pictures/gate.png")
    options = parser.parse_args()
    data, prior = load_text_pose(options.data), load_pose_prior()
    curves, lines = {}, []
    for name, authored in (("captured", False), ("authored", True)):
        rotvec = data.body_rotvec[data.rows("test", authored=authored)]
        for code, sample in (("sampled", True), ("mean", False)):
            scores = difficulty(prior, poses(rotvec), sample=sample)
            curves[f"{name}, {code}"] = scores
            shares = " | ".join(f"{100 * (scores > threshold).float().mean():.0f} %" for threshold in THRESHOLDS)
            lines.append(f"| {name} ({len(scores)}), {code} | {shares} |")
            if code == "mean" and not authored:
                hard = rotvec[scores.argsort(descending=True)[:HARDEST]]
    series = {code: [float(difficulty(prior, poses(step * hard), sample=code == "sampled").mean()) for step in STEPS]
              for code in ("sampled", "mean")}
    header = " | ".join(map(str, THRESHOLDS))
    sys.stdout.write(f"| test poses above | {header} |\n|---{'|---' * len(THRESHOLDS)}|\n" + "\n".join(lines) + "\n\n")
    sys.stdout.write("| part of the way | " + " | ".join(map(str, STEPS)) + f" |\n|---{'|---' * len(STEPS)}|\n")
    for code, values in series.items():
        sys.stdout.write(f"| {code} | " + " | ".join(f"{value:.0f}" for value in values) + " |\n")
    draw(options.picture, curves)


def draw(path, curves, width=760, height=400, finer=3):
    """Share of poses called hard by threshold, one line each, the paper's 30 marked."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (width * finer, height * finer), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13 * finer)
    left, top, right, bottom = (edge * finer for edge in (60, 20, width - 20, height - 50))

    def at(threshold, share):
        return left + (threshold - 10) / 70 * (right - left), bottom - share * (bottom - top)

    def line(points, color, thick):
        pen.line([at(*point) for point in points], fill=color, width=thick * finer, joint="curve")

    for share in (0, 0.25, 0.5, 0.75, 1):
        line([(10, share), (80, share)], "#dddddd", 1)
        pen.text((left - 8 * finer, at(10, share)[1]), f"{100 * share:.0f} %", fill="#444444", font=font, anchor="rm")
    for threshold in range(10, 81, 10):
        pen.text((at(threshold, 0)[0], bottom + 8 * finer), str(threshold), fill="#444444", font=font, anchor="mt")
    pen.text(((left + right) / 2, bottom + 28 * finer), "threshold", fill="#444444", font=font, anchor="mt")
    line([(30, 0), (30, 1)], "#999999", 1)
    colors = {"captured": ("#1f6fb4", "#9cc4e4"), "authored": ("#c9641b", "#eebd97")}
    for row, (name, scores) in enumerate(curves.items()):
        color = colors[name.split(",")[0]]["mean" in name]
        line([(at_, float((scores > at_).float().mean())) for at_ in torch.linspace(10, 80, 281).tolist()], color, 2)
        y = top + (20 + 22 * row) * finer
        pen.line([(right - 190 * finer, y), (right - 165 * finer, y)], fill=color, width=2 * finer)
        pen.text((right - 158 * finer, y), name, fill="#444444", font=font, anchor="lm")
    picture.resize((width, height), Image.LANCZOS).save(path)


if __name__ == "__main__":
    main()
