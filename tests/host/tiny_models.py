"""Small models with random weights in the layout of real Stable Diffusion 1.5 files, so that ComfyUI's own loaders take them.

ComfyUI knows SD1.5 by 320 channels and 768 wide text states; depth is read from the file. The CLIP's size is fixed, so its file is large.
"""

from __future__ import annotations

import torch

CHANNELS, TEXT_WIDTH = 320, 768


def diffusers_unet(in_channels, seed=0):
    """A UNet2DConditionModel of one level, about 20 million weights."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet2DConditionModel(
            in_channels=in_channels, block_out_channels=(CHANNELS, CHANNELS), layers_per_block=1, cross_attention_dim=TEXT_WIDTH,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=8, mid_block_type=None).eval()


def ldm_names(unet):
    """{diffusers name: name in a single-file checkpoint} of its weights."""
    from contrapposto.models.personalization.ldm_keys import to_ldm

    return to_ldm(list(unet.state_dict()), unet.config.layers_per_block)


def ldm_unet(unet):
    """Its weights under the names of a single-file checkpoint."""
    names = ldm_names(unet)
    return {names[name]: weight for name, weight in unet.state_dict().items()}


def taesd(seed=0):
    """A tiny autoencoder's weights under ComfyUI's names."""
    from diffusers import AutoencoderTiny

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = AutoencoderTiny().state_dict()
    renamed = {}
    for name, weight in state.items():
        part, _, index, rest = name.split(".", 3)
        renamed[f"taesd_{part}.{int(index) + (part == 'decoder')}.{rest}"] = weight
    return renamed | {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}


def clip_l(seed=0):
    """CLIP-L's text weights, half precision, under the names of transformers."""
    generator = torch.Generator().manual_seed(seed)

    def weight(*shape):
        return (torch.randn(*shape, generator=generator) * 0.02).half()

    state = {"embeddings.token_embedding.weight": weight(49408, TEXT_WIDTH), "embeddings.position_embedding.weight": weight(77, TEXT_WIDTH)}
    norms = ["final_layer_norm"]
    for layer in range(12):
        stem = f"encoder.layers.{layer}."
        norms += [stem + "layer_norm1", stem + "layer_norm2"]
        sizes = {f"self_attn.{name}_proj": (TEXT_WIDTH, TEXT_WIDTH) for name in ("q", "k", "v", "out")}
        sizes |= {"mlp.fc1": (4 * TEXT_WIDTH, TEXT_WIDTH), "mlp.fc2": (TEXT_WIDTH, 4 * TEXT_WIDTH)}
        for name, (rows, columns) in sizes.items():
            state |= {f"{stem}{name}.weight": weight(rows, columns), f"{stem}{name}.bias": torch.zeros(rows).half()}
    for name in norms:
        state |= {f"{name}.weight": torch.ones(TEXT_WIDTH).half(), f"{name}.bias": torch.zeros(TEXT_WIDTH).half()}
    return {"text_model." + name: value for name, value in state.items()}


def save_checkpoint(path, unet):
    """Writes a single-file checkpoint, .safetensors or .ckpt: a UNet (LDM names), the tiny autoencoder, CLIP-L."""
    from safetensors.torch import save_file

    parts = {"model.diffusion_model.": unet, "first_stage_model.": taesd(), "cond_stage_model.transformer.": clip_l()}
    weights = {prefix + name: weight.half().contiguous() for prefix, part in parts.items() for name, weight in part.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".ckpt":
        torch.save({"state_dict": weights}, path)
    else:
        save_file(weights, str(path))


def control_net(seed):
    """A ControlNet for the UNets above as our training exports it, with random numbers where a fresh one has zeros."""
    from diffusers import UNet2DConditionModel

    from contrapposto.models.training.train_previous_frame import control_net_weights, new_module

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(block_out_channels=(CHANNELS, CHANNELS), layers_per_block=1, cross_attention_dim=TEXT_WIDTH,
                                    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=8,
                                    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
        weights = control_net_weights(new_module(unet, seed))
        return {name: torch.randn_like(weight) * 0.01 if name.startswith("zero_convs") else weight for name, weight in weights.items()}


def stock_control_nets(server, names):
    """Puts ControlNets of those file names into a server's folder."""
    from safetensors.torch import save_file

    folder = server.base / "models" / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        if not (folder / name).exists():
            save_file({key: weight.half().contiguous() for key, weight in control_net(seed).items()}, str(folder / name))


def stock(server):
    """Puts the checkpoint that the example workflows name into a server's folder."""
    checkpoint = server.base / "models" / "checkpoints" / "sd-v1-5-inpainting.ckpt"
    if not checkpoint.exists():
        save_checkpoint(checkpoint, ldm_unet(diffusers_unet(9)))
