"""Training text to pose end to end on a fabricated folder, and its frozen validation sentences."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import text_pose_folder as fake
import torch

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.assets.registry import BUNDLED, OPEN_TEXT_TO_POSE, manifest
from contrapposto.models.bodies.conditions import all_hold
from contrapposto.models.bodies.posture import measure_posture
from contrapposto.models.metrics.probes import load_probes
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses
from contrapposto.models.text_to_pose.model import TextToPose, pose_to_vector, weights_fingerprint
from contrapposto.models.text_to_pose.network import NetworkConfig
from contrapposto.models.training import train_text_to_pose as training
from contrapposto.models.training.datasets.captions import CaptionedPoses
from contrapposto.models.training.datasets.text_pose import load_text_pose, mirror_rotvec
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.validation_probes import VALIDATION_PROBES
from contrapposto.models.types import BodyPose

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "text_pose"
SMALL = training.Preset(NetworkConfig(width=32, layers=1), LoopConfig(steps=60, batch=8, lr=3e-3, warmup=5, ema=0.9, validate_every=60),
                        copies=4, pool=64, refresh=30, held_out=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake.write(tmp_path_factory.mktemp("data") / "text_pose")


@pytest.fixture(scope="module")
def task(folder):
    return training.make_task(load_text_pose(folder), folder, SMALL, "cpu")[0]


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.PRESETS, "small", SMALL)
        training.main(["--data", str(folder), "--preset", "small", "--run", str(home / "run"), "--out", str(home / "w.safetensors")])
    return home


def test_the_loss_falls_and_the_weights_sample(trained):
    model = load_text_to_pose(trained / "w.safetensors")
    assert len(sample_poses(model, "a person in block 0 lifts the left arm", count=2, steps=2)) == 2
    lines = (trained / "run" / "curve.jsonl").read_text().splitlines()
    assert '"val_loss"' in lines[-1] and '"probe_side"' in lines[-1]


def test_weights_tell_how_they_were_made(trained):
    config = read_safetensors(trained / "w.safetensors")[1]
    assert config["training"]["excluded"] == ["DeepMimic"] and config["training"]["steps"] == 60 and config["training"]["poses"] == 30
    assert config["text_encoder"] == {"id": "minilm-l6-v2", "dim": 384}
    assert set(config["scores"]) == {"val_loss", "probe", "probe_any", "probe_side"}


def test_training_goes_on_from_weights(folder, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(training.PRESETS, "small", replace(SMALL, loop=replace(SMALL.loop, lr=0.0)))
    training.main(["--data", str(folder), "--preset", "small", "--steps", "1", "--start", str(trained / "w.safetensors"),
                   "--run", str(tmp_path / "run"), "--out", str(tmp_path / "more.safetensors")])
    before, after = (load_text_to_pose(file) for file in (trained / "w.safetensors", tmp_path / "more.safetensors"))
    assert weights_fingerprint(before.network) == weights_fingerprint(after.network)
    assert after.config["training"]["before"] == before.config["training"]


def test_training_learns(task):
    torch.manual_seed(0)
    network = training.PoseTransformer(SMALL.network)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for step in range(1, 61):
        generator = torch.Generator().manual_seed(step)
        loss = task.loss(network, task.draw(generator), step, generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_poses_that_cross_limbs_are_left_out_where_enough_remain(task):
    possible = torch.ones(len(task.data), dtype=torch.bool)
    possible[:6] = False
    task = replace(task, possible=possible)
    kept = lambda rows: task.without_impossible(CaptionedPoses("x", torch.tensor(rows))).rows.tolist()
    assert kept([4, 5, 6, 7]) == [6, 7] and kept([0, 1, 2]) == [0, 1, 2] and kept([0, 1, 2, 3, 4, 9]) == [0, 1, 2, 3, 4, 9]


def test_twins_share_pose_noise_and_level(task):
    """A caption and itself as a twin: whatever the place adds is nothing, so the network's answers agree."""
    texts = [f"person {i} waves" for i in range(10)]
    pool = training.encode_pool(task.encoder, [CaptionedPoses(text, torch.tensor([i]), twin=text) for i, text in enumerate(texts)])
    assert len(pool.captions) == 20 and [pool.captions[int(pool.twin[i])].text for i in range(10)] == [c.text for c in pool.captions[:10]]
    task = replace(task, pools={0: pool})
    values = task.loss(training.PoseTransformer(SMALL.network), torch.arange(8), 1, torch.Generator().manual_seed(0))
    assert values["place"] < 1e-4 < values["error"]


