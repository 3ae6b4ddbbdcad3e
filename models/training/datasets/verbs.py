"""Verb phrases in the third person, and as gerunds: "sits and ~reads" to "sits and reads" and "sitting and reading"."""

from __future__ import annotations

import re

_NO_VERBS = frozenset(
    "arms legs hands hips wings feet knees as his its this mountain abdominal jumping fingers box child's".split())
_HELPERS = frozenset(("can't", "couldn't", "doesn't"))
_WHOLE = {"is": "being", "has": "having", "does": "doing", "goes": "going", "lies": "lying", "dies": "dying", "ties": "tying",
          "panics": "panicking", "tiptoes": "tiptoeing", "goose-steps": "goose-stepping"}
_HISSING = ("sses", "shes", "ches", "xes", "zzes", "oes")
_DOUBLED = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]|.*[^aeiou]u[aeiou]t")
_MARKED = re.compile(r"~(\w+)")


def as_verb(phrase):
    """The phrase in the third person without marks, or None when it does not begin with a verb."""
    first = phrase.split()[0].rstrip(",") if phrase else ""
    is_verb = first.endswith("s") and first.islower() and not first.endswith(("ss", "us")) and first not in _NO_VERBS
    return phrase.replace("~", "") if is_verb or first in _HELPERS else None


def as_gerund(phrase):
    """The phrase with its verbs as gerunds; phrases that do not begin with a verb stay as they are. "is tired" becomes "tired"."""
    if as_verb(phrase) is None or phrase.split()[0] in _HELPERS:
        return phrase.replace("~", "")
    phrase = _MARKED.sub(lambda match: gerund(match.group(1)), phrase)
    first, _, rest = phrase.partition(" ")
    return rest if first == "is" and rest else f"{gerund(first.rstrip(','))}{',' if first.endswith(',') else ''} {rest}".strip()


def gerund(verb):
    """"sits" to "sitting"."""
    if verb in _WHOLE:
        return _WHOLE[verb]
    if verb.endswith("ies"):
        return verb[:-3] + "ying"
    base = verb[:-2] if verb.endswith(_HISSING) else verb[:-1]
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return base[:-1] + "ing"
    return base + (base[-1] if _DOUBLED.fullmatch(base) else "") + "ing"
