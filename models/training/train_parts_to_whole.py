"""Trains Parts2Whole: the denoiser, the appearance encoder, the image projections and the pose guider, all of them.

    python scripts/train_parts_to_whole.py --data DIR --base FOLDER [--steps N] [--height H] [--width W]

The base is Stable Diffusion 1.5 in diffusers' layout, with the image_encoder of sd-image-variations beside it. The run folder receives
``parts_to_whole.safetensors``, which Load Parts2Whole and the command line read.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checks import InputError, check_range
from ..parts_to_whole.appearance_encoder import Bank, encode_appearance, transformer_blocks, unread_weights
from ..parts_to_whole.image_tokens import ImageProjections, pad_tokens
from ..parts_to_whole.network import PartsUNet
from ..parts_to_whole.parts import Reference
from ..parts_to_whole.pose_guider import CHANNELS, PoseGuider
from ..parts_to_whole.weights import DENOISER, SCHEDULER, PartsWeights, load_weights, save_weights
from .datasets.parts import load_sample
from .loop import LoopConfig, RunFolder, train

FILE = "parts_to_whole.safetensors"
SOURCES = ("models/parts_to_whole", "models/training/datasets/parts.py", "models/training/loop.py",
           "models/training/train_parts_to_whole.py")


@dataclass(frozen=True)
class PartsTraining:
    """Everything that decides the weights; the defaults are the authors'.

    Args:
        loop: LoopConfig.
        height, width: of a sample, pixels.
        drop_all: share of rows without text, image tokens and references, for guidance.
        drop_pose, drop_bank, drop_reference: share of batches without the pose, without any reference's features, and of references
            whose features are left out; their image tokens stay.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=30_000, batch=8, lr=2e-5, warmup=500, ema=0.9999))
    height: int = 512
    width: int = 512
    drop_all: float = 0.1
    drop_pose: float = 0.2
    drop_bank: float = 0.2
    drop_reference: float = 0.2


class PartsNetwork(nn.Module):
    """All that is trained.

    Args:
        unet: UNet2DConditionModel, the start of both UNets.
        guider_channels: of the pose guider's blocks.
    """

    def __init__(self, unet, guider_channels=CHANNELS):
        super().__init__()
        self.encoder = copy.deepcopy(unet)
        blocks = transformer_blocks(unet)
        projections = ImageProjections({name: block.attn2.to_k.out_features for name, block in blocks.items()},
                                       unet.config.cross_attention_dim)
        for kind, own in (("to_k_dc", "to_k"), ("to_v_dc", "to_v")):
            for name, block in blocks.items():
                getattr(projections, kind)[name.replace(".", "/")].load_state_dict(getattr(block.attn2, own).state_dict())
        self.denoiser = PartsUNet(unet, projections)
        self.guider = PoseGuider(unet.conv_in.out_channels, channels=guider_channels).start_silent()
        unread = unread_weights(dict(self.encoder.named_parameters()))
        with torch.no_grad():
            for name, weight in self.encoder.named_parameters():
                if name in unread:
                    weight.zero_().requires_grad_(False)

    def load(self, weights: PartsWeights):
        """Goes on from trained weights."""
        self.encoder.load_state_dict(weights.appearance_encoder)
        self.denoiser.unet.load_state_dict(weights.denoiser)
        self.guider.load_state_dict(weights.pose_guider)
        for name, weight in weights.image_projections.items():
            block, _, kind = name.rpartition(".")
            getattr(self.denoiser.projections, kind)[block.replace(".", "/")].weight.data.copy_(weight)

    def weights(self, config) -> PartsWeights:
        """What is saved."""
        parts = [{name: weight.detach() for name, weight in module.state_dict().items()}
                 for module in (self.denoiser.unet, self.encoder, self.guider)]
        return PartsWeights(*parts, self.denoiser.projections.weights(), config)

    def forward(self, noisy: Tensor, times: Tensor, states: Tensor, tokens: Tensor, references, pose: Tensor | None) -> Tensor:
        """Epsilon (B, 4, h, w).

        Args:
            noisy, times: (B, 4, h, w) and (B,).
            states: (B, 77, D) text states; tokens (B, 6, D) image tokens. Rows whose tokens are zero read no references.
            references: list of (label, latents (B, 4, h, w), label states (1, 77, D), mask (B, 1, H, W)).
            pose: (B, 3, H, W) or None.
        """
        found = [encode_appearance(self.encoder, latents, text.expand(len(latents), -1, -1), mask) for _, latents, text, mask in references]
        nothing = noisy.new_zeros(0)
        bank = Bank(tuple(Reference(nothing, nothing, label) for label, *_ in references),
                    {name: tuple(features[name] for features in found) for name in (found[0] if found else ())})
        self.denoiser.use(bank, None if pose is None else self.guider(pose))
        try:
            return self.denoiser(noisy, times, torch.cat([states, tokens], 1)).sample
        finally:
            self.denoiser.use(None)


