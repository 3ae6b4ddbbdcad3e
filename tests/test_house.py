"""The rules of the house, held by tests: import directions, lint-free scripts, packages listed."""

import importlib.util
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def check_imports():
    spec = importlib.util.spec_from_file_location("check_imports", ROOT / "scripts" / "check_imports.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_imports_point_down(check_imports):
    assert list(check_imports.breaches()) == []


@pytest.mark.parametrize("path, line, message", [
    ("models/bodies/x.py", "from ..render import engine", "must not import models.render"),
    ("models/render/x.py", "from ..avatars import load_avatar", "must not import models.avatars"),
    ("models/bodies/x.py", "def f():\n    import comfy.utils", "must not import comfy"),
    ("models/bodies/x.py", "import scipy", "inside the function"),
    ("nodes/x.py", "from ..models.training import loop", "nodes must not import training"),
])
def test_the_import_check_finds_breaches(check_imports, tmp_path, monkeypatch, path, line, message):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(line + "\n")
    monkeypatch.setattr(check_imports, "ROOT", tmp_path)
    found = list(check_imports.breaches(tmp_path))
    assert len(found) == 1 and message in found[0]


def test_every_package_is_listed_for_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {"contrapposto"} | {"contrapposto." + ".".join(path.parent.relative_to(ROOT).parts)
                                  for top in ("nodes", "models") for path in (ROOT / top).rglob("__init__.py")}
    assert set(listed) == present


def test_requirements_agree_with_the_package_metadata():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == (ROOT / "requirements.txt").read_text().split()


def test_versions_agree():
    import contrapposto

    assert contrapposto.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
