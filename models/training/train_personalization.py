"""Trains personalization (PAS, section 3.5): a Stable Diffusion model learns to paint the scene around a given person.

    python scripts/train_personalization.py --data DIR --base FOLDER [--steps N] [--rank R | --whole-unet] [--size S] [--bf16]
    torchrun --nproc_per_node 8 -- scripts/train_personalization.py --data DIR --base FOLDER --device cuda --bf16

The base is a folder in diffusers' layout, text-to-image or (better, as the paper says) inpainting. Each picture's person, cut out by its
mask, is the condition at training time; at use it is the rendered avatar. The run folder receives ``personalization_patch.safetensors``
and ``personalization_checkpoint.safetensors``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ..assets.files import file_sha256, read_safetensors, write_safetensors
from ..checks import InputError, check_range
from ..personalization.conditioning import latent_alpha, over_gray, soften_texture
from ..personalization.patch import save_patch
from .datasets.person_images import load_crop
from .loop import LoopConfig, RunFolder, train
from .personalized_unet import Additions, PersonalizedUNet, TunedUNet, WholeUNet
from .processes import open_processes

PATCH, CHECKPOINT = "personalization_patch.safetensors", "personalization_checkpoint.safetensors"
SOURCES = ("models/personalization", "models/training/datasets/person_images.py", "models/training/loop.py",
           "models/training/personalized_unet.py", "models/training/train_personalization.py")
# Parts of a base folder that go into the checkpoint, and the prefix that single-file checkpoints give them.
OTHER_PARTS = {"vae/diffusion_pytorch_model.safetensors": "first_stage_model.",
               "text_encoder/model.safetensors": "cond_stage_model.transformer."}


@dataclass(frozen=True)
class PersonalizationTraining:
    """Everything that decides the weights.

    Args:
        loop: LoopConfig.
        rank: of the low-rank changes.
        size: pixels of a crop's side.
        drop_text: share of samples without their text, for guidance.
        whole_unet: train every weight of the UNet, as the paper does, instead of low-rank changes.
        bf16: run the networks in bfloat16; trained weights stay float32.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=50_000, batch=16, lr=1e-4, warmup=1000, ema=0.9999))
    rank: int = 64
    size: int = 512
    drop_text: float = 0.1
    whole_unet: bool = False
    bf16: bool = False


class PersonalizationTask:
    """Batches and the loss of equation 1.

    Args:
        items: from ``find_person_images``.
        base: ports.ImageDiffusion over diffusers' parts (``unet`` with 4 or 9 input channels, ``scheduler``, ``device``).
        config: PersonalizationTraining.
        segmenter: ports.Segmenter for pictures without a mask.
    """

    def __init__(self, items, base, config, segmenter=None):
        from diffusers import DDPMScheduler

        check_range("size", config.size, 64, 4096, "pixels")
        self.items, self.base, self.config, self.segmenter = items, base, config, segmenter
        self.alphas_bar = DDPMScheduler.from_config(base.scheduler.config).alphas_cumprod.to(base.device)
        if config.whole_unet:
            self.additions, self.network = WholeUNet(base.unet, config.loop.seed).to(base.device), TunedUNet()
        else:
            self.additions = Additions(base.unet, config.rank, config.loop.seed).to(base.device)
            self.network = PersonalizedUNet(base.unet, self.additions)

    def draw(self, generator):
        """Rows (B,) of a batch."""
        return torch.randint(len(self.items), (self.config.loop.batch,), generator=generator)

    def loss(self, additions, rows, step, generator):
        """``|eps - eps_theta(z_t, t, y, p, w)|^2`` for one batch, w uniform in 0..1, t uniform."""
        cpu = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        crops = [load_crop(self.items[row], self.config.size, cpu, self.segmenter) for row in rows.tolist()]
        rates = torch.rand(len(crops), generator=cpu).to(self.base.device)
        texts = ["" if float(torch.rand((), generator=cpu)) < self.config.drop_text else crop.caption for crop in crops]
        with torch.autocast(self.base.device.type, torch.bfloat16, enabled=self.config.bf16):
            latents, beside = self.encode(crops, rates)
        times = torch.randint(len(self.alphas_bar), (len(crops),), generator=cpu).to(self.base.device)
        noise = torch.randn(latents.shape, generator=cpu).to(latents)
        signal = self.alphas_bar[times].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        with torch.autocast(self.base.device.type, torch.bfloat16, enabled=self.config.bf16):
            eps = self.network(additions, noisy, times, self.base.encode_text(texts).to(noisy), beside, rates)
        return {"loss": (eps.float() - noise).square().mean()}

    @torch.no_grad()
    def encode(self, crops, rates):
        """Latents (B, 4, h, w) of the pictures and the nine channels beside them, all from one VAE batch."""
        device = self.base.device
        image, alpha, gray, gray_alpha = (torch.stack([getattr(crop, name) for crop in crops]).to(device)
                                          for name in ("image", "alpha", "gray_rgb", "gray_alpha"))
        person = over_gray(soften_texture(image, alpha, rates), alpha)
        pictures = self.base.scale(self.base.encode(torch.cat([image, person, over_gray(gray, gray_alpha)])))
        latents, z_p, z_gray = pictures.chunk(3)
        mask = 1 - latent_alpha(alpha, latents.shape[-2:])
        return latents, torch.cat([mask[:, None].to(latents), z_p, z_gray], 1)


