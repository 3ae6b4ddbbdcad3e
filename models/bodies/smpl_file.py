"""SMPL-format body files: `.npz` and pickled `.pkl`, of SMPL (24 joints), SMPL+H (52) and SMPL-X (55)."""

from __future__ import annotations

import numpy as np

from ..assets.files import check_file, read_npz
from ..assets.restricted_pickle import read_pickle
from ..checks import InputError
from .joints import BODY_JOINTS, LICENSED_KEYPOINT_VERTICES, PARENTS

KINDS = {24: "smpl", 52: "smplh", 55: "smplx"}  # number of joints -> kind
MAX_BETAS = 16  # what motion captures use; the finer components of large files cost memory and change nothing visible
_REQUIRED = ("v_template", "f", "shapedirs", "J_regressor", "weights", "kintree_table")
_OPTIONAL = ("posedirs", "vt", "ft", "keypoint_names", "keypoint_vertices", "license")
_NUMBERS = (*_REQUIRED, "posedirs", "vt", "ft", "keypoint_vertices")
_OPTIONAL_SHAPES = {"vt": (None, 2), "ft": (None, 3), "keypoint_names": (None,), "keypoint_vertices": (None,)}
_HUGE = 1e6  # metres: no body, and far from float32's limits
_REMEDY = "Give an SMPL, SMPL+H, SMPL-X or open body file."


def read_smpl_file(path):
    """Reads and checks a body file.

    Returns:
        dict of numpy arrays: v_template (V, 3), faces (F, 3), shapedirs (V, 3, K), posedirs (V, 3, (J-1)*9) or None,
        J_regressor (J, V), weights (V, J), uv (T, 2) and uv_faces (F, 3) or None; and parents (tuple), keypoint_vertices (dict),
        kind, licence.

    Raises:
        InputError: the file is missing, damaged, of another type, or holds numbers that cannot be a body.
    """
    path = check_file("body file", path, (".npz", ".pkl"))
    names = _REQUIRED + _OPTIONAL  # SMPL-X files also hold dictionaries, which are pickled and stay closed
    raw = read_npz(path, "body file", names) if path.suffix.lower() == ".npz" else read_pickle(path, names)
    missing = [name for name in _REQUIRED if name not in raw]
    if missing:
        raise InputError("body file", path, f"has no {', '.join(missing)}", _REMEDY)
    _check_numbers(path, raw)
    _check_shapes(path, raw)
    _check_meaning(path, raw)
    joints, vertices = raw["J_regressor"].shape
    return {
        "v_template": raw["v_template"].astype(np.float32),
        "faces": raw["f"].astype(np.int64),
        "shapedirs": raw["shapedirs"][..., : _shape_columns(raw["shapedirs"], KINDS[joints])].astype(np.float32),
        "posedirs": raw["posedirs"].astype(np.float32) if _has_posedirs(raw) else None,
        "J_regressor": raw["J_regressor"].astype(np.float32),
        "weights": raw["weights"].astype(np.float32),
        "uv": raw["vt"].astype(np.float32) if "vt" in raw and "ft" in raw else None,
        "uv_faces": raw["ft"].astype(np.int64) if "vt" in raw and "ft" in raw else None,
        "parents": _parents(raw["kintree_table"]),
        "keypoint_vertices": _keypoint_vertices(raw, vertices),
        "kind": KINDS[joints],
        "licence": str(raw.get("license", "as given by the file's publisher")),
    }


def _check_numbers(path, raw):
    for name, array in raw.items():
        if array.dtype.kind == "f" and not float(np.abs(array).max(initial=0)) < _HUGE:  # "not <" also holds for NaN
            raise InputError("body file", path, f"holds NaN, infinity or huge numbers in {name}", "Copy or download the file again.")
        if name in _NUMBERS and array.dtype.kind not in "biuf":
            raise InputError("body file", path, f"holds no numbers in {name}", _REMEDY)


def _check_shapes(path, raw):
    joints, vertices = raw["J_regressor"].shape if raw["J_regressor"].ndim == 2 else (0, 0)
    if joints not in KINDS:
        raise InputError("body file", path, f"has {joints} joints instead of 24, 52 or 55", _REMEDY)
    expected = {"v_template": (vertices, 3), "f": (None, 3), "shapedirs": (vertices, 3, None), "weights": (vertices, joints),
                "kintree_table": (2, joints)}
    if _has_posedirs(raw):
        expected["posedirs"] = (vertices, 3, 9 * (joints - 1))
    expected |= {name: shape for name, shape in _OPTIONAL_SHAPES.items() if name in raw}
    for name, shape in expected.items():
        actual = raw[name].shape
        if len(actual) != len(shape) or any(want not in (None, size) for want, size in zip(shape, actual)) or 0 in actual:
            raise InputError("body file", path, f"has {name} of shape {actual} instead of {_spell(shape)}", _REMEDY)


def _check_meaning(path, raw):
    joints, vertices = raw["J_regressor"].shape
    marks = raw.get("keypoint_vertices", np.zeros(1))
    problem = None
    if raw["f"].min() < 0 or raw["f"].max() >= vertices:
        problem = f"has faces that point outside its {vertices} vertices"
    elif marks.min() < 0 or marks.max() >= vertices:
        problem = f"has key points outside its {vertices} vertices"
    elif _parents(raw["kintree_table"])[:BODY_JOINTS] != PARENTS[:BODY_JOINTS]:
        problem = "has joints in another order than SMPL"
    elif any(not 0 <= parent < joint for joint, parent in enumerate(_parents(raw["kintree_table"])[1:], 1)):
        problem = "has a joint that comes before its parent"
    elif np.abs(raw["weights"].astype(np.float64).sum(1) - 1).max() > 0.01:
        problem = "has skinning weights that do not add up to 1"
    elif np.abs(raw["J_regressor"].astype(np.float64).sum(1) - 1).max() > 0.01:
        problem = "has a joint regressor whose rows do not add up to 1"
    if problem:
        raise InputError("body file", path, problem, _REMEDY)


def _spell(shape):
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _has_posedirs(raw):
    return "posedirs" in raw and bool(np.any(raw["posedirs"]))


def _shape_columns(shapedirs, kind):
    """Number of shape components to keep. SMPL-X files append expressions: 300 + 100 columns, or 10 + 10 in the first release."""
    columns = shapedirs.shape[-1]
    return min(MAX_BETAS, 10 if kind == "smplx" and columns == 20 else columns)


def _parents(kintree_table):
    """Parents as a tuple; the root's is -1 (files write it as -1 or as 2**32 - 1)."""
    return (-1, *(int(parent) for parent in kintree_table[0, 1:]))


def _keypoint_vertices(raw, vertices):
    if "keypoint_names" in raw and "keypoint_vertices" in raw:
        return {str(name): int(vertex) for name, vertex in zip(raw["keypoint_names"], raw["keypoint_vertices"])}
    return dict(LICENSED_KEYPOINT_VERTICES.get(vertices, {}))
