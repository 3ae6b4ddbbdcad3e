"""Plans and mass generation: ids, resuming, killed workers, full disks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kill_workers import SHARD, FakeMaker, run

from contrapposto.models.checks import InputError
from contrapposto.models.headless.generate import generate
from contrapposto.models.headless.plan import MPII, SMART, TEMPLATES, actions_of, compose_prompts, read_plan, write_plan
from contrapposto.models.pose_correction.shards import finished_shards, read_manifest, read_shard

SAMPLES = 30


@pytest.fixture
def plan(tmp_path):
    write_plan(tmp_path / "plan.jsonl", ["a person waves"] * SAMPLES, seed=3)
    return tmp_path / "plan.jsonl"


def contents(folder):
    """{shard: bytes} of everything that can be seen."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def ids(folder):
    return [pair.id for shard in finished_shards(folder) for pair in read_shard(shard, verify=True)]


def test_everything_is_made_once_or_rejected_with_a_reason(plan, tmp_path):
    tally = run(plan, tmp_path / "pairs")
    expected = [sample.id for sample in read_plan(plan).samples if sample.seed % 7]
    assert ids(tmp_path / "pairs") == expected and tally.pairs == len(expected) and tally.pairs + tally.rejects == SAMPLES
    reasons = [reject for shard in finished_shards(tmp_path / "pairs") for reject in read_manifest(shard)["rejects"]]
    assert {reject["reason"] for reject in reasons} == {"a multiple of seven"}


def test_finished_shards_are_skipped(plan, tmp_path):
    folder = tmp_path / "pairs"
    assert run(plan, folder).skipped == 0
    before = contents(folder)
    (folder / "000002.tar").unlink()
    tally = run(plan, folder)
    assert (tally.made, tally.skipped) == (1, SAMPLES // SHARD) and contents(folder) == before
    assert run(plan, folder).made == 0


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_workers_lose_nothing_and_repeat_nothing(plan, tmp_path, kills):
    run(plan, tmp_path / "undisturbed")
    script = Path(__file__).with_name("kill_workers.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, script, plan, tmp_path / "killed", str(kills), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.stdout.strip() == f"killed {kills}", done.stderr[-2000:]
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed"), "byte for byte, and no leftovers"


def test_ids_depend_on_line_and_recipe_alone(plan, tmp_path):
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "renamed.jsonl"
    again.write_text("\n".join(json.dumps({"seed": line["seed"], "prompt": line["prompt"]}) for line in
                               map(json.loads, plan.read_text().splitlines())) + "\n\n")
    assert read_plan(plan).hash == read_plan(again).hash
    assert not {s.id for s in read_plan(plan).samples} & {s.id for s in read_plan(plan, {"size": 512}).samples}


@pytest.mark.parametrize("lines, said", [
    (['{"prompt": "a", "seed": 1}', '{"prompt": "b"}', '{"seed": 1, "prompt": "a"}'], "lines 1 and 3"),
    (['{"prompt": "a"', ], "line 1.*no JSON"), (['["a"]'], "no JSON object"), (['{"prompt": " "}'], "no prompt"),
    (['{"prompt": "a", "seed": -1}'], "seed"), (['{"prompt": "a", "sede": 1}'], "sede"), ([""], "no sample"),
    (['{"prompt": "a", "image": "x.png"}'], "image without"), (['{"prompt": "a", "augment": -1}'], "augment in line 1"),
])
def test_mistakes_in_a_plan_are_named_with_their_line(tmp_path, lines, said):
    (tmp_path / "plan.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=f"(?s){said}"):
        read_plan(tmp_path / "plan.jsonl")


def test_another_plan_does_not_mix_in(plan, tmp_path):
    run(plan, tmp_path / "pairs")
    write_plan(tmp_path / "other.jsonl", ["b"])
    with pytest.raises(InputError, match="another plan"):
        run(tmp_path / "other.jsonl", tmp_path / "pairs")
    with pytest.raises(InputError, match="shard size"):
        generate(read_plan(plan), FakeMaker, tmp_path / "pairs", SHARD + 1, "local")


def test_one_bad_sample_does_not_spoil_its_batch(plan, tmp_path):
    class Picky(FakeMaker):
        batch = 5

        def make(self, samples):
            if any(sample.seed == 10 for sample in samples):
                raise InputError("key points", 10, "are all missing", "Leave the picture out.")
            return super().make(samples)

    tally = generate(read_plan(plan), Picky, tmp_path / "pairs", SHARD, "local")
    assert tally.pairs + tally.rejects == SAMPLES and tally.rejects == 4 + 1


def test_a_crash_leaves_the_finished_shards(plan, tmp_path):
    class Crashing(FakeMaker):
        def make(self, samples):
            if samples[0].seed > 20:
                raise MemoryError("the GPU is full")
            return super().make(samples)

    with pytest.raises(MemoryError):
        generate(read_plan(plan), Crashing, tmp_path / "pairs", SHARD, "local")
    names = sorted(path.name for path in (tmp_path / "pairs").iterdir())
    assert names == [f"{i:06}.{end}" for i in range(4) for end in ("json", "tar")]


def test_lists_and_templates_of_the_paper():
    assert compose_prompts(TEMPLATES["smart"], actions_of("smart"), 1)[0] == "a photo of an athlete doing high jump"
    made = compose_prompts(TEMPLATES["mpii"], MPII, 3, seed=1)
    assert len(made) == 54 and made == compose_prompts(TEMPLATES["mpii"], MPII, 3, seed=1) and len(set(made)) > 40
    assert len(SMART) == 6 and "{" not in "".join(made)
    for template in ("a photo of nothing", "{action} by {whom}", "{action"):
        with pytest.raises(InputError, match="template"):
            compose_prompts(template, SMART, 1)


def test_ray_is_named_when_it_is_missing(plan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="--workers local"):
        generate(read_plan(plan), FakeMaker, tmp_path / "pairs", SHARD, "ray")


@pytest.mark.slow
def test_ray_starts_a_killed_actor_anew(plan, tmp_path, monkeypatch):
    """A real local Ray: two actors, one of which is killed at work."""
    ray = pytest.importorskip("ray", reason="Ray is missing: pip install ray[data]")
    monkeypatch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    run(plan, tmp_path / "undisturbed")
    notes = tmp_path / "pids"
    notes.mkdir()

    class Suicidal(FakeMaker):
        """The first of its kind kills its own process in the middle of its second shard."""

        def __init__(self):
            self.shards = 0

        def make(self, samples):
            self.shards += 1
            (notes / str(os.getpid())).touch()
            if self.shards == 3 and len(list(notes.iterdir())) <= 2 and not (tmp_path / "struck").exists():
                (tmp_path / "struck").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().make(samples)

    workers = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=workers)
    try:
        tally = generate(read_plan(plan), Suicidal, tmp_path / "pairs", SHARD, "ray", count=2)
    finally:
        ray.shutdown()
    assert (tmp_path / "struck").exists() and len(list(notes.iterdir())) >= 3, "an actor died and another took its place"
    assert contents(tmp_path / "pairs") == contents(tmp_path / "undisturbed") and tally.made == SAMPLES // SHARD + 1
