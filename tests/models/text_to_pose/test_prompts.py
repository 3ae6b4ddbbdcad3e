"""Prompts that are no prompts: one error each, naming input, value and remedy."""

from pathlib import Path

import pytest

from contrapposto.models.checks import InputError
from contrapposto.models.text_to_pose.prompts import MAX_CHARACTERS, check_prompt

CAPTIONS = (Path(__file__).parent / "captions.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("text, problem", [
    ("", "is empty"),
    (" \n\t", "is empty"),
    ("jump " * 2000, "has 9,999 characters, the limit is 1,000"),
    ("1234 56!", "holds no words"),
    ("🤸🤸", "holds no words"),
    (None, "is not text"),
    ("一个人在倒立", "is not English"),
    ("человек стоит на руках", "is not English"),
    ("شخص يقف على يديه", "is not English"),
    ("ein Mann macht einen Handstand", "is not English"),
    ("une femme assise sur une chaise", "is not English"),
    ("una mujer sentada en el suelo con los brazos cruzados", "is not English"),
])
def test_bad_prompts(text, problem):
    with pytest.raises(InputError) as error:
        check_prompt(text)
    assert error.value.problem == problem and error.value.name == "prompt" and error.value.remedy
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("text", [
    *CAPTIONS, "plank", "a ballerina doing a grand plié", "Van Gogh painting in the Place du Forum", "T-pose",
    "tai chi: 白鶴亮翅 white crane pose", "a man in Los Angeles drinks a café con leche",
    "DOING THE DAB!!!", "an über strong man",
])
def test_good_prompts(text):
    assert check_prompt(f"  {text} ") == text


def test_the_limit_itself_is_allowed():
    assert len(check_prompt("jump" * (MAX_CHARACTERS // 4))) == MAX_CHARACTERS
