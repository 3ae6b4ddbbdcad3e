"""The pack loads as ComfyUI loads it: by path, from any folder, beside foreign modules of the same names, cheaply."""

import subprocess
import sys
from types import ModuleType

import contract
import fake_comfy
import pytest

HEAVY = "diffusers transformers smplx pyrender human_body_prior scipy cv2 PIL roma tokenizers safetensors".split()


@pytest.mark.parametrize("folder", ["ComfyUI-Contrapposto", "my nodes (copy 2)", "contrapposto.main"])
def test_loads_from_any_folder_beside_foreign_modules(folder, tmp_path, monkeypatch):
    link = tmp_path / folder
    link.symlink_to(fake_comfy.PACK, target_is_directory=True)
    foreign = {name: ModuleType(name) for name in ("nodes", "models", "tests", "scripts")}
    for name, module in (fake_comfy.modules(tmp_path / "models") | foreign).items():
        monkeypatch.setitem(sys.modules, name, module)
    paths = list(sys.path)

    nodes = fake_comfy.load_pack(link)

    assert list(nodes) == list(contract.read())
    assert all(
        sys.modules[name] is module and set(vars(module)) == set(vars(ModuleType(name)))
        for name, module in foreign.items()
    )
    assert sys.path == paths
    assert all(node.__module__.startswith(str(link).replace(".", "_x_")) for node in nodes.values())


def test_importing_and_registering_pull_in_nothing_heavy():
    script = "import sys, torch, numpy; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import fake_comfy\n"
    script += "sys.modules.update(fake_comfy.modules('models')); fake_comfy.load_pack(fake_comfy.PACK)\n"
    script += "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    here = str(fake_comfy.PACK / "tests" / "nodes")
    done = subprocess.run([sys.executable, "-c", script, here], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & set(HEAVY)


def test_the_root_module_imports_without_comfyui():
    script = (
        "import contrapposto, sys; print(contrapposto.WEB_DIRECTORY, 'comfy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd="/")
    if "No module named 'contrapposto'" in done.stderr:
        pytest.skip("the pack is not installed in this environment: pip install --no-deps -e .")
    assert done.stdout.split() == ["./web", "False", "False"]
