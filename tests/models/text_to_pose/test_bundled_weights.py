"""The shipped weights do what plain sentences say: most of five candidates meet geometric conditions, left and right included."""

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.metrics.probes import Probe, probe_passes
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses
from contrapposto.models.text_to_pose.text_encoder import MINILM

SENTENCES = (
    Probe("a person doing a handstand", "", ("tilt(torso) > 120", "height(each_ankle) > 1.0")),
    Probe("a woman sitting on a chair", "", ("bend(each_hip) > 45", "bend(each_knee) > 50", "tilt(torso) < 50")),
    Probe("a man lying on his back on the floor", "", ("height(pelvis) < 0.4", "faces_up(chest) > 30")),
    Probe("a girl squatting", "", ("bend(each_knee) > 60", "height(pelvis) < 0.8")),
    Probe("a soldier crawling on hands and knees", "", ("45 < tilt(torso) < 125", "height(each_knee) < 0.45")),
    Probe("a person standing with both arms raised above the head", "", ("height(each_hand) > height(head)", "tilt(torso) < 40")),
    Probe("a man kicks high with his left leg", "", ("height(left_ankle) > height(right_ankle) + 0.3",), sided=True),
    Probe("a man kicks high with his right leg", "", ("height(right_ankle) > height(left_ankle) + 0.3",), sided=True),
)


@pytest.fixture(scope="module")
def model():
    return load_text_to_pose()


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.mark.parametrize("probe", SENTENCES, ids=lambda probe: probe.text)
def test_most_candidates_are_right(model, body, probe):
    poses = sample_poses(model, probe.text, count=5, seed=0, body=body)
    assert probe_passes(probe, poses).sum() >= 3


def test_candidates_differ(model, body):
    poses = sample_poses(model, "a person dancing", count=5, body=body)
    spread = (poses.body_pose[:, None] - poses.body_pose).square().sum((-1, -2, -3)).sqrt()
    assert spread[~torch.eye(5, dtype=torch.bool)].min() > 0.3


def test_weights_say_what_they_need(model):
    assert model.config["text_encoder"] == {"id": MINILM, "dim": 384} and model.config["pose_prior"] is None
    assert set(model.defaults) == {"sampler", "steps", "guidance", "sides"} and model.config["training"]["excluded"] == ["DeepMimic"]


def test_regularise_stays_near_and_changes_something(model, body):
    raw = sample_poses(model, "a woman sitting on a chair", count=3, body=body)
    pulled = sample_poses(model, "a woman sitting on a chair", count=3, body=body, regularise=1.0)
    difference = (raw.body_pose - pulled.body_pose).square().sum((-1, -2)).sqrt().mean()
    assert 1e-3 < difference < 0.5 and torch.equal(raw.global_orient, pulled.global_orient)
