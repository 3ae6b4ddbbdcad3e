"""The nodes, loaded as ComfyUI loads them, over a stand-in for ComfyUI."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

import fake_comfy


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory):
    """What plays ComfyUI's models folder."""
    return tmp_path_factory.mktemp("comfy") / "models"


@pytest.fixture(scope="session")
def pack(models_dir, tmp_path_factory):
    """{node id: node class} of the pack."""
    folder = tmp_path_factory.mktemp("custom_nodes") / "ComfyUI-Contrapposto"
    folder.symlink_to(fake_comfy.PACK, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, module in fake_comfy.modules(models_dir).items():
            patch.setitem(sys.modules, name, module)
        yield fake_comfy.load_pack(folder)


@pytest.fixture(scope="session")
def execute(pack):
    """``execute("TextToPose", ...)`` runs a node by its id without the prefix; inputs left out take their defaults."""

    def run(name, **inputs):
        node = pack[f"Contrapposto{name}"]
        declared = {i.id: i.options["default"] for i in node.define_schema().inputs if "default" in i.options}
        return node.execute(**(declared | inputs)).args

    return run
