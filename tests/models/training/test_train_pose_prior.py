"""Training the prior end to end on a fabricated folder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import roma
import text_pose_folder as fake
import torch

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.assets.registry import BUNDLED, OPEN_POSE_PRIOR
from contrapposto.models.checks import InputError
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.pose_prior.vposer_file import VPoserConfig
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.train_pose_prior import (
    PriorTask,
    PriorTraining,
    fresh_prior,
    main,
    reconstruction_errors,
    score_prior,
    train_prior,
)

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "text_pose"
SMALL = PriorTraining(network=VPoserConfig(width=64), kl_warmup=10, kl_weight=1e-4,
                      loop=LoopConfig(steps=120, batch=16, lr=4e-3, warmup=10, ema=0.9, validate_every=60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake.write(tmp_path_factory.mktemp("data") / "text_pose")


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    return train_prior(folder, tmp_path_factory.mktemp("runs") / "small", SMALL)


def test_training_fits_its_poses(folder, trained):
    data = load_text_pose(folder)
    rows = data.rows("train")
    before = score_prior(fresh_prior(SMALL).eval(), data, rows)
    after = score_prior(load_pose_prior(trained[0]), data, rows)
    assert after["angle_deg"] < 0.5 * before["angle_deg"] and after["joint_mm"] < 0.5 * before["joint_mm"]


def test_weights_tell_how_they_were_made(trained):
    config = read_safetensors(trained[0])[1]
    assert config["training"]["loop"]["steps"] == 120 and config["training"]["exclude_sources"] == ["DeepMimic"]
    assert config["data"]["train_poses"] == {"CMU/asf-amc": 10, "authored": 20}
    assert config["commit"] and config["scores"] == trained[1] and "test_captured_angle_deg" in config["scores"]
    assert load_pose_prior(trained[0]).version == "open"


def test_a_continued_finished_run_gives_the_same_weights(folder, trained):
    content = trained[0].read_bytes()
    assert train_prior(folder, trained[0].parent, SMALL)[0].read_bytes() == content
    with pytest.raises(InputError, match="another kl_weight"):
        train_prior(folder, trained[0].parent, replace(SMALL, kl_weight=0.5))


def test_batches_keep_the_share_of_captures(folder, tmp_path):
    task = PriorTask(load_text_pose(folder), SMALL)
    rows = task.draw(torch.Generator().manual_seed(0))
    assert len(rows) == 16 and (~task.data.authored[rows]).sum() == 8 and (task.data.split[rows] == 0).all()
    changed = {"source": fake.arrays()["source"]}
    changed["source"][:] = 0
    captured = PriorTask(load_text_pose(fake.write(tmp_path / "captured", changed)), SMALL)
    assert len(captured.draw(torch.Generator().manual_seed(0))) == 16


def test_mirrored_batches_cost_the_same_as_their_mirror_image(folder):
    """A prior that is symmetric by construction (it always gives the rest pose) cannot tell a batch from its mirror image."""
    data, prior = load_text_pose(folder), fresh_prior(SMALL).eval()
    with torch.no_grad():
        prior.decoder_out.weight.zero_()
    rows = data.rows("train")
    plain, mirrored = (PriorTask(data, replace(SMALL, mirrored_share=share)).loss(prior, rows, 1, torch.Generator().manual_seed(0))
                       for share in (0.0, 1.0))
    torch.testing.assert_close(plain["joints"], mirrored["joints"])
    torch.testing.assert_close(plain["rotation"], mirrored["rotation"])
    assert plain["kl"] != mirrored["kl"]


def test_reconstruction_errors_measure_angle_and_distance(folder):
    data = load_text_pose(folder)
    pose = torch.eye(3).expand(1, 21, 3, 3)
    turned = pose.clone()
    turned[0, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, 0.1]))  # the left hip moves the knee, ankle and foot below it
    angles, distances = reconstruction_errors(turned, pose, data)
    assert angles[0, 0].item() == pytest.approx(0.1, abs=1e-5) and angles[0, 1:].max() < 1e-6
    knee = 2 * torch.sin(torch.tensor(0.05)) * data.rest_offsets[4][:2].norm()
    assert distances[0, 3].item() == pytest.approx(knee.item(), abs=1e-5)
    assert (distances[0] > 1e-5).nonzero().flatten().tolist() == [3, 6, 9]


def test_the_command_trains_and_names_mistakes(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("contrapposto.models.training.train_pose_prior.PriorTraining", lambda: SMALL)
    main(["--data", str(folder), "--run", "first"])
    assert json.loads(capsys.readouterr().out)["weights"] == str(Path("runs/first") / OPEN_POSE_PRIOR)
    with pytest.raises(SystemExit, match="error: data folder .*nowhere.* does not exist"):
        main(["--data", "nowhere"])


@pytest.mark.skipif(not (REAL.is_dir() and (BUNDLED / OPEN_POSE_PRIOR).exists()), reason="needs the text_pose data and the bundled prior")
def test_the_bundled_scores_are_those_of_the_bundled_weights():
    data, stated = load_text_pose(REAL), read_safetensors(BUNDLED / OPEN_POSE_PRIOR)[1]["scores"]
    measured = PriorTask(data, PriorTraining()).scores(load_pose_prior(), "test")
    assert measured == pytest.approx(stated, abs=2e-3)
