"""Writing pairs beside a generator, and a corrected picture against its two passes.

The generator is a fake that waits, as a CPU waits for a GPU. The passes run a small random network of Stable Diffusion's shape, so that
what surrounds them (bodies found, gate, depth, latents) weighs more than it would beside a real one.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.headless.correction import body_depth, correct_pictures
from contrapposto.models.headless.diffusers_backend import DiffusersModel
from contrapposto.models.pose_correction.depth_to_image import DepthToImage
from contrapposto.models.pose_correction.gate import difficulty, measure_framing
from contrapposto.models.pose_correction.pairs import make_pairs
from contrapposto.models.pose_correction.shards import ShardWriter
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.types import BodyPose

SIDE, PICTURES, WAIT = 512, 12, 0.25  # seconds that the fake model takes for a picture: a fast GPU at few steps
STEPS, STRENGTH = 10, 0.7


def run(rounds=3):
    """Rows for the writer beside a waiting generator, and for a correction against the bare passes of its networks."""
    body, prior, pose = load_body_model(), load_pose_prior(), BodyPose.rest()
    camera = frame_figure(pose_body(body, pose), SIDE, SIDE)
    return [_writer(body, pose, camera, rounds), *_correction(body, prior, pose, camera, rounds)]


def _writer(body, pose, camera, rounds):
    pairs = make_pairs(torch.rand(1, SIDE, SIDE, 3), pose, camera, body)
    folder = Path(tempfile.mkdtemp())

    def writing():
        with ShardWriter(folder / "0.tar") as shard:
            for number in range(PICTURES):
                time.sleep(WAIT)
                shard.add(pairs, [f"{number:04}"])

    def waiting():
        for _ in range(PICTURES):
            time.sleep(WAIT)

    ours, bare, ratio = interleaved(writing, waiting, rounds)
    name = f"{PICTURES} pictures of {SIDE} x {SIDE} noise into a shard, vs the generator alone ({WAIT} s a picture)"
    return row(name, ours, bare, ratio, "at most 1.05x", 1.05)


def _correction(body, prior, pose, camera, rounds):
    first_model, depth_model = (small_model(channels) for channels in (4, 5))
    first, settings = torch.rand(1, SIDE, SIDE, 3), DepthToImage(STRENGTH, STEPS)
    states = first_model.encode_text(["a"])
    latents, beside = first_model.empty_latents(SIDE, SIDE), torch.zeros(1, 1, SIDE // 8, SIDE // 8)

    def two_passes():
        first_model.decode(first_model.sample(states, states, latents, steps=STEPS))
        encoded = depth_model.encode(first)
        depth_model.decode(depth_model.sample(states, states, encoded, beside=beside, steps=STEPS, strength=STRENGTH))

    def corrected():
        picture = first_model.decode(first_model.sample(states, states, latents, steps=STEPS))
        correct_pictures(picture, depth_model, "a", lambda _: (pose, camera), body, prior, settings, threshold=0.0)

    def gate():
        difficulty(prior, pose)
        measure_framing(pose, camera, body)

    ours, bare, ratio = interleaved(corrected, two_passes, rounds)
    rows = [row("corrected picture without its fit, vs txt2img and 0.7 x depth-to-image", ours, bare, ratio, "at most 1.1x", 1.1)]
    ours, bare, ratio = interleaved(gate, lambda: first_model.sample(states, states, latents, steps=STEPS), rounds)
    rows.append(row("gate of an easy picture, vs its first pass", ours, bare, ratio, "below 5 %", 0.05))
    ours, bare, ratio = interleaved(lambda: body_depth(body, pose, camera, [0]), two_passes, rounds)
    return [*rows, row("occluded depth at 512 x 512, vs both passes", ours, bare, ratio, "-")]


def small_model(channels):
    """A DiffusersModel of two levels, 8 x 8 pixel cells, random weights, texts of zeros."""
    from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(in_channels=channels, block_out_channels=(128, 256), layers_per_block=1, cross_attention_dim=768,
                                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=8,
                                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False)
    return DiffusersModel(unet, AutoencoderTiny(scaling_factor=0.18215), scheduler, lambda texts: torch.zeros(len(texts), 77, 768))
