"""Shards of image-mesh pairs: WebDataset tars, ``KEY.png KEY.npz KEY.json`` for each sample, with a manifest beside each.

A shard is written under a temporary name and renamed when it is whole; then its manifest is written. So a tar that can be seen is
complete, and a manifest that can be seen means that its shard is finished: that is all that resuming looks at.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from ..assets.files import atomic_write, check_file, file_sha256, parse_json
from ..checks import InputError
from .pairs import VERSION, ImageMeshPairs, StoredPair, read_sample, sample_files

LARGEST_PART = 512 << 20  # bytes of one file of a sample
_ENCODERS = max(1, min(4, (os.cpu_count() or 2) - 1))


class ShardWriter:
    """Writes one shard. Pictures are packed in threads of its own, so that whoever makes them need not wait.

    Example::

        with ShardWriter("pairs/000000.tar") as shard:
            shard.add(pairs, ids)
            shard.reject("b71c", "nobody in the picture")

    When the block ends by an exception, nothing is left behind.
    """

    def __init__(self, path, about=None, ahead=8):
        """
        Args:
            path: the ``.tar``.
            about: plain JSON values for the manifest.
            ahead: samples that may wait for being packed before ``add`` waits.
        """
        self.path, self.about, self.ahead = Path(path), about or {}, ahead
        if self.path.suffix != ".tar":
            raise InputError("shard", self.path, "does not end in .tar", "Name it something.tar.")
        self.ids, self.rejects, self._seen, self._added = [], [], set(), 0
        self._waiting, self._stack = deque(), ExitStack()

    def __enter__(self):
        self._part = self._stack.enter_context(atomic_write(self.path, "shard"))
        self._tar = self._stack.enter_context(tarfile.open(self._part, "w", format=tarfile.USTAR_FORMAT))
        self._pool = ThreadPoolExecutor(_ENCODERS)
        return self

    def add(self, pairs: ImageMeshPairs, ids=None):
        """Adds every row.

        Args:
            ids: one for each row; None takes them from the content.

        Raises:
            InputError: an id comes twice, or the disk is full.
        """
        ids = [None] * len(pairs) if ids is None else list(ids)
        if len(ids) != len(pairs):
            raise InputError("ids", len(ids), f"do not fit {len(pairs)} pairs", "Give one id for each pair.")
        for row, sample_id in enumerate(ids):
            if sample_id is not None:
                self._claim(sample_id)
            self._waiting.append((sample_id, self._pool.submit(sample_files, pairs, row, sample_id, self._added)))
            self._added += 1
            while len(self._waiting) > self.ahead:
                self._store()

    def reject(self, sample_id, reason):
        """Notes that a sample was tried and is not there, and why."""
        self._claim(sample_id)
        self.rejects.append({"id": sample_id, "reason": str(reason)})

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                while self._waiting:
                    self._store()
        except BaseException as failure:
            self._pool.shutdown(cancel_futures=True)
            self._stack.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._pool.shutdown(cancel_futures=True)
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            write_manifest(self.path, self.ids, self.rejects, self.about)

    def _store(self):
        given, future = self._waiting.popleft()
        sample_id, files = future.result()
        if given is None:
            self._claim(sample_id)
        for part, data in files.items():
            entry = tarfile.TarInfo(f"{sample_id}.{part}")
            entry.size, entry.mode = len(data), 0o644
            self._tar.addfile(entry, io.BytesIO(data))
        self.ids.append(sample_id)

    def _claim(self, sample_id):
        if sample_id in self._seen:
            raise InputError("sample id", sample_id, "comes twice", "Give every sample its own id.")
        self._seen.add(sample_id)


def manifest_path(shard):
    """``000000.tar`` -> ``000000.json``."""
    return Path(shard).with_suffix(".json")


def write_manifest(shard, ids, rejects, about):
    """Marks a shard as finished."""
    shard = Path(shard)
    told = {"version": VERSION, "shard": shard.name, "bytes": shard.stat().st_size, "sha256": file_sha256(shard), "count": len(ids),
            "ids": list(ids), "rejects": list(rejects), **about}
    with atomic_write(manifest_path(shard), "manifest") as part:
        part.write_text(json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(shard):
    """Returns the manifest of a finished shard, or None when the shard is not finished: no manifest, no tar, or another size."""
    path = manifest_path(shard)
    try:
        told = parse_json(path.read_text(encoding="utf-8"))
        return told if Path(shard).stat().st_size == told["bytes"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def finished_shards(folder):
    """Returns the finished shards of a folder, sorted by name.

    Raises:
        InputError: there is none.
    """
    folder = Path(folder)
    shards = [path for path in sorted(folder.glob("*.tar")) if read_manifest(path) is not None]
    if not shards:
        raise InputError("pairs folder", folder, "holds no finished shard", "Give a folder with .tar files and their .json manifests.")
    return shards


def read_shard(path, verify=False):
    """Yields every StoredPair of a tar, finished or not, in its order.

    Args:
        path: a WebDataset tar; files of a sample lie side by side.
        verify: compare the files with the hashes in the json.

    Raises:
        InputError: the tar is cut off or damaged, or a sample lacks a file.
    """
    path = check_file("shard", path, (".tar",))
    key, files = None, {}
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                name, _, part = Path(entry.name).name.partition(".")
                if not entry.isfile() or entry.size > LARGEST_PART:
                    raise InputError("shard", path, f"holds {entry.name}, which is no file of a sample", "Make the shard again.")
                if key not in (None, name):
                    yield _read(path, key, files, verify)
                    files = {}
                key, files[part] = name, tar.extractfile(entry).read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError("shard", path, f"is cut off or damaged ({error})", "Make it again.") from None
    if key is not None:
        yield _read(path, key, files, verify)


def _read(path, key, files, verify) -> StoredPair:
    pair = read_sample(files, f"{key} in {path.name}")
    if verify:
        hashes = pair.about.get("sha256", {})
        for part, expected in hashes.items() if isinstance(hashes, dict) else [("json", None)]:
            if hashlib.sha256(files.get(part, b"")).hexdigest() != expected:
                raise InputError("sample", f"{key}.{part} in {path.name}", "is not what was written", "Make the shard again.")
    return pair
