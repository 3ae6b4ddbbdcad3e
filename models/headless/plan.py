"""Plans of mass generation: one sample per line, each with an id that depends on nothing but its line and the recipe.

A plan is a JSON Lines file. A line holds ``prompt`` and ``seed`` and may hold

* ``pose`` and ``row``: a pose file and one of its rows, instead of a pose made from the prompt;
* ``image`` and ``keypoints``: a real picture that guides (R in table 4 of Weng et al. 2023) and OpenPose JSON of the person in it;
* ``augment``: s of equation 9, to vary the pose with the line's seed.

Paths are relative to the plan.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from ..assets.files import atomic_write, parse_json, read_text
from ..checks import InputError, check_choice, check_range

# What people do, as the paper's supplement B lists it: SMART's sports, and MPII's activity categories without "inactivity, quiet/light" and
# "miscellaneous", which name no activity.
SMART = ("high jump", "vault", "pole vault", "diving", "gymnastics on uneven bars", "gymnastics on a balance beam")
MPII = ("bicycling", "conditioning exercise", "dancing", "fishing and hunting", "home activities", "home repair", "lawn and garden",
        "music playing", "occupation", "religious activities", "running", "self care", "sports", "transportation", "volunteer activities",
        "walking", "water activities", "winter activities")
ACTIONS = {"smart": SMART, "mpii": MPII}
TEMPLATES = {"smart": "a photo of an athlete doing {action}", "mpii": "{description} of {person} doing {action}"}
DESCRIPTIONS = ("a photo", "a nice photo", "a high-resolution photo", "a full-body photo")
PEOPLE = ("a man", "a woman", "a person", "a boy", "a girl", "an old man", "an old woman")
FIELDS = ("prompt", "seed", "pose", "row", "image", "keypoints", "augment")
ID_LENGTH = 16


@dataclass(frozen=True)
class Sample:
    """One line of a plan.

    Args:
        id: 16 hex digits.
        prompt, seed: what is made.
        pose, row: pose file and row, or None and 0.
        image, keypoints: files of a real picture, or None.
        augment: s of equation 9; 0 leaves the pose as it is.
    """

    id: str
    prompt: str
    seed: int
    pose: Path | None = None
    row: int = 0
    image: Path | None = None
    keypoints: Path | None = None
    augment: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All samples of a plan, and the hash of plan and recipe together."""

    samples: tuple[Sample, ...]
    hash: str
    recipe: dict = field(default_factory=dict)

    def tasks(self, shard_size):
        """[(number, samples)]: what goes into each shard, the same however many workers there are."""
        check_range("shard size", shard_size, 1, 1_000_000)
        return [(i // shard_size, self.samples[i : i + shard_size]) for i in range(0, len(self.samples), shard_size)]


def read_plan(path, recipe=None) -> Plan:
    """Reads a plan.

    Args:
        path: the .jsonl file.
        recipe: plain JSON values of everything else that decides the result (models, sizes); they are part of every id.

    Raises:
        InputError: the file is missing or empty, a line cannot be read, or two lines ask for the same.
    """
    path, recipe = Path(path), recipe or {}
    lines = read_text(path, "plan", (".jsonl",)).splitlines()
    samples, first_line = [], {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            sample = _sample(path, number, line, recipe)
            if sample.id in first_line:
                raise InputError("plan", path, f"asks for the same in lines {first_line[sample.id]} and {number}",
                                 "Give each line another prompt or seed.")
            first_line[sample.id] = number
            samples.append(sample)
    if not samples:
        raise InputError("plan", path, "holds no sample", "Make one with `contrapposto plan`.")
    whole = hashlib.sha256("".join(sample.id for sample in samples).encode()).hexdigest()
    return Plan(tuple(samples), whole[:ID_LENGTH], recipe)


def _sample(path, number, line, recipe):
    try:
        told = parse_json(line)
        wrong = None if isinstance(told, dict) else "is no JSON object"
    except ValueError as error:
        told, wrong = {}, f"is no JSON ({error})"
    strange = sorted(set(told) - set(FIELDS)) if wrong is None else []
    if strange:
        wrong = f"holds {', '.join(strange)}, which no maker knows"
    elif wrong is None and not (isinstance(told.get("prompt"), str) and told["prompt"].strip()):
        wrong = "has no prompt"
    elif wrong is None and (isinstance(told.get("seed", 0), bool) or not isinstance(told.get("seed", 0), int)
                            or not 0 <= told.get("seed", 0) < 2**63):
        wrong = "has a seed that is no whole number from 0 to 2^63 - 1"
    elif wrong is None and ("image" in told) != ("keypoints" in told) and "pose" not in told:
        wrong = "has an image without keypoints or pose, or keypoints without an image"
    elif wrong is None and not all(isinstance(told.get(name) or "", str) for name in ("pose", "image", "keypoints")):
        wrong = "names a file with something else than a text"
    if wrong:
        raise InputError("plan", f"{path.name}, line {number}", wrong, "Correct the line, or make the plan anew with `contrapposto plan`.")
    row = check_range(f"row in line {number}", told.get("row", 0), 0, 10**9)
    augment = check_range(f"augment in line {number}", told.get("augment", 0.0), 0.0, 10.0)
    files = {name: path.parent / told[name] if told.get(name) else None for name in ("pose", "image", "keypoints")}
    return Sample(sample_id(told, recipe), told["prompt"], told.get("seed", 0), files["pose"], row, files["image"], files["keypoints"],
                  augment)


def sample_id(line: dict, recipe: dict) -> str:
    """16 hex digits of what a line asks for under a recipe; the order of its keys does not count."""
    text = json.dumps([{"seed": 0, **line}, recipe], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def compose_prompts(template, actions, count, seed=0):
    """``count`` prompts for each action; {description} and {person} are drawn, the same ones for the same seed.

    Raises:
        InputError: the template names something else, or lacks {action}.
    """
    check_range("count", count, 1, 10**7)
    made = []
    for action in actions:
        for number in range(count):
            dice = random.Random(f"{seed} {action} {number}")
            try:
                text = template.format(action=action, description=dice.choice(DESCRIPTIONS), person=dice.choice(PEOPLE))
            except (KeyError, IndexError, ValueError):
                text = None
            if text is None or "{action}" not in template:
                raise InputError("template", template, "must hold {action}, and may hold {description} and {person}",
                                 f"Write for example: {TEMPLATES['smart']}.")
            made.append(text)
    return made


def write_plan(path, prompts, seed=0, per_sample=None):
    """Writes a plan with one line per prompt; line i gets the seed ``seed + i``, so equal prompts differ.

    Args:
        path: the .jsonl file.
        prompts: any number of sentences.
        seed: of the first line.
        per_sample: more fields for each line, or one dict for all.

    Raises:
        InputError: there is no prompt, or the file cannot be written.
    """
    prompts = list(prompts)
    if not prompts:
        raise InputError("prompts", 0, "are none", "Give at least one prompt or action.")
    check_range("seed", seed, 0, 2**62)
    more = per_sample if isinstance(per_sample, list) else [per_sample or {}] * len(prompts)
    with atomic_write(path, "plan") as part:
        part.write_text("".join(json.dumps({"prompt": prompt, "seed": seed + i, **extra}, ensure_ascii=False) + "\n"
                                for i, (prompt, extra) in enumerate(zip(prompts, more))), encoding="utf-8")


def actions_of(name):
    """The actions of a list by its name.

    Raises:
        InputError: no such list.
    """
    return ACTIONS[check_choice("list", name, tuple(ACTIONS))]
