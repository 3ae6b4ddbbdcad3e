"""The file lists: what users put into ComfyUI's models folder appears, and what is gone is named."""

import pytest


@pytest.fixture
def body_file(models_dir):
    """A file that is no body, dropped into models/smpl while ComfyUI runs."""
    path = models_dir / "smpl" / "mine.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not a zip file")
    yield path
    path.unlink(missing_ok=True)


def choices(node):
    return next(i.options["options"] for i in node.define_schema().inputs if i.id == "file")


def test_lists_follow_the_folders(pack, body_file):
    node = pack["ContrappostoLoadBodyModel"]
    assert choices(node) == ["open body (bundled)", "mine.npz"]
    body_file.unlink()
    assert choices(node) == ["open body (bundled)"]


def test_other_types_of_files_are_not_listed(pack, body_file):
    body_file.rename(body_file.with_suffix(".txt"))
    assert choices(pack["ContrappostoLoadBodyModel"]) == ["open body (bundled)"]
    body_file.with_suffix(".txt").unlink()


def test_a_missing_file_is_named_with_the_places_it_belongs_to(pack, models_dir):
    said = pack["ContrappostoLoadAvatar"].validate_inputs("gone.glb")
    assert (
        "'gone.glb' was not found" in said
        and str(models_dir / "avatars") in said
        and "default avatar (bundled)" in said
    )


def test_known_and_linked_files_pass(pack, body_file):
    node = pack["ContrappostoLoadBodyModel"]
    assert node.validate_inputs("mine.npz") is True
    assert node.validate_inputs("open body (bundled)") is True
    assert node.validate_inputs(None) is True


@pytest.mark.parametrize("name", ["../../secret.npz", "/etc/passwd"])
def test_paths_outside_the_folders_are_refused(pack, name):
    assert "was not found" in pack["ContrappostoLoadBodyModel"].validate_inputs(name)


def test_a_replaced_file_is_noticed(pack, body_file):
    node = pack["ContrappostoLoadBodyModel"]
    before = node.fingerprint_inputs("mine.npz")
    assert node.fingerprint_inputs("mine.npz") == before
    body_file.write_bytes(b"another size")
    assert node.fingerprint_inputs("mine.npz") != before
    assert node.fingerprint_inputs("open body (bundled)") == "bundled"
    assert node.fingerprint_inputs("gone.npz") == "missing"


def test_a_broken_file_is_one_error_that_names_it(execute, body_file):
    with pytest.raises(ValueError, match=r"mine\.npz.*(damaged|not a readable)"):
        execute("LoadBodyModel", file="mine.npz")


@pytest.mark.parametrize("name", ["LoadTextToPose", "LoadPosePrior", "LoadAvatar"])
def test_every_loader_names_a_broken_file(execute, models_dir, name):
    folder, file = {
        "LoadTextToPose": ("text_to_pose", "bad.safetensors"),
        "LoadPosePrior": ("vposer", "bad.ckpt"),
        "LoadAvatar": ("avatars", "bad.glb"),
    }[name]
    path = models_dir / folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"broken")
    try:
        with pytest.raises(ValueError, match=file.replace(".", r"\.")):
            execute(name, file=file)
    finally:
        path.unlink()
