"""Stable Diffusion through diffusers: the image model of the command line and of training. Nothing of diffusers is imported before use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import InputError, check_range
from ..pose_correction.depth_to_image import steps_to_run

FILES = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class Control:
    """A ControlNet and how it is used.

    Args:
        network: diffusers' ControlNetModel.
        strength: factor on what it adds; 0 leaves it out.
        start, end: shares of the steps between which it acts.
    """

    network: torch.nn.Module
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


class DiffusersModel:
    """``ports.ImageDiffusion`` over the parts of a Stable Diffusion pipeline.

    Args:
        unet: UNet2DConditionModel with 4, 5, 9 or 13 input channels, epsilon prediction.
        vae: AutoencoderKL or AutoencoderTiny; its config's ``scaling_factor`` is used.
        scheduler: a diffusers scheduler; the deterministic DDIM gives the same picture for the same seed on every machine.
        text_encoder: list of B sentences -> (B, 77, D) states.
        controls: {name: Control}; the names are those of the hints.
    """

    def __init__(self, unet, vae, scheduler, text_encoder, controls=None):
        self.controls = {name: control for name, control in (controls or {}).items() if control.strength}
        self.unet, self.scheduler, self.encode_text = unet.eval(), scheduler, text_encoder
        self.vae = vae.eval().to(memory_format=torch.channels_last)  # its wide convolutions take half the time so, on a CPU

    @property
    def input_channels(self):
        return self.unet.config.in_channels

    @property
    def cell(self):
        blocks = getattr(self.vae.config, "block_out_channels", None) or self.vae.config.encoder_block_out_channels
        return 2 ** (len(blocks) - 1)

    @property
    def hint_channels(self):
        return {name: control.network.config.conditioning_channels for name, control in self.controls.items()}

    def empty_latents(self, height, width) -> Tensor:
        return torch.zeros(1, self.vae.config.latent_channels, height // self.cell, width // self.cell, device=self.device)

    @property
    def device(self):
        return next(self.unet.parameters()).device

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) pictures 0..1 -> (B, C, h, w) latents: the mean, not a sample."""
        encoded = self.vae.encode(images.to(self.device, self.vae.dtype).permute(0, 3, 1, 2) * 2 - 1)  # permuted is channels last
        return (encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) latents -> (B, H, W, 3) pictures 0..1."""
        pictures = self.vae.decode(latents.to(self.vae.dtype)).sample.float()
        return (pictures.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1)

    def scale(self, latents: Tensor) -> Tensor:
        return latents * self.vae.config.scaling_factor

    @torch.no_grad()
    def predict_noise(self, noisy: Tensor, timestep, states: Tensor, beside: Tensor | None = None, hints=()) -> Tensor:
        """One pass: scaled noisy latents (B, C, h, w), text states (B, T, D), channels beside them -> epsilon.

        ``hints`` are pairs (Control, (B, C, H, W) picture).
        """
        given, states = noisy if beside is None else torch.cat([noisy, beside.to(noisy)], 1), states.to(noisy)
        added = [self._residuals(control, noisy, timestep, states, hint) for control, hint in hints]
        if not added:
            return self.unet(given, timestep, encoder_hidden_states=states).sample
        down, middle = [sum(parts) for parts in zip(*(down for down, _ in added))], sum(middle for _, middle in added)
        return self.unet(given, timestep, encoder_hidden_states=states, down_block_additional_residuals=tuple(down),
                         mid_block_additional_residual=middle).sample

    @staticmethod
    def _residuals(control, noisy, timestep, states, hint):
        return control.network(noisy, timestep, encoder_hidden_states=states, controlnet_cond=hint.to(noisy),
                               conditioning_scale=control.strength, return_dict=False)

    @torch.no_grad()
    def sample(self, positive, negative, latents, change_mask=None, beside=None, seed=0, steps=25, guidance=7.5, on_step=None,
               hints=None, strength=1.0) -> Tensor:
        """Paints latents from noise where ``change_mask`` is 1 and keeps them where it is 0.

        Args:
            positive, negative: (B, T, D) text states of one length.
            latents: (B, C, h, w) what is there.
            change_mask: (B, h, w), None paints everything.
            beside: (B, E, h, w) channels for an inpainting or personalized network.
            seed, steps, guidance: of the sampler; guidance 1 runs the positive text alone.
            on_step: called with (done, total).
            hints: {name: (B, H, W, C) picture} for the ControlNets; one that is not named is left out.
            strength: share of the schedule that is run, starting from the noised latents; 1 starts from noise alone.

        Raises:
            InputError: steps, guidance or strength out of range.
        """
        check_range("steps", steps, 1, 1000)
        check_range("guidance", guidance, 1.0, 100.0)
        known = self.scale(latents.to(self.device))
        noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(seed)).to(known)
        keep = None if change_mask is None else 1 - change_mask[:, None].to(known)
        run = steps_to_run(steps, strength)
        self.scheduler.set_timesteps(steps)
        times = self.scheduler.timesteps.to(self.device)[-run:]
        x = noise * self.scheduler.init_noise_sigma if strength == 1 else self.scheduler.add_noise(known, noise, times[:1])
        pictures = {name: hint.permute(0, 3, 1, 2).to(known) for name, hint in (hints or {}).items() if name in self.controls}
        for i, time in enumerate(times):
            acting = [(self.controls[name], picture) for name, picture in pictures.items()
                      if self.controls[name].start <= i / len(times) < self.controls[name].end]
            eps = self._guided(self.scheduler.scale_model_input(x, time), time, positive, negative, beside, guidance, acting)
            x = self.scheduler.step(eps, time, x).prev_sample
            if keep is not None:
                last = i + 1 == len(times)
                x = torch.lerp(x, known if last else self.scheduler.add_noise(known, noise, times[i + 1 : i + 2]), keep)
            if on_step:
                on_step(i + 1, len(times))
        return x / self.vae.config.scaling_factor

    def _guided(self, x, time, positive, negative, beside, guidance, hints=()):
        """Classifier-free guidance, both texts in one pass."""
        if guidance == 1:
            return self.predict_noise(x, time, positive, beside, hints)
        twice = None if beside is None else torch.cat([beside, beside])
        hints = [(control, torch.cat([hint, hint])) for control, hint in hints]
        wanted, unwanted = self.predict_noise(torch.cat([x, x]), time, torch.cat([positive, negative]), twice, hints).chunk(2)
        return unwanted + guidance * (wanted - unwanted)


def load_diffusers_model(folder, device="cpu", dtype=torch.float32, controls=None) -> DiffusersModel:
    """Loads a Stable Diffusion 1.5-like model from a folder in diffusers' layout; nothing is downloaded.

    ``controls`` are {name of its hint: Control}.

    Raises:
        InputError: the folder lacks a part, cannot be read, or transformers is not installed.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_dir()]
    if missing:
        raise InputError("image model", folder, f"has no {', '.join(missing)}",
                         f"Give a folder in diffusers' layout, with {', '.join(FILES)}.")
    try:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, local_files_only=True)
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, local_files_only=True)
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        texts = clip_text_encoder(folder, device, dtype)
    except (OSError, ValueError, KeyError, ImportError) as error:
        remedy = "Check the folder, and that diffusers and transformers are installed."
        raise InputError("image model", folder, f"cannot be loaded ({error})", remedy) from None
    return DiffusersModel(unet.to(device), vae.to(device), scheduler, texts, controls)


