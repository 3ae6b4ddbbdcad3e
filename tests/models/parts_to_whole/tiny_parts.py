"""A Parts2Whole of a few thousand weights with the released key layout, filled by name, so that any implementation can be filled alike."""

from __future__ import annotations

import zlib

import torch

CONFIG = {"block_out_channels": (8, 16, 16, 16), "norm_num_groups": 4, "cross_attention_dim": 24, "attention_head_dim": 2}
GUIDER = (4, 4, 8, 8)
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000, "clip_sample": False,
             "steps_offset": 1, "timestep_spacing": "leading", "prediction_type": "epsilon"}
HEIGHT, WIDTH = 128, 96


def weight(name, shape, salt):
    """The weight of a name: random, but always the same."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(f"{salt} {name}".encode())))
    if len(shape) > 1:
        return values / shape[1:].numel() ** 0.5
    return values * 0.1 + ("norm" in name and name.endswith("weight"))


def fill(module, salt):
    """Fills a module by its weights' names; returns it in eval mode."""
    module.load_state_dict({name: weight(name, tensor.shape, salt) for name, tensor in module.state_dict().items()})
    return module.eval()


def inputs():
    """Two references, two masks, texts, image tokens, a pose and noise, all random."""
    generator = torch.Generator().manual_seed(11)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    height, width, text = HEIGHT // 8, WIDTH // 8, CONFIG["cross_attention_dim"]
    masks = torch.zeros(2, 1, HEIGHT, WIDTH)
    masks[0, :, 10:60, 20:70], masks[1, :, 64:, :48] = 1, 1
    return {"reference_latents": random(2, 4, height, width), "label_states": random(2, 77, text), "masks": masks,
            "positive": random(1, 77, text), "negative": random(1, 77, text), "image_tokens": random(1, 2, text),
            "pose": torch.rand((1, 3, HEIGHT, WIDTH), generator=generator), "noise": random(1, 4, height, width)}


def unet(salt):
    """A diffusers UNet filled by name."""
    from diffusers import UNet2DConditionModel

    return fill(UNet2DConditionModel(**CONFIG), salt)


def projections():
    """The image projections, filled under their released names."""
    from diffusers import UNet2DConditionModel

    from contrapposto.models.parts_to_whole.appearance_encoder import transformer_blocks
    from contrapposto.models.parts_to_whole.image_tokens import ImageProjections

    with torch.device("meta"):
        widths = {name: block.attn2.to_k.out_features for name, block in transformer_blocks(UNet2DConditionModel(**CONFIG)).items()}
    return ImageProjections.from_weights({
        f"{name}.{kind}": weight(f"{name}.attn2.processor.{kind}.weight", torch.Size((width, CONFIG["cross_attention_dim"])), "denoiser")
        for name, width in widths.items() for kind in ("to_k_dc", "to_v_dc")})


def denoiser():
    """A PartsUNet."""
    from contrapposto.models.parts_to_whole.network import PartsUNet

    return PartsUNet(unet("denoiser"), projections()).eval()


def guider():
    """A PoseGuider."""
    from contrapposto.models.parts_to_whole.pose_guider import PoseGuider

    return fill(PoseGuider(CONFIG["block_out_channels"][0], 3, GUIDER), "guider")


def references(given, **options):
    """The two inputs as references; pictures are of no use, their latents are given."""
    from contrapposto.models.parts_to_whole.parts import Reference

    image = torch.ones(HEIGHT, WIDTH, 3)
    return tuple(Reference(image, mask[0], label, **options) for mask, label in zip(given["masks"], ("upper body clothes", "face")))


@torch.no_grad()
def features(given):
    """Per reference {block: features}."""
    from contrapposto.models.parts_to_whole.appearance_encoder import encode_appearance

    encoder = unet("encoder")
    return [encode_appearance(encoder, latents[None], label[None], mask[None])
            for latents, label, mask in zip(given["reference_latents"], given["label_states"], given["masks"])]


def write_release(folder, encoder_salt="encoder", denoiser_salt="denoiser", config=None):
    """A folder in the released layout, its .pth a safetensors file, the encoder's unread weights left out."""
    import json

    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    from contrapposto.models.parts_to_whole.appearance_encoder import transformer_blocks, unread_weights
    from contrapposto.models.parts_to_whole.pose_guider import PoseGuider

    config = config or CONFIG
    with torch.device("meta"):
        made = UNet2DConditionModel(**config)
    shapes, unread = {name: tensor.shape for name, tensor in made.state_dict().items()}, unread_weights(made.state_dict())
    widths = {name: block.attn2.to_k.weight.shape for name, block in transformer_blocks(made).items()}
    guider_shapes = {name: tensor.shape for name, tensor in PoseGuider(config["block_out_channels"][0], 3, GUIDER).state_dict().items()}
    parts = {"unet": {name: weight(name, shape, denoiser_salt) for name, shape in shapes.items()},
             "reference_unet": {name: weight(name, shape, encoder_salt) for name, shape in shapes.items() if name not in unread},
             "pose_guider": {name: weight(name, shape, "guider") for name, shape in guider_shapes.items()}}
    for name, weights in parts.items():
        (folder / name).mkdir(parents=True)
        save_file(weights, str(folder / name / "diffusion_pytorch_model.safetensors"))
        (folder / name / "config.json").write_text(json.dumps(dict(made.config) if name != "pose_guider" else {}, default=str))
    names = {f"{block}.attn2.processor.{kind}.weight": shape for block, shape in widths.items() for kind in ("to_k_dc", "to_v_dc")}
    save_file({name: weight(name, shape, denoiser_salt) for name, shape in names.items()}, str(folder / "decoupled_attn.pth"))
    return folder
