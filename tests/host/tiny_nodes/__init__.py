"""A node pack for tests only: models of a few hundred thousand random weights, made in memory, a dance for them, and a way out."""

import importlib.util
from pathlib import Path

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch

WIDTH = 64  # of the text states
ENCODER = {
    "image_size": 32, "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": [1, 1], "transformer_depth": [1, 0],
    "transformer_depth_middle": -1, "use_spatial_transformer": True, "context_dim": WIDTH, "legacy": False, "num_heads": 4,
    "use_linear_in_transformer": False, "adm_in_channels": None,
}
UNET = {**ENCODER, "out_channels": 4, "transformer_depth_output": [1, 1, 0, 0], "use_temporal_attention": False}


def fill(module, seed):
    """Random weights of a size that keeps signals alive: ComfyUI leaves them uninitialised."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * (2.0 / weight[0].numel()) ** 0.5)
            else:
                weight.fill_(1.0 if name.endswith("weight") else 0.0)
    return module


def model(in_channels, seed):
    config = comfy.supported_models.SD15({**UNET, "in_channels": in_channels})
    config.unet_config["num_heads"] = 4
    config.set_inference_dtype(torch.float32, None)
    made = config.get_model({}, "", device="cpu")
    fill(made.diffusion_model, seed)
    devices = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    return comfy.model_patcher.ModelPatcher(made, load_device=devices[0], offload_device=devices[1])


def vae():
    spec = importlib.util.spec_from_file_location("contrapposto_tiny_models", Path(__file__).resolve().parents[1] / "tiny_models.py")
    tiny_models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny_models)
    return comfy.sd.VAE(sd=tiny_models.taesd())


def control_net(hint_channels, text_width, seed):
    config = ENCODER | {"in_channels": 4, "hint_channels": hint_channels, "context_dim": text_width}
    config |= {"dtype": torch.float32, "device": "cpu"}
    network = fill(comfy.cldm.cldm.ControlNet(**config), seed)
    return comfy.controlnet.ControlNet(network, load_device=comfy.model_management.get_torch_device(), manual_cast_dtype=None)


class TinyModel:
    """An SD1.5 of 0.3 million weights and its VAE; 9 input channels make it an inpainting model."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("MODEL", "VAE")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"in_channels": ("INT", {"default": 4}), "seed": ("INT", {"default": 0})}}

    def make(self, in_channels, seed):
        return model(in_channels, seed), vae()


class TinyControlNet:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("CONTROL_NET",)

    @classmethod
    def INPUT_TYPES(cls):
        numbers = {"hint_channels": 3, "text_width": WIDTH, "seed": 0}
        return {"required": {name: ("INT", {"default": value}) for name, value in numbers.items()}}

    def make(self, hint_channels, text_width, seed):
        return (control_net(hint_channels, text_width, seed),)


class TinyClip:
    """A CLIP-L of two small layers and ComfyUI's own tokenizer."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seed": ("INT", {"default": 0})}}

    def make(self, seed):
        import comfy.sd1_clip
        import comfy.supported_models_base

        target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
        small = {"hidden_size": WIDTH, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 2 * WIDTH}
        options = {"clip_l_model_config": small}
        clip = comfy.sd.CLIP(target, embedding_directory=None, parameters=4_000_000, model_options=options)
        fill(clip.cond_stage_model, seed)
        return (clip,)


class TinyText:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seed": ("INT", {"default": 0})}}

    def make(self, seed):
        return ([[torch.randn(1, 77, WIDTH, generator=torch.Generator().manual_seed(seed)), {}]],)


class TinyDance:
    """Pose maps, a plate and masks: a disc that walks over noise. One of the frames may be edited."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("IMAGE", "IMAGE", "MASK")

    @classmethod
    def INPUT_TYPES(cls):
        numbers = {"frames": 6, "size": 64, "edited": -1}
        return {"required": {name: ("INT", {"default": value}) for name, value in numbers.items()}}

    def make(self, frames, size, edited):
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        centres = torch.linspace(size * 0.2, size * 0.8, frames)
        masks = torch.stack([(((x - c) ** 2 + (y - size / 2) ** 2).sqrt() < size / 8).float() for c in centres])
        poses = masks[..., None] * torch.tensor([1.0, 0.6, 0.1])
        if edited >= 0:
            poses[edited, size // 4 : size // 3] = 0.5
        return poses, torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(5)), masks


class SaveTensors:
    """Writes frames to a .pt file in the output folder, so that a test can compare them bit by bit."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "tests", "save", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "name": ("STRING", {"default": "frames"}), "note": ("STRING", {"forceInput": True})}}

    def save(self, image, name, note):
        import folder_paths

        folder = Path(folder_paths.get_output_directory())
        folder.mkdir(exist_ok=True)
        torch.save({"image": image, "note": note}, folder / f"{name}.pt")
        return {"ui": {"text": [note]}}


NODE_CLASS_MAPPINGS = {kind.__name__: kind for kind in (TinyModel, TinyControlNet, TinyClip, TinyText, TinyDance, SaveTensors)}
