"""The report of the doctor."""

from pathlib import Path

from contrapposto.models.headless import doctor


def test_each_package_and_kind_of_file_has_a_line_and_missing_ones_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(doctor.PACKAGES, "no-such-package", (True, "nothing", "pip install no-such-package"))
    monkeypatch.setenv("CONTRAPPOSTO_MODELS", str(tmp_path))
    checks = doctor.examine(host=[("ComfyUI", "1.2.3")], self_test=False)
    names = [check["name"] for check in checks]
    assert {*doctor.PACKAGES, "ComfyUI", "device", *(f"your {kind}" for kind in doctor.BROUGHT)} <= set(names)
    assert set(doctor.BROUGHT) == set(doctor.search.KINDS), "every kind of file is told of"
    text = doctor.as_text(checks)
    assert "!! no-such-package" in text and "pip install no-such-package" in text
    assert f"searched: {tmp_path / 'avatars'}" in text
    assert "self-test" not in names


def test_the_home_folder_stays_private():
    check = {"name": "file", "ok": True, "needed": True, "detail": str(Path.home() / "secret" / "x.glb"), "remedy": ""}
    assert doctor.as_text([check]).split() == ["ok", "file", "~/secret/x.glb"]


def test_a_damaged_bundled_file_is_named(monkeypatch):
    from contrapposto.models.checks import InputError

    def damaged(name):
        raise InputError("bundled file", name, "has a wrong checksum", "Install the pack again.")
    monkeypatch.setattr(doctor.registry, "bundled", damaged)
    text = doctor.as_text(doctor.examine(self_test=False))
    assert "!! default_avatar.glb" in text and "wrong checksum" in text and "Install the pack again." in text


def test_a_package_that_is_too_old_is_named_with_what_is_needed(monkeypatch):
    versions = {"Pillow": "9.5.0", "torch": "2.13.0+cpu", "numpy": "1.25.0", "roma": "1.4.0"}
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: versions.get(name, "99.0rc1"))
    lines = doctor.as_text(doctor.examine(self_test=False)).splitlines()
    (old,) = (line for line in lines if "is older than" in line)
    assert old.startswith("!! Pillow") and "9.5.0 is older than 10.1" in old and "Update" in lines[lines.index(old) + 1]


def test_needed_packages_that_are_missing_are_told_apart_from_optional_ones(monkeypatch):
    assert doctor.missing_packages() == []
    real = doctor.importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in ("roma", "PIL", "ray", "ufbx") else real(name))
    assert doctor.missing_packages() == ["roma", "Pillow"]
