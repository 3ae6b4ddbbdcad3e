"""Checks that imports point down: rooms on one level never import one another, and models/ never sees ComfyUI.

Run: python scripts/check_imports.py   (exit code 1 and one line per breach)
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Room -> level. A room may import rooms of lower levels, and itself.
LEVELS = {
    "models.types": 0, "models.checks": 0, "models.ports": 0,
    "models.rotations": 1, "models.assets": 1,
    "models.bodies": 2,
    "models.pose_prior": 3, "models.avatars": 3, "models.render": 3,
    "models.text_to_pose": 4, "models.motion": 4, "models.compose": 4, "models.metrics": 4,
    "models.personalization": 5, "models.pose_correction": 5, "models.dancing_avatar": 5, "models.parts_to_whole": 5,
    "models.headless": 6, "models.training": 6,
    "nodes": 7, "__main__": 7, "__init__": 8,
}
FRIENDS = {("models.types", "models.checks"), ("models.ports", "models.types")}  # level 0 leans on itself
NEVER_IN_MODELS = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "server", "execution"}
# Importing the pack must cost nothing: these may only be imported inside functions.
ONLY_INSIDE_FUNCTIONS = {"diffusers", "transformers", "smplx", "pyrender", "human_body_prior", "scipy", "cv2", "roma", "PIL", "tokenizers",
                         "trimesh", "OpenGL", "ufbx", "matplotlib", "accelerate", "safetensors", "comfy", "folder_paths"}
TRAINING_IS_NOT_FOR = ("nodes",)


def room_of(module):
    """Returns the room of a dotted module name inside the pack, or None for a package that is only a container."""
    for room in sorted(LEVELS, key=len, reverse=True):
        if module == room or module.startswith(room + "."):
            return room
    return None


def imports(path):
    """Yields (line, absolute dotted module, is at module level) of each import; pack modules start with 'contrapposto.'."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = ["contrapposto", *path.relative_to(ROOT).parent.parts]
    top_level = {id(node) for node in _module_level(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, id(node) in top_level
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield node.lineno, ".".join([*stem, alias.name]), id(node) in top_level


def _module_level(tree):
    """Statements that run at import: everything outside functions and TYPE_CHECKING blocks."""
    stack = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        stack.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def breaches(root=ROOT):
    """Yields one message per import that breaks the rules."""
    for path in sorted([root / "__init__.py", root / "__main__.py", *root.glob("nodes/**/*.py"), *root.glob("models/**/*.py")]):
        if not path.exists():
            continue
        own = ".".join(path.relative_to(root).with_suffix("").parts)
        room = room_of(own.removesuffix(".__init__"))
        where = path.relative_to(root).as_posix()
        for line, module, at_import in imports(path):
            first = module.split(".")[0]
            if own.startswith("models") and first in NEVER_IN_MODELS:
                yield f"{where}:{line}: models/ must not import {first}"
            if at_import and first in ONLY_INSIDE_FUNCTIONS and not _may_be_eager(own, first):
                yield f"{where}:{line}: import {first} inside the function that needs it"
            if first != "contrapposto":
                continue
            other = room_of(module.removeprefix("contrapposto."))
            if room is None or other is None or other == room or (room, other) in FRIENDS:
                continue
            if LEVELS[other] >= LEVELS[room]:
                yield f"{where}:{line}: {room} (level {LEVELS[room]}) must not import {other} (level {LEVELS[other]})"
            if room in TRAINING_IS_NOT_FOR and other == "models.training":
                yield f"{where}:{line}: nodes must not import training"


def _may_be_eager(module, package):
    """Training scripts are started on purpose; the node modules are only loaded by ComfyUI, which has loaded itself already."""
    return module.startswith("models.training") or (module.startswith("nodes") and package in ("comfy", "folder_paths"))


def main():
    found = list(breaches())
    print("\n".join(found) if found else "imports point down")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
