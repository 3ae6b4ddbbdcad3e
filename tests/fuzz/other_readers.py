"""Shards, plans, caches, pictures, and what arrives over HTTP or in a workflow."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from contrapposto.models.dancing_avatar.frame_cache import FrameCache
from contrapposto.models.dancing_avatar.prompts import KeptPrompts, RefinedPrompt
from contrapposto.models.headless.paint import read_render
from contrapposto.models.headless.pictures import read_picture
from contrapposto.models.headless.plan import read_plan
from contrapposto.models.pose_correction.shards import ShardWriter, finished_shards, read_shard

from . import boxes, mutate, seeds
from .readers import file_reader, json_damage, reader, sometimes


@reader("shard", 0.7)
def shard(folder):
    """A tar of samples with its manifest: samples' parts, the tar's own headers, the manifest."""
    home = folder / "shards"
    home.mkdir(exist_ok=True)
    with ShardWriter(home / "0.tar") as writer:
        writer.add(seeds.pairs(), ["a", "b"])
    tar, manifest = (home / "0.tar").read_bytes(), (home / "0.json").read_bytes()
    with tarfile.open(home / "0.tar") as opened:
        parts = [(entry.name, opened.extractfile(entry).read()) for entry in opened]
    arrays = seeds.arrays_in(dict(parts)["a.npz"])

    def part(name, data, rng):
        if name.endswith(".npz"):
            return boxes.npz(mutate.arrays_of(arrays, rng), rng)
        if name.endswith(".json"):
            return mutate.json_text(mutate.json_of(json.loads(data), rng), rng)
        return mutate.bytes_of(data, rng)

    def tarred(entries, rng):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in entries:
                entry = tarfile.TarInfo(
                    rng.choice([name] * 12 + ["../" + name, "/etc/" + name, "a", ".npz", "a.b.c", "x" * 90 + "." + name.split(".")[1]])
                )
                entry.size = len(data)
                if rng.random() < 0.04:
                    entry.type, entry.size, entry.linkname = (
                        rng.choice([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]),
                        0,
                        "/etc/passwd",
                    )
                archive.addfile(entry, io.BytesIO(data) if entry.size else None)
        return packed.getvalue()

    def damage(rng):
        chance, files = rng.random(), {"0.tar": tar, "0.json": manifest}
        if chance < 0.6:
            at = rng.randrange(len(parts))
            entries = [(name, part(name, data, rng) if i == at else data) for i, (name, data) in enumerate(parts)]
            files["0.tar"] = tarred(rng.choice([entries, entries, entries[1:], entries * 2, entries[::-1]]), rng)
        elif chance < 0.8:
            files["0.tar"] = mutate.bytes_of(tar, rng)
        elif chance < 0.95:
            files["0.json"] = mutate.json_text(mutate.json_of(json.loads(manifest), rng), rng)
        return boxes.pack(files)

    def read(data):
        for name, content in boxes.unpack(data).items():
            (home / name).write_bytes(content)
        try:
            pairs = list(read_shard(home / "0.tar", verify=True))
            return [replace(pair, keypoints=None, keypoints_3d=None) for pair in pairs]  # NaN says there that a point is not seen
        finally:
            finished_shards(home)

    return damage, read


@file_reader("plan", ".jsonl", read_plan, 12)
def plan():
    whole = [
        {"prompt": "a man runs", "seed": 1},
        {"prompt": "b", "pose": "a.npz", "row": 2, "augment": 0.5},
        {"prompt": "c", "image": "a.png", "keypoints": "a.json", "seed": 3},
    ]

    def damage(rng):
        lines = [json.dumps(line).encode() for line in whole]
        at = rng.randrange(len(lines))
        return sometimes(
            rng,
            lambda: b"\n".join([*lines[:at], mutate.json_text(mutate.json_of(whole[at], rng), rng), *lines[at + 1 :]]),
            b"\n".join(lines),
        )

    return damage


@reader("frame cache", 1.0)
def frames(folder):
    """A finished frame that somebody has changed: it must be painted anew, never shown."""
    home = folder / "frames"
    frame = torch.randint(0, 255, (5, 6, 3), dtype=torch.uint8)
    FrameCache(home, 10**6).put("a", frame)
    whole = (home / "a.png").read_bytes()

    def read(data):
        (home / "a.png").write_bytes(data)
        found = FrameCache(home, 10**6).get("a")
        assert found is None or found.dtype == torch.uint8 and found.ndim == 3
        return found

    return lambda rng: sometimes(rng, lambda: mutate.bytes_of(whole, rng), whole), read


@reader("kept prompt", 12)
def kept(folder):
    prompts = KeptPrompts(folder / "prompts")
    prompts.keep("clothes", "a dress", 1, RefinedPrompt(tuple(f"word{i}" for i in range(20)), 20))
    path = next((folder / "prompts").iterdir())

    def read(data):
        path.write_bytes(data)
        found = prompts.find("clothes", "a dress", 1)
        return found and (found.text, found.report)

    return json_damage(json.loads(path.read_text())), read


@reader("picture", 1.0)
def picture(folder):
    """Pictures of the command line, of any type, and the avatar's render."""
    from PIL import Image

    packed = {}
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif"):
        held = io.BytesIO()
        Image.open(io.BytesIO(seeds.png())).save(held, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
        packed[suffix] = held.getvalue()
    rgba = seeds.png(mode="RGBA")

    def damage(rng):
        suffix = rng.choice(sorted(packed))
        data = rgba if suffix == ".png" and rng.random() < 0.5 else packed[suffix]
        data = sometimes(rng, lambda: mutate.bytes_of(data, rng), data)
        if data[:4] == b"\x89PNG" and rng.random() < 0.15:
            data = data[:16] + b"\0\0" + bytes([rng.choice([0, 64, 255])]) * 2 + b"\0\0" + bytes([rng.choice([0, 64, 255])]) * 2 + data[24:]
        return boxes.pack({f"input{suffix}": data})

    def read(data):
        ((name, content),) = boxes.unpack(data).items()
        path = folder / name
        path.write_bytes(content)
        try:
            return read_picture(path)
        finally:
            if path.suffix == ".png":
                read_render(path)

    return damage, read


@reader("pairs for SPIN", 0.5)
def spin(folder):
    """The .npz of a body estimator's training data."""
    from contrapposto.models.training.datasets.body_crops import BodyCrops

    path = folder / "spin.npz"
    arrays = {
        "imgname": np.array(["a.png"]),
        "center": np.ones((1, 2)),
        "scale": np.ones(1),
        "part": np.ones((1, 24, 3)),
        "pose": np.zeros((1, 72)),
        "shape": np.zeros((1, 10)),
    }
    (folder / "a.png").write_bytes(seeds.png((300, 300)))

    def damage(rng):
        return sometimes(rng, lambda: boxes.npz(mutate.arrays_of(arrays, rng), rng), boxes.npz(arrays))

    def read(data):
        path.write_bytes(data)
        return BodyCrops(path)

    return damage, read


def listing(name, file, line, read, share=1.0):
    """A reader of a data set's list: JSON, one object per line."""

    @reader(name, share)
    def make(folder):
        home = folder / "set"
        home.mkdir(exist_ok=True)
        (home / "a.png").write_bytes(seeds.png())

        def damage(rng):
            whole = json.dumps(line).encode()
            return sometimes(rng, lambda: whole + b"\n" + mutate.json_text(mutate.json_of(line, rng), rng), whole)

        def run(data):
            (home / file).write_bytes(data)
            return read(home)

        return damage, run

    return make


def _parts_listing(folder):
    from contrapposto.models.training.datasets.parts import find_parts

    return find_parts(folder, "train.jsonl")


def _frame_captions(folder):
    from contrapposto.models.training.datasets.frame_pairs import read_captions

    return read_captions(folder / "captions.jsonl")


def _person_captions(folder):
    from contrapposto.models.training.datasets.person_images import _captions

    return _captions(folder)


def _caption_list(folder):
    from contrapposto.models.training.datasets.sentences import read_caption_list, read_captions

    return read_captions(folder / "list.jsonl"), read_caption_list(folder / "list.jsonl")


listing(
    "parts list",
    "train.jsonl",
    {"target": "a.png", "caption": "a", "appearance": {"face": "a.png"}, "mask": {"face": "a.png"}, "structure": {"densepose": "a.png"}},
    _parts_listing,
)
listing("captions of films", "captions.jsonl", {"name": "a", "caption": "b"}, _frame_captions)
listing("captions of people", "captions.jsonl", {"name": "a", "caption": "b"}, _person_captions)
listing("caption list", "list.jsonl", {"name": "a", "caption": "b", "start": 0.5, "end": 2}, _caption_list)


@reader("route /contrapposto/figure", 12)
def route(folder):
    """The avatar's name in the request, as the browser or anybody else sends it."""
    from .nodes import node_module

    browser = node_module("browser")

    def damage(rng):
        text = rng.choice(["", "default avatar (bundled)", "hero.glb", "hero.glb [input]", "../secret.txt [input]", *mutate.PATHS])
        return (
            mutate.text_of(text, rng, [*mutate.PATHS, " [input]", " (bundled)"])
            if rng.random() < 0.6
            else rng.choice(mutate.PATHS) + rng.choice(["", " [input]", " (bundled)"])
        ).encode("utf-8", "surrogatepass")

    def read(data):
        text = data.decode("utf-8", "surrogatepass")
        if text and text != "default avatar (bundled)":  # those two are drawn, which takes its time and is tested elsewhere
            return browser.figure_by_name(text)

    return damage, read


@reader("files of a workflow", 12)
def workflow_files(folder):
    """Drop-downs and path fields of the loaders, as a workflow may hold them."""
    from .nodes import input_folder, node_module

    motion, bodies, avatar = (node_module(name) for name in ("motion", "body_from_image", "avatar"))
    home = input_folder()

    def damage(rng):
        text = rng.choice(["walk.bvh", "hero.glb [input]", *mutate.PATHS])
        return (
            mutate.text_of(text, rng, [*mutate.PATHS, " [input]"])
            if rng.random() < 0.5
            else rng.choice(mutate.PATHS) + rng.choice(["", " [input]"])
        ).encode("utf-8", "surrogatepass")

    def read(data):
        text = data.decode("utf-8", "surrogatepass")
        known = [node.validate_inputs(text) is True for node in (motion.LoadMotion, bodies.LoadBodyPose, avatar.LoadAvatar)]
        for node, more in ((motion.LoadMotion, [""]), (bodies.LoadBodyPose, [""]), (avatar.LoadAvatar, [])):
            node.fingerprint_inputs(text, *more)
        for found in (motion._source(text, ""), bodies._source(text, ""), avatar._input_file(text)):
            assert found is None or Path(found).resolve().is_relative_to(home), f"left the input folder: {found}"
        return known

    return damage, read


@reader("view of a 3D node", 12)
def camera(folder):
    """LOAD3D_CAMERA."""
    from .nodes import node_module
    from .readers import value_of

    convert = node_module("convert")
    whole = {"position": {"x": 1.0, "y": 0.5, "z": 3.0}, "target": {"x": 0, "y": 1, "z": 0}, "fov": 60, "zoom": 1}
    return json_damage(whole), lambda data: convert.camera_info_to_view(value_of(data), 45.0)
