"""Body files: every publisher's layout is read, everything else is refused with one error, and no pickled code ever runs."""

import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from contrapposto.models.assets.restricted_pickle import read_pickle
from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.bodies.smpl_file import read_smpl_file
from contrapposto.models.checks import InputError


@pytest.fixture
def chumpy(monkeypatch):
    """Stand-ins under chumpy's names, so that pickling writes what chumpy-era files hold. They are gone again before reading."""
    modules = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}

    class Ch:
        def __init__(self, **state):
            self.__dict__.update(state)

        def __getstate__(self):
            return self.__dict__

    class Select(Ch):
        pass

    Ch.__module__, Ch.__qualname__, Select.__module__, Select.__qualname__ = "chumpy.ch", "Ch", "chumpy.reordering", "Select"
    modules["chumpy.ch"].Ch, modules["chumpy.reordering"].Select = Ch, Select
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield types.SimpleNamespace(Ch=Ch, Select=Select)


@pytest.mark.parametrize("protocol", range(6))
def test_chumpy_era_pickle_equals_the_npz(tmp_path, made_up_body, random_pose, chumpy, monkeypatch, protocol):
    import scipy.sparse

    arrays = made_up_body()
    np.savez(tmp_path / "body.npz", **arrays)
    everything = chumpy.Ch(x=np.concatenate([np.zeros(7), arrays["shapedirs"].ravel()]), dterms=("x",))
    pickled = {
        **arrays, "v_template": chumpy.Ch(x=arrays["v_template"]), "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "shapedirs": chumpy.Select(a=everything, idxs=np.arange(7, everything.x.size), preferred_shape=arrays["shapedirs"].shape),
        "posedirs": np.asfortranarray(arrays["posedirs"]), "weights": arrays["weights"].astype(">f8"), "bs_type": "lrotmin",
        "pose_training_info": {"gender": "neutral"}, "vert_sym_idxs": np.arange(3), "tag": np.float64(3.0),
    }
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(pickled, protocol=protocol))
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.delitem(sys.modules, name)
    pose = random_pose(2)
    from_pickle, from_npz = (pose_body(load_body_model(tmp_path / f"body.{kind}"), pose) for kind in ("pkl", "npz"))
    torch.testing.assert_close(from_pickle.vertices(), from_npz.vertices())
    assert "chumpy" not in sys.modules


def test_python_2_pickle_of_arrays_as_text(tmp_path):
    """Python 2 wrote an array's bytes as a text string; this is such a stream, written by hand."""
    data = np.array([1.5, -2.0], "<f8").tobytes()
    stream = (b"\x80\x02}U\x01xcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
              b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
              b"U" + bytes([len(data)]) + data + b"tbs.")
    (tmp_path / "old.pkl").write_bytes(stream)
    assert read_pickle(tmp_path / "old.pkl", ("x",))["x"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("sparse", ["csc_matrix", "csr_matrix", "csr_array"])
def test_sparse_matrices_and_scalars(tmp_path, sparse):
    import scipy.sparse

    dense = np.random.default_rng(0).random((4, 6)) * (np.random.default_rng(1).random((4, 6)) < 0.4)
    content = {"m": getattr(scipy.sparse, sparse)(dense), "s": np.float32(2.5), "n": 3}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    read = read_pickle(tmp_path / "a.pkl", ("m", "s", "n", "absent"))
    assert np.array_equal(read["m"], dense) and read["s"] == 2.5 and read["n"] == 3 and "absent" not in read


class _Runs:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function, argument", [
    (os.system, "touch {}"), (eval, "open({!r}, 'w')"), (exec, "open({!r}, 'w')"), (open, "{}"), (getattr, "{}"), (np.load, "{}"),
    (np.fromfile, "{}"), (__import__, "{}"),
])
@pytest.mark.parametrize("place", ["whole", "entry", "unused entry"])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, made_up_body, function, argument, place):
    trace = tmp_path / "trace"
    attack = _Runs(function, argument.format(str(trace)))
    content = {"whole": attack, "entry": {**made_up_body(), "weights": attack}, "unused entry": {**made_up_body(), "extra": attack}}[place]
    path = tmp_path / "body.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="could run code") as caught:
        load_body_model(path)
    assert str(path) in str(caught.value) and not trace.exists()


def test_a_pickle_cannot_alter_how_the_next_one_is_read(tmp_path, made_up_body):
    """BUILD on a class sets attributes of the class: here it tries to replace how arrays are read."""
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(b"\x80\x02cnumpy\nndarray\n}U\x04kindU\x06chumpysb.")
    with pytest.raises(InputError):
        load_body_model(bad)
    good = tmp_path / "good.pkl"
    good.write_bytes(pickle.dumps(made_up_body()))
    assert load_body_model(good).kind == "smpl"


