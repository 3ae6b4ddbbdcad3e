"""Parts2Whole's training on a model of a few thousand weights, and the reader of its pairs."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrapposto.models.checks import InputError
from contrapposto.models.parts_to_whole.weights import load_weights
from contrapposto.models.training.datasets.parts import find_parts, load_sample, part_masks
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.train_parts_to_whole import (
    PartsNetwork,
    PartsTask,
    PartsTraining,
    continue_from,
    train_parts_to_whole,
)

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

from tiny_diffusion import tiny_model

GUIDER = (4, 4, 8, 8)
CONFIG = PartsTraining(LoopConfig(steps=6, batch=2, lr=1e-3, warmup=1, ema=0.5, log_every=1, save_seconds=1e9), height=96, width=64)


def see(pictures):
    """Stands in for CLIP: a fixed projection of the middle of each picture."""
    return pictures.mean((1, 2)) @ torch.randn(3, 32, generator=torch.Generator().manual_seed(3))


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PartsNetwork(tiny_model().unet, GUIDER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three people; the first two with two parts, the third with one. A person is its face's colour over its shoes'."""
    folder, generator, lines = tmp_path_factory.mktemp("pairs"), torch.Generator().manual_seed(5), []
    for place in ("images", "face", "shoes", "densepose"):
        (folder / place).mkdir()

    def save(picture, name):
        Image.fromarray((picture.numpy() * 255).astype(np.uint8)).save(folder / name)
        return name
    for i in range(3):
        colours = torch.rand(2, 3, generator=generator)
        target = colours.repeat_interleave(40, 0)[:, None].expand(80, 60, 3)
        mask = torch.zeros(80, 60)
        mask[20:60, 15:45] = 1
        labels = ("face", "shoes")[: 2 if i < 2 else 1]
        lines.append({"target": save(target, f"images/{i}.png"), "caption": f"person {i}",
                      "structure": {"densepose": save(target * 0.5, f"densepose/{i}.png")},
                      "appearance": {label: save(colours[k].expand(80, 60, 3), f"{label}/{i}.png") for k, label in enumerate(labels)},
                      "mask": {label: save(mask, f"{label}/{i}_mask.png") for label in labels}})
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


@pytest.fixture(scope="module")
def pairs(folder):
    return find_parts(folder)


def test_a_sample_keeps_mask_and_picture_together(pairs):
    sample = load_sample(pairs[0], (64, 48), torch.Generator().manual_seed(0))
    assert sample.target.shape == sample.pose.shape == (64, 48, 3) and list(sample.references) == ["face", "shoes"]
    assert torch.allclose(sample.pose, sample.target / 2, atol=0.02)
    picture, mask = sample.references["face"]
    assert picture.shape == (64, 48, 3) and 0.15 < float(mask.mean()) < 0.4
    again = load_sample(pairs[0], (64, 48), torch.Generator().manual_seed(0))
    assert torch.equal(again.references["face"][1], mask)


def test_parts_are_found_in_a_plain_picture(folder, tmp_path):
    class Parser:
        def classes(self, image):
            found = torch.zeros(image.shape[:2], dtype=torch.long)
            found[:10], found[10:40], found[40:] = 11, 4, 6
            return found

    line = {"target": str(folder / "images" / "0.png"), "caption": "x", "reference": str(folder / "images" / "1.png")}
    (tmp_path / "train.jsonl").write_text(json.dumps(line))
    pair = find_parts(tmp_path)[0]
    assert set(load_sample(pair, (64, 48), torch.Generator(), Parser()).references) == {"face", "upper body clothes", "lower body clothes"}
    with pytest.raises(InputError, match="needs its parts found"):
        load_sample(pair, (64, 48), torch.Generator())
    assert set(part_masks(torch.tensor([[7, 7], [11, 0]]))) == {"whole body clothes", "face"}


@pytest.mark.parametrize("line, said", [
    ("{", "line 1"), ('{"target": "a"}', "caption"), ('{"target": "a", "caption": "b", "appearance": {"nose": "c"}}', "nose"),
    ('{"target": "a", "caption": "b", "appearance": {"face": "c"}}', "was not found"), ('{"target": "a", "caption": "b"}', "0 parts"),
    ("", "empty"),
])
def test_bad_lists_are_named(tmp_path, line, said):
    (tmp_path / "train.jsonl").write_text(line)
    with pytest.raises(InputError, match=said):
        find_parts(tmp_path)


