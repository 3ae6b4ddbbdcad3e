"""What the pack adds to ComfyUI's start: loading it and asking for its nodes, beyond an already imported torch.

Measured in fresh processes over the tests' stand-in for ComfyUI, with compiled files as from the second start on. The reference is
`import torch` itself, whose compiled files lie in site-packages.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 0.15  # seconds
HEAVY = ("diffusers", "transformers", "smplx", "pyrender", "human_body_prior", "scipy", "cv2")
PROBE = """
import json, sys, time
from pathlib import Path
start = time.process_time(); import torch; torch_seconds = time.process_time() - start
sys.path.insert(0, sys.argv[1]); import fake_comfy, numpy, PIL.Image
sys.modules.update(fake_comfy.modules(Path(sys.argv[2])))
start = time.process_time(); fake_comfy.load_pack(Path(sys.argv[3])); seconds = time.process_time() - start
print(json.dumps({"torch": torch_seconds, "pack": seconds, "heavy": [n for n in sys.argv[4:] if n in sys.modules]}))
"""


def run(rounds=5):
    with tempfile.TemporaryDirectory() as compiled:
        probe(compiled)  # compiles
        found = [probe(compiled) for _ in range(rounds)]
    ours, reference = (statistics.median(entry[name] for entry in found) for name in ("pack", "torch"))
    heavy = sorted({name for entry in found for name in entry["heavy"]})
    return [
        {"name": "loading the pack (CPU time) against `import torch`", "value": f"{ours:.3f} s", "reference": f"{reference:.2f} s",
         "ratio": ours / reference, "goal": f"at most {LIMIT} s", "met": ours <= LIMIT},
        {"name": f"heavy packages loaded with it ({', '.join(HEAVY)})", "value": ", ".join(heavy) or "none", "reference": "none",
         "ratio": "-", "goal": "none", "met": not heavy},
    ]


def probe(compiled):
    """Seconds of CPU time of one fresh process, and the heavy packages it ended up with. ``compiled`` is where its bytecode is kept."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-c", PROBE, str(ROOT / "tests" / "nodes"), folder, str(ROOT), *HEAVY]
        return json.loads(subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print(table(run()))
