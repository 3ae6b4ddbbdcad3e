"""Twenty thousand damaged inputs, and every input that ever broke a reader, in processes of their own: they listen to what is opened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contrapposto.tests.fuzz import canary

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds of memory and processor time are Linux's")
CORPUS = Path(__file__).with_name("corpus")


def run(*arguments):
    command = [sys.executable, "-m", "contrapposto.tests.fuzz", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=canary.ROOT.parent)


def told(out):
    """What was found, in words, for the message of a failed test."""
    return "\n".join(f"{path.parent.name}: {path.read_text()}" for path in sorted(out.glob("*/*.txt")))


def test_twenty_thousand_inputs_give_results_or_input_errors(tmp_path):
    ran = run(20_000, "--seed", 1, "--out", tmp_path)
    assert ran.returncode == 0, told(tmp_path) + ran.stdout + ran.stderr
    readers = json.loads((tmp_path / "results.json").read_text())["readers"]
    assert sum(found["inputs"] for found in readers.values()) >= 19_900
    assert sum(found["read"] for found in readers.values()) > 2000 and sum(found["refused"] for found in readers.values()) > 5000


def test_inputs_that_once_broke_a_reader(tmp_path):
    assert sum(path.is_file() for path in CORPUS.glob("*/*")) > 20
    ran = run("--replay", CORPUS, "--out", tmp_path)
    assert ran.returncode == 0, told(tmp_path) + ran.stdout + ran.stderr


def test_the_judge_sees_what_it_must(tmp_path):
    """A reader that does everything wrong, one thing after another."""
    deeds = {
        "raise": "ValueError",
        "write": "writes",
        "read": "reads",
        "shell": "os.system",
        "sing": "code of the file",
        "hang": "Hang",
        "memory": "MB more",
        "ok": "None",
    }
    script = Path(__file__).with_name("bad_reader.py")
    ran = subprocess.run([sys.executable, script, tmp_path, *deeds], capture_output=True, text=True, cwd=canary.ROOT.parent)
    assert len(ran.stdout.splitlines()) == len(deeds), ran.stderr
    for line, finding in zip(ran.stdout.splitlines(), deeds.values()):
        assert finding in line
