"""Intra-frame alignment (Dancing Avatar): low-rank modules on the cross-attention layers that know one person's clothes, or face.

The story in order: pictures of the clothes (or of the face), generated from the refined prompt, are cropped to the part that counts -> the
image model is frozen, each projection of its cross-attention gets a low-rank change (Hu et al. 2021) -> the changes alone are trained to
denoise the pictures under their prompt (AdamW, 500 steps) -> a LoRA file that every program reads. Two modules work together by chaining.
"""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..assets.files import read_safetensors, write_safetensors
from ..bodies.joints import OPENPOSE18_NAMES
from ..checks import InputError, check_choice, check_range, check_shape
from ..types import Keypoints

CROSS_ATTENTION = re.compile(r"(?:^|\.)attn2\.(?:to_q|to_k|to_v|to_out\.0)$")
PARTS = ("clothes", "face", "whole picture")
FORMAT = "contrapposto appearance module 1"
STATE_FORMAT = "contrapposto appearance training 1"
HEAD_POINTS = tuple(OPENPOSE18_NAMES.index(name) for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear"))
NECK = OPENPOSE18_NAMES.index("neck")
HEAD_REACH, BODY_REACH = 0.95, 0.12  # of the distance from neck to face; of the body's larger side
_HALF_SCALE = 1024.0  # of the loss in half precision, where small gradients would vanish


class Denoiser(Protocol):
    """A frozen latent image model with the texts of its pictures."""

    network: nn.Module
    sigmas: Tensor

    def denoise(self, noisy: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        """Latents + sigma noise (B, C, h, w) at levels (B,) -> clean latents; ``rows`` (B,) are the pictures, for their texts."""


@dataclass(frozen=True)
class AppearanceTraining:
    """How a module is trained. The paper says 500 steps of AdamW, and nothing of the rest.

    Args:
        steps: optimiser steps.
        rank: of the low-rank changes.
        alpha: their scale is alpha / rank.
        learning_rate: of AdamW.
        batch: pictures per step.
        seed: of fresh weights, noise and the order of pictures.
    """

    steps: int = 500
    rank: int = 16
    alpha: float = 16.0
    learning_rate: float = 1e-4
    batch: int = 1
    seed: int = 0

    def __post_init__(self):
        check_range("steps", self.steps, 1, 100_000)
        check_range("rank", self.rank, 1, 512)
        check_range("alpha", self.alpha, 0.01, 1024.0)
        check_range("learning rate", self.learning_rate, 1e-8, 1.0)
        check_range("batch", self.batch, 1, 256)
        check_range("seed", self.seed, 0, 2**64 - 1)


class LowRank(nn.Module):
    """The change ``alpha / rank * up(down(x))`` of a linear layer, nothing at first; float32 whatever the layer's precision."""

    def __init__(self, features_in, features_out, rank, alpha, generator):
        super().__init__()
        bound = 1 / math.sqrt(features_in)  # Kaiming's, as LoRA's own code starts
        self.down = nn.Parameter((torch.rand(rank, features_in, generator=generator) * 2 - 1) * bound)
        self.up = nn.Parameter(torch.zeros(features_out, rank))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return (x.float() @ self.down.T @ self.up.T * self.scale).to(x.dtype)


class AppearanceModule(nn.Module):
    """The low-rank changes of all cross-attention projections of one network.

    Args:
        network: a UNet, with diffusers' or with single-file names.
        training: rank, alpha and seed.

    Raises:
        InputError: the network has no such layers.
    """

    def __init__(self, network: nn.Module, training: AppearanceTraining):
        super().__init__()
        layers = cross_attention_layers(network)
        generator = torch.Generator().manual_seed(training.seed)
        self.names, self.alpha = tuple(layers), training.alpha
        self.changes = nn.ModuleList(LowRank(layer.weight.shape[1], layer.weight.shape[0], training.rank, training.alpha, generator)
                                     for layer in layers.values())

    @contextmanager
    def attached(self, network: nn.Module):
        """The network works with the changes inside the ``with`` block; its weights are never touched."""
        layers = cross_attention_layers(network)
        hooks = [layers[name].register_forward_hook(lambda layer, given, out, change=change: out + change(given[0]))
                 for name, change in zip(self.names, self.changes)]
        try:
            yield network
        finally:
            for hook in hooks:
                hook.remove()


def cross_attention_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Name -> layer of the query, key, value and output projections of every cross-attention (64 in Stable Diffusion 1.5).

    Raises:
        InputError: there are none.
    """
    layers = {name: layer for name, layer in network.named_modules() if CROSS_ATTENTION.search(name) and hasattr(layer, "weight")}
    if not layers:
        raise InputError("model", type(network).__name__, "has no cross-attention layers named attn2",
                         "Use a UNet model such as Stable Diffusion 1.5, 2.1 or SDXL.")
    return layers


class AppearanceTrainer:
    """Trains one module step by step; it can be stopped after any step and goes on from its state.

    Args:
        model: Denoiser; its network must be frozen and able to pass gradients on.
        latents: (N, C, h, w) of the pictures, as the network works on them.
        training: AppearanceTraining.
        state: from ``state()``, to go on.

    Raises:
        InputError: the network has no cross-attention, or the state belongs to another training.
    """

    def __init__(self, model: Denoiser, latents: Tensor, training: AppearanceTraining, state=None):
        check_shape("latents", latents, "N C h w")
        self.model, self.latents, self.training = model, latents, training
        self.module = AppearanceModule(model.network, training).to(latents.device)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=training.learning_rate)
        self.step, self.losses = 0, []
        half = next(iter(cross_attention_layers(model.network).values())).weight.dtype == torch.float16
        self._scale = _HALF_SCALE if half else 1.0
        if state is not None:
            self._restore(state)

    def run(self, on_step=None) -> AppearanceModule:
        """Trains to the end. ``on_step(done, all, loss)`` may raise to stop; what was trained stays in ``module`` and ``state()``."""
        with self.module.attached(self.model.network):
            while self.step < self.training.steps:
                loss = self._one_step()
                if on_step is not None:
                    on_step(self.step, self.training.steps, loss)
        return self.module

    def _one_step(self):
        """|eps - eps_theta|^2 at random noise levels, which is the error of the clean latents over sigma squared."""
        generator = torch.Generator().manual_seed((self.training.seed * 1_000_003 + self.step) % 2**63)
        rows = torch.randint(len(self.latents), (self.training.batch,), generator=generator)
        level = torch.randint(len(self.model.sigmas), (self.training.batch,), generator=generator)
        clean = self.latents[rows.to(self.latents.device)]
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        sigma = self.model.sigmas.to(clean)[level.to(clean.device)]
        wide = sigma.view(-1, 1, 1, 1)
        found = self.model.denoise(clean + wide * noise, sigma, rows)
        loss = ((found.float() - clean.float()) / wide.float()).square().mean()
        self.optimizer.zero_grad()
        (loss * self._scale).backward()
        finite = all(bool(torch.isfinite(weight.grad).all()) for weight in self.module.parameters())
        if finite:
            for weight in self.module.parameters():
                weight.grad /= self._scale
            self.optimizer.step()
        elif self._scale > 1:
            self._scale /= 2
        else:
            raise InputError("learning rate", self.training.learning_rate, f"made the loss infinite at step {self.step}", "Lower it.")
        self.step += 1
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """(tensors, facts) from which ``AppearanceTrainer`` goes on exactly here."""
        tensors = {f"module.{name}": weight for name, weight in self.module.state_dict().items()}
        for index, kept in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in kept.items()}
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        facts = {"format": STATE_FORMAT, "step": self.step, "scale": self._scale, "training": asdict(self.training)}
        return {name: value.detach().clone() for name, value in tensors.items()}, facts

    def _restore(self, state):
        tensors, facts = state
        if facts.get("format") != STATE_FORMAT or facts.get("training") != asdict(self.training):
            raise InputError("training state", facts.get("format"), "belongs to another training", "Remove it and train from the start.")
        try:
            weights = {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
            self.module.load_state_dict(weights)
            kept = {}
            for name, value in tensors.items():
                if name.startswith("optimizer."):
                    index, key = name.split(".")[1:]
                    kept.setdefault(int(index), {})[key] = value
            shapes = [weight.shape for weight in self.module.parameters()]
            if any(kept[i][key].shape != shape for i, shape in enumerate(shapes) for key in ("exp_avg", "exp_avg_sq")):
                raise ValueError("moments of another shape")
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": kept})
            check_range("step", facts["step"], 0, self.training.steps)
            check_range("scale", facts["scale"], 0, _HALF_SCALE)
            self.step, self.losses, self._scale = int(facts["step"]), tensors["losses"].flatten().tolist(), float(facts["scale"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # a damaged file lacks anything
            problem = f"is damaged ({type(error).__name__}: {str(error)[:80]})"
            raise InputError("training state", self.training, problem, "Remove it and train from the start.") from None


def save_module(path, module: AppearanceModule, about, rename=None):
    """Writes a module as a LoRA file in kohya's names, which ComfyUI's and diffusers' loaders and others read.

    Args:
        path: .safetensors.
        module: trained.
        about: facts about the training, JSON.
        rename: layer name -> diffusers' layer name, for a network with other names; None when they are diffusers' already.
    """
    tensors = lora_tensors(module, rename)
    write_safetensors(path, tensors, {"format": FORMAT, "layers": len(module.names), "rank": len(module.changes[0].down), **about})


def lora_tensors(module: AppearanceModule, rename=None) -> dict[str, Tensor]:
    """The tensors of a LoRA file: per layer ``lora_unet_<name>.lora_down.weight``, ``.lora_up.weight`` and ``.alpha``."""
    tensors = {}
    for name, change in zip(module.names, module.changes):
        stem = "lora_unet_" + (rename[name] if rename else name).replace(".", "_")
        tensors |= {f"{stem}.lora_down.weight": change.down.detach(), f"{stem}.lora_up.weight": change.up.detach(),
                    f"{stem}.alpha": torch.tensor(float(module.alpha))}
    return tensors


def merge_module(network: nn.Module, path, strength=1.0) -> int:
    """Adds a file of ``save_module``, or another LoRA in kohya's names, to a network's cross-attention; returns the number of layers.

    Args:
        network: a UNet with diffusers' names. Its weights change.
        path: .safetensors.
        strength: factor on the change.

    Raises:
        InputError: the file cannot be read, or fits no cross-attention layer of the network, or one only in part.
    """
    tensors, merged = read_safetensors(path, "appearance module")[0], 0
    for name, layer in cross_attention_layers(network).items():
        stem = "lora_unet_" + name.replace(".", "_")
        down, up = (tensors.get(f"{stem}.lora_{part}.weight") for part in ("down", "up"))
        if down is None or up is None:
            continue
        change = up.float() @ down.float()
        if change.shape != layer.weight.shape:
            raise InputError("appearance module", path, f"holds {tuple(change.shape)} for {name}, not {tuple(layer.weight.shape)}",
                             "Use a module that was trained on this model.")
        alpha = tensors.get(f"{stem}.alpha")
        scale = strength * (1.0 if alpha is None else float(alpha) / len(down))
        with torch.no_grad():
            layer.weight += (scale * change).to(layer.weight)
        merged += 1
    if not merged:
        raise InputError("appearance module", path, "fits no cross-attention layer of the model",
                         "Use a file of Train Appearance Module, or a LoRA in kohya's names, for this kind of model.")
    return merged


def save_state(path, trainer: AppearanceTrainer):
    """Writes a training's state, atomically."""
    write_safetensors(path, *trainer.state())


def load_state(path):
    """Reads what ``save_state`` has written.

    Raises:
        InputError: the file is missing or damaged.
    """
    return read_safetensors(path, "training state")


def crop_parts(images: Tensor, keypoints: Keypoints | None, part, size) -> Tensor:
    """Cuts the part that a module learns out of each picture, as a square.

    Args:
        images: (N, H, W, 3).
        keypoints: N rows in OpenPose-18 order; None cuts the largest square out of the middle of each.
        part: one of ``PARTS``: the face with its hair, the body, or all of the picture.
        size: side of the square, pixels.

    Returns:
        (N, size, size, 3).

    Raises:
        InputError: rows or sizes do not match, or a picture lacks the points of the part.
    """
    check_shape("images", images, "N H W 3")
    check_choice("part", part, PARTS)
    height, width = images.shape[1:3]
    if keypoints is None or part == "whole picture":
        boxes = [_centred(width / 2, height / 2, min(width, height), width, height)] * len(images)
    else:
        _check_points(keypoints, images)
        find = head_box if part == "face" else body_box
        boxes = [_centred(*find(keypoints.keypoints_2d[row], keypoints.scores[row] > 0, row), width, height) for row in range(len(images))]
    cuts = (images[row : row + 1, top:bottom, left:right] for row, (left, top, right, bottom) in enumerate(boxes))
    return torch.cat([_resized(cut, size) for cut in cuts])


def head_box(points: Tensor, there: Tensor, row=0):
    """Centre x, y and side of a square around head and hair, from (18, 2) points and which of them are there (18,)."""
    seen = [index for index in HEAD_POINTS if there[index]]
    if not seen or not there[NECK]:
        raise InputError("key points", f"picture {row}", "show no face, or no neck", "Leave this picture out, or learn the whole picture.")
    middle = points[seen].mean(0)
    reach = float((middle - points[NECK]).norm()) * HEAD_REACH
    up = (middle - points[NECK]) * 0.2  # hair lies above the face's points
    return float(middle[0] + up[0]), float(middle[1] + up[1]), 2 * reach


def body_box(points: Tensor, there: Tensor, row=0):
    """Centre x, y and side of a square around the body below the head."""
    body = [index for index in range(len(points)) if index not in HEAD_POINTS and there[index]]
    if len(body) < 3:
        raise InputError("key points", f"picture {row}", "show no body", "Leave this picture out, or learn the whole picture.")
    low, high = points[body].amin(0), points[body].amax(0)
    side = float((high - low).max()) * (1 + 2 * BODY_REACH)
    return float((low[0] + high[0]) / 2), float((low[1] + high[1]) / 2), side


def _centred(x, y, side, width, height):
    """A square box inside the picture, as near to the wanted place and size as it fits."""
    side = max(1, min(round(side), width, height))
    left = min(max(round(x - side / 2), 0), width - side)
    top = min(max(round(y - side / 2), 0), height - side)
    return left, top, left + side, top + side


def _resized(image, size):
    resized = torch.nn.functional.interpolate(image.permute(0, 3, 1, 2), (size, size), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).clamp(0, 1)


def _check_points(keypoints, images):
    if len(keypoints) != len(images):
        raise InputError("key points", f"of {len(keypoints)} people", f"do not fit {len(images)} pictures", "Give one person per picture.")
    if keypoints.order != "openpose18":
        raise InputError("key points", keypoints.order, "are not in OpenPose-18 order", "Convert them to openpose18 first.")
    if (keypoints.width, keypoints.height) != (images.shape[2], images.shape[1]):
        raise InputError("key points", f"for {keypoints.width} x {keypoints.height} pixels",
                         f"do not fit pictures of {images.shape[2]} x {images.shape[1]}", "Detect them in these pictures.")
