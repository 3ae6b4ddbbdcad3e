"""Names from workflows never lead out of their folder, whoever wrote them and on whatever system."""

import os

import pytest

from contrapposto.models.assets import search
from contrapposto.models.checks import InputError

WAYS_OUT = [
    "../secret.glb",
    "..\\secret.glb",
    "mine/../../secret.glb",
    "mine\\..\\..\\secret.glb",
    "/etc/passwd",
    "\\Windows\\win.ini",
    "C:\\Windows\\win.ini",
    "c:/Windows/win.ini",
    "C:secret.glb",
    "\\\\server\\share\\a.glb",
    "//server/share/a.glb",
    "\\\\?\\C:\\a.glb",
    "\\\\.\\COM1",
    "..",
    "mine/..",
    "a\0.glb",
    "x" * 5000,
]
WINDOWS_ONLY = [
    "CON",
    "nul.glb",
    "mine/aux",
    "COM1.glb",
    "lpt9",
    "hero.glb.",
    "hero.glb ",
    "mine./hero.glb",
    "hero.glb:stream",
    "he*ro.glb",
    'he"ro.glb',
    "he|ro.glb",
    "he\tro.glb",
    "COM¹.glb",
    "con .glb",
]


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "avatars"
    (home / "mine").mkdir(parents=True)
    (home / "mine" / "hero.glb").write_bytes(b"x")
    (tmp_path / "secret.glb").write_bytes(b"x")
    return home


@pytest.mark.parametrize("name", WAYS_OUT)
@pytest.mark.parametrize("windows", [False, True])
def test_ways_out_are_refused_on_every_system(folder, name, windows):
    assert search.inside(folder, name, windows) is None


@pytest.mark.parametrize("name", WINDOWS_ONLY)
def test_what_windows_reads_as_another_file_is_refused_there(folder, name):
    assert search.inside(folder, name, windows=True) is None


def test_such_names_are_ordinary_elsewhere(folder):
    assert search.inside(folder, "he?ro.glb", windows=False) == folder / "he?ro.glb"


@pytest.mark.parametrize("name", ["mine/hero.glb", "mine\\hero.glb", "./mine/hero.glb", "mine//hero.glb"])
@pytest.mark.parametrize("windows", [False, True])
def test_both_separators_find_a_file(folder, name, windows):
    assert search.inside(folder, name, windows) == folder / "mine" / "hero.glb"


@pytest.mark.parametrize("name", ["connie.glb", "nullify.glb", "mine/a b.glb", "héros.glb", "con1.glb", "hero.v2.glb", ".hidden.glb"])
def test_names_that_only_look_strange_pass(folder, name):
    assert search.inside(folder, name, windows=True) == folder / name


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links on this system")
def test_links_out_of_the_folder_and_circles_are_refused(folder):
    (folder / "out.glb").symlink_to(folder.parent / "secret.glb")
    (folder / "above").symlink_to(folder.parent, target_is_directory=True)
    (folder / "round").symlink_to(folder / "round")
    (folder / "within.glb").symlink_to(folder / "mine" / "hero.glb")
    assert [search.inside(folder, name) for name in ("out.glb", "above/secret.glb", "round")] == [None] * 3
    assert search.inside(folder, "within.glb") == folder / "within.glb"


def test_a_linked_folder_is_the_users_own_choice(tmp_path, folder):
    (tmp_path / "linked").symlink_to(folder, target_is_directory=True)
    assert search.inside(tmp_path / "linked", "mine/hero.glb").is_file()


def test_no_way_out_is_found_as_a_file(folder, monkeypatch):
    monkeypatch.setenv("CONTRAPPOSTO_MODELS", str(folder.parent))
    assert search.find_file("avatars", "mine\\hero.glb").is_file()
    for name in WAYS_OUT:
        with pytest.raises(InputError, match="was not found"):
            search.find_file("avatars", name)
