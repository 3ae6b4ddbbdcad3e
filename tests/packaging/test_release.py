"""What is handed out is small, complete, honest about its licences, and what ComfyUI's registry asks for."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from contrapposto.models.assets.registry import manifest

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTICES = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
ARCHIVE_BYTES = 90e6
HOSTS = {"comfy", "comfy_api", "comfy_execution", "comfyui_version", "folder_paths", "aiohttp"}  # ComfyUI's own, and what it brings
ORACLES = {"parts2whole", "tiny_parts"}  # the authors' repository and our tests, for scripts/golden_parts_to_whole.py
PACKAGES = {"PIL": "Pillow", "cv2": "opencv-python"}  # module -> package, where the names differ


@pytest.fixture(scope="module")
def shipped():
    """The files of the registry's archive: what git tracks, without what .comfyignore names."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so the list of shipped files is unknown")
    ignored = tuple(line for line in (ROOT / ".comfyignore").read_text().splitlines() if line and not line.startswith("#"))
    assert all(folder.endswith("/") and (ROOT / folder).is_dir() for folder in ignored), "plain folders, or this test misreads them"
    return [ROOT / name for name in listed.stdout.splitlines() if not name.startswith(ignored) and (ROOT / name).is_file()]


def calls(path):
    """Yields (line, text of the function, text of the call) of each call in a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), ast.unparse(node)


def imported(path):
    """The top-level names that a Python file imports from outside itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_the_archive_is_small_and_holds_what_users_need(shipped):
    names = {path.relative_to(ROOT).as_posix() for path in shipped}
    assert sum(path.stat().st_size for path in shipped) < ARCHIVE_BYTES
    assert {"__init__.py", "requirements.txt", "LICENSE", "THIRD_PARTY.md", "web/LICENSE.three", "models/metrics/NOTICE.live"} <= names
    assert {f"models/assets/bundled/{name}" for name in manifest()} <= names
    assert not any(name.startswith("tests/") for name in names)


def test_the_registry_finds_what_it_asks_for():
    project, comfy = PROJECT["project"], PROJECT["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]*", project["name"]) and re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert (ROOT / project["license"]["file"]).is_file() and project["description"]
    assert project["urls"]["Repository"].startswith("https://")
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"] == ">=0.3.76"
    raw = project["urls"]["Repository"].replace("github.com", "raw.githubusercontent.com") + "/main/"
    assert (ROOT / comfy["Icon"].removeprefix(raw)).is_file() and (ROOT / comfy["Banner"].removeprefix(raw)).is_file()
    assert not any(name.startswith("Environment :: GPU") for name in project["classifiers"]), "would hide the pack from all other machines"


def test_nothing_runs_text_as_code_or_installs_packages(shipped):
    found = []
    for path in (path for path in shipped if path.suffix == ".py"):
        for line, function, text in calls(path):
            runs = function in {"eval", "exec", "os.system", "os.popen", "pip.main"} or "shell=True" in text
            if runs or re.search(r"""['"]pip['"],\s*['"]install""", text):
                found.append(f"{path.relative_to(ROOT)}:{line}: {text[:80]}")
    assert not found


def test_every_package_that_is_imported_is_named_with_its_licence(shipped):
    own = {path.stem for path in shipped if path.suffix == ".py"} | {path.parent.name for path in shipped} | {"contrapposto"}
    used = {name for path in shipped if path.suffix == ".py" for name in imported(path)}
    foreign = {PACKAGES.get(name, name) for name in used - own - HOSTS - ORACLES - set(sys.stdlib_module_names)}
    assert {"torch", "Pillow", "opencv-python"} <= foreign
    assert not {name for name in foreign if not re.search(rf"\b{re.escape(name)}\b", NOTICES)}


def test_every_package_that_can_be_asked_for_is_named():
    project, reference = PROJECT["project"], (ROOT / "requirements-reference.txt").read_text().splitlines()
    listed = [*project["dependencies"], *(line for line in reference if not line.startswith("#"))]
    listed += [entry for extra in project["optional-dependencies"].values() for entry in extra]
    names = {re.split(r"[\[=<>~ ]", entry)[0] for entry in listed}
    assert not {name for name in names if not re.search(rf"\b{re.escape(name)}\b", NOTICES)}


def test_every_bundled_file_is_named_and_every_trained_one_has_its_card():
    for name, entry in manifest().items():
        assert f"`{name}`" in NOTICES
        if "training" in entry["made_by"] or "make train" in entry["made_by"]:
            card = (ROOT / "docs" / "model_cards" / f"{Path(name).stem}.md").read_text(encoding="utf-8")
            headings = re.findall(r"^## (\w+)", card, re.MULTILINE)
            assert {"Data", "Training", "Scores", "Limits", "Licence"} <= set(headings), name


def test_the_browser_bundle_comes_with_the_notice_of_what_is_inside():
    packages = json.loads((ROOT / "web_src" / "package.json").read_text())["devDependencies"]
    assert set(packages) == {"three", "vite"}, "a new package in the bundle needs its notice in web/ and in THIRD_PARTY.md"
    assert f"three.js {packages['three'].removesuffix('.0')}" in NOTICES
    assert "SPDX-License-Identifier: MIT" in (ROOT / "web" / "js" / "views3d.mjs").read_text(encoding="utf-8")[:500]


def test_this_version_is_in_the_changelog_and_in_the_upgrade_notes():
    version = PROJECT["project"]["version"]
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first[1] == version
    assert f"## {version}" in (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
