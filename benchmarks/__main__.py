"""Runs every bench_*.py beside this file and writes results.md.

Each bench module has ``run() -> list of rows``; a row is a dict with name, value, reference, ratio, goal and met.
Absolute times drift with the machine, so only ratios of interleaved measurements carry goals.
"""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main():
    names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("bench_*.py"))
    rows = []
    for name in names:
        print(f"{name} ...", flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").run()
    text = table(rows)
    print(text)
    if not sys.argv[1:]:
        (HERE / "results.md").write_text(f"# Benchmark results\n\n{provenance()}\n\nMade by `make bench`.\n\n{text}\n", encoding="utf-8")


def table(rows):
    """Rows as a Markdown table."""
    lines = ["| what | ours | reference | ratio | goal | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        met = {True: "yes", False: "**no**", None: "-"}[row["met"]]
        ratio = row["ratio"] if isinstance(row["ratio"], str) else f"{row['ratio']:.2f}" if row["ratio"] >= 0.1 else f"{row['ratio']:.2g}"
        lines.append(f"| {row['name']} | {row['value']} | {row['reference']} | {ratio} | {row['goal']} | {met} |")
    return "\n".join(lines)


def provenance():
    """One line: device, versions, commit."""
    import torch

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip() or "unknown"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"Device: {device}; Python {platform.python_version()}, torch {torch.__version__}; commit {commit}."


if __name__ == "__main__":
    main()
