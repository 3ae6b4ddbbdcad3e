"""Every reader of the pack with its damage: `READERS` maps its name to what makes (damage(random) -> bytes, read(bytes) -> result)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import boxes, mutate

READERS: dict = {}


@dataclass(frozen=True)
class Reader:
    """A reader under fire.

    Args:
        name: of the reader; its corpus lies in a folder of that name.
        make: folder -> (damage, read).
        share: how many of the inputs are its, relative to the others: cheap readers get more.
        programs: it may start a process.
    """

    name: str
    make: object
    share: float = 1.0
    programs: bool = False


def reader(name, share=1.0, programs=False):
    def note(make):
        READERS[name] = Reader(name, make, share, programs)
        return make

    return note


def file_reader(name, suffix, read, share=1.0, programs=False, beside=None):
    """A reader of one file. The decorated function gives damage(random) -> bytes; ``beside`` are files that lie there too."""

    def note(make_damage):
        def make(folder):
            for other, data in (beside or {}).items():
                (folder / other).write_bytes(data)
            path = folder / f"input{suffix}"

            def run(data):
                path.write_bytes(data)
                return read(path)

            return make_damage(), run

        READERS[name] = Reader(name, make, share, programs)
        return make_damage

    return note


def sometimes(rng, changed, whole, chance=0.04):
    """Now and then an input stays whole, so that the way to the end is walked too."""
    return whole if rng.random() < chance else changed()


def npz_damage(*whole):
    """Damage to archives of these named arrays."""

    def damage(rng):
        arrays = rng.choice(whole)
        return sometimes(rng, lambda: boxes.npz(mutate.arrays_of(arrays, rng) if rng.random() < 0.85 else arrays, rng), boxes.npz(arrays))

    return damage


def pickle_damage(*whole, change=mutate.arrays_of):
    def damage(rng):
        content = rng.choice(whole)
        return sometimes(rng, lambda: boxes.pickled(change(content, rng) if rng.random() < 0.7 else content, rng), boxes.pickled(content))

    return damage


def torch_damage(*whole):
    """Damage to files of torch.save: entries, tensors that share or stretch their memory, both formats, bytes."""
    import io

    from . import canary

    def damage(rng):
        state = dict(rng.choice(whole))
        chance = rng.random()
        if chance > 0.04:
            key = rng.choice([key for key in sorted(state) if isinstance(state[key], torch.Tensor)] or [""])
            state.setdefault(key, torch.zeros(2, 2))
            if chance < 0.3:
                state[key] = rng.choice(
                    [
                        lambda: torch.zeros(1).expand(2 ** rng.choice([5, 20, 40]), 2),
                        lambda: state[key].T if state[key].ndim == 2 else state[key].flatten()[:0],
                        lambda: state[key].to(
                            rng.choice([torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn])
                        ),
                        lambda: torch.zeros(2, 2).to_sparse(),
                        lambda: torch.nn.Parameter(state[key].float()),
                        lambda: torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8),
                        lambda: torch.empty(3, 2**20, device="meta"),
                        lambda: {"a": state[key]},
                        lambda: state,
                        lambda: canary.Payload(),
                        lambda: mutate.value(rng),
                        lambda: torch.full_like(state[key], np.nan) if state[key].is_floating_point() else state[key],
                    ]
                )()
            elif chance < 0.7:
                state = {
                    k: torch.from_numpy(np.ascontiguousarray(v))
                    if isinstance(v, np.ndarray)
                    and v.dtype.kind in "biuf"
                    and v.dtype.isnative
                    and v.dtype.itemsize <= 8
                    and v.dtype.str[1:] not in ("u2", "u4", "u8")
                    else v
                    for k, v in mutate.arrays_of(
                        {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in state.items()}, rng
                    ).items()
                }
        packed = io.BytesIO()
        content = rng.choice(
            [
                state,
                state,
                state,
                {"state_dict": state},
                {"epoch": 1, "state_dict": {f"vp_model.{k}": v for k, v in state.items()}},
                [state],
            ]
        )
        try:
            torch.save(content, packed, _use_new_zipfile_serialization=rng.random() < 0.7)
        except (RuntimeError, TypeError, NotImplementedError, ValueError, AttributeError):  # torch does not save everything
            torch.save({}, packed)
        return mutate.bytes_of(packed.getvalue(), rng) if chance > 0.75 else packed.getvalue()

    return damage


def tensors_damage(data: bytes):
    """Damage to a .safetensors file: its tensors, its config, its table of contents."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.safetensors"
        path.write_bytes(data)
        tensors, config = boxes.open_safetensors(path)

    def damage(rng):
        chance = rng.random()
        if chance < 0.04:
            return data
        changed = mutate.arrays_of(tensors, rng) if chance < 0.4 else tensors
        told = mutate.json_of(config, rng, 2) if chance > 0.35 else config
        metadata = None
        if chance > 0.93:
            metadata = rng.choice([{}, {"config": rng.choice(["[]", "1", "null", "", "{", "[" * 5000, '"a"', "NaN"])}, {"other": "a"}])
        try:
            return boxes.safetensors(changed, told, rng, metadata)
        except ValueError:  # numbers too long to be written
            return boxes.safetensors(changed, config, rng)

    return damage


def json_damage(*whole):
    def damage(rng):
        document = rng.choice(whole)
        return sometimes(rng, lambda: mutate.json_text(mutate.json_of(document, rng), rng), json.dumps(document).encode())

    return damage


def text_damage(*whole, words=()):
    def damage(rng):
        text = rng.choice(whole)

        def changed():
            data = mutate.text_of(text, rng, words).encode("utf-8", "surrogatepass")
            return mutate.bytes_of(data, rng, 2) if rng.random() < 0.1 else data

        return sometimes(rng, changed, text.encode())

    return damage


def value_of(data: bytes):
    """The Python value that a JSON input stands for; {"$": list} is an array. None when it is no JSON: such values cannot be given."""

    def array(entry):
        try:
            return np.asarray(entry["$"], dtype=entry.get("dtype")) if set(entry) <= {"$", "dtype"} and "$" in entry else entry
        except (TypeError, ValueError, OverflowError):
            return entry

    try:
        return json.loads(data.decode("utf-8", "surrogatepass"), object_hook=array)
    except (ValueError, RecursionError):
        return None
