# ruff: noqa: E402, I001 (the host's modules can be imported once its arguments are parsed)
"""Runs inside a host's own interpreter: Parts2Whole with random weights, without the server. Prints one line of JSON.

Arguments: ComfyUI's root, the pack's folder, the folder with the files that test_parts_to_whole.py made.
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
import utils.install_util  # noqa: F401 (as main.py does: comfy has a module of this name, which would be found first later)
import comfy.options

comfy.options.enable_args_parsing()
import comfy.lora
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sample
import comfy.sd
import comfy.supported_models
import comfy.utils
import nodes
import torch

assert asyncio.run(nodes.load_custom_node(pack))
ours = pack.replace(".", "_x_")
module = lambda name: sys.modules[f"{ours}.{name}"]
node, loading, patches, sampling = (module(f"nodes.{name}") for name in ("parts_to_whole", "parts_loading", "parts_patches", "sampling"))

given = comfy.utils.load_torch_file(str(files / "inputs.safetensors"))
report, WrappersMP = {}, comfy.patcher_extension.WrappersMP
positive, negative = ([[given[name], {}]] for name in ("positive", "negative"))


class Clip:
    """CLIP-L's interface over the label states of the test."""

    def tokenize(self, text):
        self.text = text
        return {"l": [[(49407, 1.0)] * 77]}

    def clone(self):
        return self

    def clip_layer(self, layer):
        pass

    def encode_from_tokens(self, tokens, return_pooled=None):
        return given["label " + self.text], torch.zeros(1, 768)


class Vision:
    def __init__(self, width=768):
        self.width = width

    def encode_image(self, image):
        return {"image_embeds": given["tokens"][:1, : self.width] * image.mean()}


def outputs(call, *arguments, **options):
    return call.execute(*arguments, **options).args


def parts(*labels, **options):
    chain = ()
    for label in labels:
        settings = {"strength": 1.0, "start": 0.0, "end": 1.0, "crop": "whole picture", "fit": "pad", **options}
        chain = outputs(node.ReferencePart, given["picture " + label][None], label, **settings, mask=given["mask " + label][None],
                        references=chain)[0]
    return chain


vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(files / "vae.safetensors")))
model, loaded = loading.load_parts(files / "release")
BOTH = ("face", "shoes")


def applied(references=None, pose=None, base=None, **other):
    references = parts(*BOTH) if references is None else references
    wired = {"clip": Clip(), "vae": vae, "clip_vision": Vision(), "parts2whole": loaded, "positive": positive, "negative": negative}
    wired |= other
    return outputs(node.ApplyPartsToWhole, base or model, **wired, references=references, pose=pose)


def captured(model, calls):
    clone = model.clone()

    def note(executor, x, timesteps, context=None, *rest, **options):
        out = executor(x, timesteps, context, *rest, **options)
        calls.append((x.clone(), timesteps.clone(), context.clone(), out.clone()))
        return out

    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "probe", note)
    return clone


def sample(model, positive, negative, calls=None, steps=2, cfg=3.5, rows=1):
    latents = torch.zeros(rows, 4, *given["size"].tolist())
    noise = comfy.sample.prepare_noise(latents, 5)
    model = model if calls is None else captured(model, calls)
    return comfy.sample.sample(model, noise, steps, cfg, "euler", "normal", positive, negative, latents, seed=5, disable_pbar=True)


