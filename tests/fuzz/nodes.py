"""The pack's nodes over the stand-in for ComfyUI that the other tests use."""

from __future__ import annotations

import importlib
import sys
import tempfile
from functools import cache
from pathlib import Path

from . import canary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))
import fake_comfy  # noqa: E402


@cache
def _pack():
    home = Path(tempfile.mkdtemp(prefix="contrapposto-fuzz-"))
    models = home / "models"
    kept = {name: sys.modules.get(name) for name in fake_comfy.modules(models)}
    sys.modules.update(fake_comfy.modules(models))
    try:
        folder = home / "ComfyUI-Contrapposto"
        folder.symlink_to(fake_comfy.PACK, target_is_directory=True)
        fake_comfy.load_pack(folder)
        name = str(folder).replace(".", "_x_")
        (home / "input").mkdir()
        canary.READABLE.append(str(home / "input"))
        (home / "input" / "walk.bvh").write_text("x")
        (home / "input" / "hero.glb").write_bytes(b"x")
        (home / "secret.txt").write_text("secret")
        (home / "input" / "link_out").symlink_to(home / "secret.txt")
        return home, importlib.import_module(f"{name}.nodes.browser").__package__
    finally:
        for module, before in kept.items():  # other tests have stand-ins of their own
            if before is None:
                sys.modules.pop(module, None)
            else:
                sys.modules[module] = before


def node_module(name):
    """One of the modules in ``nodes/``."""
    return importlib.import_module(f"{_pack()[1]}.{name}")


def input_folder() -> Path:
    """What plays ComfyUI's input folder."""
    return (_pack()[0] / "input").resolve()
