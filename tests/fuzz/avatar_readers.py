"""Characters and their bone maps."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from contrapposto.models.assets.search import add_search_path, find_file
from contrapposto.models.avatars import fbx
from contrapposto.models.avatars.avatar import load_avatar
from contrapposto.models.avatars.bone_map import apply_bone_map, find_bone_map
from contrapposto.models.avatars.gltf_file import decode_picture
from contrapposto.models.checks import InputError

from . import boxes, mutate, seeds
from .readers import file_reader, json_damage, reader, sometimes


def _glb_damage(*whole):
    whole = [item if isinstance(item, tuple) else boxes.split_glb(item) for item in whole]

    def damage(rng):
        document, binary = rng.choice(whole)
        if rng.random() < 0.03:
            return boxes.glb(document, binary)
        changed = mutate.json_of(document, rng) if rng.random() < 0.85 else document
        binary = mutate.bytes_of(binary, rng, 8) if rng.random() < 0.3 else binary
        data = boxes.glb(changed, binary, rng)
        return mutate.bytes_of(data, rng, 3) if rng.random() < 0.12 else data

    return damage


@file_reader("GLB", ".glb", load_avatar)
def glb():
    return _glb_damage(seeds.glb(), seeds.glb(True))


@file_reader("VRM", ".vrm", load_avatar)
def vrm():
    return _glb_damage(seeds.vrm())


@file_reader("glTF", ".gltf", load_avatar, beside={"part.bin": boxes.split_glb(seeds.glb())[1], "picture.png": seeds.png()})
def gltf():
    import base64

    document, binary = boxes.split_glb(seeds.glb())
    beside = json.loads(json.dumps(document)) | {"buffers": [{"byteLength": len(binary), "uri": "part.bin"}]}
    inline = json.loads(json.dumps(document)) | {
        "buffers": [{"byteLength": len(binary), "uri": "data:;base64," + base64.b64encode(binary).decode()}]
    }
    for each in (beside, inline):
        each["images"], each["textures"] = [{"uri": "picture.png"}], [{"source": 0}]
        each["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "extensions": {}}]

    def damage(rng):
        whole = rng.choice([beside, inline])
        changed = mutate.json_of(whole, rng)
        if rng.random() < 0.3:
            kind, key = rng.choice([("buffers", "uri"), ("images", "uri")])
            changed = json.loads(json.dumps(whole))
            changed[kind][0][key] = rng.choice(mutate.PATHS)
        return sometimes(rng, lambda: mutate.json_text(changed, rng), json.dumps(whole).encode())

    return damage


@reader("texture", 1.0)
def texture(folder):
    import io

    from PIL import Image

    packed = {}
    for kind in ("PNG", "JPEG", "WEBP", "TGA", "BMP", "TIFF"):
        held = io.BytesIO()
        Image.open(io.BytesIO(seeds.png())).save(held, kind)
        packed[kind] = held.getvalue()

    def damage(rng):
        data = rng.choice([*packed.values(), packed["PNG"]])
        if data[:4] == b"\x89PNG" and rng.random() < 0.3:
            return data[:16] + struct.pack(">II", *(rng.choice([0, 1, 2**16, 2**31 - 1, 8192]) for _ in "wh")) + data[24:]
        return sometimes(rng, lambda: mutate.bytes_of(data, rng, 8), data)

    def read(data):
        return decode_picture(data, lambda problem, remedy="Save it again.": InputError("avatar file", folder, problem, remedy), (*packed,))

    return damage, read


@reader("bone map", 12)
def bone_map(folder):
    """The widget's text, and the file beside an avatar."""
    scene = seeds.stick()
    whole = {"left_hip": "left_hip", "head": None, "leftUpperArm": "left_shoulder", "left_index1": "left_wrist"}
    path = folder / "hero.bones.json"

    def read(data):
        path.write_bytes(data)
        entries = find_bone_map(folder / "hero.glb")
        apply_bone_map({"head": 15, "pelvis": 0}, entries, scene.names, scene.order, set(scene.order))
        return find_bone_map(folder / "nothing.glb", data.decode("utf-8", "surrogatepass"))

    def damage(rng):
        data = json_damage(whole, {})(rng)
        try:
            data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return b"{}"
        return data

    return damage, read


