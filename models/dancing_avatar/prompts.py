"""Refined prompts (Dancing Avatar, "Intra-frame Alignment"): a rough description of clothes or of a face becomes exactly 20 words.

The paper asks ChatGPT with two fixed templates. Here the template goes to any language model, and its answer, whatever its form, is read
back as 20 single words, no word twice. What an answer lacks is filled from a lexicon by a seed; without an answer the lexicon gives all.
Kept words stay the same for every frame and every run, however the language model answers the next time.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..assets.files import atomic_write, parse_json
from ..checks import InputError, check_choice, check_range

WORDS = 20
KINDS = ("clothes", "face")
MAX_DESCRIPTION, MAX_ANSWER = 1000, 100_000  # characters
TEMPLATES = {  # the paper's own wording
    "clothes": "Imagine an image with {description}, and describe the attribute of the clothes in 20 single words with detailed precision, "
               "making sure that the words correspond to one and only one clothes only.",
    "face": "Imagine the {description} and describe it with 20 single words, focusing on facial and hair details, making sure that the "
            "description of the face and hair corresponds to the face and hair of one and only one person.",
}
# One word of each row is drawn, so no two contradict each other; a row that the description speaks of already is left out.
LEXICON = {
    "clothes": (
        "red blue green black white navy burgundy teal olive mustard beige charcoal",
        "cotton denim linen wool leather silk velvet corduroy jersey satin",
        "shirt jacket blouse sweater hoodie coat vest tunic dress cardigan",
        "trousers jeans skirt leggings shorts chinos culottes",
        "striped plain plaid floral dotted checked geometric", "long-sleeved short-sleeved sleeveless", "fitted loose tailored oversized",
        "collared crewneck v-necked turtlenecked hooded", "buttoned zipped laced belted", "cuffed hemmed fringed rolled",
        "casual formal sporty elegant vintage modern", "matte glossy textured smooth", "lightweight heavy soft crisp",
        "knee-length ankle-length waist-length hip-length", "pleated straight flared tapered", "stitched embroidered quilted printed",
        "pocketed lined layered seamed", "bright muted deep pastel", "ironed draped structured flowing", "sneakers boots loafers sandals",
        "clean new pristine", "symmetrical balanced coordinated", "breathable stretchy durable",
    ),
    "face": (
        "black brown blonde auburn chestnut silver red", "short long shoulder-length cropped", "straight wavy curly coiled",
        "fringed parted swept tied", "thick fine dense", "glossy matte silky", "oval round square heart-shaped angular",
        "brown-eyed blue-eyed green-eyed hazel-eyed gray-eyed", "almond-shaped round-eyed deep-set wide-set",
        "arched straight-browed bushy thin-browed", "long-lashed short-lashed", "small-nosed straight-nosed aquiline button-nosed",
        "full-lipped thin-lipped",
        "fair olive tan dark pale bronze", "freckled clear dimpled", "high-cheeked soft-cheeked", "defined-jaw soft-jaw",
        "pointed-chin rounded-chin cleft-chin", "young adult mature", "smiling calm serious gentle", "clean-shaven bare-faced",
        "symmetrical natural", "smooth radiant healthy",
    ),
}
_STOP = frozenset("a an and are as at by can for from has have he her here his i imagine in is it its of on or she sure that the their "
                  "them these they this to was were wearing wears who with you your person image photo picture clothes clothing face hair "
                  "word words single description attributes details following one only".split())
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_LABEL = re.compile(r"^\s*(?:[-*•·]+|\(?\d+[.):]|#+)\s*")


@dataclass(frozen=True)
class RefinedPrompt:
    """Words for all frames.

    Args:
        words: exactly 20, lower case, none twice.
        answered: how many of them came from the answer; the others are the lexicon's.
    """

    words: tuple[str, ...]
    answered: int

    @property
    def text(self):
        """The words as a prompt."""
        return ", ".join(self.words)

    @property
    def report(self):
        """Where the words come from, as a sentence."""
        if self.answered == WORDS:
            return f"All {WORDS} words are the language model's."
        if not self.answered:
            return f"All {WORDS} words are the offline lexicon's."
        return f"{self.answered} words are the language model's, {WORDS - self.answered} the offline lexicon's."


def prompt_for_words(kind, description) -> str:
    """The paper's question to a language model.

    Args:
        kind: "clothes" or "face".
        description: rough, such as "a red summer dress".

    Raises:
        InputError: the kind is unknown or the description empty or too long.
    """
    return TEMPLATES[check_choice("kind", kind, KINDS)].format(description=check_description(description))


def check_description(description):
    """Returns the description without needless blanks.

    Raises:
        InputError: it is empty or too long.
    """
    description = " ".join(description.split())
    if not description:
        raise InputError("description", description, "is empty", "Write a few words, for example: a red summer dress.")
    if len(description) > MAX_DESCRIPTION:
        raise InputError("description", description, f"has more than {MAX_DESCRIPTION} characters", "Shorten it.")
    return description


def refine(kind, description, answer="", seed=0) -> RefinedPrompt:
    """A language model's answer -> exactly 20 words; what it lacks comes from the lexicon.

    Args:
        kind, description: as in ``prompt_for_words``.
        answer: what the language model wrote: a list, numbered or not, JSON, or sentences; "" for none.
        seed: of the lexicon, 0..2**64 - 1.

    Raises:
        InputError: an input is out of range.
    """
    check_choice("kind", kind, KINDS)
    description = check_description(description)
    check_range("seed", seed, 0, 2**64 - 1)
    if len(answer) > MAX_ANSWER:
        raise InputError("answer", answer, f"has more than {MAX_ANSWER} characters", "Give the language model's answer alone.")
    answered = words_of(answer)[:WORDS]
    more = (word for word in lexicon_words(kind, description, seed) if word not in answered)
    return RefinedPrompt(tuple(answered + [word for word, _ in zip(more, range(WORDS - len(answered)))]), len(answered))


def words_of(answer) -> list[str]:
    """The single words of an answer in their order, none twice. Entries of 2 or 3 words are joined by hyphens, sentences fall apart."""
    answer = unicodedata.normalize("NFKC", re.sub(r"<think>.*?(</think>|$)", " ", answer, flags=re.DOTALL)).lower()
    answer = re.sub(r"```\w*", "\n", answer)
    found = []
    for line in answer.splitlines():
        line = _LABEL.sub("", line)
        before, colon, after = line.partition(":")
        entries = re.split(r"[,;|/\[\]\"]+|\.\s|\s\d+[.)]\s", after if colon and (after.strip() or " " in before.strip()) else line)
        for entry in entries:
            words = _WORD.findall(_LABEL.sub("", entry))
            words = words if len(words) == 1 else [word for word in words if word not in _STOP]
            found += ["-".join(words)] if 1 <= len(words) <= 3 and len(entries) > 1 else words
    return list(dict.fromkeys(word for word in found if word not in _STOP))


def lexicon_words(kind, description, seed) -> list[str]:
    """At least 20 words without a language model: the description's own, then one of each row of the lexicon, drawn by the seed.

    The same description and seed give the same words on every machine.
    """
    own = [word for word in dict.fromkeys(_WORD.findall(description.lower())) if word not in _STOP]
    key = hashlib.sha256(json.dumps([kind, description.lower(), seed]).encode()).digest()
    draw = random.Random(int.from_bytes(key, "big"))
    words = list(own)
    for row in map(str.split, LEXICON[kind]):
        said = set(own) & {part for word in row for part in (word, word.removesuffix("d"), word.removesuffix("ed"))}
        picked = row[int(draw.random() * len(row))]  # drawn even when unused, so that rows stay independent of one another
        if not said and picked not in words:
            words.append(picked)
    spare = sorted(word for row in LEXICON[kind][-3:] for word in row.split())
    words += [word for word in spare if word not in words] if len(words) < WORDS else []
    return words


class KeptPrompts:
    """Refined prompts in a folder, one small file each, so that a description keeps its words."""

    def __init__(self, folder):
        self._folder = Path(folder)

    def find(self, kind, description, seed) -> RefinedPrompt | None:
        """The words kept for a description, or None; a damaged file counts as none."""
        try:
            content = parse_json(self._path(kind, description, seed).read_text(encoding="utf-8"))
            kept = RefinedPrompt(tuple(map(str, content["words"])), int(content["answered"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None
        return kept if len(set(kept.words)) == WORDS else None

    def keep(self, kind, description, seed, refined: RefinedPrompt):
        """Writes the words of a description, atomically."""
        content = {"kind": kind, "description": description, "seed": seed, "words": refined.words, "answered": refined.answered}
        with atomic_write(self._path(kind, description, seed), "kept prompt") as part:
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")

    def _path(self, kind, description, seed):
        key = json.dumps([kind, " ".join(description.split()), seed])
        return self._folder / f"{kind}_{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
