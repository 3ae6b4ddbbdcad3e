"""What the documents point at is there, and the commands they show are understood."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP = ("README.md", "CHANGELOG.md", "AGENTS.md", "THIRD_PARTY.md")
PAGES = sorted([*(ROOT / name for name in TOP), *(ROOT / "docs").rglob("*.md"), *(ROOT / "web" / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    local = [target.partition("#")[0] for target in targets if not re.match(r"https?:|mailto:|#", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_example_is_in_the_readme():
    named = set(re.findall(r"\(example_workflows/(\w+)\.json\)", README))
    assert named == {path.stem for path in (ROOT / "example_workflows").glob("*.json")}


def test_every_blueprint_is_in_the_readme():
    assert [path.stem for path in (ROOT / "subgraphs").glob("*.json") if f"**{path.stem}**" not in README] == []


def commands(text):
    """Command lines of our own program, each without what comes before its name or behind it."""
    whole = text.replace("\\\n", " ")
    return re.findall(r"python (?:-m contrapposto|custom_nodes/ComfyUI-Contrapposto|\.) ([^`#;\n]+)", whole)


def test_commands_in_the_readme_are_understood():
    from contrapposto.models.headless import cli
    from contrapposto.models.training.commands import add_commands

    shown = commands(README)
    assert len(shown) >= 9
    for command in shown:
        cli.parser(add_commands).parse_args(shlex.split(command))


def test_make_targets_in_the_documents_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z][\w-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)}
    assert asked <= targets
