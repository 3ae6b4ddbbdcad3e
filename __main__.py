"""The command line: ``python -m contrapposto``, or by path inside custom_nodes: ``python custom_nodes/ComfyUI-Contrapposto``."""

import sys

if not __package__:  # run by path: give this folder its package name first
    import importlib.util
    from pathlib import Path

    root = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != root]  # our nodes/ must not pose as top-level modules
    spec = importlib.util.spec_from_file_location("contrapposto", root / "__init__.py", submodule_search_locations=[str(root)])
    sys.modules["contrapposto"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    __package__ = "contrapposto"

from .models.headless import cli
from .models.training.commands import add_commands


def main(argv=None):
    """Runs one command with those of every room; returns the exit code."""
    return cli.main(argv, add_commands)


if __name__ == "__main__":
    sys.exit(main())
