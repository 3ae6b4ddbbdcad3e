"""``python -m contrapposto.tests.fuzz 1000000 --out DIR``: many damaged inputs for every reader, on all processors.

Prints a line per reader, and keeps every input with a finding in DIR/<reader>/ together with what was wrong. The same numbers and the
same --seed make the same inputs. A process that an input ends, or in which it hangs, is replaced; the input counts as a finding.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

from . import judge

SLICE = 500  # inputs that one process takes of a reader before another may go on
MEMORY = "/dev/shm"  # small files are written and read there a hundred times as fast as on some disks
PATIENCE = 300  # seconds without a sign of life


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=1_000_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all inputs; printed")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder of the findings and of results.json")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    parser.add_argument("--only", default="", help="part of the readers' names")
    parser.add_argument("--replay", type=Path, help="read the inputs kept in this folder instead, <reader>/<file>")
    arguments = parser.parse_args()
    if arguments.replay:
        sys.exit(bool(_replay(arguments)))
    readers = [reader for reader in judge.READERS.values() if arguments.only in reader.name]
    total = sum(reader.share for reader in readers)
    wanted = {reader.name: max(1, round(arguments.count * reader.share / total)) for reader in readers}
    tasks = [(name, start, min(start + SLICE, count)) for name, count in wanted.items() for start in range(0, count, SLICE)]
    tasks.sort(key=lambda task: task[1])  # each reader's first slice first
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"{sum(wanted.values())} inputs for {len(wanted)} readers, seed {arguments.seed}", flush=True)
    results = {name: {"inputs": 0, "read": 0, "refused": 0, "findings": 0} for name in wanted}
    _run_all(tasks, arguments, results)
    (arguments.out / "results.json").write_text(json.dumps({"seed": arguments.seed, "readers": results}, indent=1) + "\n")
    for name, found in results.items():
        print(
            f"{name:28s} {found['inputs']:8d} inputs {found['read']:8d} read {found['refused']:8d} refused {found['findings']:5d} findings"
        )
    findings = sum(found["findings"] for found in results.values())
    print(f"{sum(found['inputs'] for found in results.values())} inputs, {findings} findings")
    sys.exit(bool(findings))


def _run_all(tasks, arguments, results):
    """Keeps ``jobs`` processes busy, each with one slice at a time, and writes results.json as it goes."""
    context, running = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn"), []
    while tasks or running:
        while tasks and len(running) < arguments.jobs:
            task = tasks.pop(0)
            home = tempfile.mkdtemp(prefix="contrapposto-fuzz-", dir=MEMORY if os.path.isdir(MEMORY) else None)
            process = context.Process(target=_run_slice, args=(*task, arguments.seed, str(arguments.out), home))
            process.start()
            running.append((process, task, Path(home)))
        time.sleep(0.05)
        for entry in list(running):
            process, task, home = entry
            if process.is_alive() and time.time() - _last_sign(home) < PATIENCE:
                continue
            if process.is_alive():
                process.kill()
            process.join()
            running.remove(entry)
            _collect(task, home, arguments, results, tasks)
            (arguments.out / "results.json").write_text(json.dumps({"seed": arguments.seed, "readers": results}, indent=1) + "\n")


def _replay(arguments):
    """Reads kept inputs once more; returns how many are findings still."""
    warnings.simplefilter("ignore")
    judge.prepare()
    findings = 0
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as home:
        for reader in judge.READERS.values():
            kept = sorted(path for path in (arguments.replay / reader.name.replace("/", "-")).glob("*") if path.suffix != ".txt")
            court = judge.Judge(reader.name, Path(home) / reader.name.replace("/", "-")) if kept else None
            for path in kept:
                problem = court.finding(path.read_bytes())
                if problem is not None:
                    findings += 1
                    keep(arguments.out, reader.name, path.read_bytes(), problem)
                    print(f"{reader.name} {path.name}: {problem}")
    return findings


def _last_sign(home):
    signs = [path.stat().st_mtime for path in (home, home / "number") if path.exists()]
    return max(signs, default=time.time())


def _collect(task, home, arguments, results, tasks):
    name, start, stop = task
    done = home / "done.json"
    if done.exists():
        for key, value in json.loads(done.read_text()).items():
            results[name][key] += value
    else:  # the process is gone: the input it was at is to blame, and another process goes on behind it
        number = int((home / "number").read_text() or start) if (home / "number").exists() else start
        if (home / "input").exists():
            keep(arguments.out, name, (home / "input").read_bytes(), f"ended or hung the process (number {number}, seed {arguments.seed})")
        results[name]["inputs"] += number + 1 - start
        results[name]["findings"] += 1
        if number + 1 < stop:
            tasks.append((name, number + 1, stop))
    import shutil

    shutil.rmtree(home, ignore_errors=True)


def _run_slice(name, start, stop, seed, out, home):
    warnings.simplefilter("ignore")
    sys.stderr = open(os.devnull, "w")
    judge.prepare()
    home = Path(home)
    court = judge.Judge(name, home / "files")
    findings, sign = 0, open(home / "number", "w")
    for number in range(start, stop):
        try:
            data = court.input(seed, number)
        except Exception as error:  # a mistake of ours, not of the reader's
            keep(Path(out), name, b"", f"the damage itself failed: {type(error).__name__}: {error} (number {number}, seed {seed})")
            findings += 1
            continue
        (home / "input").write_bytes(data)
        sign.seek(0)
        sign.write(f"{number}")
        sign.flush()
        problem = court.finding(data)
        if problem is not None:
            findings += 1
            keep(Path(out), name, data, f"{problem} (number {number}, seed {seed})")
    (home / "done.json").write_text(json.dumps({"inputs": stop - start, "findings": findings, **court.results}))


def keep(out, name, data, problem):
    """Keeps an input with a finding, and what was wrong beside it."""
    folder = out / name.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    stem = hashlib.sha256(data).hexdigest()[:12]
    (folder / stem).write_bytes(data)
    (folder / f"{stem}.txt").write_text(problem + "\n", errors="backslashreplace")


if __name__ == "__main__":
    main()