def difference(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


def says(call):
    try:
        call()
    except Exception as error:
        return str(error)
    return None


# what the network is given and answers, to be compared with diffusers
calls, encoded = [], []
encode = patches.encode_references
patches.encode_references = lambda encoder, fitted, *rest: (encoded.append(len(fitted)), encode(encoder, fitted, *rest))[1]
trio = applied(pose=given["pose"])
run = trio[1][0][1]["model_conds"][patches.ROWS_KEY].cond[0]
whole = sample(*trio, calls=calls)
x, times, context, out = calls[0]
comfy.utils.save_torch_file({"x": x, "times": times, "context": context, "out": out}, str(files / "captured.safetensors"))
report["calls"], report["rows"], report["encoded"] = len(calls), x.shape[0], list(encoded)
report["freed"] = run.bank is None and run.pose_features is None
report["sigma_max"] = float(model.get_model_object("model_sampling").sigma_max)
report["again"] = torch.equal(sample(*trio), whole)

# nothing to read is the plain model, bit for bit
plain = sample(model, positive, negative)
report["plain"] = {"none": torch.equal(sample(*applied(())), plain),
                   "zero": torch.equal(sample(*applied(parts(*BOTH, strength=0.0))), plain),
                   "never": torch.equal(sample(*applied(parts(*BOTH, start=0.5, end=0.5))), plain), "acts": difference(whole, plain)}
report["pose_alone"] = difference(sample(*applied((), pose=given["pose"])), plain)
report["order"] = torch.equal(sample(*applied(parts(*BOTH[::-1]), pose=given["pose"])), whole)

# parts, strengths and steps
one = sample(*applied(parts("face")))
report["strength"] = [difference(sample(*applied(parts("face", strength=strength))), one) for strength in (0.999, 0.3)]
report["weak"] = difference(sample(*applied(parts("face", strength=1e-6))), plain)
calls.clear()
sample(*applied(parts("face", end=0.3)), calls=calls)
late = calls[1]
unpatched = model.model.diffusion_model(late[0], late[1], context=late[2], transformer_options={})
report["ended"] = torch.equal(late[3], unpatched)

# cfg 1, batches, the converted file
calls.clear()
sample(*trio, calls=calls, cfg=1.0)
report["cfg1"] = calls[0][0].shape[0]
report["batch"] = difference(sample(*trio, rows=3)[:1], whole)
other_model, other_loaded = loading.load_parts(files / "one.safetensors")
report["converted"] = torch.equal(sample(*applied(pose=given["pose"], base=other_model, parts2whole=other_loaded)), whole)

# others' patches: a LoRA, a replaced cross-attention (IP-Adapter), a replaced self-attention, another attention function
name = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_v"
lora = {f"{name}.lora_up.weight": torch.randn(320, 2) * 0.3, f"{name}.lora_down.weight": torch.randn(2, 320) * 0.3}


def with_lora(model):
    clone = model.clone()
    assert clone.add_patches(comfy.lora.load_lora(dict(lora), comfy.lora.model_lora_keys_unet(model.model, {})), 1.0)
    return clone


inside, outside = sample(*applied(base=with_lora(model))), applied()
report["lora"] = {"order": difference(sample(with_lora(outside[0]), *outside[1:]), inside), "acts": difference(inside, sample(*outside))}
adapter = outside[0].clone()
adapter.set_model_attn2_replace(lambda q, k, v, options: q * 0.1, "input", 1)
alone = model.clone()
alone.set_model_attn2_replace(lambda q, k, v, options: q * 0.1, "input", 1)
both, only = sample(adapter, *outside[1:]), sample(alone, positive, negative)
report["adapter"] = {"ours": difference(both, only), "theirs": difference(both, sample(*outside))}
perturbed = outside[0].clone()
perturbed.set_model_attn1_replace(lambda q, k, v, options: v, "input", 1)
report["perturbed"] = bool(torch.isfinite(sample(perturbed, *outside[1:])).all())
seen = []
override = outside[0].clone()
override.model_options["transformer_options"]["optimized_attention_override"] = lambda f, *a, **k: (seen.append(1), f(*a, **k))[1]
report["override"] = difference(sample(override, *outside[1:]), sample(*outside)), len(seen) > 0
area = nodes.ConditioningSetArea().append(trio[1], 64, 64, 0, 0, 1.0)[0]
report["area"] = bool(torch.isfinite(sample(trio[0], area + trio[1], trio[2])).all())

# weights that stay in RAM and are patched when they are used
latent = torch.zeros(1, 4, *given["size"].tolist())
comfy.model_management.unload_all_models()
loaded_out = sample(*applied(base=with_lora(model)))
comfy.model_management.unload_all_models()
low = applied(base=with_lora(model))
load = comfy.model_patcher.ModelPatcher.partially_load
comfy.model_patcher.ModelPatcher.partially_load = lambda self, device, extra_memory=0, **options: load(self, device, 1, **options)
waits = comfy.model_patcher.ModelPatcher.load
comfy.model_patcher.ModelPatcher.load = lambda self, device, lowvram_model_memory=0, **options: waits(self, device, 1, **options)
report["lowvram"] = difference(sample(*low), loaded_out)
comfy.model_patcher.ModelPatcher.partially_load, comfy.model_patcher.ModelPatcher.load = load, waits
comfy.model_management.unload_all_models()

# inside jobs that sample themselves, as the frame loop does
hosted = sampling.HostedDiffusion(trio[0], vae, "euler", "normal")
report["frame loop"] = torch.equal(hosted.sample(trio[1], trio[2], latent, seed=5, steps=2, guidance=3.5), whole)

# mistakes
sdxl_config = comfy.supported_models.SDXL({
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": [1, 2],
    "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1], "transformer_depth_middle": 1, "context_dim": 64,
    "num_classes": "sequential", "adm_in_channels": 2816, "use_spatial_transformer": True, "legacy": False, "num_heads": 4,
    "use_linear_in_transformer": True})
sdxl_config.set_inference_dtype(torch.float32, None)
sdxl = comfy.model_patcher.ModelPatcher(sdxl_config.get_model({}, "", device="cpu"), load_device=torch.device("cpu"),
                                        offload_device=torch.device("cpu"))
foreign = comfy.sd.load_diffusion_model(str(files / "plain.safetensors"))
experimental = applied(base=foreign)
report["experimental"] = bool(torch.isfinite(sample(*experimental)).all())
picture = given["picture face"][None]
say = lambda **change: says(lambda: outputs(node.ReferencePart, **{
    "image": picture, "label": "face", "strength": 1.0, "start": 0.0, "end": 1.0, "crop": "whole picture", "fit": "pad", **change}))
report["says"] = {
    "sdxl": says(lambda: applied(base=sdxl)),
    "narrow vision": says(lambda: applied(clip_vision=Vision(512))),
    "other model": says(lambda: sample(model, *trio[1:])),
    "twenty": says(lambda: applied(parts("face") * 20)),
    "label": say(label="nose"),
    "small mask": say(mask=torch.zeros(1, 64, 64)),
    "empty mask": say(mask=torch.zeros(1, *picture.shape[1:3])),
    "no points": say(crop="face, eyes level"),
    "folder": says(lambda: loading.load_parts(files / "incomplete")),
}
print("\n" + json.dumps(report))
