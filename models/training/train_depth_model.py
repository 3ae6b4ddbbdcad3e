"""Finetunes a depth-to-image model on a target domain (D in table 4 of Weng et al. 2023: 10 epochs on its pictures).

    python scripts/finetune_depth_model.py --data DIR --base FOLDER [--epochs 10] [--size 512]

The data is a folder as in ``datasets/person_images.py`` with ``bodies/NAME.npz``, from which the depth is drawn. The paper found that this
helps together with real pictures as guides and harms without them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from ..assets.files import write_safetensors
from ..checks import InputError, check_range
from ..personalization.ldm_keys import to_ldm
from ..pose_correction.depth_to_image import DEPTH_CHANNELS, depth_channel
from ..pose_correction.occluded_depth import depth_to_level
from .datasets.person_images import draw_body, read_pixels
from .loop import LoopConfig, RunFolder, train

EPOCHS = 10
WEIGHTS, FOLDER = "depth_model.safetensors", "unet"
SOURCES = ("models/pose_correction/depth_to_image.py", "models/training/datasets/person_images.py", "models/training/loop.py",
           "models/training/train_depth_model.py")


@dataclass(frozen=True)
class DepthTraining:
    """Everything that decides the weights.

    Args:
        loop: LoopConfig; its steps are set by the epochs.
        epochs: passes over the data.
        size: pixels of the pictures' side.
        drop_text: share of samples without their text, for guidance.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1, batch=4, lr=1e-5, warmup=50, ema=0.99))
    epochs: int = EPOCHS
    size: int = 512
    drop_text: float = 0.1

    def for_pictures(self, count):
        """The same training with the number of steps that makes its epochs over ``count`` pictures."""
        check_range("epochs", self.epochs, 1, 10_000)
        return replace(self, loop=replace(self.loop, steps=self.epochs * math.ceil(count / self.loop.batch)))


class DepthTask:
    """Batches and the noise-prediction loss.

    Args:
        items: from ``find_person_images``, each with a body.
        base: ports.ImageDiffusion over diffusers' parts, with 5 input channels.
        config: DepthTraining with its steps set.

    Raises:
        InputError: the model reads no depth, or a picture has no body.
    """

    def __init__(self, items, base, config):
        from diffusers import DDPMScheduler

        if base.input_channels != DEPTH_CHANNELS:
            raise InputError("base model", f"with {base.input_channels} input channels", "is no depth-to-image model",
                             "Give the folder of Stable Diffusion 2 depth.")
        without = [item.image.name for item in items if item.body is None]
        if without:
            raise InputError("data folder", without[0], "has no body", "Put bodies/NAME.npz with its camera beside each picture.")
        check_range("size", config.size, 64, 4096, "pixels")
        self.items, self.base, self.config, self.order = items, base, config, {}
        self.alphas_bar = DDPMScheduler.from_config(base.scheduler.config).alphas_cumprod.to(base.device)

    def draw(self, generator):
        """Rows (B,) of a batch. Over an epoch's worth of batches every picture comes as often as any other, on average."""
        return torch.randint(len(self.items), (self.config.loop.batch,), generator=generator)

    def loss(self, unet, rows, step, generator):
        """``|eps - eps_theta(z_t, t, y, d)|^2`` for one batch, t uniform."""
        cpu = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        samples = [self.load(self.items[row]) for row in rows.tolist()]
        texts = ["" if float(torch.rand((), generator=cpu)) < self.config.drop_text else self.items[row].caption for row in rows.tolist()]
        images, depths = (torch.stack(parts).to(self.base.device) for parts in zip(*samples))
        with torch.no_grad():
            latents, states = self.base.scale(self.base.encode(images)), self.base.encode_text(texts)
        times = torch.randint(len(self.alphas_bar), (len(rows),), generator=cpu).to(self.base.device)
        noise = torch.randn(latents.shape, generator=cpu).to(latents)
        signal = self.alphas_bar[times].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        beside = depth_channel(depths, latents.shape[-2:]).to(latents)
        eps = unet(torch.cat([noisy, beside], 1), times, encoder_hidden_states=states.to(latents)).sample
        return {"loss": (eps - noise).square().mean()}

    def load(self, item):
        """(S, S, 3) the middle square of a picture, and (S, S) the depth of its body, near is bright."""
        image = read_pixels(item.image, "RGB")
        height, width = image.shape[:2]
        level = depth_to_level(draw_body(item.body, width, height).depth)[0]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = torch.cat([image, level[..., None]], -1)[top : top + side, left : left + side].permute(2, 0, 1)[None]
        small = interpolate(square, (self.config.size,) * 2, mode="bilinear", antialias=True, align_corners=False)[0].permute(1, 2, 0)
        return small[..., :3].clamp(0, 1), small[..., 3]


def finetune_depth_model(items, base, run_dir, config: DepthTraining | None = None, about=None, on_step=None):
    """Finetunes the whole UNet, or continues the run in the folder.

    Args:
        items: from ``find_person_images``.
        base: see ``DepthTask``; its UNet is changed.
        run_dir: the run's folder.
        config: DepthTraining.
        about: what the weights shall tell about their base.
        on_step: called with the steps done.

    Returns:
        (folder of the UNet in diffusers' layout, the same weights as a single file for ComfyUI's Load Diffusion Model).

    Raises:
        InputError: data, base or folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    config = (config or DepthTraining()).for_pictures(len(items))
    task = DepthTask(items, base, config)
    run = RunFolder(Path(run_dir), asdict(config) | {"base": (about or {}).get("base", "")}, SOURCES)
    averaged = train(base.unet, task.draw, task.loss, config.loop, run, on_step=on_step)
    folder, single = run.path / FOLDER, run.path / WEIGHTS
    averaged.save_pretrained(folder)
    names = to_ldm(list(averaged.state_dict()), averaged.config.layers_per_block)
    told = {**(about or {}), "training": asdict(config), "commit": run.commit, "pictures": len(items)}
    write_safetensors(single, {names[name]: weight for name, weight in averaged.state_dict().items()}, told)
    return folder, single
