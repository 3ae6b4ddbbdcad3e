"""Taking containers apart and putting damaged ones together: zips, npz, tensors, GLB, tar, pickles."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile

import numpy as np

from . import canary, mutate


def pack(files: dict) -> bytes:
    """{name: bytes} as one plain zip, for inputs of several files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
    return packed.getvalue()


def unpack(data: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array, rng=None) -> bytes:
    """A .npy file; with ``rng`` its header may lie."""
    packed = io.BytesIO()
    np.lib.format.write_array(packed, np.asanyarray(array), allow_pickle=True)
    data = packed.getvalue()
    if rng is not None and rng.random() < 0.25:
        size = struct.unpack_from("<H", data, 8)[0]
        head = data[10 : 10 + size].decode("latin1")
        head = rng.choice(
            [
                lambda: head.replace("'shape': (", f"'shape': ({rng.choice([10**12, 2**62, -1, 0, 2**31])}, ", 1),
                lambda: head.replace("False", "True"),
                lambda: head.replace("'descr': '", f"'descr': '{rng.choice(['|O', '<U999999999', '>', '|V0', '<f16', '|S0'])}", 1),
                lambda: "{" * 3000,
                lambda: head.rstrip()[:-1],
                lambda: head + " " * 60_000,
                lambda: mutate.text_of(head, rng),
            ]
        )()
        head = head.encode("latin1", "replace")[:65_535]
        data = data[:8] + struct.pack("<H", len(head)) + head + data[10 + size :]
    return data


def npz(arrays: dict, rng=None) -> bytes:
    """A .npz file; with ``rng`` it may be packed, hold a pickle, an entry twice, or damage."""
    chance = rng.random() if rng else 1.0
    packed = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if chance < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy".replace("\0", "")), npy(array, rng), method)
        if chance < 0.04:
            archive.writestr("transl.npy", npy(np.array(canary.Payload(), dtype=object)))
        elif chance < 0.06:
            archive.writestr("notes.npy", bytes(20_000_000), zipfile.ZIP_DEFLATED, 1)
        elif chance < 0.08 and arrays:
            archive.writestr(f"{rng.choice(sorted(arrays))}.npy", b"not an array")
    data = packed.getvalue()
    return mutate.bytes_of(data, rng) if rng and rng.random() < 0.2 else data


def safetensors(tensors: dict, config=None, rng=None, metadata=None) -> bytes:
    """A .safetensors file of numpy arrays; with ``rng`` its table of contents may lie."""
    head, body = {"__metadata__": metadata or {"config": json.dumps(config or {})}}, b""
    kinds = {
        "f2": "F16",
        "f4": "F32",
        "f8": "F64",
        "i1": "I8",
        "i2": "I16",
        "i4": "I32",
        "i8": "I64",
        "u1": "U8",
        "b1": "BOOL",
        "u2": "U16",
        "u4": "U32",
        "u8": "U64",
    }
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        kind = kinds.get(array.dtype.str[1:])
        if kind is None:
            array, kind = np.ascontiguousarray(array, dtype=np.float32) if array.dtype.kind in "fc" else np.zeros(3, np.float32), "F32"
        array = array.astype(array.dtype.newbyteorder("<"))
        head[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(body), len(body) + array.nbytes]}
        body += array.tobytes()
    if rng is not None and rng.random() < 0.25:
        head = mutate.json_of(head, rng, 2)
    text = mutate.json_text(head, rng) if rng is not None and rng.random() < 0.2 else json.dumps(head).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    data = struct.pack("<Q", len(text)) + text + body
    return mutate.bytes_of(data, rng) if rng is not None and rng.random() < 0.15 else data


def open_safetensors(path):
    """({name: array}, config) of a small file of ours."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads((file.metadata() or {}).get("config", "{}"))


def split_glb(data: bytes):
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def glb(document, binary=b"", rng=None) -> bytes:
    text = mutate.json_text(document, rng) if rng else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def pickled(value, rng=None) -> bytes:
    """A pickle; with ``rng`` of any protocol, and it may call things, share and nest without end, or be damaged."""
    if rng is None:
        return pickle.dumps(value, 2)
    chance, protocol = rng.random(), rng.choice([0, 1, 2, 2, 3, 4, 5])
    if isinstance(value, dict) and chance < 0.3:
        value = dict(value)
        key = rng.choice(sorted(map(str, value))) if value else "a"
        value[key] = rng.choice(
            [
                canary.Payload,
                _laughs,
                _nested,
                lambda: {(): 1},
                lambda: [value],
                lambda: np.array([1, "a", None], dtype=object),
                lambda: mutate.value(rng),
                lambda: mutate.array_of(np.eye(3), rng),
                _own_list,
            ]
        )()
    data = pickle.dumps(value, protocol)
    if 0.3 <= chance < 0.36:
        at = rng.randrange(len(data))
        data = (
            data[:at]
            + rng.choice(
                [
                    b"r\xff\xff\xff\x7f",
                    b"cos\nsystem\n",
                    b"c__builtin__\neval\n",
                    b"\x8e" + b"\xff" * 8,
                    b"\x96" + b"\x00" * 4 + b"\x10\0\0\0",
                    b"((((",
                    b"\x85R",
                    b"b",
                    b"0",
                    b"2" * 40,
                    b"c_codecs\nencode\n",
                    b"cnumpy.core.multiarray\n_reconstruct\n",
                    b"\x8b\xff\xff\xff\x7f",
                    b"p99999999999\n",
                    b"j\xff\xff\xff\x7f",
                ]
            )
            + data[at:]
        )
    return mutate.bytes_of(data, rng, 4) if chance > 0.6 else data


def _laughs():
    shared = [0.0] * 10
    for _ in range(30):
        shared = [shared] * 10
    return shared


def _nested():
    key = (1, 2)
    for _ in range(40):
        key = (key, key)
    return [key]


def _own_list():
    own = [1]
    own.append(own)
    return own
