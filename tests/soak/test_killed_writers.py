"""A writer that is killed leaves whole files, or files that nobody takes for finished; what was there before stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WRITERS = ("motion glb", "motion bvh", "motion npz", "mesh ply", "mesh glb", "poses", "keypoints", "shard", "SPIN", "weights",
           "frame cache", "kept words", "video", "picture", "plan", "training run")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What killed_writers.py found."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork and file size limits, which this system lacks")
    pytest.importorskip("av")
    command = [sys.executable, HERE / "killed_writers.py", tmp_path_factory.mktemp("killed")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_writer_is_tried(killed):
    assert set(killed) == set(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_half_written_after_a_kill(killed, name):
    assert any(moment.startswith("publish") for moment in killed[name])
    for moment, told in killed[name].items():
        assert told["signal"] == ("SIGXFSZ" if moment.startswith("mid-write") else "SIGKILL"), (moment, told)
        assert not told["broken"] and not told["strange"] and not told["lost"], (moment, told)
        assert not told["after"] and not told["missing"], (moment, told)
