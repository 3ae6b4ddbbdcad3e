import pickle

import pytest
import torch

from contrapposto.models.checks import InputError, check_choice, check_range, check_shape, shorten


def test_shape_binds_names():
    assert check_shape("x", torch.zeros(4, 21, 3, 3), "B 21 3 3") == {"B": 4}
    assert check_shape("x", torch.zeros(2, 5, 7, 3), "... 3") == {}


@pytest.mark.parametrize("shape, pattern, known", [
    ((4, 20, 3, 3), "B 21 3 3", {}), ((4, 3), "B", {}), ((4,), "B 3", {}), ((4, 3), "B 3", {"B": 5}),
    ((3,), "... 3 3", {}), ((2, 3), "A A", {}),
])
def test_shape_refuses(shape, pattern, known):
    with pytest.raises(InputError, match="does not have the shape"):
        check_shape("x", torch.zeros(shape), pattern, **known)


def test_known_sizes_of_other_axes_are_ignored():
    assert check_shape("uv", torch.zeros(5, 2), "V 2", V=5, B=3)["V"] == 5


@pytest.mark.parametrize("value", [0, 11, float("nan"), float("inf"), "3", None, True])
def test_range_refuses(value):
    with pytest.raises(InputError, match="between 1 and 10 rows"):
        check_range("count", value, 1, 10, "rows")


def test_choice():
    assert check_choice("engine", "torch", ("torch", "pyrender")) == "torch"
    with pytest.raises(InputError, match="torch, pyrender"):
        check_choice("engine", "opengl", ("torch", "pyrender"))


def test_error_names_input_value_and_remedy_and_survives_pickling():
    error = InputError("count", 0, "is too small", "Choose at least 1.")
    assert str(error) == "count 0 is too small. Choose at least 1."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_long_values_are_shortened():
    assert len(shorten("word " * 2000)) < 130
