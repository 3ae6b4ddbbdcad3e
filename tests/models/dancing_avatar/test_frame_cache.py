import errno
import os

import pytest
import torch

from contrapposto.models.assets.files import atomic_write
from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.frame_cache import FrameCache, digest


def frame(seed, side=16):
    return torch.randint(0, 256, (side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_what_was_put_comes_back(tmp_path):
    cache = FrameCache(tmp_path / "new" / "frames", 1 << 20)
    cache.put("a", frame(1))
    assert torch.equal(FrameCache(tmp_path / "new" / "frames", 1 << 20).get("a"), frame(1))
    assert cache.get("b") is None and cache.damaged == []


@pytest.mark.parametrize("harm", [
    lambda data: data[:100], lambda data: b"", lambda data: data[:200] + bytes([data[200] ^ 255]) + data[201:],
    lambda data: b"no picture at all",
])
def test_damage_is_noticed_and_dropped(tmp_path, harm):
    cache = FrameCache(tmp_path, 1 << 20)
    cache.put("a", frame(1, 64))
    path = tmp_path / "a.png"
    path.write_bytes(harm(path.read_bytes()))
    assert cache.get("a") is None and cache.damaged == ["a.png"] and not path.exists()


def test_another_picture_under_the_name_is_damage(tmp_path):
    from PIL import Image

    cache = FrameCache(tmp_path, 1 << 20)
    Image.fromarray(frame(2).numpy()).save(tmp_path / "a.png")
    assert cache.get("a") is None and cache.damaged == ["a.png"]


def test_the_least_recently_used_goes_first(tmp_path):
    cache = FrameCache(tmp_path, 1 << 20)
    for number, name in enumerate("abc"):
        cache.put(name, frame(number))
        os.utime(tmp_path / f"{name}.png", (number, number))
    size = (tmp_path / "a.png").stat().st_size
    small = FrameCache(tmp_path, int(3.5 * size))
    assert small.get("a") is not None
    small.put("d", frame(9))
    assert small.get("b") is None and all(small.get(name) is not None for name in "acd")


def test_two_caches_in_one_folder_take_nothing_from_one_another(tmp_path):
    ours, theirs = FrameCache(tmp_path, 1 << 20), FrameCache(tmp_path, 1 << 20)
    with atomic_write(tmp_path / "half.png") as part:
        part.write_bytes(b"half a picture")
        small = FrameCache(tmp_path, 1)  # drops what it can
        assert "half.png" not in str(small.sizes)
        small.put("a", frame(1))
        assert part.exists(), "a frame that somebody is writing is no frame yet"
    (tmp_path / "half.png").unlink()
    theirs.put("b", frame(2))
    (tmp_path / "b.png").unlink()  # dropped by the other one
    assert theirs.get("b") is None and theirs.damaged == [] and torch.equal(ours.get("a"), frame(1))


def test_a_full_disk_is_named_and_loses_nothing(tmp_path, monkeypatch):
    cache = FrameCache(tmp_path, 1 << 20)
    cache.put("a", frame(1))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("contrapposto.models.dancing_avatar.frame_cache._write", full)
    with pytest.raises(InputError, match="No space left"):
        cache.put("b", frame(2))
    assert cache.get("a") is not None and [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_digests_tell_shape_type_and_order():
    x = torch.arange(6.0)
    parts = [(x,), (x.view(2, 3),), (x.int(),), (x, 1), (1, x), (x, "1"), (x, None), (x, 1.0)]
    assert len({digest(*each) for each in parts}) == len(parts)
    assert digest(x.view(2, 3).T) == digest(x.view(2, 3).T.contiguous())
