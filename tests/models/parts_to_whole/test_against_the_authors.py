"""Numbers of the authors' own code on the same random weights; scripts/golden_parts_to_whole.py rewrites them."""

from pathlib import Path

import pytest
import tiny_parts
import torch
from safetensors.torch import load_file

from contrapposto.models.parts_to_whole.appearance_encoder import join
from contrapposto.models.parts_to_whole.image_tokens import pad_tokens

GOLDEN = load_file(Path(__file__).with_name("golden.safetensors"))


def near(ours, theirs):
    return bool((ours - theirs).abs().max() <= 1e-4 * theirs.abs().max())


@pytest.fixture(scope="module")
def given():
    return tiny_parts.inputs()


@pytest.fixture(scope="module")
def bank(given):
    return join(tiny_parts.references(given), tiny_parts.features(given))


def test_bank_features(bank):
    assert len(bank.features) == 16
    for name, found in bank.features.items():
        for i, features in enumerate(found):
            assert near(features, GOLDEN[f"bank.{name}.{i}"]), (name, i)


@torch.no_grad()
def test_pose_attention_and_one_denoising_step(given, bank):
    from diffusers import DDIMScheduler

    from contrapposto.models.parts_to_whole.weights import SCHEDULER

    denoiser, pose = tiny_parts.denoiser(), tiny_parts.guider()(given["pose"])
    assert near(pose, GOLDEN["pose"])
    seen = []
    denoiser.unet.get_submodule(tiny_parts.BLOCK).attn1.register_forward_hook(lambda module, args, out: seen.append(out))
    tokens = pad_tokens(given["image_tokens"])
    states = torch.cat([torch.cat([given["positive"], tokens], 1), torch.cat([given["negative"], torch.zeros_like(tokens)], 1)])
    scheduler = DDIMScheduler(**SCHEDULER)
    scheduler.set_timesteps(50)
    denoiser.use(bank, pose)
    wanted, unwanted = denoiser(given["noise"].repeat(2, 1, 1, 1), scheduler.timesteps[0], states).sample.chunk(2)
    assert near(seen[0][:1], GOLDEN["attention"])
    assert near(wanted, GOLDEN["wanted"]) and near(unwanted, GOLDEN["unwanted"])
    step = scheduler.step(unwanted + 3.5 * (wanted - unwanted), scheduler.timesteps[0], given["noise"]).prev_sample
    assert near(step, GOLDEN["step"])