def test_a_batch_is_a_function_of_its_seed(task):
    rows = [task.draw(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    assert len(rows[0].unique()) == SMALL.loop.batch and rows[0].max() < SMALL.pool


def test_pooled_states_are_those_of_the_encoder(task):
    pool = task.pool(0)
    rows = torch.tensor([3, 40, 11])
    expected = task.encoder([pool.captions[row].text for row in rows])
    states = pool.states(rows, "cpu")
    assert torch.equal(states.mask, expected.mask)
    torch.testing.assert_close(states.tokens, expected.tokens, atol=2e-3, rtol=1e-2)
    torch.testing.assert_close(states.pooled, expected.pooled, atol=1e-3, rtol=1e-2)


def test_vectors_decode_to_the_poses_and_their_mirror_images(folder):
    data = load_text_pose(folder)
    vectors = training.pose_vectors(data)
    for side, (root, body) in enumerate([(data.root_rotvec, data.body_rotvec), mirrored(data)]):
        torch.testing.assert_close(vectors[side], pose_to_vector(BodyPose(rotvec_to_rotmat(root), rotvec_to_rotmat(body))))


def mirrored(data):
    rotvec = mirror_rotvec(torch.cat([data.root_rotvec[:, None], data.body_rotvec], 1), data.mirror)
    return rotvec[:, 0], rotvec[:, 1:]


def test_latents_of_the_pose_prior_are_trained_the_same_way(folder):
    preset = replace(SMALL, network=replace(SMALL.network, representation="latent"), pool=32)
    task, prior = training.make_task(load_text_pose(folder), folder, preset, "cpu")
    assert task.vectors.shape == (2, len(task.data), 38) and prior == load_pose_prior().sha256
    generator = torch.Generator().manual_seed(0)
    network = training.PoseTransformer(preset.network)
    assert 0.5 < task.loss(network, task.draw(generator), 1, generator)["loss"] < 3
    config = {"text_encoder": {"id": "minilm-l6-v2", "dim": 384}, "pose_prior": prior, "sampling": training.SAMPLING}
    decoded = TextToPose(network, task.mean, task.std, config).decode(task.vectors[0, :4])
    rotmats, prior = task.data.rotmats(slice(0, 4)), load_pose_prior()
    torch.testing.assert_close(decoded.global_orient, rotmats[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decoded.body_pose, prior.decode(prior.encode(rotmats[:, 1:]).mean), atol=1e-3, rtol=1e-3)


def test_a_run_folder_of_another_config_is_refused(folder, trained, monkeypatch):
    monkeypatch.setitem(training.PRESETS, "small", SMALL)
    with pytest.raises(SystemExit, match="run folder.*another preset"):
        training.main(["--data", str(folder), "--preset", "small", "--steps", "61", "--run", str(trained / "run")])


def test_a_missing_data_folder_is_one_error(tmp_path):
    with pytest.raises(SystemExit, match="data folder.*does not exist"):
        training.main(["--data", str(tmp_path / "nowhere")])


def test_validation_sentences_are_distinct_and_sided_where_they_name_a_side():
    assert len({probe.text for probe in VALIDATION_PROBES}) == len(VALIDATION_PROBES) >= 100
    assert all(not probe.sided or re.search(r"\b(left|right)\b", probe.text) for probe in VALIDATION_PROBES)
    assert not {probe.text for probe in VALIDATION_PROBES} & {probe.text for probe in load_probes()}


def test_validation_conditions_can_be_read_and_are_not_met_by_a_pose_at_rest():
    posture = measure_posture(BodyPose.rest(1))
    met = [all_hold(probe.conditions, posture).item() for probe in VALIDATION_PROBES]
    assert sum(met) < 0.15 * len(met)


def test_validation_sentences_are_not_in_the_training_text():
    if not REAL.is_dir():
        pytest.skip("../shared/data/text_pose is not at hand")
    text = "".join(file.read_text(encoding="utf-8").lower() for file in [REAL / "captions.jsonl", *(REAL / "paraphrases").glob("*.jsonl")])
    assert not [probe.text for probe in VALIDATION_PROBES if probe.text.lower() in text]


def test_bundled_weights_are_small_and_leave_out_the_unclear_source():
    config = read_safetensors(BUNDLED / OPEN_TEXT_TO_POSE)[1]
    assert manifest()[OPEN_TEXT_TO_POSE]["bytes"] <= 20_000_000 and config["training"]["excluded"] == ["DeepMimic"]
