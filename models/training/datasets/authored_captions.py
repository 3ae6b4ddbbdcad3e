"""Which authored poses are made, and the sentences written with them.

A group is one stance, plain or with arms, head or torso changed. Every group gets a handful of template captions, such as "a woman kneels
on both knees, waving with her left hand"; the natural paraphrases beside the library are joined later, through the group's name.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

import torch

from ...text_to_pose.prompts import mirror_words
from .authored_poses import author_poses, library, mirror_rotmats
from .pose_rows import PoseRows
from .text_pose import AUTHORED

PLAIN_SAMPLES = {True: 64, False: 200}  # of a stance without modifiers, by whether its arms are free
COMBINED_WEIGHT = {"free": 1.6, "override": 1.0, "own": 0.55}  # how much more combinations a stance offers
HEAD, TORSO, TAGS, SENTENCE = 0.28, 0.18, 0.22, 0.35  # chances
OTHER = {"left": "right", "right": "left"}
PUNCHES = ("jab", "hookp", "upperc")


@dataclass(frozen=True)
class Modifier:
    """What a group changes of its stance: ``part`` (ARM, BOTH, ASYM, HEAD, TORSO), its name, its side or None, and how it is said."""

    part: str
    name: str
    side: str | None
    phrases: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class AuthoredGroup:
    """One stance with its modifiers, written for its left version.

    Args:
        stance: its name.
        arms: (left, right) entries, or None for the neutral arms, drawn anew for each sample.
        modifiers: what is changed, in the order in which captions say it.
        head, torso: degrees.
        mirrored: show it on the other side.
        samples: how many.
    """

    stance: str
    arms: tuple | None = None
    modifiers: tuple[Modifier, ...] = ()
    head: tuple = (0, 0, 0)
    torso: tuple = (0, 0, 0)
    mirrored: bool = False
    samples: int = 9
    plain: bool = field(default=False)

    @property
    def side(self):
        """What {s} means in the stance's phrases."""
        return "right" if self.mirrored else "left"

    def shown(self, text):
        return mirror_words(text) if self.mirrored else text

    def names(self):
        """The modifiers as they are shown, for groups.jsonl."""
        return [{"part": m.part, "name": self.shown(m.name)} | ({} if m.part in ("HEAD", "TORSO") else {"side": self._shown_side(m.side)})
                for m in self.modifiers]

    def _shown_side(self, side):
        return OTHER[side] if self.mirrored and side else side

    def split(self, seed):
        """train, val or test: combinations by the hash of what they are, a pair of mirror images together; plain draws by their seed."""
        def sign(mirrored):
            parts = (f"{m.part} {mirror_words(m.name) if mirrored else m.name} {OTHER.get(m.side) if mirrored else m.side}"
                     for m in self.modifiers)
            return "|".join([self.stance, *sorted(parts)])
        return hashed_split(min(sign(False), sign(True)) + ("" if self.modifiers else str(seed)))


def hashed_split(text, test=10, val=10):
    """A split by the hash of a text, in percent."""
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
    return "test" if number < test else "val" if number < test + val else "train"


def plain_groups(scale=1.0):
    """Every stance as it is, on both sides."""
    for name, stance in library()["stances"].items():
        samples = max(1, round(PLAIN_SAMPLES["free_arms" in stance] * scale / 2))
        for mirrored in (False, True):
            yield AuthoredGroup(name, _own_arms(stance), mirrored=mirrored, samples=samples, plain=True)


def draw_group(rng: random.Random, samples=9):
    """Draws one combination; stances with free arms come more often."""
    stances = library()["stances"]
    kind = lambda stance: "free" if "free_arms" in stance else "override" if "override" in stance else "own"
    name = rng.choices(list(stances), [stance["weight"] * COMBINED_WEIGHT[kind(stance)] for stance in stances.values()])[0]
    stance = stances[name]
    arms, modifiers = _draw_arms(stance, rng)
    head = torso = (0, 0, 0)
    if "head" in stance and rng.random() < HEAD:
        head, modifier = _draw_turn("HEAD", rng)
        modifiers.append(modifier)
    elif "torso" in stance and rng.random() < TORSO:
        torso, modifier = _draw_turn("TORSO", rng)
        modifiers.append(modifier)
    return AuthoredGroup(name, arms, tuple(modifiers), head, torso, rng.random() < 0.5, samples)


def _own_arms(stance):
    return tuple(stance["arms"]) if "arms" in stance else None


def _draw_arms(stance, rng):
    """Returns ((left, right) or None, modifiers)."""
    chance = rng.random()
    if "free_arms" in stance:
        if chance < 0.34:
            return _both(rng.choice([name for name in library()["both"] if name != "low2"]))
        if chance < 0.5 and "asymmetric" in stance:
            return _asymmetric(rng.choice([name for name, entry in library()["asymmetric"].items() if entry["alone"]]), rng)
        if chance < 0.74:
            return _one_arm(rng, draw_neutral(stance, rng))
        if chance < 0.93:
            return _two_arms(rng)
    elif stance.get("override") == "punch" and chance < 0.6:
        return _asymmetric(rng.choice(PUNCHES), rng)
    elif stance.get("override") == "any" and chance < 0.6:
        return _both(rng.choice(list(library()["both"]))) if chance < 0.3 else _one_arm(rng, stance["arms"])
    return _own_arms(stance), []