@torch.no_grad()
def test_a_fresh_network_is_its_base(pairs):
    """The pose guider is silent; without references and tokens the denoiser is the base, bit for bit."""
    base, fresh = tiny_model(), network()
    noisy, times, states = torch.randn(1, 4, 8, 6), torch.tensor([400]), torch.randn(1, 77, 32)
    plain = base.unet(noisy, times, encoder_hidden_states=states).sample
    assert torch.equal(fresh(noisy, times, states, torch.zeros(1, 6, 32), [], torch.rand(1, 3, 64, 48)), plain)


def test_batches_show_the_same_parts_and_every_network_learns(pairs):
    task = PartsTask(pairs, tiny_model(), see, replace(CONFIG, drop_all=0, drop_pose=0, drop_bank=0, drop_reference=0), network())
    for seed in range(6):
        assert len({pairs[row].bucket for row in task.draw(torch.Generator().manual_seed(seed)).tolist()}) == 1
    task.network.guider.conv_out.weight.data.normal_(std=0.1)  # a silent guider hands nothing back to the layers before it
    task.loss(task.network, torch.tensor([0, 1]), 1, torch.Generator().manual_seed(0))["loss"].backward()
    without = [name for name, weight in task.network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


def test_with_several_processes_dropped_networks_hand_back_zeros(pairs, monkeypatch):
    task = PartsTask(pairs, tiny_model(), see, replace(CONFIG, drop_bank=1, drop_pose=1), network())
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    task.loss(task.network, torch.tensor([0, 1]), 1, torch.Generator().manual_seed(0))["loss"].backward()
    assert all(weight.grad is not None for weight in task.network.parameters() if weight.requires_grad)
    assert task.network.encoder.conv_in.weight.grad.eq(0).all()


def fixed_loss(task, seeds=range(6)):
    with torch.no_grad():
        return sum(task.loss(task.network, task.draw(torch.Generator().manual_seed(s)), s, torch.Generator().manual_seed(s))["loss"].item()
                   for s in seeds)


def test_loss_falls_and_the_export_loads(pairs, tmp_path):
    config = replace(CONFIG, loop=replace(CONFIG.loop, steps=20, batch=4, lr=5e-3))
    trained = network()
    before = fixed_loss(PartsTask(pairs, tiny_model(), see, config, network()))
    path = train_parts_to_whole(pairs, tiny_model(), see, tmp_path, config, trained)
    weights = load_weights(path)
    assert weights.config["pairs"] == 3 and weights.config["denoiser"]["cross_attention_dim"] == 32
    again = continue_from(path, tiny_model())
    assert fixed_loss(PartsTask(pairs, tiny_model(), see, config, again)) < 0.9 * before


def test_a_resumed_run_is_the_undisturbed_one(pairs, tmp_path):
    straight = train_parts_to_whole(pairs, tiny_model(), see, tmp_path / "straight", CONFIG, network())

    class Stop(Exception):
        pass

    def stop(step):
        if step == 4:
            raise Stop

    config = replace(CONFIG, loop=replace(CONFIG.loop, save_seconds=0))
    with pytest.raises(Stop):
        train_parts_to_whole(pairs, tiny_model(), see, tmp_path / "stopped", config, network(), on_step=stop)
    resumed = train_parts_to_whole(pairs, tiny_model(), see, tmp_path / "stopped", config, network())
    one, other = load_weights(straight), load_weights(resumed)
    assert all(torch.equal(weight, other.denoiser[name]) for name, weight in one.denoiser.items())
    assert all(torch.equal(weight, other.image_projections[name]) for name, weight in one.image_projections.items())


def test_weights_of_another_base_are_named(pairs, tmp_path):
    path = train_parts_to_whole(pairs, tiny_model(), see, tmp_path, replace(CONFIG, loop=replace(CONFIG.loop, steps=1)), network())
    narrow = tiny_model()
    narrow.unet = torch.nn.Module()
    from diffusers import UNet2DConditionModel

    narrow.unet = UNet2DConditionModel(block_out_channels=(16, 16), layers_per_block=1, cross_attention_dim=32, norm_num_groups=8,
                                       down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=4, mid_block_type=None,
                                       up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    with pytest.raises(InputError, match="do not fit the base"):
        continue_from(path, narrow)
