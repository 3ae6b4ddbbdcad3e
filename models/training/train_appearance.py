"""Trains an appearance module (Dancing Avatar, intra-frame alignment) without ComfyUI: pictures and their prompt to a LoRA file.

    python scripts/train_appearance.py --model DIR --images DIR --prompt "crimson, cotton, ..." --out FILE.safetensors

The model is the one the module will be used with, a Stable Diffusion folder in diffusers' layout. The pictures are crops already: of
clothes for one module, of faces for another. A training that was stopped goes on where it was.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from ..checks import InputError
from ..dancing_avatar.appearance import AppearanceTrainer, AppearanceTraining, load_state, save_module, save_state

SAVE_EVERY = 50


class DiffusersDenoiser:
    """``appearance.Denoiser`` over a ``headless.diffusers_backend.DiffusersModel`` that predicts epsilon, one prompt for all pictures."""

    def __init__(self, model, prompt):
        from diffusers import DDPMScheduler

        alphas = DDPMScheduler.from_config(model.scheduler.config).alphas_cumprod.to(model.device)
        self.network, self.sigmas = model.unet.requires_grad_(False), ((1 - alphas) / alphas).sqrt()
        self.states = model.encode_text([prompt])

    def denoise(self, noisy, sigma, rows):
        time = (self.sigmas[None] - sigma[:, None]).abs().argmin(1)
        wide = sigma.view(-1, 1, 1, 1)
        states = self.states.to(noisy).expand(len(noisy), -1, -1)
        eps = self.network((noisy / (1 + wide.square()).sqrt()).to(self.network.dtype), time, encoder_hidden_states=states).sample
        return noisy - wide * eps


def train_appearance(model, images, prompt, training: AppearanceTraining, out, on_step=None) -> AppearanceTrainer:
    """Pictures (N, H, W, 3) and their prompt -> a LoRA file at ``out``; an unfinished training lies beside it until it is done.

    Args:
        model: DiffusersModel with 4 input channels.
        images: crops of one size.
        prompt: the refined prompt.
        training: AppearanceTraining.
        out: path of the file.
        on_step: called with (done, all, loss).

    Raises:
        InputError: another kind of model, or no pictures.
    """
    if model.input_channels != 4:
        raise InputError("--model", f"with {model.input_channels} input channels", "is no text-to-image model", "Give one with 4 channels.")
    if not prompt.strip():
        raise InputError("--prompt", prompt, "is empty", "Give the refined prompt, the words by which the module will be called.")
    latents = torch.cat([model.scale(model.encode(image)) for image in images.split(1)])
    unfinished = Path(out).with_suffix(".unfinished.safetensors")
    state = load_state(unfinished) if unfinished.exists() else None
    trainer = AppearanceTrainer(DiffusersDenoiser(model, prompt), latents, training, state)

    def stepped(done, total, loss):
        if done % SAVE_EVERY == 0:
            save_state(unfinished, trainer)
        if on_step:
            on_step(done, total, loss)

    try:
        trainer.run(stepped)
    except KeyboardInterrupt:
        save_state(unfinished, trainer)
        raise
    save_module(out, trainer.module, {"prompt": prompt, "training": asdict(training), "pictures": len(images)})
    unfinished.unlink(missing_ok=True)
    return trainer
