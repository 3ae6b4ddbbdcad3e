"""Hundreds of prompts through one real ComfyUI, some of them stopped at random moments: what grows, what is left behind?

    python tests/soak/soak.py --prompts 500 --interrupts 50 [--seed 0] [--out report.json]

One process of ComfyUI with --cache-classic: it keeps the results of the last prompt and nothing older. Prompts are queued 25 at a time.
After each 25 the host is told to free its models and its cache (POST /free) and to forget its history, because ComfyUI keeps both on
purpose; then memory, threads, open files and live tensors are read (soak_probe), and every new file is read to its end.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "host")]

import comfy_host  # noqa: E402
import tiny_models  # noqa: E402
import whole_files  # noqa: E402
import workloads  # noqa: E402

BATCH = 25
WARM = 50  # prompts after which nothing may grow
WINDOW = 3  # readings whose median is compared
GROWTH = 1.05  # of memory
COUNTED = ("os_threads", "handles", "tensors")
SLACK = {"os_threads": 2, "handles": 2, "tensors": 4}  # an idle connection, a pool's last worker
SETTLE_SECONDS = 60
PATIENCE = 10  # minutes without an answer


class SoakServer(comfy_host.ComfyServer):
    packs = (*comfy_host.ComfyServer.packs, HERE / "soak_probe")
    arguments = ("--cache-classic",)

    def get(self, path, **query):
        """A busy machine may keep a server from answering for a while."""
        for _ in range(PATIENCE):
            try:
                return super().get(path, **query)
            except TimeoutError:
                continue
        return super().get(path, **query)


def soak(host, prompts, interrupts, seed=0, tell=lambda report: None):
    """Returns the report of one soak; `judge` says what is wrong with it."""
    rng, started = random.Random(seed), time.monotonic()
    server = SoakServer(host)
    report = {"host": host.version, "prompts": prompts, "interrupts": interrupts, "seed": seed, "cache": "--cache-classic",
              "mix": Counter(), "failed": [], "interrupted": 0, "too_late": 0, "readings": [], "broken": {}, "leftovers": []}
    try:
        tiny_models.stock(server)
        report["readings"].append({"prompts": 0, **reading(server)})
        usual, seen = defaultdict(lambda: [0.5]), set()
        for first in range(0, prompts, BATCH):
            count = min(BATCH, prompts - first)
            left = interrupts - report["interrupted"]
            wanted = round(left * count * 1.2 / (prompts - first) + rng.random() - 0.5) if left else 0
            run_batch(server, rng, count, min(max(wanted, 0), count, left), usual, report)
            report["readings"].append({"prompts": first + count, **reading(server)})
            check_files(server, seen, report)
            tell(report)
        report["log_errors"] = [line for line in server.log().splitlines() if "Exception ignored" in line or "was never awaited" in line]
    finally:
        server.stop()
    return report | {"mix": dict(report["mix"]), "seconds": round(time.monotonic() - started)}


def run_batch(server, rng, count, stopped, usual, report):
    """Queues some prompts at once and stops some of them, each at a random moment of its run."""
    queued = [(*workloads.draw(rng), place < stopped) for place in range(count)]
    rng.shuffle(queued)
    queued = [(name, server.submit(prompt), stop) for name, prompt, stop in queued]
    for name, prompt_id, stop in queued:
        if stop:
            wait_until_running(server, prompt_id)
            time.sleep(rng.random() * statistics.median(usual[name][-9:]))
            server.post_json("/interrupt", {"prompt_id": prompt_id})
        run = server.wait(prompt_id)
        report["mix"][name] += 1
        if run.interrupted:
            report["interrupted"] += 1
        elif not run.succeeded:
            report["failed"].append({"name": name, "error": str(run.error)[:2000]})
        else:
            report["too_late"] += stop
            usual[name].append(seconds_of(run))


def wait_until_running(server, prompt_id):
    while True:
        queue = server.get_json("/queue")
        if not any(entry[1] == prompt_id for entry in queue["queue_pending"]):
            return
        time.sleep(0.02)


def seconds_of(run):
    """How long a finished prompt took, by the host's own clock."""
    at = {kind: data["timestamp"] for kind, data in run.entry["status"]["messages"]}
    return (at["execution_success"] - at["execution_start"]) / 1000


def reading(server):
    """What the idle process holds once models, cache and history are gone."""
    server.post_json("/free", {"free_memory": True})  # which unloads the models too
    server.post_json("/history", {"clear": True})
    deadline, before = time.monotonic() + SETTLE_SECONDS, None
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = server.get_json("/soak/held")
        if before and not before["asked_to_free"] and all(now[what] == before[what] for what in COUNTED):
            return now
        before = now
    return now


def check_files(server, seen, report):
    folders = [server.base / name for name in ("output", "temp", "models/loras", "input")]
    report["broken"] |= whole_files.broken(*folders, seen=seen)
    report["leftovers"] = sorted({*report["leftovers"], *whole_files.leftovers(*folders)})
    seen.update(str(path) for folder in folders for path in folder.rglob("*"))


def growth(report):
    """{what: (median of the first readings from WARM on, median of the last)}."""
    readings = [entry for entry in report["readings"] if entry["prompts"] >= min(WARM, report["prompts"] // 2)]
    first, last = readings[:WINDOW], readings[-WINDOW:]
    return {what: tuple(statistics.median(entry[what] for entry in some) for some in (first, last))
            for what in ("resident", "resident_untrimmed", "cuda_bytes", *COUNTED)}


def judge(report):
    """Returns what is wrong, one sentence each."""
    wrong = [f"{entry['name']} failed: {entry['error'][:300]}" for entry in report["failed"]]
    wrong += [f"{path} is broken: {why}" for path, why in report["broken"].items()]
    wrong += [f"{path} was left behind" for path in report["leftovers"]] + report["log_errors"]
    grown = growth(report)
    for what in ("resident", "resident_untrimmed", "cuda_bytes"):
        before, after = grown[what]
        if after > before * GROWTH:
            wrong.append(f"{what} grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB")
    for what in COUNTED:
        before, after = grown[what]
        if after > before + SLACK[what]:
            wrong.append(f"{what} grew from {before:.0f} to {after:.0f}")
    return wrong


def line_of(report):
    last = report["readings"][-1]
    return (f"{last['prompts']:4} prompts, {report['interrupted']} stopped, {len(report['failed'])} failed, "
            f"{last['resident'] / 1e6:.0f} MB ({last['resident_untrimmed'] / 1e6:.0f} before trimming), {last['os_threads']} threads, "
            f"{last['handles']} handles, {last['tensors']} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--interrupts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the readings go, as JSON")
    given = parser.parse_args()
    hosts = comfy_host.find_hosts()
    if not hosts or comfy_host.usable(hosts[0]):
        sys.exit(comfy_host.usable(hosts[0] if hosts else None))

    def tell(report):
        print(line_of(report), flush=True)
        if given.out:  # after each batch, so that a run that is cut short has something to show
            given.out.write_text(json.dumps(report, indent=1))

    report = soak(hosts[0], given.prompts, given.interrupts, given.seed, tell)
    wrong = judge(report)
    if given.out:
        given.out.write_text(json.dumps(report | {"growth": growth(report), "wrong": wrong}, indent=1))
    print(f"ComfyUI {report['host']}: {report['prompts']} prompts in {report['seconds']} s, {report['interrupted']} stopped, "
          f"{report['too_late']} were faster than the stop, {len(report['failed'])} failed")
    for what, (before, after) in growth(report).items():
        print(f"  {what}: {before:.0f} -> {after:.0f} ({after / before - 1 if before else 0:+.1%})")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