class PartsTask:
    """Batches and the loss.

    Args:
        pairs: from ``find_parts``.
        base: ports.ImageDiffusion over diffusers' parts (``unet``, ``device``).
        see: (B, H, W, 3) pictures -> (B, D) CLIP image embeddings.
        config: PartsTraining.
        network: PartsNetwork, or None for a fresh one of the base's UNet.
        parser: ports.HumanParser for parts without masks.
    """

    def __init__(self, pairs, base, see, config, network=None, parser=None):
        from diffusers import DDPMScheduler

        for name in ("height", "width"):
            check_range(name, getattr(config, name), 64, 4096, "pixels")
        self.pairs, self.base, self.see, self.config, self.parser = pairs, base, see, config, parser
        self.network = (network or PartsNetwork(base.unet)).to(base.device)
        known = {key: SCHEDULER[key] for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps")}
        self.alphas_bar = DDPMScheduler(**known).alphas_cumprod.to(base.device)
        rows = defaultdict(list)
        for row, pair in enumerate(pairs):
            rows[pair.bucket].append(row)
        self.buckets = [torch.tensor(found) for found in rows.values()]
        self.chances = torch.tensor([float(len(found)) for found in self.buckets])

    def draw(self, generator):
        """Rows (B,) that show the same parts."""
        bucket = self.buckets[int(torch.multinomial(self.chances, 1, generator=generator))]
        return bucket[torch.randint(len(bucket), (self.config.loop.batch,), generator=generator)]

    def loss(self, network, rows, step, generator):
        """``|eps - eps_theta|^2`` with uniform t and the authors' drops."""
        cpu = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
        samples = [load_sample(self.pairs[row], (self.config.height, self.config.width), cpu, self.parser) for row in rows.tolist()]
        latents, states, tokens, references, pose = self.encode(samples, self._kept(samples, cpu))
        times = torch.randint(len(self.alphas_bar), (len(samples),), generator=cpu).to(latents.device)
        noise = torch.randn(latents.shape, generator=cpu).to(latents)
        signal = self.alphas_bar[times].view(-1, 1, 1, 1)
        # A row without any context reads no references either, as unconditional rows at use. The authors' code lets it read them.
        kept = (torch.rand(len(samples), generator=cpu) >= self.config.drop_all).to(latents)[:, None, None]
        pose = None if self._drops(self.config.drop_pose, cpu) else pose
        eps = network(signal.sqrt() * latents + (1 - signal).sqrt() * noise, times, states * kept, tokens * kept, references, pose)
        return {"loss": (eps - noise).square().mean() + _everything(network)}

    def _drops(self, share, cpu):
        return float(torch.rand((), generator=cpu)) < share

    def _kept(self, samples, cpu):
        """Labels whose features are read in this batch."""
        whole = self._drops(self.config.drop_bank, cpu)
        return [label for label in samples[0].references if not self._drops(self.config.drop_reference, cpu) and not whole]

    @torch.no_grad()
    def encode(self, samples, kept):
        """(latents, text states, image tokens, references to read, pose) of a batch."""
        base, device = self.base, self.base.device
        latents = base.scale(base.encode(torch.stack([sample.target for sample in samples])))
        pictures = {label: torch.stack([sample.references[label][0] for sample in samples]).to(device) for label in samples[0].references}
        tokens = pad_tokens(torch.stack([self.see(found) for found in pictures.values()], 1).to(latents))
        references = []
        for label in kept:
            mask = torch.stack([sample.references[label][1] for sample in samples])[:, None].to(latents)
            references.append((label, base.scale(base.encode(pictures[label])), base.encode_text([label]).to(latents), mask))
        poses = [sample.pose for sample in samples]
        pose = None if any(found is None for found in poses) else torch.stack(poses).movedim(-1, 1).to(latents)
        return latents, base.encode_text([sample.caption for sample in samples]).to(latents), tokens, references, pose


def _everything(network):
    """0, as a function of every weight: processes that train together wait for all gradients, also of what a batch has dropped."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0.0
    return sum(weight.sum() * 0 for weight in network.parameters() if weight.requires_grad)


def train_parts_to_whole(pairs, base, see, run_dir, config, network=None, parser=None, on_step=None, about=None):
    """Trains (or continues) a run and exports it; returns the file's path.

    Args:
        pairs, base, see, config, network, parser: see ``PartsTask``; the base's UNet is changed.
        run_dir: the run's folder.
        on_step: called with the steps done.
        about: what the file shall tell about its base and data.

    Raises:
        InputError: the data, the base or the run folder cannot be used.
        TrainingStopped: the loss became NaN.
    """
    if base.input_channels != 4:
        raise InputError("base", f"with {base.input_channels} input channels", "is no text-to-image model", "Give Stable Diffusion 1.5.")
    unet_config = {name: value for name, value in dict(base.unet.config).items() if not name.startswith("_")}
    task = PartsTask(pairs, base, see, config, network, parser)
    run = RunFolder(Path(run_dir), asdict(config) | {"base": (about or {}).get("base", "")}, SOURCES)
    averaged = train(task.network, task.draw, task.loss, config.loop, run, on_step=on_step)
    told = {**(about or {}), "training": asdict(config), "commit": run.commit, "pairs": len(pairs), DENOISER: unet_config}
    save_weights(run.path / FILE, averaged.weights(told))
    return run.path / FILE


def continue_from(path, base) -> PartsNetwork:
    """A network with the weights of a file or folder.

    Raises:
        InputError: they do not fit the base's UNet.
    """
    weights = load_weights(path)
    widths = [weights.pose_guider[f"blocks.{i}.weight"].shape[0] for i in range(1, 99, 2) if f"blocks.{i}.weight" in weights.pose_guider]
    network = PartsNetwork(base.unet, (weights.pose_guider["conv_in.weight"].shape[0], *widths))
    try:
        network.load(weights)
    except (RuntimeError, KeyError) as error:
        raise InputError("weights", path, f"do not fit the base ({str(error)[:200]})", "Give the base that they were trained on.") from None
    return network
