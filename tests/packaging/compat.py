"""Tests the pack with the oldest and the newest packages, each set in a virtual environment of its own that is thrown away.

    python3.10 tests/packaging/compat.py oldest
    python3.11 tests/packaging/compat.py numpy1
    python3.13 tests/packaging/compat.py newest

The Python that runs this is the one that is tested. Each set downloads some gigabytes where torch comes with CUDA.
Results: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The oldest are those that models/headless/doctor.py accepts, and scipy and diffusers of the same time
# (with the hub that this diffusers knows; pip by itself takes the newest, which it cannot be imported with).
NEEDED = ["torch", "numpy", "safetensors", "tokenizers", "roma", "Pillow", "opencv-python", "diffusers", "scipy", "smplx"]
SETS = {
    "oldest": ["torch==2.4.0", "numpy==1.25.0", "safetensors==0.4.2", "tokenizers==0.13.3", "roma==1.4.0", "Pillow==10.1.0",
               "opencv-python==4.8.0.74", "diffusers==0.27.0", "huggingface_hub<0.26", "scipy<1.12", "smplx"],
    "numpy1": [*NEEDED, "numpy==1.26.4", "opencv-python<4.12", "scipy<1.16", "accelerate"],
    "newest": [*NEEDED, "accelerate"],
}
TOOLS = ["pytest", "pytest-timeout", "hypothesis", "pygltflib", "bvhio", "ufbx", "av", "setuptools", "aiohttp"]
# What runs on every set: the library and the nodes. Training and whole jobs repeat them, at ten times the price.
TESTS = ["tests/models", "tests/nodes", "--ignore", "tests/models/training", "--ignore", "tests/models/headless"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--tests", nargs=argparse.REMAINDER, default=TESTS, help="what pytest is given instead of the usual choice")
    options = parser.parse_args()
    failed = [name for name in options.sets if run(SETS[name], options.tests)]
    return f"failed: {', '.join(failed)}" if failed else 0


def run(packages, tests):
    """Installs the packages and runs the tests; returns pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="contrapposto-compat-") as folder:
        home = Path(folder) / "venv"
        venv.create(home, with_pip=True)
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", *packages, *TOOLS], check=True)
        (Path(folder) / "site").mkdir()
        (Path(folder) / "site" / "contrapposto").symlink_to(ROOT, target_is_directory=True)
        variables = {"PYTHONPATH": str(Path(folder) / "site"), "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([python, "-m", "pip", "freeze"], check=True)
        return subprocess.run([python, "-m", "pytest", "-q", "-m", "not slow", *tests], cwd=ROOT, env=os.environ | variables).returncode


if __name__ == "__main__":
    sys.exit(main())
