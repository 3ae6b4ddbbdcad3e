"""Clips of discs that wander over coloured grounds, and a base model small enough to learn them in seconds."""

from __future__ import annotations

import json

import torch
from tiny_diffusion import encode_letters
from torch.nn.functional import avg_pool2d


def write_clips(folder, clips=6, frames=3, size=64):
    """A data folder for ``find_frame_pairs``: every clip has its own colours, which its caption does not tell."""
    import numpy as np
    from PIL import Image

    generator = torch.Generator().manual_seed(4)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    lines = []
    for clip in range(clips):
        (folder / "clips" / f"clip{clip}").mkdir(parents=True)
        ground, disc = torch.rand(2, 3, generator=generator)
        place = torch.rand(2, generator=generator) * size / 2 + size / 4
        for frame in range(frames):
            inside = ((x - place[0]) ** 2 + (y - place[1]) ** 2).sqrt() < size / 5
            picture = torch.where(inside[..., None], disc, ground)
            Image.fromarray((picture.numpy() * 255).astype(np.uint8)).save(folder / "clips" / f"clip{clip}" / f"{frame:03}.png")
            place = place + torch.randn(2, generator=generator) * 3
        lines.append(json.dumps({"name": f"clip{clip}", "caption": "a disc"}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def small_base(seed=0):
    """A DiffusersModel whose latents are the colours of 8 x 8 cells, so that nothing but the UNet has to learn."""
    from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel

    from contrapposto.models.headless.diffusers_backend import DiffusersModel

    class Colours(DiffusersModel):
        def encode(self, images):
            means = avg_pool2d(images.permute(0, 3, 1, 2).float() * 2 - 1, 8)
            return torch.cat([means, means[:, :1]], 1)

        def scale(self, latents):
            return latents

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(in_channels=4, block_out_channels=(32, 32), layers_per_block=1, cross_attention_dim=32,
                                    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), norm_num_groups=8,
                                    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4)
        vae = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1,) * 4,
                              num_decoder_blocks=(1,) * 4)
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1)
    return Colours(unet, vae, scheduler, encode_letters)
