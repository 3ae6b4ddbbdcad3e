"""Small files that unfold without end are refused at once."""

import pickle

import numpy as np
import pytest
import torch

from contrapposto.models.assets.checkpoints import read_checkpoint
from contrapposto.models.assets.files import config_of
from contrapposto.models.assets.restricted_pickle import read_pickle_tree
from contrapposto.models.checks import InputError
from contrapposto.models.text_to_pose.network import NetworkConfig


def laughs():
    shared = [0.0] * 10
    for _ in range(30):
        shared = [shared] * 10
    return shared


def deep_key():
    key = (1, 2)
    for _ in range(60):
        key = (key, key)
    return key


def own_list():
    own = [1]
    own.append(own)
    return own


def key_bomb():
    """A pickle of ``{deep_key(): 1}``, which could not be made here: hashing the key would take for ever."""
    return b"\x80\x02}" + pickle.dumps(deep_key(), 2)[2:-1] + b"K\x01s."


@pytest.mark.parametrize(
    "data, problem",
    [
        (pickle.dumps({"a": laughs()}), "unfolds to more than"),
        (pickle.dumps({"a": own_list()}), "holds itself"),
        (key_bomb(), "neither a text nor a number"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", None),
        (b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.", "damaged"),
    ],
)
def test_pickles_that_unfold_without_end(data, problem):
    if problem is None:  # a memo said to be of two thousand million entries holds one
        assert read_pickle_tree(data, "file", "a.pkl") == []
        return
    with pytest.raises(InputError, match=problem):
        read_pickle_tree(data, "file", "a.pkl")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content, problem",
    [
        ({"a": torch.zeros(1).expand(2**40)}, "claims more numbers"),
        ({"a": torch.empty(2**40, device="meta")}, "unusual kind"),
        ({"a": laughs()}, "unfolds to more than"),
        ({"a": torch.eye(3).to_sparse()}, "unusual kind"),
    ],
)
def test_torch_files_that_stretch(tmp_path, content, problem, zipped):
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=problem):
        read_checkpoint(tmp_path / "a.pt", "weights")


def test_state_dicts_of_networks_pass(tmp_path):
    network = torch.nn.Linear(3, 2)
    for zipped in (True, False):  # they carry attributes, which the reader must bear
        torch.save(network.state_dict(), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_checkpoint(tmp_path / "a.pt", "weights")["weight"], network.weight)


@pytest.mark.parametrize(
    "told",
    [{"width": 10**6}, {"layers": 10**9}, {"width": -1}, {"heads": 0}, {"width": "8"}, {"depth": 1}, {"width": True}, {"layers": 2.0}],
)
def test_a_small_file_names_no_huge_network(told):
    with pytest.raises(TypeError):
        config_of(NetworkConfig, {"width": 8, "layers": 1, **told}, {"a": torch.zeros(100)}, lambda c: c.layers * c.width**2)


def test_numbers_that_no_type_holds():
    from contrapposto.models.checks import check_range, numbers_of

    with pytest.raises(InputError):
        check_range("row", 10**400, 0, 10)
    for value in ([10**400], [[1], [1, 2]], "x", {"a": 1}, [float("nan")], np.array([None]), torch.eye(2).to_sparse(), [1e39]):
        with pytest.raises(InputError):
            numbers_of("points", value, "key points", "Give numbers.")
    assert numbers_of("points", torch.ones(2, dtype=torch.bfloat16), "points", "").dtype == np.float32
