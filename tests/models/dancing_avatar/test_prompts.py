"""Refined prompts: the paper's templates, exactly 20 words from any answer, the same words every time."""

import pytest

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.prompts import KINDS, WORDS, KeptPrompts, lexicon_words, prompt_for_words, refine, words_of

TWENTY = ("crimson cotton sleeveless knee-length pleated belted fitted floral embroidered lightweight breathable collared buttoned "
          "flowing vintage ruffled satin-lined tailored elegant delicate").split()


def test_templates_hold_the_description():
    asked = prompt_for_words("clothes", "  a red   summer dress ")
    assert asked.startswith("Imagine an image with a red summer dress, and describe") and "20 single words" in asked
    assert prompt_for_words("face", "face of a young man").startswith("Imagine the face of a young man and describe it with 20")


@pytest.mark.parametrize("answer", [
    ", ".join(TWENTY), "\n".join(TWENTY), "\n".join(f"{i}. {word}" for i, word in enumerate(TWENTY, 1)),
    "Sure! Here are the 20 single words:\n\n" + "\n".join(f"- **{word.title()}**" for word in TWENTY) + "\n",
    "```json\n[" + ", ".join(f'"{word}"' for word in TWENTY) + "]\n```", " ".join(TWENTY),
    "<think>Maybe blue, green, yellow?</think>" + "; ".join(TWENTY), "Words: " + ", ".join([*TWENTY, *TWENTY, "extra"]),
    " ".join(f"{i}) {word}" for i, word in enumerate(TWENTY, 1)),
])
def test_every_form_of_answer_gives_its_words(answer):
    refined = refine("clothes", "a dress", answer)
    assert refined.words == tuple(TWENTY) and refined.answered == WORDS and refined.text.count(", ") == 19


def test_entries_of_several_words_become_single_words_and_sentences_fall_apart():
    assert words_of("long sleeves, gold buttons, red") == ["long-sleeves", "gold-buttons", "red"]
    assert words_of("She is wearing a bright red woollen winter coat with golden buttons.") == \
        ["bright", "red", "woollen", "winter", "coat", "golden", "buttons"]
    assert words_of("Кожа, ДЕНИМ, кожа") == ["кожа", "деним"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ["", "42!", "red", ", ".join(TWENTY[:7])])
def test_what_is_missing_is_filled_and_told(kind, answer):
    refined = refine(kind, "an old sailor", answer, seed=3)
    assert len(refined.words) == len(set(refined.words)) == WORDS and all(" " not in word for word in refined.words)
    assert refined.answered == len(words_of(answer)) and refined == refine(kind, "an old sailor", answer, seed=3)
    assert ("offline lexicon" in refined.report) == (refined.answered < WORDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lexicon_always_suffices_and_follows_its_seed(kind):
    drawn = {tuple(lexicon_words(kind, "x", seed)[:WORDS]) for seed in range(50)}
    assert len(drawn) == 50 and all(len(words) == WORDS for words in drawn)


def test_the_lexicon_does_not_contradict_the_description():
    words = refine("clothes", "a blue striped denim jacket", seed=1).words
    assert {"blue", "striped", "denim", "jacket"} <= set(words)
    assert not {"red", "green", "cotton", "shirt", "plain", "floral"} & set(words)


def test_kept_words_stay_and_a_damaged_file_counts_as_none(tmp_path):
    kept = KeptPrompts(tmp_path / "prompts")
    assert kept.find("face", "a man", 0) is None
    refined = refine("face", "a man", "bearded, tall")
    kept.keep("face", "a man", 0, refined)
    assert kept.find("face", " a  man", 0) == refined and kept.find("clothes", "a man", 0) is None
    next((tmp_path / "prompts").iterdir()).write_text("{")
    assert kept.find("face", "a man", 0) is None


@pytest.mark.parametrize("given, said", [
    (("hat", "a man"), "kind"), (("face", " "), "empty"), (("face", "x" * 1001), "1000"), (("face", "a man", "w" * 100_001), "answer"),
    (("face", "a man", "", -1), "seed"),
])
def test_mistakes_are_named(given, said):
    with pytest.raises(InputError, match=said):
        refine(*given)
