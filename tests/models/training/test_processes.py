"""Several processes train what one would: two of torchrun's against this one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_processes

from contrapposto.models.checks import InputError
from contrapposto.models.training.loop import LoopConfig, RunFolder, train
from contrapposto.models.training.processes import OneProcess, open_processes

pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("two")
    script = Path(two_processes.__file__)
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script), str(home)],
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return home


@pytest.fixture(scope="module")
def told(home):
    return [torch.load(home / f"{index}.pt", weights_only=True) for index in (0, 1)]


def test_two_processes_learn_the_same_weights_as_one_with_the_same_batch(told, tmp_path):
    alone = two_processes.run(tmp_path / "run").state_dict()
    start = two_processes.toy().state_dict()
    for name, value in alone.items():
        assert not torch.allclose(value, start[name], atol=1e-3), "the toy did not learn"
        torch.testing.assert_close(told[0]["whole"][name], value, atol=1e-6, rtol=1e-5)
        assert torch.equal(told[0]["whole"][name], told[1]["whole"][name])


def test_two_processes_resume_bit_for_bit(told):
    assert all(torch.equal(value, told[0]["resumed"][name]) for name, value in told[0]["whole"].items())


def test_only_the_first_process_writes(home):
    lines = [json.loads(line) for line in (home / "whole" / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 6, 8, 12, 12] and not list((home / "whole").glob("*.part*"))


def test_a_loss_that_is_not_a_number_in_one_process_stops_all(home, told):
    note = json.loads((home / "broken" / "stopped.json").read_text())
    assert told[0]["stopped"] == told[1]["stopped"] == [5, *note["rows"]] and len(note["rows"]) == two_processes.CONFIG.batch


def test_one_process_needs_no_accelerate(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert isinstance(open_processes(), OneProcess)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="accelerate, which is not installed"):
        open_processes()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(OneProcess, "count", 3)
    with pytest.raises(InputError, match="8 rows cannot be shared by 3 processes"):
        train(two_processes.toy(), None, None, LoopConfig(steps=1, batch=8), RunFolder(tmp_path / "run", {}))
