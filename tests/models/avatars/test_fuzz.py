"""Whatever a GLB holds, the reader answers with an avatar or an InputError, in bounded time and memory."""

import json
import random
import struct

import pytest

from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.avatars.rig import build_rig
from contrapposto.models.checks import InputError

FEW, MANY = 400, 100_000
VALUES = [None, True, -1, 0, 1, 2**31, 2**53, 1e308, -1e308, "", "a", "../../x", [], {}, [[]], [1, 2], {"a": 1}, 5126, 5121, "VEC3", "MAT4",
          [float("nan")] * 16, [0] * 16, [1e30] * 3]


@pytest.fixture
def seeds(stick_glb, triangle_glb, glb_tools):
    split, _ = glb_tools
    names = {"pelvis": "Hips", "left_hip": "LeftUpLeg", "right_hip": "RightUpLeg", "left_knee": "LeftLeg", "head": "Head"}
    return [split(path.read_bytes()) for path in (triangle_glb(), stick_glb(names))]


def places(value, found):
    """Every (container, key) in a JSON document."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            places(value[key], found)
    return found


def damaged(document, binary, random):
    """A GLB with a few things changed: values, missing or copied entries, bytes, its end."""
    document, binary = json.loads(json.dumps(document)), bytearray(binary)
    for _ in range(random.randint(0, 3)):
        container, key = random.choice(places(document, []))
        kind = random.random()
        if kind < 0.2:
            del container[key]
        elif kind < 0.4:
            other, there = random.choice(places(document, []))
            container[key] = json.loads(json.dumps(other[there]))
        elif kind < 0.6 and isinstance(container[key], int) and not isinstance(container[key], bool):
            container[key] += random.choice([-1, 1, 2, 100, 1 << 20])
        else:
            container[key] = json.loads(json.dumps(random.choice(VALUES)))
    for _ in range(random.choice([0, 0, 1, 8])):
        if binary:
            binary[random.randrange(len(binary))] = random.randrange(256)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + bytes(binary)
    data = bytearray(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)
    for _ in range(random.choice([0, 0, 0, 1, 4])):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data[: random.randrange(len(data))]) if random.random() < 0.1 else bytes(data)


def survive(seeds, path, count, seed):
    read = 0
    chance = random.Random(seed)
    for _ in range(count):
        path.write_bytes(damaged(*chance.choice(seeds), chance))
        try:
            scene = read_gltf(path)
            read += 1
            build_rig(scene, path)
        except InputError:
            pass
    assert 0 < read < count  # some damage does no harm, most does: both ways were walked


def test_damaged_files(seeds, tmp_path):
    survive(seeds, tmp_path / "damaged.glb", FEW, 0)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_files(seeds, tmp_path):
    import resource

    survive(seeds, tmp_path / "damaged.glb", MANY, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # kilobytes
