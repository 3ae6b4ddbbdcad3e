"""Trains the inter-frame module (Dancing Avatar, "Inter-Frame Alignment"): the frame before leads a frozen image model to the next one.

    python scripts/train_previous_frame.py --data DIR --base FOLDER [--epochs N] [--batch N] [--size S]

The module is a copy of the UNet's encoder blocks whose features are added to those of the UNet through convolutions that start at zero
(Zhang and Agrawala 2023); the frame before enters through a small convolutional net. The base stays as it is. The run folder receives
``previous_frame.safetensors``, which ComfyUI's Load ControlNet Model takes as it is.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..assets.files import write_safetensors
from ..checks import InputError, check_range
from ..personalization.ldm_keys import to_ldm
from .datasets.frame_pairs import load_pair
from .loop import LoopConfig, RunFolder, train

WEIGHTS = "previous_frame.safetensors"
HINT_CHANNELS, LATENT_CHANNELS = 3, 4
SOURCES = ("models/training/datasets/frame_pairs.py", "models/training/loop.py", "models/training/train_previous_frame.py")


@dataclass(frozen=True)
class PreviousFrameTraining:
    """Everything that decides the weights. The paper gives epochs, learning rate and AdamW; the rest is ours.

    Args:
        epochs: passes over the pairs, as many draws as that makes.
        batch: pairs per step.
        lr: learning rate, constant as nothing else is said.
        size: pixels of a frame's side.
        drop_text: share of samples without their caption, so that the module does not lean on it.
        seed: of everything.
    """

    epochs: float = 20.0
    batch: int = 8
    lr: float = 5e-5
    size: int = 512
    drop_text: float = 0.1
    seed: int = 0

    def loop(self, pairs: int) -> LoopConfig:
        """The training loop's settings for so many pairs: no warm-up, no decay of the learning rate, no averaging."""
        check_range("epochs", self.epochs, 0.0, 1e6)
        steps = max(1, math.ceil(self.epochs * pairs / self.batch))
        return LoopConfig(steps=steps, batch=self.batch, lr=self.lr, warmup=0, final_lr=1.0, ema=0.0, seed=self.seed)


def new_module(unet, seed=0) -> nn.Module:
    """A fresh module for a UNet: its encoder's weights, and zeros where its features leave.

    Args:
        unet: UNet2DConditionModel with 4 input channels and a middle block.
        seed: of the weights of the net that reads the frame before.

    Raises:
        InputError: an inpainting UNet.
    """
    from diffusers import ControlNetModel

    if unet.config.in_channels != LATENT_CHANNELS:
        raise InputError("base model", f"with {unet.config.in_channels} input channels", "is no text-to-image model",
                         "Train on the text-to-image model; the module then serves its inpainting relatives too.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ControlNetModel.from_unet(unet, conditioning_channels=HINT_CHANNELS)


class PreviousFrameTask:
    """Batches and the loss.

    Args:
        pairs: from ``find_frame_pairs``.
        base: ports.ImageDiffusion over diffusers' parts (``unet``, ``scheduler``, ``device``); it is frozen.
        config: PreviousFrameTraining.
    """

    def __init__(self, pairs, base, config):
        from diffusers import DDPMScheduler

        check_range("size", config.size, 64, 4096, "pixels")
        self.pairs, self.base, self.config = pairs, base, config
        self.unet = base.unet.eval().requires_grad_(False)
        self.alphas_bar = DDPMScheduler.from_config(base.scheduler.config).alphas_cumprod.to(base.device)
        self.module = new_module(self.unet, config.seed).to(base.device)

    def draw(self, generator):
        """Rows (B,) of a batch."""
        return torch.randint(len(self.pairs), (self.config.batch,), generator=generator)

    def loss(self, module, rows, step, generator):
        """``|eps - eps_theta(z_t, t, y, previous frame)|^2`` of the next frame, t uniform."""
        cpu = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        frames = torch.stack([load_pair(self.pairs[row], self.config.size, cpu) for row in rows.tolist()]).to(self.base.device)
        texts = ["" if float(torch.rand((), generator=cpu)) < self.config.drop_text else self.pairs[row].caption for row in rows.tolist()]
        latents = self.base.scale(self.base.encode(frames[:, 1]))
        times = torch.randint(len(self.alphas_bar), (len(rows),), generator=cpu).to(self.base.device)
        noise = torch.randn(latents.shape, generator=cpu).to(latents)
        signal = self.alphas_bar[times].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        eps = self.predict_noise(module, noisy, times, self.base.encode_text(texts).to(noisy), frames[:, 0])
        return {"loss": (eps - noise).square().mean()}

    def predict_noise(self, module, noisy, times, states, previous):
        """One pass: scaled noisy latents (B, C, h, w), times (B,), text states (B, T, D), previous frames (B, H, W, 3) -> epsilon."""
        down, middle = module(noisy, times, encoder_hidden_states=states, controlnet_cond=previous.permute(0, 3, 1, 2).to(noisy),
                              return_dict=False)
        return self.unet(noisy, times, encoder_hidden_states=states, down_block_additional_residuals=down,
                         mid_block_additional_residual=middle).sample


def train_previous_frame(pairs, base, run_dir, config, on_step=None, about=None) -> Path:
    """Trains (or continues) a run and exports it.

    Args:
        pairs, base, config: see ``PreviousFrameTask``.
        run_dir: the run's folder.
        on_step: called with the steps done.
        about: what the file shall tell about its base and data.

    Returns:
        The path of the weights.

    Raises:
        InputError: the data, the base or the run folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    task = PreviousFrameTask(pairs, base, config)
    run = RunFolder(Path(run_dir), asdict(config) | {"base": (about or {}).get("base", "")}, SOURCES)
    trained = train(task.module, task.draw, task.loss, config.loop(len(pairs)), run, on_step=on_step)
    told = {**(about or {}), "training": asdict(config), "commit": run.commit, "pairs": len(pairs)}
    write_safetensors(run.path / WEIGHTS, control_net_weights(trained), told)
    return run.path / WEIGHTS


def control_net_weights(module) -> dict:
    """A module's weights under the names of single-file ControlNets, which ComfyUI knows for networks of any size."""
    state = module.state_dict()
    encoder = [name for name in state if not name.startswith("controlnet_")]
    names = to_ldm(encoder, module.config.layers_per_block)
    last = 1 + sum(1 for name in state if name.startswith("controlnet_cond_embedding.blocks.") and name.endswith(".weight"))
    for name in set(state) - set(encoder):
        part, _, rest = name.partition(".")
        names[name] = {"controlnet_down_blocks": lambda rest: "zero_convs.{}.0.{}".format(*rest.split(".")),
                       "controlnet_mid_block": lambda rest: f"middle_block_out.0.{rest}",
                       "controlnet_cond_embedding": lambda rest: _hint_name(rest, last)}[part](rest)
    return {names[name]: weight for name, weight in state.items()}


def _hint_name(name, last):
    """Every second entry of the hint net is an activation."""
    stem, _, kind = name.rpartition(".")
    index = {"conv_in": 0, "conv_out": last}.get(stem)
    return f"input_hint_block.{2 * (1 + int(stem.removeprefix('blocks.')) if index is None else index)}.{kind}"
