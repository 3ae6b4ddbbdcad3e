"""The container of a glTF 2.0 file: JSON, buffers, accessors, images. Every number in the file is distrusted.

Reads ``.glb`` and ``.vrm`` (binary) and ``.gltf`` (JSON with buffers beside it or as data URIs). Whatever is wrong, the
caller sees one InputError that names the file; memory is bounded by the file's own size and the limits below.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import struct
import urllib.parse
import warnings
from pathlib import Path

import numpy as np

from ..assets.files import check_file
from ..checks import InputError

NAME = "avatar file"
SUFFIXES = (".glb", ".gltf", ".vrm")
MAX_FILE_BYTES = 1 << 30
MAX_JSON_BYTES = 64 << 20
MAX_ELEMENTS = 1 << 24  # numbers in one accessor without data of its own
MAX_PIXELS = 1 << 26  # one texture: 8192 x 8192
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942

COMPONENTS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
    "KHR_texture_basisu": "Basis texture",
}


class GltfFile:
    """An opened glTF file: ``json`` is the document, ``accessor`` and ``image`` give its decoded parts."""

    def __init__(self, path):
        """
        Args:
            path: a .glb, .vrm or .gltf file.

        Raises:
            InputError: the file is missing, too large, truncated or not glTF 2.0.
        """
        self.path = check_file(NAME, path, SUFFIXES)
        if self.path.stat().st_size > MAX_FILE_BYTES:
            raise self.error("is larger than 1 GB", "Export the character with fewer or smaller textures.")
        data = self.path.read_bytes()
        text, self._binary = self._split_glb(data) if data[:4] == b"glTF" else (data, None)
        self.json = self._parse(text)
        self._buffers = {}

    def error(self, problem, remedy="Export the character again as glTF 2.0 (.glb)."):
        """Returns the InputError for this file."""
        return InputError(NAME, self.path, problem, remedy)

    def item(self, kind, index):
        """Returns ``json[kind][index]``, an object.

        Raises:
            InputError: there is no such entry.
        """
        items = self.json.get(kind, [])
        whole = isinstance(index, int) and not isinstance(index, bool)
        if not isinstance(items, list) or not whole or not 0 <= index < len(items) or not isinstance(items[index], dict):
            raise self.error(f"points at {kind}[{index!r:.20}], which does not exist")
        return items[index]

    def size(self, entry, key, default=0):
        """Returns a whole, non-negative number of an entry.

        Raises:
            InputError: it is something else.
        """
        value = entry.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 32:
            raise self.error(f"has a {key} that is not a size ({value!r:.20})")
        return value

    def accessor(self, index):
        """Returns accessor ``index`` decoded: (count, components), float32 when normalized, its own type otherwise.

        Strided and interleaved views, sparse overrides and accessors without data (zeros) are handled.

        Raises:
            InputError: it reaches beyond its buffer, has an unknown type, or holds NaN or infinity.
        """
        entry = self.item("accessors", index)
        kind, width = COMPONENTS.get(entry.get("componentType")), WIDTHS.get(entry.get("type"))
        if kind is None or width is None:
            raise self.error(f"has accessors[{index}] of an unknown type")
        count = self.size(entry, "count")
        if "bufferView" in entry:
            values = self._strided(entry["bufferView"], self.size(entry, "byteOffset"), kind, width, count)
        elif count * width > MAX_ELEMENTS:
            raise self.error(f"has accessors[{index}] with {count} elements and no data")
        else:
            values = np.zeros((count, width), kind)
        if "sparse" in entry:
            values = self._with_sparse(values, entry["sparse"])
        if entry.get("normalized") and kind is not np.float32:
            values = np.maximum(values.astype(np.float32) / np.iinfo(kind).max, -1)
        if values.dtype == np.float32 and not np.isfinite(values).all():
            raise self.error(f"holds NaN or infinity (accessors[{index}])")
        return values

    def image(self, index):
        """Returns texture image ``index`` as (H, W, 4) uint8, sRGB, straight alpha.

        Raises:
            InputError: its file is missing, outside the avatar's folder, too large or not a picture.
        """
        entry = self.item("images", index)
        data = bytes(self.view(entry["bufferView"])[0]) if "bufferView" in entry else self._uri_bytes(entry.get("uri"))
        return decode_picture(data, self.error)

    def view(self, index):
        """Returns (memoryview of bufferView ``index``, its byte stride or 0).

        Raises:
            InputError: it reaches beyond its buffer.
        """
        entry = self.item("bufferViews", index)
        buffer = self._buffer(entry.get("buffer"))
        start, length = self.size(entry, "byteOffset"), self.size(entry, "byteLength")
        if start + length > len(buffer):
            raise self.error(f"is truncated: bufferViews[{index}] ends at byte {start + length} of {len(buffer)}")
        return memoryview(buffer)[start : start + length], self.size(entry, "byteStride")

    def _split_glb(self, data):
        if len(data) < 20:
            raise self.error("is truncated")
        _, version, length = struct.unpack_from("<III", data)
        if version != 2:
            raise self.error(f"is glTF version {version}, not 2")
        if length > len(data):
            raise self.error(f"is truncated: {len(data)} of {length} bytes", "Copy or download the file again.")
        chunks, at = {}, 12
        while at + 8 <= length:
            size, kind = struct.unpack_from("<II", data, at)
            if at + 8 + size > length:
                raise self.error("is truncated inside a chunk", "Copy or download the file again.")
            chunks.setdefault(kind, data[at + 8 : at + 8 + size])
            at += 8 + size
        if JSON_CHUNK not in chunks:
            raise self.error("has no JSON chunk")
        return chunks[JSON_CHUNK], chunks.get(BINARY_CHUNK, b"")

    def _parse(self, text):
        if len(text) > MAX_JSON_BYTES:
            raise self.error("has a description larger than 64 MB")
        try:
            document = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise self.error(f"is not a glTF file ({str(error)[:80]})", "Give a .glb, .vrm or .gltf file.") from None
        asset = document.get("asset") if isinstance(document, dict) else None
        if not isinstance(asset, dict) or not str(asset.get("version", "")).startswith("2."):
            raise self.error("is not a glTF 2.0 file", "Give a .glb, .vrm or .gltf file of version 2.0.")
        return document

    def refuse_compression(self):
        """Raises an InputError if the document needs a decoder that we do not have."""
        required = self.json.get("extensionsRequired") or []
        used = {name for name in COMPRESSED if name in required}
        for mesh in self.json.get("meshes") or []:
            for primitive in mesh.get("primitives") or [] if isinstance(mesh, dict) else []:
                used |= set(COMPRESSED) & set(primitive.get("extensions") or {}) if isinstance(primitive, dict) else set()
        if used:
            kinds = " and ".join(sorted({COMPRESSED[name] for name in used}))
            raise self.error(f"uses {kinds} compression", "Export it without compression (in Blender: untick Compression).")

    def _buffer(self, index):
        if index not in self._buffers:
            entry = self.item("buffers", index)
            embedded = "uri" not in entry and index == 0 and self._binary is not None
            data = self._binary if embedded else self._uri_bytes(entry.get("uri"))
            if len(data) < self.size(entry, "byteLength"):
                raise self.error(f"is truncated: buffers[{index}] has {len(data)} of {entry['byteLength']} bytes")
            self._buffers[index] = data
        return self._buffers[index]

    def _uri_bytes(self, uri):
        if not isinstance(uri, str):
            raise self.error("has a buffer or picture without data")
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error:
                raise self.error("has a damaged data URI") from None
        name = urllib.parse.unquote(uri)
        folder = self.path.parent.resolve()
        foreign = "://" in name or "\\" in name or "\0" in name or Path(name).is_absolute()
        if foreign or not (folder / name).resolve().is_relative_to(folder):
            raise self.error(f"points outside its own folder ({name[:60]!r})",
                             "Keep buffers and pictures beside the .gltf file, or use .glb.")
        part = check_file(f"part of {self.path.name}", folder / name)
        if part.stat().st_size > MAX_FILE_BYTES:
            raise self.error(f"has a part larger than 1 GB ({name[:60]!r})")
        return part.read_bytes()

    def _strided(self, view, offset, kind, width, count):
        data, stride = self.view(view)
        step = stride or np.dtype(kind).itemsize * width
        size = np.dtype(kind).itemsize * width
        if step < size or (count and offset + step * (count - 1) + size > len(data)):
            raise self.error(f"has an accessor that reaches beyond its buffer ({count} elements)")
        if count == 0:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), np.dtype(kind).newbyteorder("<"), data, offset, (step, np.dtype(kind).itemsize)).astype(kind)

    def _with_sparse(self, values, sparse):
        count = self.size(sparse, "count")
        at, new = sparse["indices"], sparse["values"]
        kind = COMPONENTS.get(at.get("componentType"))
        if kind not in (np.uint8, np.uint16, np.uint32):
            raise self.error("has sparse indices of an unknown type")
        rows = self._strided(at.get("bufferView"), self.size(at, "byteOffset"), kind, 1, count)[:, 0]
        if count and int(rows.max()) >= len(values):
            raise self.error("has sparse indices beyond their accessor")
        values = values.copy()
        values[rows] = self._strided(new.get("bufferView"), self.size(new, "byteOffset"), values.dtype.type, values.shape[1], count)
        return values


def finite(values, count):
    """Returns ``values`` as ``count`` floats, or None if they are anything else."""
    fits = isinstance(values, list) and len(values) == count and all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
    return [float(v) for v in values] if fits else None


def decode_picture(data, error, formats=("PNG", "JPEG", "WEBP")):
    """Returns a picture file's bytes as (H, W, 4) uint8, sRGB, straight alpha.

    Args:
        error: makes the InputError of a problem and, if it is not the usual one, a remedy.

    Raises:
        InputError: it is too large, or no picture of these formats.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below
            picture = Image.open(io.BytesIO(data), formats=formats)
            if picture.width * picture.height > MAX_PIXELS:
                raise error(f"has a texture of {picture.width} x {picture.height} pixels", "Reduce it to 8192 x 8192 or less.")
            return np.array(picture.convert("RGBA"))
    except InputError:
        raise
    except Exception as damage:  # Pillow raises many types on damaged pictures
        raise error(f"has a texture that cannot be read ({damage})") from None
