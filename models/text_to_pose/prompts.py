"""What counts as a prompt: some English words, not too many."""

from __future__ import annotations

import re
import unicodedata

from ..checks import InputError

MAX_CHARACTERS = 1000
_SIDE = re.compile(r"\b(left|right)\b(?! angle)", re.IGNORECASE)
ENGLISH_ONLY = "Write it in English: the text encoder reads no other language."

# Small words that a sentence can hardly do without. Words that other languages share with English are in neither list.
_ENGLISH = frozenset("the an and with of is are her his their its to at by from up down over under into while my one both".split())
_FOREIGN = frozenset(
    "ein eine einen einem einer der das und mit auf ist im den dem sie er zum un une le les des est avec sur dans et qui du au en "
    "una el los las con y que su sus sobre uno um uma com os na ao dos il lo che di sul gli della een het op van zijn och ett jest".split()
)


def check_prompt(text, name="prompt"):
    """Returns the prompt without outer blanks.

    Raises:
        InputError: it is not text, empty, longer than 1,000 characters, has no words, or is not English.
    """
    if not isinstance(text, str):
        raise InputError(name, text, "is not text", "Describe the pose in a sentence.")
    text = text.strip()
    if not text:
        raise InputError(name, text, "is empty", 'Describe the pose, for example "a person doing a handstand".')
    if len(text) > MAX_CHARACTERS:
        problem = f"has {len(text):,} characters, the limit is {MAX_CHARACTERS:,}"
        raise InputError(name, text, problem, "Shorten it to one or two sentences that describe the pose.")
    letters = [c for c in text if c.isalpha()]
    if not letters:
        raise InputError(name, text, "holds no words", 'Describe the pose, for example "a person doing a handstand".')
    if not looks_english(text, letters):
        raise InputError(name, text, "is not English", ENGLISH_ONLY)
    return text


def looks_english(text, letters):
    """Tells whether most letters are Latin and the small words are not plainly those of another language.

    A check of script and of function words finds the usual mistake, a sentence in one's own language; foreign names among
    English words pass, as they should.
    """
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    words = re.findall(r"\w+", text.lower())
    foreign = sum(word in _FOREIGN for word in words)
    few = foreign < 2 or 4 * foreign <= len(words) or foreign <= sum(word in _ENGLISH for word in words)
    return 2 * latin > len(letters) and few


def mirror_words(text):
    """Swaps the words left and right, keeping their case. "upright" and "right angle" stay."""
    def other(match):
        word = match.group()
        swapped = "right" if word.lower() == "left" else "left"
        return swapped.upper() if word.isupper() else swapped.capitalize() if word[0].isupper() else swapped
    return _SIDE.sub(other, text)
