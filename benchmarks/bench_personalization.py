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
    """Rows for all of our work beside the sampling, by the kind of model, and for the paste back alone."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    blocks |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    model = DiffusersModel(UNet2DConditionModel(in_channels=INPUT_CHANNELS, cross_attention_dim=768), AutoencoderKL(**blocks), None, None)
    avatar, states = disc(), torch.randn(2, 78, 768)
    noisy, beside = torch.randn(2, LATENT_CHANNELS, SIDE // 8, SIDE // 8), torch.randn(2, 9, SIDE // 8, SIDE // 8)
    time, background = torch.tensor(500), torch.rand(1, SIDE, SIDE, 3)

    def ours(gray):
        encoded = encode_avatar(avatar, avatar, model.encode, 0.5, gray=gray)
        if gray:
            input_channels(encoded, model.scale)
        paste_back(background, avatar, linear_light=True)

    def one_step():
        model.predict_noise(noisy, time, states, beside)

    rows = []
    for name, gray in (("an inpainting or text-to-image model", False), ("a personalized model", True)):
        seconds, one_pass, ratio = interleaved(lambda gray=gray: ours(gray), one_step, rounds)
        rows.append(row(f"conditioning and paste back for {name}, vs 25 steps of SD1.5 at 512 x 512", seconds, STEPS * one_pass,
                        ratio / STEPS, "at most 5 %", AT_MOST))
    alone = statistics.median(_seconds(lambda: paste_back(background, avatar, linear_light=True)) for _ in range(5))
    return [*rows, row("paste back alone, vs the same", alone, STEPS * one_pass, alone / (STEPS * one_pass), "-")]


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
