"""A short soak, two servers that share their folders, and servers that are killed while they write."""

import json
import random
import shutil
import time
from pathlib import Path

import comfy_host
import pytest
import soak
import tiny_models
import whole_files
import workloads

pytestmark = pytest.mark.slow
WRITERS = ("text_to_pairs", "motion_files", "frame_loop", "appearance_module")
KILLS, KILL_SECONDS = 8, 6.0


@pytest.fixture(scope="module")
def host():
    hosts = comfy_host.find_hosts()
    if reason := comfy_host.usable(hosts[0] if hosts else None):
        pytest.skip(reason)
    return hosts[0]


def test_twenty_prompts_leave_nothing(host):
    """Too short to tell a small leak: of memory it tells only a large one."""
    report = soak.soak(host, 20, 3)
    wrong = [sentence for sentence in soak.judge(report) if not sentence.startswith("resident")]
    before, after = soak.growth(report)["resident"]
    assert not wrong and after < 1.5 * before


class SharingServer(comfy_host.ComfyServer):
    """A server that writes into the output folder, and reads the models, of another one."""

    def __init__(self, host, shared):
        self.arguments = ("--output-directory", str(shared.base / "output"))
        self.shared = shared
        super().__init__(host)

    def _start(self):
        if not (self.base / "models").exists():
            (self.base / "models").symlink_to(self.shared.base / "models", target_is_directory=True)
        return super()._start()


def test_two_servers_share_models_and_output(host):
    """Both write the same kinds of files under the same prefixes at the same time; nobody loses or spoils one."""
    first = comfy_host.ComfyServer(host)
    try:
        (first.base / "output").mkdir(exist_ok=True)
        tiny_models.stock(first)
        second = SharingServer(host, first)
        try:
            told = [both(first, second, kind, seed) for seed in range(3) for kind in ("motion_files", "text_to_pairs", "frame_loop")]
            told += [both(first, second, "appearance_module", seed=9, alike=True)]
            texts = [text for runs in told for run in runs for text in texts_of(run)]
            written = [text for text in texts if text.startswith(str(first.base / "output"))]
            assert len(written) == len(set(written)) >= 2 * 3 * (3 + 1), "no two prompts wrote the same file"
            assert all(Path(text).is_file() for text in written)
            assert not whole_files.broken(first.base / "output", first.base / "models" / "loras")
            assert not whole_files.leftovers(first.base / "output", first.base / "models" / "loras")
        finally:
            second.stop()
    finally:
        first.stop()


def both(first, second, kind, seed, alike=False):
    """The runs of one prompt on each server at once."""
    prompts = [ours_alone(kind, random.Random(seed if alike else seed + 100 * place)) for place in range(2)]
    waiting = [(server, server.submit(prompt)) for server, prompt in zip((first, second), prompts)]
    runs = [server.wait(prompt_id) for server, prompt_id in waiting]
    assert all(run.succeeded for run in runs), [run.error for run in runs]
    return runs


def ours_alone(kind, rng):
    """A workload without ComfyUI's own Save Image, which gives one name to two servers and does not outlive a kill."""
    prompt = workloads.MIX[kind][0](rng)
    return {key: node for key, node in prompt.items() if node["class_type"] != "SaveImage"}


def texts_of(run):
    return [text for node in run.entry["outputs"].values() for text in node.get("text", ()) if isinstance(text, str)]


def test_killed_hosts_leave_whole_files(host):
    """The process is killed at random moments while it writes; a new one starts on the same folders and goes on."""
    rng, server, reported = random.Random(0), comfy_host.ComfyServer(host), set()
    folders = [server.base / name for name in ("output", "models/loras")]
    try:
        tiny_models.stock(server)
        for _ in range(KILLS):
            waiting = [server.submit(ours_alone(rng.choice(WRITERS), rng)) for _ in range(6)]
            time.sleep(1 + rng.random() * KILL_SECONDS)
            reported |= {text for prompt_id in waiting for text in finished_texts(server, prompt_id)}
            server.process.kill()
            server.process.wait()
            lost = [text for text in reported if text.startswith(str(server.base)) and not Path(text).is_file()]
            strange = [path for path in whole_files.leftovers(*folders) if f"{whole_files.PART}/" not in f"{path}/"]
            assert not lost and not strange and not whole_files.broken(*folders)
            server.process = server._start()
        assert reported, "some prompts were done before the kill"
        assert server.run(workloads.motion(rng)).succeeded
    finally:
        server.stop()
        shutil.rmtree(server.base, ignore_errors=True)


def finished_texts(server, prompt_id):
    entry = json.loads(server.get(f"/history/{prompt_id}")).get(prompt_id)
    run = comfy_host.Run(entry) if entry else None
    return texts_of(run) if run and run.succeeded else []
