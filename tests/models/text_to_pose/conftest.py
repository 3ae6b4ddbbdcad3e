import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

from small_model import encode, write_model

from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.text_to_pose import load_text_to_pose


@pytest.fixture
def model(tmp_path):
    write_model(tmp_path / "small.safetensors")
    model = load_text_to_pose(tmp_path / "small.safetensors")
    model.__dict__["encoder"] = encode  # stands in for the bundled encoder
    return model


@pytest.fixture(scope="module")
def body():
    return load_body_model()
