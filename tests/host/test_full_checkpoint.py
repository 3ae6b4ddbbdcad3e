"""The exported checkpoint, with a full-size VAE and text encoder from a diffusers folder, in ComfyUI's checkpoint loader."""

import json
import subprocess

import pytest
import tiny_models
import torch

SIDE = 64

PROBE = """
import json, os, sys
root, folder = sys.argv[1:]
sys.path.insert(0, root)
os.chdir(root)
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.sd, comfy.utils, torch
model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(folder + "/checkpoint.safetensors", output_vae=True, output_clip=True)
given = comfy.utils.load_torch_file(folder + "/given.safetensors")
latents = vae.encode(given["image"])
states = clip.encode_from_tokens(clip.tokenize("a person"))
comfy.utils.save_torch_file({"latents": latents, "states": states}, folder + "/made.safetensors")
print("\\n" + json.dumps({"channels": model.model.model_config.unet_config["in_channels"], "text": list(states.shape),
                          "finite": bool(torch.isfinite(states).all())}))
"""


@pytest.mark.slow
def test_vae_and_text_encoder_travel_with_the_checkpoint(host, tmp_path):
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file, save_file

    from contrapposto.models.training.train_personalization import checkpoint_weights

    blocks = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    blocks |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(**blocks).eval()
    for name, weights in (("vae/diffusion_pytorch_model", vae.state_dict()), ("text_encoder/model", tiny_models.clip_l())):
        (tmp_path / name).parent.mkdir()
        save_file(weights, tmp_path / f"{name}.safetensors")
    unet = tiny_models.ldm_unet(tiny_models.diffusers_unet(13))
    weights = checkpoint_weights(unet, tmp_path)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, tmp_path / "checkpoint.safetensors")
    image = torch.rand(1, SIDE, SIDE, 3)
    save_file({"image": image}, tmp_path / "given.safetensors")

    command = [host.python, "-c", PROBE, host.root, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=host.environment(), timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert report == {"channels": 13, "text": [1, 77, 768], "finite": True}
    with torch.no_grad():
        expected = vae.encode(image.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mode()
    latents = load_file(tmp_path / "made.safetensors")["latents"]
    assert (latents - expected).abs().max() / expected.abs().max() < 1e-3
