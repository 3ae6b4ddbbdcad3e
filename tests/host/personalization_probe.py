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
import comfy.ldm.flux.model
import comfy.ldm.modules.attention
import comfy.lora
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sample
import comfy.sd
import comfy.supported_models
import comfy.utils
import utils  # noqa: F401  (before nodes, which puts a folder in front of the path that holds another one)
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
(encoding,) = outputs(personalize.EncodeAvatar, vae, render("avatar"), render("gray"), 0.5)
encoded = encoding.read()
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



# another pack's attention: image tokens added to each text attention (a patch), or the whole attention replaced, as IP-Adapter packs do
def with_image_tokens(model):
    clone, extra = model.clone(), torch.randn(1, 4, 768, generator=torch.Generator().manual_seed(4))

    def lengthen(q, context, value, options):
        attended.append(context.shape[1])
        image = extra.expand(len(context), -1, -1).to(context)
        return q, torch.cat([context, image], 1), torch.cat([context if value is None else value, image], 1)

    clone.set_model_attn2_patch(lengthen)
    return clone


def with_own_attention(model):
    clone = model.clone()

    def attend(q, key, value, options):
        attended.append(key.shape[1])
        return comfy.ldm.modules.attention.optimized_attention(q, key, value, options["n_heads"]) * 0.5

    clone.set_model_attn2_replace(attend, "input", 1, 0)
    return clone


def together(*changes):
    """(result, text lengths seen) of a base through changes one after another; "patch" is ours."""
    attended.clear()
    model = base
    for change in changes:
        model = patches.apply_patch(model, patch, 1.0) if change == "patch" else change(model)
    return sample(*prepared(model)), sorted(set(attended))


attended = []
tokens_first, seen_first = together(with_image_tokens, "patch", with_lora)
tokens_last, seen_last = together("patch", with_lora, with_image_tokens)
own_first, own_seen = together(with_own_attention, "patch")
own_last, _ = together("patch", with_own_attention)
crowd, _ = together(with_lora, with_image_tokens, "patch", with_own_attention)
model, *pair_of_texts, latent = prepared(with_own_attention(with_image_tokens(patches.apply_patch(with_lora(base), patch, 1.0))))
crowd_controlled = sample(model, *nodes.ControlNetApplyAdvanced().apply_controlnet(*pair_of_texts, control, hint, 0.5, 0.0, 1.0), latent)
report["attention"] = {"order": difference(tokens_first, tokens_last), "acts": difference(tokens_last, outside),
                       "seen": seen_first + seen_last,
                       "replaced_order": difference(own_first, own_last), "replaced_acts": difference(own_last, from_patch),
                       "replaced_seen": own_seen, "with_all": difference(crowd_controlled, crowd),
                       "untouched": torch.equal(sample(*prepared(patched)), from_patch)}

model, wanted, unwanted, latent = prepared(patched)
batch = {"samples": latent["samples"].repeat(3, 1, 1, 1), "noise_mask": latent["noise_mask"].repeat(3, 1, 1, 1)}
report["batch"] = list(sample(model, wanted, unwanted, batch).shape)
area = nodes.ConditioningSetArea().append(wanted, 64, 64, 0, 0, 1.0)[0]
report["area"] = bool(torch.isfinite(sample(model, area + wanted, unwanted, latent)).all())

# weights that stay in RAM and are patched when they are used, as on a small graphics card
model, wanted, unwanted, latent = prepared(patches.apply_patch(base, patch, 1.0))
pass_input = {"c_concat": wanted[0][1][patches.CHANNELS_KEY], "c_crossattn": wanted[0][0]}
noisy, sigma = torch.randn_like(latent["samples"]), torch.tensor([2.0])
comfy.model_management.load_models_gpu([model])
loaded = model.model.apply_model(noisy, sigma, **pass_input)
comfy.model_management.unload_all_models()
with torch.no_grad():
    model.load(torch.device("cpu"), lowvram_model_memory=1)
    waiting = sum(bool(getattr(layer, "weight_function", None)) for layer in model.model.modules())
    offloaded = model.model.apply_model(noisy, sigma, **pass_input)
    model.detach()
report["lowvram"] = {"waiting": waiting, "difference": difference(offloaded, loaded)}


# other families: the noise mask leads them; Flux Fill is an inpainting model of its own kind
def in_memory(config, network_config):
    made = config(network_config)
    made.set_inference_dtype(torch.float32, None)
    network = made.get_model({}, "", device="cpu")
    fill(network.diffusion_model)
    return comfy.model_patcher.ModelPatcher(network, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def flux(channels):
    known = comfy.ldm.flux.model.FluxParams.__dataclass_fields__
    network = {"image_model": "flux", "in_channels": channels, "out_channels": 16, "vec_in_dim": 32, "context_in_dim": 48,
               "hidden_size": 64, "mlp_ratio": 2.0, "num_heads": 4, "depth": 1, "depth_single_blocks": 1, "axes_dim": [4, 6, 6],
               "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": []}
    return in_memory(comfy.supported_models.Flux, {k: v for k, v in network.items() if k in known or k == "image_model"})


sdxl = in_memory(comfy.supported_models.SDXL, {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": [1, 2],
    "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1], "transformer_depth_middle": 1, "context_dim": 64,
    "num_classes": "sequential", "adm_in_channels": 2816, "use_spatial_transformer": True, "legacy": False, "num_heads": 4,
    "use_linear_in_transformer": True})
mask = encoded.change_mask


def other_family(model, channels, width, pooled):
    personalization = conditioning.AvatarConditioning(torch.randn(1, channels, 12, 12), torch.randn(1, channels, 12, 12),
                                                      encoded.alpha, mask)
    texts = [[[torch.randn(1, 20, width), {"pooled_output": torch.randn(1, pooled)}]] for _ in range(2)]
    model, *pair, latent = outputs(personalize.PersonalizeConditioning, model, *texts, personalization)
    made, untouched = sample(model, *pair, latent), mask[:, None, ::8, ::8].expand(1, channels, 12, 12) == 0
    return bool(torch.isfinite(made).all()) and torch.allclose(made[untouched], personalization.avatar_latents[untouched], atol=1e-4)


report["families"] = {"sdxl": other_family(sdxl, 4, 64, 1280), "flux": other_family(flux(16), 16, 48, 32),
                      "flux fill": other_family(flux(96), 16, 48, 32)}

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