def load_control(folder, device="cpu", dtype=torch.float32):
    """Loads a ControlNet from a folder in diffusers' layout; nothing is downloaded.

    Raises:
        InputError: the folder is missing or holds no ControlNet.
    """
    remedy = "Give the folder with config.json and diffusion_pytorch_model.safetensors."
    if not (Path(folder) / "config.json").is_file():  # diffusers would look for a repository of that name
        raise InputError("ControlNet", folder, "holds no config.json", remedy)
    try:
        from diffusers import ControlNetModel

        return ControlNetModel.from_pretrained(Path(folder), torch_dtype=dtype, local_files_only=True).to(device).eval()
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError("ControlNet", folder, f"cannot be loaded ({error})", remedy) from None


def use_papers_sampler(model: DiffusersModel) -> DiffusersModel:
    """Gives a model Dancing Avatar's sampler: DPM-Solver++ of second order on Karras' noise levels."""
    from diffusers import DPMSolverMultistepScheduler

    model.scheduler = DPMSolverMultistepScheduler.from_config(model.scheduler.config, use_karras_sigmas=True, algorithm_type="dpmsolver++")
    return model


def clip_text_encoder(folder, device, dtype=torch.float32):
    """Returns sentences -> (B, 77, D) states of the last layer of the folder's CLIP, as Stable Diffusion 1.5 was trained."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    network = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=dtype, local_files_only=True).to(device).eval()

    @torch.no_grad()
    def encode(texts):
        tokens = tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return network(tokens.to(device))[0].float()
    return encode


def shrink_mask(change_mask: Tensor, size) -> Tensor:
    """The change mask (B, H, W) on the latent grid; its cells are constant, so nothing is lost."""
    return interpolate(change_mask[:, None], tuple(size), mode="nearest")[:, 0]
