"""Captions for training text to pose: the set's own, and natural sentences composed for its authored poses.

The set's own captions are templates; free sentences sound different. So natural phrases for a stance, an arm configuration and a turn of
the head or torso are joined as the authored group shows them, given a subject and a scene that must not matter, and mirrored together
with the pose half of the time. Placeholders in phrases: {s} the side, {o} the opposite one, {p} his, her or their.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...text_to_pose.prompts import mirror_words
from ...types import BodyPose
from .actions import Action, add_actions, read_actions
from .describe import Describer
from .text_pose import SPLITS, Problem, TextPoseData
from .verbs import as_gerund, as_verb

STANDING = ("stand", "stand_together", "stand_wide", "contrapposto")  # phrases for a lone gesture fit these stances
# Of drawn captions; kinds that a data folder lacks are left out. Gestures have their own share: there are 134 stances, and people ask most
# for what somebody who stands does with the arms. The set's long "combo" captions teach which side belongs to which limb.
SHARES = {"natural": 0.15, "gesture": 0.08, "stance": 0.04, "combo": 0.18, "clip": 0.04, "described": 0.08, "action": 0.28, "sides": 0.15}
SCENE, SUBJECT, PREFIX, MIRROR, SENTENCE = 0.35, 0.6, 0.12, 0.5, 0.1  # chances of each change
MAX_DESCRIBED = 40_000  # poses that are described; more only make drawing slower
TWIN = 0.4  # of the captions come with a twin in another place
HANDS = ("", "", " with the {s} hand", " with {p} {s} hand", ", {s} hand", " using the {s} hand")
PREFIXES = ("a photo of", "a full body shot of", "picture of", "a drawing of", "show me", "draw", "a render of", "imagine", "pose:")
PRONOUNS = ("his", "her", "their", "the")
_TEMPLATE_SUBJECT = re.compile(
    r"^(an? (young )?(person|man|woman|boy|girl|character)|the (person|figure|character)|someone|he|she)(?= )", re.IGNORECASE)
_GERUND = re.compile(r"^\w{2,}ing\b")


@dataclass(frozen=True)
class CaptionedPoses:
    """A sentence and the poses it describes.

    Args:
        text: the sentence.
        rows: (M,) int64 rows of the data.
        mirrored: the poses must be mirrored to fit the sentence.
        twin: the same sentence in another place, which must not change the pose; None where none was drawn.
    """

    text: str
    rows: Tensor
    mirrored: bool = False
    twin: str | None = None


@dataclass(frozen=True)
class Group:
    """Authored poses of one stance and set of modifiers.

    Args:
        rows: (M,) int64 rows of the data.
        stance: name of the stance.
        side: what {s} means in the stance's phrases.
        modifiers: (part, name, side) of arms, head and torso.
    """

    rows: Tensor
    stance: str
    side: str | None
    modifiers: tuple[tuple[str, str, str | None], ...]


@dataclass(frozen=True)
class Gesture:
    """A group of standing poses, seen as one of its arm configurations."""

    group: Group
    modifier: tuple[str, str, str | None]

    @property
    def rows(self):
        return self.group.rows


@dataclass(frozen=True)
class Phrases:
    """Natural phrases: ``parts`` (part, name) -> phrases, ``alone`` the same for a standing person, ``subjects`` and ``scenes``."""

    parts: dict[tuple[str, str], list[str]]
    alone: dict[tuple[str, str], list[str]]
    subjects: list[str]
    scenes: list[str]


class CaptionSource:
    """Draws captions of one split. All randomness comes from the generator that each call is given."""

    def __init__(self, data: TextPoseData, folder, split="train", actions=()):
        """
        Args:
            data: as read from the folder.
            folder: holds ``groups.jsonl`` and ``paraphrases/``; without them only the data's own captions are drawn.
            split: "train", "val" or "test".
            actions: of :func:`with_actions`, with the data that it returned.
        """
        self.phrases, self.twins = load_phrases(folder), TWIN if split == "train" else 0
        groups, self.problems = load_groups(folder, data, split)
        known = [group for group in groups if ("stance", group.stance) in self.phrases.parts]
        own = [caption for caption in data.captions if caption.split == split]
        sources = {
            "natural": (self.natural, Balanced(known, lambda group: (group.stance, bool(group.modifiers)))),
            "gesture": (self.gesture, Balanced(gestures(known, self.phrases), lambda gesture: gesture.modifier[:2])),
            "stance": (self.template, Balanced([c for c in own if c.kind == "stance"], lambda caption: caption.kind)),
            "combo": (self.template, Balanced([c for c in own if c.kind == "combo"], lambda caption: caption.kind)),
            "clip": (self.template, Balanced([c for c in own if c.kind == "clip"], lambda caption: caption.text)),
            "described": (self.described, describe(data, split)),
            "action": (self.action, Balanced([a for a in actions if a.family != "sides"], lambda action: action)),
            "sides": (self.limbs, Balanced([a for a in actions if a.family == "sides"], lambda action: len(action.parts))),
        }
        self.sources = {name: source for name, source in sources.items() if len(source[1])}

    def draw(self, rng: random.Random) -> CaptionedPoses:
        """Returns one caption with its poses."""
        names = list(self.sources)
        kind = rng.choices(names, [SHARES[name] for name in names])[0]
        make, items = self.sources[kind]
        item = items.draw(rng)
        plain = make(item, rng)
        mirrored = rng.random() < MIRROR
        turned = mirror_words if mirrored else str
        text, twin = self.decorate(plain, rng), self.in_scene(plain, rng) if rng.random() < self.twins else None
        return CaptionedPoses(turned(text), item.rows, mirrored, twin and turned(twin))

    def pool(self, seed, size) -> list[CaptionedPoses]:
        """Returns ``size`` captions, the same for the same seed."""
        rng = random.Random(seed)
        return [self.draw(rng) for _ in range(size)]

    def natural(self, group: Group, rng):
        """Composes a natural sentence for a group: stance, then arms, head and torso in any order."""
        base = rng.choice(self.phrases.parts["stance", group.stance])
        return self.with_modifiers(self.with_subject(fill(base, group.side, rng), rng), group.modifiers, rng)

    def gesture(self, gesture: Gesture, rng):
        """Describes a standing person by what the arms do."""
        part, name, side = gesture.modifier
        base = fill(rng.choice(self.phrases.alone[part, name] + self.phrases.parts[part, name]), side, rng)
        others = [modifier for modifier in gesture.group.modifiers if modifier != gesture.modifier]
        return self.with_modifiers(self.with_subject(base, rng), others, rng)

    def with_modifiers(self, text, modifiers, rng):
        """Adds phrases for arms, head and torso, in any order."""
        for part, name, side in rng.sample(list(modifiers), len(modifiers)):
            if (part, name) in self.phrases.parts:
                joint = rng.choice((", ", ", ", " and ", " with " if part == "BOTH" else ", "))
                text += joint + fill(rng.choice(self.phrases.parts[part, name]), side, rng)
        return text

    def with_subject(self, text, rng):
        """Gives a phrase a subject where that makes a sentence, or exchanges "my avatar"."""
        if not self.phrases.subjects or rng.random() > SUBJECT:
            return text
        subject = rng.choice(self.phrases.subjects)
        if text.startswith("my avatar "):
            return subject + text.removeprefix("my avatar")
        return subject + rng.choice((" ", " is ", ", ")) + text if _GERUND.match(text) else text

    def template(self, caption, rng):
        """One of the set's own captions, often with another subject."""
        if self.phrases.subjects and rng.random() < SUBJECT:
            return _TEMPLATE_SUBJECT.sub(lambda _: rng.choice(self.phrases.subjects), caption.text)
        return caption.text

    def described(self, item, rng):
        """A description by rules, often with a subject."""
        return self.with_subject(item.text, rng) if _GERUND.match(item.text) or not self.phrases.subjects or rng.random() > SUBJECT else (
            rng.choice(self.phrases.subjects) + rng.choice((", ", " with ", ": ")) + item.text)

    def action(self, action: Action, rng):
        """A sentence of the action bank: as it stands, or as a verb with a subject or a gerund."""
        text = rng.choice(action.parts[0])
        if text.endswith("+"):
            text = text.rstrip("+") + rng.choice(HANDS)
        return self.as_sentence(fill(text, "left", rng), rng)

    def limbs(self, action: Action, rng):
        """Plain statements about limbs, in any order."""
        parts = rng.sample(action.parts, len(action.parts)) if rng.random() < 0.5 else action.parts
        said = [fill(rng.choice(part), "left", rng) for part in parts]
        said = [said[0], *(as_gerund(text) for text in said[1:])] if rng.random() < 0.7 else said
        return self.as_sentence(rng.choice((", ", ", ", " and ")).join(said), rng)

    def as_sentence(self, text, rng):
        """A phrase that begins with a verb gets a subject or becomes a gerund."""
        verb, form = as_verb(text), rng.random()
        if verb is None:
            return text.replace("~", "")
        subject = rng.choice(self.phrases.subjects) if self.phrases.subjects else rng.choice(("a person", "she", "he"))
        if form < 0.3:
            return verb
        return f"{subject} {verb}" if form < 0.7 else as_gerund(text) if form < 0.85 else f"{subject} is {as_gerund(text)}"

    def in_scene(self, text, rng):
        """Adds a place, at the end or in front."""
        if not self.phrases.scenes:
            return text
        scene, text = rng.choice(self.phrases.scenes), text.rstrip(".")
        return rng.choice((f"{text} {scene}", f"{text} {scene}", f"{text}, {scene}", f"{scene}, {text}"))

    def decorate(self, text, rng):
        """Adds what must not move the pose: a scene, a prefix, a capital letter and a full stop."""
        if rng.random() < SCENE:
            text = self.in_scene(text, rng)
        if rng.random() < PREFIX:
            text = f"{rng.choice(PREFIXES)} {text}"
        if rng.random() < SENTENCE:
            text = text[0].upper() + text[1:].rstrip(".") + "."
        return text


