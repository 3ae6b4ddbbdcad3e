# ruff: noqa: E402, I001 (the host's modules can be imported once its arguments are parsed)
"""Runs inside a host's own interpreter: personalization with random-weight models, without the server. Prints one line of JSON.

Arguments: ComfyUI's root, the pack's folder, the folder with the files that test_personalized_models.py made.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

root, pack, files = sys.argv[1], sys.argv[2], Path(sys.argv[3])
sys.path.insert(0, root)
os.chdir(root)
sys.argv = ["main.py", "--cpu"]
import comfy.options

comfy.options.enable_args_parsing()
import comfy.cldm.cldm
import comfy.controlnet
import comfy.lora
import comfy.patcher_extension
import comfy.sample
import comfy.sd
import comfy.utils
import nodes
import torch

assert asyncio.run(nodes.load_custom_node(pack))
ours = pack.replace(".", "_x_")
module = lambda name: sys.modules[f"{ours}.{name}"]
personalize, patches = module("nodes.personalize"), module("nodes.unet_patches")
conditioning, types = module("models.personalization.conditioning"), module("models.types")
load_patch = module("models.personalization.patch").load_patch

given = comfy.utils.load_torch_file(str(files / "inputs.safetensors"))
report = {}


def render(kind):
    ones = torch.ones(len(given["alpha"]))
    height, width = given["alpha"].shape[1:]
    camera = types.Camera(ones, ones, ones, ones, torch.eye(3).expand(len(ones), 3, 3), torch.zeros(len(ones), 3), width, height)
    return types.Render(given[kind], given["alpha"], given["alpha"], camera)


def cond(name, tokens=77):
    return [[given[name].repeat(1, tokens // 77, 1), {}]]


def fill(network, std=0.05):
    generator = torch.Generator().manual_seed(3)
    for weight in network.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=generator) * std)


def captured(model, calls):
    """A clone of the MODEL that notes what its network is given and returns."""
    clone = model.clone()

    def note(executor, x, timesteps, context=None, *rest, **options):
        out = executor(x, timesteps, context, *rest, **options)
        calls.append((x.clone(), timesteps.clone(), context.clone(), out.clone()))
        return out

    clone.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "probe", note)
    return clone


def sample(model, positive, negative, latent, calls=None, steps=2):
    model = model if calls is None else captured(model, calls)
    noise = comfy.sample.prepare_noise(latent["samples"], 5)
    return comfy.sample.sample(model, noise, steps, 4.0, "euler", "normal", positive, negative, latent["samples"],
                               noise_mask=latent["noise_mask"], seed=5, disable_pbar=True)


def outputs(node, *arguments, **options):
    return node.execute(*arguments, **options).args


def difference(one, other):
    """The largest difference as a share of the largest value."""
    return ((one - other).abs().max() / other.abs().max()).item()


def says(call):
    try:
        call()
    except Exception as error:
        return str(error)
    return None


vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(files / "vae.safetensors")))
base = comfy.sd.load_diffusion_model(str(files / "base4.safetensors"))
full = comfy.sd.load_diffusion_model(str(files / "pas13.safetensors"))
inpaint = comfy.sd.load_diffusion_model(str(files / "base9.safetensors"))
depth = comfy.sd.load_diffusion_model(str(files / "base5.safetensors"))
patch = load_patch(files / "patch.safetensors")
(encoded,) = outputs(personalize.EncodeAvatar, vae, render("avatar"), render("gray"), 0.5)
positive, negative = cond("positive"), cond("negative")


def prepared(model, positive=positive, negative=negative):
    return outputs(personalize.PersonalizeConditioning, model, positive, negative, encoded)


# the base before anything was patched; the same numbers are wanted again at the end
before = sample(*prepared(base))

# a full 13-channel checkpoint: what the network is given, and what it answers
calls = []
pas = patches.apply_patch(full, patch, 1.0)
from_full = sample(*prepared(pas), calls=calls)
report["calls"] = len(calls)
x, times, context, out = calls[0]
report["x"] = list(x.shape)
comfy.utils.save_torch_file({"x": x, "times": times, "context": context, "out": out}, str(files / "captured.safetensors"))

# the patch over its base gives the same
calls.clear()
patched = patches.apply_patch(base, patch, 1.0)
from_patch = sample(*prepared(patched), calls=calls)
report["patch_to_full"] = difference(from_patch, from_full)
report["patched_channels"] = calls[0][0].shape[1]

# half the strength is something else; none is the unchanged model; the base is as it was
half = sample(*prepared(patches.apply_patch(base, patch, 0.5)))
report["half_differs"] = difference(half, from_patch)
report["zero_is_base"] = torch.equal(sample(*prepared(patches.apply_patch(base, patch, 0.0))), before)
report["base_untouched"] = torch.equal(sample(*prepared(base)), before)

# texts of different length still go through the network together
calls.clear()
sample(*prepared(patched, cond("positive", 154), negative), calls=calls)
report["long_text"] = {"calls": len(calls), "rows": calls[0][0].shape[0], "tokens": calls[0][2].shape[1]}

# an inpainting model reads mask and avatar
calls.clear()
painted = sample(*prepared(inpaint), calls=calls)
x = calls[0][0]
report["inpaint"] = {"channels": x.shape[1], "finite": bool(torch.isfinite(painted).all()),
                     "mask": torch.equal(x[:1, 4], comfy.utils.common_upscale(encoded.change_mask[:, None], x.shape[-1], x.shape[-2],
                                                                             "bilinear", "center")[:, 0].round()),
                     "avatar": torch.allclose(x[:1, 5:9], encoded.avatar_latents * 0.18215, atol=1e-5)}

# noise mask alone: what is the avatar's stays
kept = encoded.change_mask[:, None, ::8, ::8].expand_as(before) == 0
report["kept"] = {"cells": int(kept.sum()), "exact": torch.allclose(before[kept], encoded.avatar_latents[kept], atol=1e-4)}

# together with a LoRA on either side, a ControlNet, an area of another size, and a batch
name = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_v"
lora = {f"{name}.lora_up.weight": torch.randn(320, 2) * 0.3, f"{name}.lora_down.weight": torch.randn(2, 320) * 0.3}


def with_lora(model):
    clone = model.clone()
    assert clone.add_patches(comfy.lora.load_lora(dict(lora), comfy.lora.model_lora_keys_unet(model.model, {})), 1.0)
    return clone


inside = sample(*prepared(patches.apply_patch(with_lora(base), patch, 1.0)))
outside = sample(*prepared(with_lora(patched)))
report["lora"] = {"order": difference(inside, outside), "acts": difference(outside, from_patch)}

net = comfy.cldm.cldm.ControlNet(image_size=32, in_channels=4, hint_channels=3, model_channels=320, num_res_blocks=[1, 1],
                                 channel_mult=[1, 1], transformer_depth=[1, 0], transformer_depth_middle=-2, num_heads=8,
                                 use_spatial_transformer=True, context_dim=768, operations=comfy.ops.disable_weight_init)
fill(net)
control = comfy.controlnet.ControlNet(net, load_device=torch.device("cpu"), manual_cast_dtype=None)
seen = []
forward = net.forward
net.forward = lambda *a, **k: (seen.append(k["context"].shape[1]), forward(*a, **k))[1]
hint = given["gray"]
pair = nodes.ControlNetApplyAdvanced().apply_controlnet(positive, negative, control, hint, 0.5, 0.0, 1.0)
controlled = sample(*prepared(patched, *pair))
report["control"] = {"acts": difference(controlled, from_patch), "tokens": seen[0]}

model, wanted, unwanted, latent = prepared(patched)
batch = {"samples": latent["samples"].repeat(3, 1, 1, 1), "noise_mask": latent["noise_mask"].repeat(3, 1, 1, 1)}
report["batch"] = list(sample(model, wanted, unwanted, batch).shape)
area = nodes.ConditioningSetArea().append(wanted, 64, 64, 0, 0, 1.0)[0]
report["area"] = bool(torch.isfinite(sample(model, area + wanted, unwanted, latent)).all())

# mistakes
wrong = comfy.sd.load_diffusion_model(str(files / "other4.safetensors"))
sixteen = conditioning.AvatarConditioning(torch.zeros(1, 16, 8, 8), torch.zeros(1, 16, 8, 8), torch.zeros(1, 8, 8), torch.ones(1, 64, 64))
report["says"] = {
    "other base": says(lambda: patches.apply_patch(wrong, patch, 1.0)),
    "other personalized": says(lambda: patches.apply_patch(full, load_patch(files / "other_patch.safetensors"), 1.0)),
    "no token": says(lambda: prepared(full)),
    "five channels": says(lambda: prepared(depth)),
    "other vae": says(lambda: outputs(personalize.PersonalizeConditioning, base, positive, negative, sixteen)),
    "narrow text": says(lambda: prepared(patched, [[torch.zeros(1, 77, 1024), {}]], negative)),
    "not personalized": says(lambda: sample(patched, positive, negative, latent)),
}
report["base_untouched_at_the_end"] = torch.equal(sample(*prepared(base)), before)
print("\n" + json.dumps(report))
