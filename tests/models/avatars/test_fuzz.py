"""Whatever a GLB, an FBX or a bone map holds, the reader answers with an avatar or an InputError, in bounded time and memory."""

import json
import random
import re
import struct
import sys
from pathlib import Path

import pytest

from contrapposto.models.avatars.bone_map import apply_bone_map, find_bone_map
from contrapposto.models.avatars.fbx import read_fbx
from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.avatars.rig import build_rig
from contrapposto.models.checks import InputError

sys.path.insert(0, str(Path(__file__).parent))
from fabricate_fbx import write_fbx  # noqa: E402

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


def bone_map_text(chance):
    """JSON of roles and bones with something wrong in it, mostly."""
    keys = ["left_hip", "head", "spine1", "Hips", "leftUpperArm", "left_index2", "", "nonsense", "pelvis"]
    values = ["Hips", "LeftUpLeg", "Head", "LeftLeg", None, 3, [], {}, "", "Missing", True, 1e308]
    text = json.dumps({chance.choice(keys): chance.choice(values) for _ in range(chance.randrange(4))})
    if chance.random() < 0.3:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice(["", "}", "[[", '"', "\0", "é", "9" * 30]) + text[place + chance.randrange(3):]
    return text


def survive_bone_maps(path, count, seed):
    scene, chance, read = read_gltf(path), random.Random(seed), 0
    for _ in range(count):
        try:
            entries = find_bone_map(path, bone_map_text(chance))
            read += 1
            apply_bone_map({"head": 3}, entries, scene.names, scene.order, set(scene.order))
        except InputError:
            pass
    assert 0 < read < count


@pytest.fixture
def whole_stick(stick_glb):
    return stick_glb({role: role for role in ("pelvis", "spine", "head", *(
        f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")))})


def test_damaged_bone_maps(whole_stick):
    survive_bone_maps(whole_stick, FEW, 0)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_bone_maps(whole_stick):
    survive_bone_maps(whole_stick, MANY, 1)


def survive_fbx(path, count, seed):
    """Text with lines lost, doubled, numbers and bytes changed. Each file is read by a process of its own, so there are fewer."""
    pytest.importorskip("ufbx")
    whole, chance, read = path.read_text().splitlines(keepends=True), random.Random(seed), 0
    for _ in range(count):
        lines = list(whole)
        for _ in range(chance.randint(1, 4)):
            at, kind = chance.randrange(len(lines)), chance.random()
            if kind < 0.3:
                del lines[at]
            elif kind < 0.5:
                lines.insert(at, chance.choice(whole))
            elif kind < 0.8:
                lines[at] = re.sub(r"-?\d+(\.\d+)?", lambda _: str(chance.choice([-1, 0, 1e30, 2**31, "nan", 7])), lines[at], count=2)
            else:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        damaged_path = path.with_name("damaged.fbx")
        damaged_path.write_text("".join(lines))
        try:
            scene = read_fbx(damaged_path)
            read += 1
            build_rig(scene, damaged_path)
        except InputError as error:
            assert "crashed" not in error.problem
    return read


def test_damaged_fbx_files(whole_stick, tmp_path):
    survive_fbx(write_fbx(tmp_path / "whole.fbx", read_gltf(whole_stick)), 3, 0)


@pytest.mark.slow
def test_a_thousand_damaged_fbx_files(whole_stick, tmp_path):
    read = survive_fbx(write_fbx(tmp_path / "whole.fbx", read_gltf(whole_stick)), 1000, 1)
    assert 0 < read < 1000