def with_actions(data, folder, actions=None):
    """Adds the poses of the action bank to the data.

    Returns:
        (data, actions, problems).
    """
    groups, _ = load_groups(folder, data, "train")
    return add_actions(data, groups, read_actions() if actions is None else actions) if groups else (data, [], [])


def gestures(groups, phrases):
    """Returns a Gesture for every arm configuration of a standing group that phrases describe."""
    return [Gesture(group, modifier) for group in groups if group.stance in STANDING
            for modifier in group.modifiers if modifier[:2] in phrases.alone]


def describe(data, split) -> Describer:
    """Returns the rule-based describer of a split."""
    rows = data.rows(split)
    rows = rows[:: -(-len(rows) // MAX_DESCRIBED)]
    rotmats = data.rotmats(rows)
    return Describer(BodyPose(rotmats[:, 0], rotmats[:, 1:]), rows)


class Balanced:
    """Draws items so that every kind is equally likely, however many items it has."""

    def __init__(self, items, kind):
        kinds = {}
        for item in items:
            kinds.setdefault(kind(item), []).append(item)
        self.kinds = list(kinds.values())

    def __len__(self):
        return len(self.kinds)

    def draw(self, rng):
        return rng.choice(rng.choice(self.kinds))


def fill(phrase, side, rng):
    """Fills the placeholders of a phrase. Without a side, {s} and {o} are dropped."""
    other = {"left": "right", "right": "left"}.get(side, "")
    text = phrase.replace("{s}", side or "").replace("{o}", other).replace("{p}", rng.choice(PRONOUNS))
    return " ".join(text.split())


def load_phrases(folder) -> Phrases:
    """Reads ``paraphrases/*.jsonl``; a folder without them gives no phrases."""
    parts, alone, others = {}, {}, {"subject": [], "scene": []}
    for file in sorted((Path(folder) / "paraphrases").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["part"] in others:
                others[row["part"]] += row["phrases"]
                continue
            key = row["part"], row.get("name") or row["first_phrase"]
            parts[key] = row["phrases"] if row["part"] == "stance" else row["modifier"]
            if row.get("alone"):
                alone[key] = row["alone"]
    return Phrases(parts, alone, others["subject"], others["scene"])


def load_groups(folder, data: TextPoseData, split):
    """Reads ``groups.jsonl``. Returns (groups of the split, problems); no file gives no groups."""
    file, groups, problems = Path(folder) / "groups.jsonl", [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else ()):
        try:
            entry = json.loads(line)
            modifiers = tuple((m["part"], m["name"], m.get("side")) for m in entry["modifiers"])
            stance, side, start, stop = entry["stance"], entry["side"], *entry["range"]
            if entry["split"] not in SPLITS:
                raise ValueError(f"has an unknown split {entry['split']!r}")
        except (ValueError, KeyError, TypeError) as error:
            problems.append(Problem("groups.jsonl", number, str(error) or type(error).__name__))
            continue
        rows = data.rows_in([(start, stop)])
        if entry["split"] == split and len(rows):
            groups.append(Group(rows, stance, side, modifiers))
    return groups, problems
