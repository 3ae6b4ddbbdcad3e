"""The action bank: what people type, and what a pose must show to be right.

``actions/*.txt`` hold blocks. A line in brackets says what the poses are made of, ``[stances ; arms ; turns ; conditions]``, as said of
the left side; the lines below it are ways to put it, parted by " / ". {s} is that side, {o} the other one, {p} his, her or their; a "+"
at the end allows "with the {s} hand"; "~" marks a second verb. ``@name = conditions`` names conditions. Conditions are those of the
probes (``bodies/conditions.py``), joined by "&". ``sides.txt`` holds plain phrases about single
limbs, said alone (the other arm hangs down) and in pairs.

No sentence of the probes is in the bank: whatever shares most of its content words with a probe is dropped when the bank is read.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ...bodies.body import load_body_model
from ...metrics.probes import load_probes
from ..validation_probes import VALIDATION_PROBES
from .recombine import assemble, find_parts, with_poses
from .text_pose import Problem

FOLDER = Path(__file__).with_name("actions")
PAIRS = 420  # pairs of limbs
CLOSE = 0.7
FEWEST = 8  # poses that an action needs
_EMPTY_WORDS = frozenset((
    "a an the his her their its my he she they is are with of on in at to and while as by up one someone somebody person man woman girl "
    "boy s o p").split())


@dataclass(frozen=True)
class Action:
    """Ways to say something, and what shows it.

    Args:
        family: the file it comes from.
        stances, arms, turns, conditions: what its poses are made of, see :mod:`recombine`.
        parts: lists of phrases; one of each is said, in any order.
        rows: (M,) int64 rows of the data that show it, once they are made.
    """

    family: str
    stances: tuple[str, ...]
    arms: tuple[str, ...]
    extra: tuple[str, ...]
    conditions: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    rows: torch.Tensor | None = None


def read_actions(folder=FOLDER, probes=None) -> list[Action]:
    """Reads the bank and leaves out whatever is close to a probe."""
    known = [bags(probe.text) for probe in ((*load_probes(), *VALIDATION_PROBES) if probes is None else probes)]
    actions = []
    for file in sorted(Path(folder).glob("*.txt")):
        if file.stem != "sides":
            actions += _read_blocks(file)
    actions += limb_pairs(Path(folder) / "sides.txt")
    return [action for action in (_without(action, known) for action in actions) if all(action.parts)]


def _without(action, known):
    parts = tuple(tuple(p for p in part if not too_close(p, known)) for part in action.parts)
    return Action(action.family, action.stances, action.arms, action.extra, action.conditions, parts)


def too_close(text, known):
    """Whether a sentence shares more than 70 % of all its words, or of those that carry meaning, with one of others.

    Args:
        known: ``bags`` of the others.
    """
    own = bags(text)
    return any(len(a & b) > CLOSE * len(a | b) for other in known for a, b in zip(own, other))


def bags(text):
    """All words of a sentence, and those that carry its meaning without endings; left and right are one word."""
    text = re.sub(r"\{[so]\}|\b(left|right)\b", "side", text.lower()).replace("{p}", "his")
    words = frozenset(re.findall(r"[a-z']+", text))
    return words, frozenset(_stem(word) for word in words if word not in _EMPTY_WORDS)


def _stem(word):
    return re.sub(r"(ing|es|s|ed|e)$", "", word) if len(word) > 3 else word


def _read_blocks(file):
    named, actions, spec, phrases = {}, [], None, []

    def close():
        if spec and phrases:
            actions.append(Action(file.stem, *spec, (tuple(phrases),)))

    for line in filter(None, map(str.strip, file.read_text(encoding="utf-8").splitlines())):
        if line.startswith("#"):
            continue
        if line.startswith("@"):
            name, _, value = line.partition(" = ")
            named[name] = value
        elif line.startswith("["):
            close()
            spec, phrases = _spec(line, named), []
        else:
            phrases += [phrase.strip() for phrase in line.split(" / ")]
    close()
    return actions


def _spec(line, named):
    """"[stances ; arms ; turns ; conditions]" to four tuples."""
    fields = [field.strip() for field in line.strip("[]").split(";")]
    stances, arms, extra, conditions = (*fields, "", "", "")[:4]
    for name, value in named.items():
        conditions = re.sub(re.escape(name) + r"\b", value, conditions)
    return tuple(stances.split()), tuple(arms.split()), tuple(extra.split()), tuple(c.strip() for c in conditions.split("&") if c.strip())


def limb_pairs(file, count=PAIRS, seed=0) -> list[Action]:
    """Plain statements: one arm while the other hangs down, one leg, and pairs: both arms, or a leg and an arm of either side."""
    if not file.is_file():
        return []
    rng, limbs = random.Random(seed), {"arm": [], "leg": []}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            names, _, phrases = line.partition(" : ")
            kind, *names = names.split()
            limbs[kind].append((names, tuple(p.strip() for p in phrases.split(" / "))))
    standing = ("stand", "contrapposto", "stand_wide")
    pairs = [Action("sides", standing, ("/".join(names), "o:down"), (), (), (say,)) for names, say in limbs["arm"]]
    sided = [leg for leg in limbs["leg"] if any("{s}" in phrase or "{o}" in phrase for phrase in leg[1])]
    pairs += [Action("sides", tuple(stances), (), (), (), (say,)) for stances, say in sided]
    plain = [leg for leg in limbs["leg"] if leg not in sided]
    for number in range(count):
        (mine, say_mine), (other, say_other) = rng.sample(limbs["arm"], 2)
        say_other = tuple(p.replace("{s}", "?").replace("{o}", "{s}").replace("?", "{o}") for p in say_other)
        if number % 2:  # two arms
            stances, say = rng.choice(plain[:1] * 3 + plain)
            parts = (say_mine, say_other) if "stand" in stances else (say, say_mine, say_other)
            arms = ("/".join(mine), "o:" + "/".join(other))
        else:  # a leg, and an arm of the same or of the other side
            stances, say = rng.choice(sided)
            one = number % 4 == 0
            parts, arms = (say, say_mine if one else say_other), ("/".join(mine) if one else "o:" + "/".join(other),)
        pairs.append(Action("sides", tuple(stances), arms, (), (), tuple(tuple(p for p in part if p) for part in parts)))
    return pairs


def add_actions(data, groups, actions, seed=0, body=None):
    """Assembles the poses of all actions.

    Args:
        groups: authored groups of the train split.
        actions: as read.

    Returns:
        (data with the new poses, actions with their rows, problems: actions that have too few poses).
    """
    parts, body, made, rotmats, problems, first = find_parts(data, groups), body or load_body_model(), [], [], [], len(data)
    for number, action in enumerate(actions):
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        try:
            found = assemble(data, parts, action, body, generator, 64 if action.family == "sides" else 128)
        except KeyError as error:
            problems.append(Problem("actions", number, f"names {error}, which the data lacks"))
            continue
        if len(found) < FEWEST:
            problems.append(Problem("actions", number, f"({action.parts[0][0]!r}) has {len(found)} poses"))
            continue
        rows = torch.arange(first, first + len(found))
        made.append(Action(action.family, action.stances, action.arms, action.extra, action.conditions, action.parts, rows))
        rotmats.append(found)
        first += len(found)
    return (with_poses(data, torch.cat(rotmats)) if rotmats else data), made, problems
