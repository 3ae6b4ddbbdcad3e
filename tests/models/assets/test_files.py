import io
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from contrapposto.models.assets import files
from contrapposto.models.checks import InputError


def test_safetensors_round_trip_with_config(tmp_path):
    path = tmp_path / "weights.safetensors"
    files.write_safetensors(path, {"a": torch.arange(4.0)}, {"steps": 20, "name": "x"})
    tensors, config = files.read_safetensors(path)
    assert tensors["a"].tolist() == [0, 1, 2, 3] and config == {"name": "x", "steps": 20}
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_npz_round_trip(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.eye(3))
    assert files.read_npz(tmp_path / "a.npz")["x"].tolist() == np.eye(3).tolist()


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("content, problem", [
    (b"", "is empty"),
    (b"not a zip file", "not a readable"),
    (npz_bytes(x=np.zeros(1000))[:300], "not a readable"),
    (npz_bytes(x=np.array([Bomb()], dtype=object)), "Python objects"),
])
def test_bad_npz_is_refused_and_runs_nothing(tmp_path, monkeypatch, content, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        files.read_npz(tmp_path / "bad.npz")
    assert not (tmp_path / "hacked").exists()


def test_npz_with_a_flipped_byte_in_its_data(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=2000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="damaged|not a readable"):
        files.read_npz(tmp_path / "a.npz")


def test_zip_bomb_is_refused_before_unpacking(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(50_000_000))
    assert (tmp_path / "bomb.npz").stat().st_size < 100_000
    with pytest.raises(InputError, match="unpacks to"):
        files.read_npz(tmp_path / "bomb.npz", max_bytes=1_000_000)


@pytest.mark.parametrize("name", ["missing.npz", "folder.npz", "pickle.npz"])
def test_missing_folder_and_pickle_are_refused(tmp_path, name):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        files.read_npz(tmp_path / name)


def test_damaged_safetensors_is_refused(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="safetensors"):
        files.read_safetensors(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_would_paint_black_pictures(tmp_path, number):
    files.write_safetensors(tmp_path / "a.safetensors", {"w": torch.tensor([1.0, number], dtype=torch.float16)}, {})
    with pytest.raises(InputError, match="NaN or infinity in w"):
        files.read_safetensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize("text", ['{"a": NaN}', "[-Infinity]"])
def test_what_is_no_json(text):
    with pytest.raises(ValueError, match="no number of JSON"):
        files.parse_json(text)


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(RuntimeError):
        with files.atomic_write(tmp_path / "out.txt") as part:
            part.write_text("half")
            raise RuntimeError
    assert os.listdir(tmp_path) == ["out.txt"] and (tmp_path / "out.txt").read_text() == "old"


def test_writing_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        with files.atomic_write(tmp_path / "file" / "out.txt"):
            pass


def test_an_unfinished_file_looks_like_no_finished_one(tmp_path):
    with files.atomic_write(tmp_path / "module.safetensors") as part:
        assert part.name.startswith(".") and part.suffix == files.PART
        assert not list(tmp_path.glob("*.safetensors"))


def test_a_path_is_claimed_once(tmp_path):
    (tmp_path / "a0").write_text("finished")
    paths = [tmp_path / f"a{number}" for number in range(4)]
    with files.claim_path(paths) as first, files.claim_path(paths) as second:
        assert (first.name, second.name) == ("a1", "a2")
    with files.claim_path(paths) as again:
        assert again == first, "nobody wrote it"
    assert os.listdir(tmp_path) == ["a0"]


def test_claims_of_many_threads_never_meet(tmp_path):
    def write(text):
        with files.claim_path(tmp_path / f"{number}" for number in range(1000)) as path, files.atomic_write(path) as part:
            assert not path.exists()
            part.write_text(str(text))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert sorted(int(path.read_text()) for path in tmp_path.iterdir()) == list(range(200))


def test_only_old_unfinished_files_are_removed(tmp_path):
    (tmp_path / ".folder.x.part").mkdir()
    (tmp_path / ".folder.x.part" / "half").write_text("x")
    os.utime(tmp_path / ".folder.x.part", (0, 0))
    for name in (".old.x.part", ".new.x.part", "finished.part", ".hidden"):
        (tmp_path / name).write_text("x")
        if name != ".new.x.part":
            os.utime(tmp_path / name, (0, 0))
    files.remove_abandoned(tmp_path)
    files.remove_abandoned(tmp_path / "nowhere")
    assert sorted(os.listdir(tmp_path)) == [".hidden", ".new.x.part", "finished.part"]
