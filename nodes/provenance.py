"""What a node's inputs were made from: the part of the prompt behind them, and the files that part names.

Models are too large to be hashed each time, and say nothing about themselves. But the same nodes with the same files make the same model.
"""

from __future__ import annotations

import os

import comfyui_version
import folder_paths
import torch

from ..models.assets.files import file_sha256
from ..models.dancing_avatar.frame_cache import digest

_file_digests: dict[tuple, str] = {}  # (path, size, time) -> sha256, because a model file takes seconds


def upstream_digest(hidden, names, *values):
    """Returns a digest of what lies behind some inputs of the running node, or None where there is no graph to look at.

    Args:
        hidden: the node class's ``hidden``, with dynprompt and unique_id.
        names: the inputs.
        values: further values that count: conditionings, settings.
    """
    if hidden is None or hidden.dynprompt is None:
        return None
    seen = {}
    inputs = hidden.dynprompt.get_node(hidden.unique_id)["inputs"]
    behind = [(name, _behind(hidden.dynprompt, inputs[name], seen)) for name in names if name in inputs]
    return digest(comfyui_version.__version__, torch.__version__, repr(behind), *map(value_digest, values))


def value_digest(value):
    """A digest of tensors inside lists and dictionaries; of other objects only the kind counts."""
    if isinstance(value, torch.Tensor) or value is None or isinstance(value, (bool, int, float, str)):
        return digest(value)
    if isinstance(value, (list, tuple)):
        return digest("list", *map(value_digest, value))
    if isinstance(value, dict):
        return digest("dict", *(digest(str(key), value_digest(value[key])) for key in sorted(value, key=str)))
    return digest(type(value).__name__)


def _behind(prompt, value, seen):
    """What made a value: a node with everything behind it, a file's content, or the value itself."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        return [_node_digest(prompt, value[0], seen), value[1]]
    if isinstance(value, str):
        return [value, *(file_digest(path) for path in _files_named(value))]
    return value


def _node_digest(prompt, node_id, seen):
    if node_id not in seen:
        node = prompt.get_node(node_id)
        inputs = [(name, _behind(prompt, value, seen)) for name, value in sorted(node["inputs"].items())]
        seen[node_id] = digest(node["class_type"], repr(inputs))
    return seen[node_id]


def _files_named(text):
    """Paths of the model and input files that a widget's text may mean."""
    if "." not in text or "\n" in text or len(text) > 1024:
        return []
    found = [folder_paths.get_full_path(kind, text) for kind in list(folder_paths.folder_names_and_paths)]
    found += [folder_paths.get_annotated_filepath(text)] if folder_paths.exists_annotated_filepath(text) else []
    found.append(text)
    return sorted({os.path.realpath(path) for path in found if path and os.path.isfile(path)})


def file_digest(path):
    """The sha256 of a file, remembered as long as its size and time stay."""
    stat = os.stat(path)
    key = path, stat.st_size, stat.st_mtime_ns
    if key not in _file_digests:
        _file_digests[key] = file_sha256(path)
    return _file_digests[key]
