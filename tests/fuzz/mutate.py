"""Damage. Every function takes a `random.Random` and gives back changed bytes, text, JSON values or arrays; nothing here is read or run."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np

NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**63,
    2**64,
    -(2**31),
    -(2**63),
    10**20,
    10**400,
    0.0,
    -0.0,
    0.5,
    1e-320,
    1e-30,
    1e9,
    1e30,
    1e38,
    3.5e38,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    -math.inf,
]
PATHS = [
    "../secret.txt",
    "..\\secret.txt",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "\\\\server\\share\\a",
    "CON",
    "NUL.glb",
    "a:b",
    "file:///etc/passwd",
    "a/../../secret.txt",
    "link_out",
    "./part.bin",
    "part.bin ",
    "part.bin.",
    "%2e%2e/secret.txt",
    "~/.ssh/id_rsa",
    "\0",
    "",
    ".",
    "..",
    "a" * 5000,
]
TEXTS = [
    "",
    " ",
    "a",
    "é",
    "\0",
    "\ud800",
    "left_hip",
    "Hips",
    "nan",
    "1e999",
    "-",
    "null",
    "'",
    '"',
    "{",
    "][",
    "%s%n",
    "\u202e",
    "💥" * 50,
    "x" * 3000,
    *PATHS,
]
OTHERS = [None, True, False, [], {}, [[]], [None], [1, 2], {"a": 1}, [0] * 16, [1e30] * 3, [math.nan] * 16, [[0.0] * 3] * 3]
TOKEN = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?|\w+|[^\w\s]|\s+", re.IGNORECASE)


def bytes_of(data: bytes, rng, most=6) -> bytes:
    """Bytes flipped, cut, doubled, overwritten or put in."""
    data = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at, kind = rng.randrange(len(data) + 1), rng.random()
        if kind < 0.45 and data:
            data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif kind < 0.6 and data:
            data[min(at, len(data) - 1)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif kind < 0.7:
            del data[at : at + rng.choice([1, 2, 8, 64, 1024])]
        elif kind < 0.8:
            data[at:at] = data[at : at + rng.choice([1, 4, 16, 256])]
        elif kind < 0.9:
            width = rng.choice([1, 2, 4, 8])
            data[at : at + width] = (rng.choice([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 10**6]) % 256**width).to_bytes(
                width, rng.choice(["little", "big"])
            )
        elif kind < 0.96:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice([1, 3, 20])))
        else:
            del data[at:]
    return bytes(data)


def value(rng):
    """Something that nobody expects in JSON."""
    return copy.deepcopy(rng.choice(rng.choice([NUMBERS, NUMBERS, TEXTS, OTHERS])))


def copied(document):
    """A copy of a JSON document, sooner than by `copy.deepcopy`."""
    return pickle.loads(pickle.dumps(document, 5))


def json_of(document, rng, most=3):
    """A JSON document with entries lost, copied, renamed, nested, or of another kind."""
    document = {"": copied(document)}
    for _ in range(rng.randint(1, most)):
        places = _places(document)
        box, key = rng.choice(places)
        kind, old = rng.random(), box[key]
        if kind < 0.15 and box is not document:
            del box[key]
        elif kind < 0.3:
            other, there = rng.choice(places)
            box[key] = copied(other[there])
        elif kind < 0.5 and isinstance(old, (int, float)) and not isinstance(old, bool):
            near = [old + 1, old - 1, -old, old * 2, old + 0.5, old * 1e6, old + 2**20] if abs(old) < 1e300 else []  # no float holds more
            box[key] = rng.choice([*near, *NUMBERS])
        elif kind < 0.57 and isinstance(box, dict) and box is not document:
            box[rng.choice([*TEXTS[:12], *box])] = box.pop(key)
        elif kind < 0.63:
            box[key] = rng.choice([[old], {"a": old}, [old] * 3, {str(key): old}, str(old)[:200]])
        elif kind < 0.68 and isinstance(old, (list, str)) and old:
            box[key] = rng.choice([old * 2, old[:-1], old[1:], old[::-1], (old * 2000)[:5000]])
        else:
            box[key] = value(rng)
    return document[""]


def _places(document):
    found, open_boxes = [], [document]
    for box in open_boxes:
        for key in list(box) if isinstance(box, dict) else range(len(box)):
            found.append((box, key))
            if isinstance(box[key], (dict, list)):
                open_boxes.append(box[key])
    return found


def json_text(document, rng) -> bytes:
    """A document as JSON, sometimes no longer JSON at all."""
    import json

    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    kind = rng.random()
    if kind < 0.06:
        text = rng.choice(
            [
                "[" * 100_000,
                '{"a":' * 5000 + "1" + "}" * 5000,
                "9" * 6000,
                "[" + "1," * 3000 + "1]",
                '"\\ud800"',
                "NaN",
                "",
                "\ufeff" + text,
                text + text,
            ]
        )
    elif kind < 0.12:
        place = rng.randrange(len(text) + 1)
        text = (
            text[:place]
            + rng.choice(["", "}", "[[", '"', "\0", "é", "9" * 30, "1e999", "\\u0000", "-", ",,"])
            + text[place + rng.randrange(4) :]
        )
    data = text.encode("utf-8", "surrogatepass")
    return bytes_of(data, rng, 2) if rng.random() < 0.08 else data


def text_of(text: str, rng, words=(), most=4) -> str:
    """Words of a text lost, doubled, exchanged or replaced; numbers by strange ones."""
    tokens = TOKEN.findall(text)
    for _ in range(rng.randint(1, most)):
        at, kind = rng.randrange(max(len(tokens), 1)), rng.random()
        if kind < 0.2:
            del tokens[at : at + rng.choice([1, 1, 3, 40])]
        elif kind < 0.35:
            start = rng.randrange(max(len(tokens), 1))
            tokens[at:at] = tokens[start : start + rng.choice([1, 5, 60])]
        elif kind < 0.4:
            del tokens[at:]
        elif kind < 0.7:
            numbers = [i for i, token in enumerate(tokens) if token.lstrip("-")[:1].isdigit()]
            if numbers:
                tokens[rng.choice(numbers)] = str(rng.choice(NUMBERS))[:400]
        else:
            tokens[at : at + rng.randrange(2)] = [rng.choice([*words, *TEXTS, str(rng.choice(NUMBERS))[:400]])]
    return "".join(tokens)


def array_of(array, rng):
    """An array of another type, shape or content."""
    kind = rng.random()
    array = np.array(array)
    with np.errstate(all="ignore"):
        if kind < 0.3 and array.size and array.dtype.kind in "iuf":
            array = array.copy() if array.dtype.kind == "f" or rng.random() < 0.7 else array.astype(np.float64)
            numbers = [n for n in NUMBERS if array.dtype.kind == "f" and n != 10**400 or isinstance(n, int) and abs(n) < 2**31]
            if array.dtype.kind != "f":
                numbers = [n for n in numbers if np.iinfo(array.dtype).min <= n <= np.iinfo(array.dtype).max]
            for _ in range(rng.choice([1, 1, 5])):
                array.reshape(-1)[rng.randrange(array.size)] = np.float64(rng.choice(numbers)) if rng.random() > 0.02 else 1
            return array
        if kind < 0.45 and array.dtype.kind in "biuf":
            return array.astype(rng.choice(["f2", "f4", "f8", ">f4", "i1", "i8", "u4", "?", "c8", ">i4", "u8", "g"]))
        if kind < 0.75:
            flat, rows = array.reshape(-1), np.atleast_1d(array)
            return rng.choice(
                [
                    flat,
                    array[None],
                    array[..., None],
                    rows[:0],
                    rows[1:],
                    rows[:-1],
                    array.T,
                    flat[:1],
                    flat[:0],
                    np.concatenate([rows, rows]),
                    rows[..., :1],
                    rows[..., :0],
                    array.reshape(-1, 1),
                    array[None, None, None],
                ]
            )
        if kind < 0.85:
            return (
                np.full_like(array, rng.choice([0, 1]))
                if rng.random() < 0.5 or array.dtype.kind not in "f"
                else np.full_like(array, rng.choice([math.nan, 1e30, -1e30, 1e-30]))
            )
        return rng.choice(
            [
                np.array("text"),
                np.array(["a", "b"]),
                np.float64(1),
                np.int64(-1),
                np.zeros(0),
                np.zeros((0, 3)),
                np.zeros((3, 0, 3)),
                np.array(None is None),
                np.array(b"raw"),
                np.zeros(2, [("a", "f4"), ("b", "i2")]),
                np.zeros((1,) * 20),
                np.array(["2020-01-01"], "M8[D]"),
                np.zeros((4, 3), "S0"),
                np.zeros(3, "V4"),
                np.zeros(5, complex),
            ]
        )


def arrays_of(arrays: dict, rng, most=2) -> dict:
    """Named arrays with some lost, renamed, exchanged or changed."""
    arrays = dict(arrays)
    for _ in range(rng.randint(1, most)):
        if not arrays:
            break
        key, kind = rng.choice(sorted(arrays)), rng.random()
        if kind < 0.12:
            del arrays[key]
        elif kind < 0.2:
            arrays[rng.choice([k for k in ["a", "../x", "", "a" * 300, "é", *arrays]])] = arrays.pop(key)
        elif kind < 0.3:
            arrays[key] = arrays[rng.choice(sorted(arrays))]
        else:
            arrays[key] = array_of(arrays[key], rng)
    return arrays
