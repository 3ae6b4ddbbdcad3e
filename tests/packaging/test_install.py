"""The pack as users get it: a wheel, an editable install, a folder with a space or a hyphen in its name."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from contrapposto.models.assets.registry import manifest

ROOT = Path(__file__).resolve().parents[2]
WHERE = "import contrapposto, contrapposto.models.text_to_pose as t; print(contrapposto.__file__); print(t.__file__)"


def run(*arguments, **environment):
    """Runs a Python process outside the checkout and returns it."""
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd="/", timeout=300,
                          env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the files that git would hand out."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("not a git checkout, so the list of shipped files is unknown")
    target = tmp_path_factory.mktemp("checkout")
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    built = run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, checkout)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_packages_and_files(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {f"contrapposto/models/assets/bundled/{name}" for name in [*manifest(), "manifest.json"]} <= inside
    assert {"contrapposto/example_workflows/text_to_avatar.json", "contrapposto/nodes/extension.py", "contrapposto/__main__.py"} <= inside
    assert any(name.startswith("contrapposto/web/docs/") for name in inside)
    assert not any("/tests/" in name or name.startswith("contrapposto/scripts") for name in inside)
    assert wheel.stat().st_size < 90e6


def test_the_installed_wheel_makes_a_pose(wheel, tmp_path):
    installed = run("-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel)
    assert installed.returncode == 0, installed.stderr
    here = run("-c", WHERE, PYTHONPATH=str(tmp_path / "site"))
    assert here.stdout.count(str(tmp_path)) == 2, here.stdout + here.stderr
    made = run("-m", "contrapposto", "pose", "a person waves", "--out", tmp_path / "poses.npz", "--json", PYTHONPATH=str(tmp_path / "site"))
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["prompts"] == ["a person waves"] and (tmp_path / "poses.npz").is_file()


@pytest.mark.parametrize("folder", ["ComfyUI-Contrapposto", "my custom pack"])
def test_run_by_path_in_any_folder(checkout, tmp_path, folder):
    home = tmp_path / "custom_nodes" / folder
    shutil.copytree(checkout, home)
    made = run("-I", home, "pose", "a person waves", "--out", tmp_path / "poses.npz")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "poses.npz").is_file()


def test_the_editable_install_points_here():
    assert run("-c", WHERE).stdout.splitlines()[0] == str(ROOT / "__init__.py")