@reader("file in a models folder", 12)
def model_file(folder):
    """Names that a workflow gives to a loader."""
    home = folder / "avatars"
    (home / "mine").mkdir(parents=True, exist_ok=True)
    (home / "mine" / "hero.glb").write_bytes(b"x")
    (folder / "secret.txt").write_bytes(b"x")
    (home / "link_out").unlink(missing_ok=True)
    (home / "link_out").symlink_to(folder / "secret.txt")
    add_search_path("avatars", home)

    def damage(rng):
        text = rng.choice(["mine/hero.glb", *mutate.PATHS, *mutate.TEXTS])
        return sometimes(
            rng,
            lambda: (mutate.text_of(text, rng, mutate.PATHS) if rng.random() < 0.6 else text).encode("utf-8", "surrogatepass"),
            b"mine/hero.glb",
        )

    def read(data):
        found = find_file("avatars", data.decode("utf-8", "surrogatepass"))
        assert found.resolve().is_relative_to(home.resolve()), f"left its folder: {found}"

    return damage, read


def _fbx_damage(motion):
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models" / "avatars"))
    import numpy as np
    from fabricate_fbx import write_fbx

    moves = {1: np.tile(np.eye(3), (3, 1, 1)), 4: np.tile(np.eye(3), (3, 1, 1))} if motion else None
    text = seeds.written(lambda path: write_fbx(path, seeds.stick(), motion=moves), "stick.fbx").decode()
    number = re.compile(r"-?\d+(\.\d+)?")

    def changed(rng):
        lines = text.splitlines(keepends=True)
        for _ in range(rng.randint(1, 4)):
            at, kind = rng.randrange(len(lines)), rng.random()
            if kind < 0.2:
                del lines[at]
            elif kind < 0.35:
                lines.insert(at, rng.choice(lines))
            elif kind < 0.45:
                lines[at : at + 12] = lines[at : at + 12][::-1]
            elif kind < 0.85:
                lines[at] = number.sub(lambda found: str(rng.choice([*mutate.NUMBERS, found[0]]))[:40], lines[at], count=3)
            else:
                lines[at] = mutate.text_of(lines[at][:4000], rng)
        data = "".join(lines).encode("utf-8", "surrogatepass")
        return mutate.bytes_of(data, rng, 2) if rng.random() < 0.1 else data

    return lambda rng: sometimes(rng, lambda: changed(rng), text.encode())


def _forked(command, capture_output, timeout, creationflags):
    """Stands for `subprocess.run` of the FBX process: the same code in a fork, whose imports are paid for. Only the start is another."""
    import ufbx  # noqa: F401

    from contrapposto.models.avatars import fbx_process

    folder = Path(command[3]).parent
    out, err = open(folder / "out", "w+b"), open(folder / "err", "w+b")
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for number, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        fbx_process.main(*command[2:])
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        raise TimeoutError("the FBX process took more than 20 s")
    code = os.waitstatus_to_exitcode(status)
    with out, err:
        return subprocess.CompletedProcess(command, code, (folder / "out").read_bytes(), (folder / "err").read_bytes())


def _forking(read):
    def run(path):
        fbx.subprocess = SimpleNamespace(run=_forked, TimeoutExpired=subprocess.TimeoutExpired)
        try:
            return read(path)
        finally:
            fbx.subprocess = subprocess

    return run if hasattr(os, "fork") else read


@file_reader("FBX", ".fbx", _forking(load_avatar), 0.1, programs=True)
def fbx_character():
    return _fbx_damage(False)


def _fbx_motion(path):
    from contrapposto.models.motion import load_motion

    return load_motion(path, seeds.body())


@file_reader("FBX motion", ".fbx", _forking(_fbx_motion), 0.1, programs=True)
def fbx_motion():
    return _fbx_damage(True)