def train_personalization(items, base, run_dir, config, base_folder=None, segmenter=None, on_step=None, about=None):
    """Trains (or continues) a run and exports it.

    Args:
        items: from ``find_person_images``.
        base: see ``PersonalizationTask``; it is changed by the training and must not be used afterwards.
        run_dir: the run's folder.
        config: PersonalizationTraining.
        base_folder: whose VAE and text encoder go into the checkpoint; None leaves the UNet alone in it.
        segmenter: see ``PersonalizationTask``.
        on_step: called with the steps done.
        about: what the patch shall tell about its base and data.

    Returns:
        (path of the patch, path of the checkpoint); the first process alone writes them.

    Raises:
        InputError: the data, the base or the run folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    task = PersonalizationTask(items, base, config, segmenter)
    run = RunFolder(Path(run_dir), asdict(config) | {"base": (about or {}).get("base", "")}, SOURCES)
    averaged = train(task.additions, task.draw, task.loss, config.loop, run, on_step=on_step)
    paths = run.path / PATCH, run.path / CHECKPOINT
    if not open_processes(base.device).main:
        return paths
    told = {**(about or {}), "training": asdict(config), "commit": run.commit, "pictures": len(items)}
    save_patch(paths[0], task.network.patch(averaged, told))
    write_safetensors(paths[1], checkpoint_weights(task.network.merged(averaged), base_folder), {**told, "kind": "checkpoint"})
    return paths


def checkpoint_weights(unet, base_folder=None):
    """Weights of a single-file checkpoint that ComfyUI's loaders take.

    Args:
        unet: {name as in single-file checkpoints: weight}.
        base_folder: diffusers folder of the base, for its VAE and text encoder (ComfyUI reads their diffusers names).
    """
    weights = {f"model.diffusion_model.{name}": weight for name, weight in unet.items()}
    for file, prefix in OTHER_PARTS.items() if base_folder else ():
        tensors, _ = read_safetensors(Path(base_folder) / file, "base model")
        weights |= {prefix + name: weight for name, weight in tensors.items()}
    return weights


def describe_base(folder):
    """What tells one base from another: its UNet's sha256 and channels."""
    weights = next(iter(sorted((Path(folder) / "unet").glob("*.safetensors"))), None)
    if weights is None:
        raise InputError("base model", folder, "has no unet/*.safetensors", "Give a folder in diffusers' layout with safetensors files.")
    return {"base": f"{Path(folder).name} (unet sha256 {file_sha256(weights)[:16]})"}
