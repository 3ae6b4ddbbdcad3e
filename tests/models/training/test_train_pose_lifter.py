"""Training the lifter end to end on a fabricated folder, and the views it learns from."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import text_pose_folder as fake
import torch

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.assets.registry import OPEN_POSE_LIFTER
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.lifter import FEATURES, LifterConfig, load_lifter
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.losses import geodesic_angle
from contrapposto.models.training.train_pose_lifter import LifterTask, LifterTraining, fresh_lifter, main, train_lifter

SMALL = LifterTraining(network=LifterConfig(width=48, blocks=1),
                       loop=LoopConfig(steps=60, batch=32, lr=4e-3, warmup=5, ema=0.8, validate_every=60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake.write(tmp_path_factory.mktemp("data") / "text_pose")


@pytest.fixture(scope="module")
def task(folder):
    return LifterTask(load_text_pose(folder), SMALL)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    return train_lifter(folder, tmp_path_factory.mktemp("runs") / "small", SMALL)


def test_training_learns_which_way_bodies_are_turned(task, trained):
    rows = task.draw(torch.Generator().manual_seed(0))
    features, _, root, _ = task.views(rows, torch.Generator().manual_seed(0), varied=False)
    lifters = fresh_lifter(SMALL, task.prior), load_lifter(trained[0])
    fresh, learnt = (geodesic_angle(lifter(features)[2], root).mean() for lifter in lifters)
    assert learnt < 0.8 * fresh


def test_a_fresh_lifter_expects_an_upright_body_facing_the_camera(task):
    mean, std, root = fresh_lifter(SMALL, task.prior)(torch.zeros(1, FEATURES))
    assert torch.allclose(root[0], torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=0.2)
    assert mean.abs().max() < 0.3 and bool((std > 0).all())


def test_views_are_seen_within_bounds_and_repeat(task):
    rows = task.draw(torch.Generator().manual_seed(0)).repeat(8)
    features, codes, root, body_pose = task.views(rows, torch.Generator().manual_seed(1), varied=True)
    again = task.views(rows, torch.Generator().manual_seed(1), varied=True)
    assert all(torch.equal(a, b) for a, b in zip((features, codes, root, body_pose), again))
    points, there = features[:, :36].unflatten(1, (18, 2)), features[:, 36:54].bool()
    assert bool((there.sum(1) >= 5).all()) and bool((points[~there] == 0).all()) and points.abs().max() <= 1.001
    assert 0.6 < there.float().mean() < 0.95
    decoded = (task.prior.decode(codes) - body_pose).flatten(1).abs().amax(1) < 1e-4  # half of the codes are varied and decoded
    assert 0.35 < decoded.float().mean() < 0.65


def test_weights_tell_how_they_were_made(trained, task):
    path, scores = trained
    config = read_safetensors(path)[1]
    assert config["scores"] == scores and "test_captured_joint_mm" in scores and config["commit"]
    assert config["network"]["prior_sha256"] == task.prior.sha256 and config["training"]["exclude_sources"] == ["DeepMimic"]


def test_the_command_trains_and_names_mistakes(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = replace(SMALL, loop=replace(SMALL.loop, steps=2))
    monkeypatch.setattr("contrapposto.models.training.train_pose_lifter.LifterTraining", lambda **more: replace(tiny, **more))
    main(["--data", str(folder), "--run", "first", "--steps", "2"])
    assert json.loads(capsys.readouterr().out)["weights"] == str(Path("runs/first") / OPEN_POSE_LIFTER)
    with pytest.raises(SystemExit, match="error: data folder .*nowhere.* does not exist"):
        main(["--data", "nowhere"])


def test_a_folder_without_training_poses_is_refused(task):
    with pytest.raises(InputError, match="holds no poses"):
        LifterTask(replace(task.data, split=torch.full_like(task.data.split, 2)), SMALL)
