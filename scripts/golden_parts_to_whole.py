"""Rewrites tests/models/parts_to_whole/golden.safetensors with what the authors' own networks compute on seeded random weights.

    python scripts/golden_parts_to_whole.py --reference FOLDER

FOLDER is a checkout of huanngzh/Parts2Whole, whose networks need diffusers 0.25 and einops. Only numbers are stored. The test fills our
networks with the same weights (tests/models/parts_to_whole/tiny_parts.py).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models" / "parts_to_whole"))

import tiny_parts  # noqa: E402
import torch  # noqa: E402

GUIDANCE, STEPS = 3.5, 50


def main():
    """Runs the authors' networks as their training does: every part under its own label, with its own mask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", required=True, help="checkout of huanngzh/Parts2Whole")
    sys.path.insert(0, parser.parse_args().reference)
    from safetensors.torch import save_file

    with torch.no_grad():
        numbers = compute()
    path = ROOT / "tests" / "models" / "parts_to_whole" / "golden.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in numbers.items()}, str(path))
    print(f"{path}: {len(numbers)} tensors, {path.stat().st_size} bytes")


def compute():
    """{name: tensor} of bank features, one block's attention and one denoising step."""
    from diffusers import DDIMScheduler
    from parts2whole.models import PoseGuider, ReferenceAttentionControl, ReferenceUNet2DConditionModel, UNet2DConditionModel
    from parts2whole.models.custom_attention_processor import DecoupledCrossAttnProcessor2_0, set_unet_2d_condition_attn_processor

    given = tiny_parts.inputs()
    encoder = tiny_parts.fill(ReferenceUNet2DConditionModel(**tiny_parts.CONFIG), "encoder")
    denoiser = UNet2DConditionModel(**tiny_parts.CONFIG)
    set_unet_2d_condition_attn_processor(denoiser, set_cross_attn_proc_func=lambda name, width, text_width, old:
                                         DecoupledCrossAttnProcessor2_0(width, text_width, max_image_length=6))
    tiny_parts.fill(denoiser, "denoiser")
    guider = tiny_parts.fill(PoseGuider(tiny_parts.CONFIG["block_out_channels"][0], 3, tiny_parts.GUIDER), "guider")

    control = partial(ReferenceAttentionControl, do_classifier_free_guidance=True, batch_size=1, fusion_blocks="full")
    writer, reader = control(encoder, mode="write"), control(denoiser, mode="read")
    time = torch.zeros((), dtype=torch.long)
    for latents, label, mask in zip(given["reference_latents"], given["label_states"], given["masks"]):
        encoder(torch.stack([latents, latents]), time, torch.stack([given["negative"][0], label]),
                cross_attention_kwargs={"hidden_states_mask": torch.stack([mask, mask])})
    reader.update(writer, dtype=torch.float32)
    numbers = {f"bank.{name}.{i}": features[1:] for name, block in encoder.named_modules() if hasattr(block, "bank")
               for i, features in enumerate(block.bank)}

    attention = {}

    def note(module, args, out):
        attention.setdefault("first", out)

    denoiser.get_submodule(tiny_parts.BLOCK).attn1.register_forward_hook(note)
    tokens = torch.cat([given["image_tokens"], torch.zeros(1, 6 - given["image_tokens"].shape[1], given["image_tokens"].shape[2])], 1)
    states = torch.cat([torch.cat([given["negative"], torch.zeros_like(tokens)], 1), torch.cat([given["positive"], tokens], 1)])
    pose = guider(given["pose"])
    scheduler = DDIMScheduler(**tiny_parts.SCHEDULER)
    scheduler.set_timesteps(STEPS)
    t = scheduler.timesteps[0]
    twice = torch.cat([given["noise"], given["noise"]])
    out = denoiser(twice, t, encoder_hidden_states=states, pose_cond_fea=torch.cat([pose, pose]), return_dict=False)[0]
    unwanted, wanted = out.chunk(2)
    eps = unwanted + GUIDANCE * (wanted - unwanted)
    own = given["noise"].shape[2] * given["noise"].shape[3]
    return numbers | {"attention": attention["first"][1:, :own], "pose": pose, "unwanted": unwanted, "wanted": wanted,
                      "step": scheduler.step(eps, t, given["noise"]).prev_sample}


if __name__ == "__main__":
    main()