def draw_neutral(stance, rng):
    """(left, right) arms that nobody would mention."""
    return rng.choices([entry["arms"] for entry in stance["neutral"]], [entry["share"] for entry in stance["neutral"]])[0]


def _modifier(part, name, side, entry):
    return Modifier(part, name, side, tuple(entry["phrases"]), tuple(entry["tags"]))


def _both(name):
    entry = library()["both"][name]
    return tuple(entry["arms"]), [_modifier("BOTH", name, None, entry)]


def _asymmetric(name, rng):
    """The library writes these for the right hand."""
    entry, side = library()["asymmetric"][name], rng.choice(("left", "right"))
    arms = entry["arms"] if side == "right" else entry["arms"][::-1]
    return tuple(arms), [_modifier("ASYM", name, side, entry)]


def _one_arm(rng, others):
    name, side = rng.choice(list(library()["arms"])), rng.choice(("left", "right"))
    entry = library()["arms"][name]
    arms = (entry["arm"], others[1]) if side == "left" else (others[0], entry["arm"])
    return arms, [_modifier("ARM", name, side, entry)]


def _two_arms(rng):
    names = rng.sample(list(library()["arms"]), 2)
    said = [_modifier("ARM", name, side, library()["arms"][name]) for name, side in zip(names, ("left", "right"))]
    return tuple(library()["arms"][name]["arm"] for name in names), said if rng.random() < 0.5 else said[::-1]


def _draw_turn(part, rng):
    entry = rng.choice(library()[part.lower()])
    return tuple(entry["turn"]), _modifier(part, entry["phrases"][0], None, entry)


def author_group(group: AuthoredGroup, seed) -> tuple[torch.Tensor, torch.Tensor]:
    """Makes the poses of a group: (rotmats (B, 22, 3, 3), root heights (B,))."""
    stance, generator, rng = library()["stances"][group.stance], torch.Generator().manual_seed(seed), random.Random(seed)
    if group.arms is not None:
        rotmats, heights = author_poses(stance, group.arms, group.samples, generator, group.head, group.torso)
    else:
        drawn = [draw_neutral(stance, rng) for _ in range(group.samples)]
        parts = [author_poses(stance, arms, drawn.count(arms), generator, group.head, group.torso)
                 for i, arms in enumerate(drawn) if arms not in drawn[:i]]
        rotmats, heights = (torch.cat(part) for part in zip(*parts))
    return (mirror_rotmats(rotmats) if group.mirrored else rotmats), heights


def write_captions(group: AuthoredGroup, rng: random.Random, count):
    """Up to ``count`` different captions of a group."""
    return list(dict.fromkeys(group.shown(write_caption(group, rng)) for _ in range(3 * count)))[:count]


def write_caption(group: AuthoredGroup, rng: random.Random):
    """One template caption of the group's left version: a sentence, or a list of tags."""
    stance, subjects = library()["stances"][group.stance], library()["subjects"]
    subject = rng.choices(subjects, [entry["weight"] for entry in subjects])[0]

    def say(options, side):
        text = rng.choice(options).replace("{p}", subject["pronoun"])
        return text.replace("{s}", side or "left").replace("{o}", OTHER[side or "left"])

    if rng.random() < TAGS and stance["tags"]:
        return ", ".join(filter(None, [say(stance["tags"][:1], "left"), *(say(m.tags, m.side) for m in group.modifiers)]))
    text = f"{subject['subject']} {say(stance['phrases'], 'left')}"
    for number, phrase in enumerate(filter(None, [say(m.phrases, m.side) for m in group.modifiers])):
        close = number == 0 and phrase.startswith("with ") and "," not in text and " with " not in text
        text += (" " if close else ", " if number == 0 or rng.random() > 0.6 else " and ") + phrase
    return text[0].upper() + text[1:] + "." if rng.random() < SENTENCE else text


def authored_rows(combinations, samples=9, seed=0, plain=1.0):
    """Makes the authored part of a data set.

    Args:
        combinations: how many groups with modifiers (or plain ones drawn again) to make.
        samples: poses of each.
        seed: of everything.
        plain: share of the plain samples, which every stance has on both sides; the last fifth of them is held out.

    Yields:
        PoseRows.
    """
    rng = random.Random(seed)
    groups = [*(plain_groups(plain) if plain else ()), *(draw_group(rng, samples) for _ in range(combinations))]
    for number, group in enumerate(groups):
        rotmats, heights = author_group(group, seed * 1_000_003 + number)
        captions, count = write_captions(group, rng, 8 if group.plain else 4), len(rotmats)
        held = max(1, count // 10) if group.plain and count > 2 else 0
        ends = {"train": (0, count - 2 * held), "val": (count - 2 * held, count - held), "test": (count - held, count)}
        for split, (start, stop) in (ends if group.plain else {group.split(number): (0, count)}).items():
            if stop > start:
                yield PoseRows(f"authored_{group.stance}" + ("_m" if group.mirrored else ""), AUTHORED, rotmats[start:stop],
                               tuple((text, tuple(range(stop - start))) for text in captions), split, heights[start:stop],
                               "combo" if group.modifiers else "stance", AUTHORED,
                               {"stance": group.stance, "modifiers": group.names(), "side": group.side})
