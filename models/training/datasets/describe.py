"""Describes poses by rules: "kneeling, left hand above the head, looking up".

What is said comes from ``text_to_pose/describe.py``: whichever sides phrases name, they hold by construction, for captures and for
authored poses. A description names what the body does (standing may go unsaid) and up to three more statements, and fits every pose of
which they are all true.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...text_to_pose.describe import COLUMNS, PAIRS, STANDING, both, state
from ...types import BodyPose

MOST_ROWS = 64


@dataclass(frozen=True)
class Description:
    """A description and the (M,) int64 rows of the data that it fits."""

    text: str
    rows: Tensor


class Describer:
    """Draws rule-based descriptions of the poses of a data set."""

    def __init__(self, poses: BodyPose, rows: Tensor, part=8192):
        """
        Args:
            poses: M poses to describe.
            rows: (M,) int64 their rows in the data.
        """
        self.rows = rows
        self.said = torch.cat([state(poses[start : start + part]) for start in range(0, len(rows), part)])  # (M, C)
        self.rarity = [len(rows) / (torch.bincount(column, minlength=len(part)) + 0.02 * len(rows))
                       for column, (part, _) in zip(self.said.T, COLUMNS)]

    def __len__(self):
        return len(self.rows)

    def draw(self, rng):
        """Returns a description of some pose, with up to 64 poses that it fits."""
        row = self.said[rng.randrange(len(self.rows))]
        body = int(row[0])
        chosen = self.choose(row.tolist(), rng, rng.randint(0 if body != STANDING else 1, 3))
        phrases = [phrase for phrase, _ in chosen]
        if body != STANDING or not chosen or rng.random() < 0.4:
            phrases.insert(0 if rng.random() < 0.7 else len(phrases), say(0, body, rng))
        columns = [0, *(column for _, used in chosen for column in used)]
        fits = self.rows[(self.said[:, columns] == row[columns]).all(1)]
        picked = fits[[rng.randrange(len(fits)) for _ in range(MOST_ROWS)]] if len(fits) > MOST_ROWS else fits
        return Description(rng.choice((", ", ", ", " and ")).join(phrases), picked)

    def choose(self, row, rng, count):
        """Up to ``count`` statements about a row besides the body's, rare ones more often: (phrase, columns that it is about)."""
        weights = [float(rarity[number]) * bool(part[number].phrases[0]) for rarity, number, (part, _) in zip(self.rarity, row, COLUMNS)]
        weights[0] = 0.0
        drawn = dict.fromkeys(rng.choices(range(len(row)), weights)[0] for _ in range(count)) if any(weights) else {}
        found = {}
        for column in drawn:
            left = column - 1 if column in PAIRS.values() else column
            right = PAIRS.get(left)
            if right and row[left] == row[right]:  # naming one side would teach that it means both
                found[left, right] = both(COLUMNS[left][0][row[left]].phrases[0])
            else:
                found[column,] = say(column, row[column], rng)
        return [(phrase, columns) for columns, phrase in found.items()]


def say(column, number, rng):
    """One phrase of a statement."""
    part, is_right = COLUMNS[column]
    side, other = ("right", "left") if is_right else ("left", "right")
    phrase = rng.choice(part[number].phrases).replace("{s}", side).replace("{o}", other)
    return phrase.replace("{p}", rng.choice(("his", "her", "their", "the")))