def test_arrays_of_objects_in_an_npz_are_refused_where_needed_and_ignored_elsewhere(tmp_path, made_up_body):
    objects = np.array({"joint": 1}, dtype=object)
    np.savez(tmp_path / "extra.npz", **made_up_body(joints=55), joint2num=objects)
    assert load_body_model(tmp_path / "extra.npz").kind == "smplx"
    np.savez(tmp_path / "bad.npz", **{**made_up_body(), "weights": objects})
    with pytest.raises(InputError, match="could run code"):
        load_body_model(tmp_path / "bad.npz")


def _changed(arrays, name, index, value):
    arrays[name] = arrays[name].copy()
    arrays[name][index] = value
    return arrays


BAD = {
    "NaN": (lambda a: _changed(a, "v_template", 0, np.nan), "huge numbers in v_template"),
    "infinite": (lambda a: _changed(a, "posedirs", 0, np.inf), "huge numbers in posedirs"),
    "incomplete": (lambda a: {key: value for key, value in a.items() if key not in ("f", "weights")}, "has no f, weights"),
    "texts": (lambda a: {**a, "weights": np.array(["a"])}, "no numbers in weights"),
    "joints": (lambda a: {**a, "J_regressor": a["J_regressor"][:23]}, "23 joints instead of 24, 52 or 55"),
    "no matrix": (lambda a: {**a, "J_regressor": a["J_regressor"][0]}, "0 joints"),
    "vertices": (lambda a: {**a, "v_template": a["v_template"][:-1]}, "v_template of shape"),
    "posedirs": (lambda a: {**a, "posedirs": a["posedirs"][..., :-1]}, "posedirs of shape"),
    "no faces": (lambda a: {**a, "f": a["f"][:0]}, "f of shape"),
    "faces": (lambda a: _changed(a, "f", 0, 300), "faces that point outside its 300 vertices"),
    "skeleton": (lambda a: _changed(a, "kintree_table", (0, 4), 2), "another order than SMPL"),
    "weights": (lambda a: {**a, "weights": a["weights"] * 1.1}, "weights that do not add up to 1"),
    "regressor": (lambda a: {**a, "J_regressor": a["J_regressor"] * 0.9}, "rows do not add up to 1"),
}


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize("case", BAD)
def test_numbers_that_cannot_be_a_body_are_refused(tmp_path, made_up_body, case, suffix):
    change, message = BAD[case]
    path = tmp_path / f"body{suffix}"
    if suffix == ".npz":
        np.savez(path, **change(made_up_body()))
    else:
        path.write_bytes(pickle.dumps(change(made_up_body())))
    with pytest.raises(InputError, match=message) as caught:
        read_smpl_file(path)
    assert str(path) in str(caught.value) and caught.value.remedy.endswith(".")


def test_loops_in_the_skeleton_are_refused(tmp_path, made_up_body):
    arrays = _changed(made_up_body(joints=52), "kintree_table", (0, 30), 31)
    np.savez(tmp_path / "body.npz", **arrays)
    with pytest.raises(InputError, match="comes before its parent"):
        read_smpl_file(tmp_path / "body.npz")


@pytest.mark.parametrize("name, content, message", [
    ("missing.npz", None, "does not exist"), ("body.obj", b"v 0 0 0", "has the type .obj"), ("empty.npz", b"", "is empty"),
    ("text.npz", b"not an archive", "is not a readable"), ("text.pkl", b"not a pickle", "is damaged"),
    ("list.pkl", pickle.dumps([1]), "holds a list"),
])
def test_other_files_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_body_model(tmp_path / name)
    with pytest.raises(InputError, match="is not a file"):
        load_body_model(tmp_path)
    with pytest.raises(InputError, match="was not found"):
        load_body_model("no_such_body.npz")


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_truncated_and_damaged_files_give_one_error(tmp_path, made_up_body, suffix):
    whole, path, rng = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}", np.random.default_rng(0)
    if suffix == ".npz":
        np.savez_compressed(whole, **made_up_body())
    else:
        whole.write_bytes(pickle.dumps(made_up_body()))
    content = whole.read_bytes()
    for length in rng.integers(1, len(content), 12):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            load_body_model(path)
    refused = 0
    for _ in range(40):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 30):
            damaged[position] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            load_body_model(path)
        except InputError:
            refused += 1
    assert refused > 5


def test_file_options(tmp_path, made_up_body):
    arrays = made_up_body(joints=55, betas=20)
    np.savez(tmp_path / "old.npz", **arrays)
    assert load_body_model(tmp_path / "old.npz").shapedirs.shape[-1] == 10, "the other ten columns are expressions"
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **{**made_up_body(betas=300), "posedirs": np.zeros((1, 3, 207)), "license": np.array("mine")})
    model = load_body_model(tmp_path / "SMPL_NEUTRAL.npz")
    assert model.shapedirs.shape[-1] == 16 and model.posedirs is None and model.licence == "mine" and model.name == "SMPL_NEUTRAL"
    assert model.parents[0] == -1
