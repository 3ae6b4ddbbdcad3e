"""ComfyUI's sampling for jobs that must sample inside: MODEL, VAE, CONDITIONING and CONTROL_NET behind ``ports.ImageDiffusion``."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.cldm.cldm
import comfy.sample
import torch

from ..models.checks import InputError
from ..models.pose_correction.depth_to_image import ksampler_settings
from .unet_patches import with_values

PLAIN_HINT = 3  # channels


@dataclass(frozen=True)
class Control:
    """A CONTROL_NET and how it is used: its factor, and the shares of the steps between which it acts."""

    net: object
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


class HostedDiffusion:
    """``ports.ImageDiffusion`` whose texts are CONDITIONING. It samples as KSampler does.

    Args:
        model: MODEL.
        vae: the model's own VAE.
        sampler_name, scheduler: as in KSampler.
        controls: {name: Control}; one of strength 0 is left out.

    Raises:
        InputError: a model for videos, or a ControlNet of another family.
    """

    def __init__(self, model, vae, sampler_name, scheduler, controls=None):
        check_picture_model(model)
        self.model, self.vae, self.sampler_name, self.scheduler = model, vae, sampler_name, scheduler
        self.controls = {name: control for name, control in (controls or {}).items() if control.net is not None and control.strength}
        for name, control in self.controls.items():
            check_control_net(f"{name} ControlNet", control.net, model)

    @property
    def input_channels(self):
        """A UNet tells it; other families take a masked picture beside the latents and leave it aside if they do not know it."""
        own = self.vae.latent_channels
        if not hasattr(self.model.model.diffusion_model, "input_blocks"):
            return 2 * own + 1
        return self.model.model.model_config.unet_config.get("in_channels", own)

    @property
    def cell(self):
        return self.vae.spacial_compression_encode()

    @property
    def hint_channels(self):
        return {name: hint_channels(control.net) for name, control in self.controls.items()}

    def empty_latents(self, height, width):
        size = self.vae.latent_channels, height // self.cell, width // self.cell
        return torch.zeros(1, *size, device=comfy.model_management.intermediate_device())

    def encode(self, images):
        return self.vae.encode(images)

    def decode(self, latents):
        return self.vae.decode(latents)

    def encode_text(self, texts):
        raise InputError("text", texts, "is not encoded here", "Connect the CONDITIONING of a text encoder node.")

    def scale(self, latents):
        return self.model.model.process_latent_in(latents)

    def sample(self, positive, negative, latents, change_mask=None, beside=None, seed=0, steps=25, guidance=7.5, on_step=None, hints=None,
               strength=1.0):
        texts = positive, negative
        if beside is not None:
            masked = self.model.model.process_latent_out(beside[:, 1:])
            texts = [with_values(text, {"concat_latent_image": masked, "concat_mask": beside[:, :1]}) for text in texts]
        for name, control in self.controls.items():
            if hints and name in hints:
                texts = apply_control(*texts, control, hints[name], self.vae)
        latents = comfy.sample.fix_empty_latent_channels(self.model, latents)
        run, denoise = ksampler_settings(steps, strength)
        callback = None if on_step is None else lambda step, x0, x, total: on_step(step + 1, total)
        return comfy.sample.sample(
            self.model,
            comfy.sample.prepare_noise(latents, seed),
            run,
            guidance,
            self.sampler_name,
            self.scheduler,
            *texts,
            latents,
            denoise=denoise,
            noise_mask=None if change_mask is None else change_mask[:, None],
            callback=callback,
            disable_pbar=True,
            seed=seed,
        )


def apply_control(positive, negative, control, hint, vae=None):
    """Returns both conditionings with a ControlNet on them, behind those that are there, as ComfyUI's own node applies it.

    Args:
        control: Control.
        hint: (1, H, W, C) picture.
        vae: for ControlNets that read latents.
    """
    from nodes import ControlNetApplyAdvanced  # ComfyUI's own module

    given = positive, negative, control.net, hint, control.strength, control.start, control.end
    return ControlNetApplyAdvanced().apply_controlnet(*given, vae=vae if getattr(control.net, "latent_format", None) else None)


def hint_channels(net):
    """Channels of the picture that a CONTROL_NET reads."""
    network = getattr(net, "control_model", None)
    first = network.input_hint_block[0] if isinstance(network, comfy.cldm.cldm.ControlNet) else None
    return PLAIN_HINT if first is None else first.weight.shape[1]


def check_picture_model(model):
    """Refuses models of moving pictures.

    Raises:
        InputError: the MODEL's latents have a time axis.
    """
    if model.model.latent_format.latent_dimensions != 2:
        remedy = "Load a model of pictures, such as Stable Diffusion 1.5 or SDXL."
        raise InputError("model", type(model.model).__name__, "makes videos", remedy)


def check_control_net(name, net, model):
    """Refuses a ControlNet that was made for models of another family.

    Raises:
        InputError: it was.
    """
    unet, network = hasattr(model.model.diffusion_model, "input_blocks"), getattr(net, "control_model", None)
    if isinstance(network, comfy.cldm.cldm.ControlNet):
        width, own = _text_width(network), model.model.model_config.unet_config.get("context_dim") if unet else None
        if unet and width in (None, own):
            return
        found = f"for text {width} wide"
    elif network is None or not unet:  # T2I-Adapters and control LoRAs bring no text; other families check themselves
        return
    else:
        found = type(network).__name__
    raise InputError(name, found, f"is of another family than the model, {type(model.model.model_config).__name__}",
                     "Load a ControlNet that was made for this model's family.")


def _text_width(network):
    return next((weight.shape[1] for name, weight in network.named_parameters() if name.endswith("attn2.to_k.weight")), None)
