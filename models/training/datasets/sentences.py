"""Caption files of motions, and long captions cut into sentences that each describe one moment (PAS, section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...assets.files import parse_json
from .text_pose import Problem

_BREAK = re.compile(r"\s*(?:[.;]+|,?\s*\b(?:and\s+)?then\b,?|,?\s*\bbefore\b|,?\s*\bafter (?:that|which)\b,?|,?\s*\bfinally\b,?)\s*", re.I)
_AND = re.compile(r",?\s+and\s+(?=\w+(?:s|ing)\b)|,\s+(?=\w+(?:s|ing)\b)", re.I)
_SUBJECT = re.compile(r"^((?:an?|the|one|this) (?:\w+ )??(?:person|man|woman|figure|guy|boy|girl|character|individual|human|someone)|"
                      r"someone|somebody|he|she|they|it|person|man|woman)\b", re.I)
_NO_VERB = frozenset("this his hers its is as was has arms legs hands knees feet sides hips shoulders elbows steps times circles".split())


@dataclass(frozen=True)
class Sentence:
    """A caption and the seconds of the motion that it describes; ``end`` None is the motion's end."""

    text: str
    start: float = 0.0
    end: float | None = None


def parse_caption(line: str) -> Sentence:
    """Reads ``sentence``, ``sentence#start#end`` or HumanML3D's ``sentence#tokens#start#end``; 0 and 0 mean the whole motion.

    Raises:
        ValueError: there is no sentence, or the times are no numbers.
    """
    text, *rest = line.strip().split("#")
    if not text.strip():
        raise ValueError("has no sentence")
    if len(rest) not in (0, 2, 3):
        raise ValueError(f"has {len(rest)} fields after the sentence")
    start, end = (float(number) for number in rest[-2:]) if rest else (0.0, 0.0)
    return _sentence(text, start, end)


def _sentence(text, start, end):
    if not 0 <= start < float("inf") or not 0 <= end < float("inf"):
        start = end = 0.0  # HumanML3D writes nan for unknown times
    return Sentence(text.strip(), start, end if end > start else None)


def read_captions(path) -> tuple[list[Sentence], list[Problem]]:
    """Reads a caption file line by line. Returns (sentences, broken lines)."""
    sentences, problems = [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8", errors="replace").splitlines()):
        if line.strip():
            try:
                sentences.append(parse_caption(line))
            except ValueError as error:
                problems.append(Problem(Path(path).name, number, str(error)))
    return sentences, problems


def read_caption_list(path, name="name") -> tuple[dict[str, list[Sentence]], list[Problem]]:
    """Reads ``captions.jsonl`` with {"name", "caption"[, "start", "end"]} per line. Returns ({name without suffix: sentences}, broken)."""
    found, problems = {}, []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8", errors="replace").splitlines() if Path(path).is_file() else ()):
        try:
            entry = parse_json(line)
            sentence = _sentence(entry["caption"], float(entry.get("start") or 0), float(entry.get("end") or 0))
            if not sentence.text:
                raise ValueError("has no sentence")
            found.setdefault(Path(entry[name]).stem, []).append(sentence)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            problems.append(Problem(Path(path).name, number, f"cannot be read ({error or type(error).__name__})"))
    return found, problems


def sub_sentences(text: str) -> list[str]:
    """Cuts a caption into the actions it tells one after another; each gets the first one's subject.

    "a man walks forward, then turns and sits down" -> "a man walks forward", "a man turns", "a man sits down".
    """
    subject = _SUBJECT.match(text.strip())
    pieces = [piece.strip(" ,") for part in _BREAK.split(text) for piece in _at_verbs(part)]
    pieces = [piece for piece in pieces if len(piece.split()) > 1 or (piece and not subject) or _is_verb(piece)]
    if not pieces:
        return [text.strip()]
    return [piece if not subject or _SUBJECT.match(piece) else f"{subject.group()} {piece}" for piece in pieces]


def _at_verbs(part):
    """Splits at "and" and commas where a verb in the third person follows."""
    pieces, begin = [], 0
    for found in _AND.finditer(part):
        word = re.match(r"\w+", part[found.end() :]).group().lower()
        if word.endswith("s") and _is_verb(word):
            pieces.append(part[begin : found.start()])
            begin = found.end()
    return [*pieces, part[begin:]]


def _is_verb(piece):
    word = piece.lower().split()[0] if piece.split() else ""
    return word.endswith("s") and not word.endswith("ss") and word not in _NO_VERB
