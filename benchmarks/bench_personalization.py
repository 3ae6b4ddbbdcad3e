"""Conditioning and paste-back against the sampling of a full-size Stable Diffusion 1.5 with random weights, 512 x 512, 25 steps.

One guided pass of the UNet is timed and taken 25 times: every step costs the same. No pass is added by the personalization.
"""

from __future__ import annotations

import statistics

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.compose.paste_back import paste_back
from contrapposto.models.headless.diffusers_backend import DiffusersModel
from contrapposto.models.personalization.conditioning import encode_avatar, input_channels
from contrapposto.models.personalization.unet import INPUT_CHANNELS, LATENT_CHANNELS
from contrapposto.models.types import Camera, Render

SIDE, STEPS = 512, 25
AT_MOST = 0.05


def run(rounds=2):
    """Rows for all of our work beside the sampling, and for the paste back alone."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    blocks |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    model = DiffusersModel(UNet2DConditionModel(in_channels=INPUT_CHANNELS, cross_attention_dim=768), AutoencoderKL(**blocks), None, None)
    avatar, states = disc(), torch.randn(2, 78, 768)
    noisy, beside = torch.randn(2, LATENT_CHANNELS, SIDE // 8, SIDE // 8), torch.randn(2, 9, SIDE // 8, SIDE // 8)
    time, background = torch.tensor(500), torch.rand(1, SIDE, SIDE, 3)

    def ours():
        input_channels(encode_avatar(avatar, avatar, model.encode, 0.5), model.scale)
        paste_back(background, avatar, linear_light=True)

    seconds, one_pass, ratio = interleaved(ours, lambda: model.predict_noise(noisy, time, states, beside), rounds)
    alone = statistics.median(_seconds(lambda: paste_back(background, avatar, linear_light=True)) for _ in range(5))
    sampling = STEPS * one_pass
    return [row("personalization and paste back, vs 25 steps of SD1.5 at 512 x 512", seconds, sampling, ratio / STEPS, "at most 5 %",
                AT_MOST),
            row("paste back alone, vs the same", alone, sampling, alone / sampling, "-")]


def disc():
    """An avatar of one row: a disc of noise."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    alpha = (150 - ((x - 256) ** 2 + (y - 256) ** 2).sqrt()).clamp(0, 1)[None]
    ones = torch.ones(1)
    camera = Camera(ones, ones, ones, ones, torch.eye(3)[None], torch.zeros(1, 3), SIDE, SIDE)
    return Render(torch.rand(1, SIDE, SIDE, 3), alpha, alpha, camera)


def _seconds(call):
    import time

    start = time.perf_counter()
    call()
    return time.perf_counter() - start
