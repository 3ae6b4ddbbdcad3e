import json

import pytest

from contrapposto.models.assets import registry, search
from contrapposto.models.checks import InputError


def test_every_bundled_file_is_whole_and_within_the_size_budget():
    entries = registry.manifest()
    assert entries and {registry.OPEN_BODY, registry.DEFAULT_AVATAR, registry.TEXT_ENCODER} <= set(entries)
    for name in entries:
        assert registry.bundled(name).is_file()
    assert sum(entry["bytes"] for entry in entries.values()) <= 60e6


def test_every_bundled_file_has_an_entry():
    present = {path.name for path in registry.BUNDLED.iterdir() if not path.name.startswith(("LICENSE", "NOTICE", "manifest"))}
    assert present == set(registry.manifest())


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(b"changed")
    (tmp_path / "manifest.json").write_text(json.dumps({"a.bin": {"sha256": "0" * 64}, "gone.bin": {"sha256": "0" * 64}}))
    monkeypatch.setattr(registry, "BUNDLED", tmp_path)
    monkeypatch.setattr(registry, "MANIFEST", tmp_path / "manifest.json")
    for name, problem in (("a.bin", "wrong checksum"), ("gone.bin", "is missing"), ("other.bin", "not in the manifest")):
        with pytest.raises(InputError, match=problem):
            registry.bundled(name)


def test_files_of_the_user_are_found_by_name_and_never_outside_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    (folder / "avatars" / "mine").mkdir(parents=True)
    (folder / "avatars" / "mine" / "hero.glb").write_bytes(b"x")
    (folder / "avatars" / "notes.txt").write_bytes(b"x")
    (tmp_path / "secret.glb").write_bytes(b"x")
    monkeypatch.setenv("CONTRAPPOSTO_MODELS", str(folder))
    monkeypatch.chdir(folder)
    assert "mine/hero.glb" in search.list_files("avatars") and "notes.txt" not in search.list_files("avatars")
    assert search.find_file("avatars", "mine/hero.glb").read_bytes() == b"x"
    with pytest.raises(InputError, match="was not found"):
        search.find_file("avatars", "../secret.glb")
