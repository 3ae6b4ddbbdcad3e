"""Parts2Whole's weights: the released folder in diffusers' layout, or one converted file. Everything is checked before it is used."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..assets.checkpoints import read_checkpoint
from ..assets.files import check_weights, parse_json, read_safetensors, read_text, write_safetensors
from ..checks import InputError
from .appearance_encoder import unread_weights
from .pose_guider import PoseGuider

DENOISER, ENCODER, GUIDER, PROJECTIONS = "denoiser", "appearance_encoder", "pose_guider", "image_projections"
FOLDERS = {DENOISER: "unet", ENCODER: "reference_unet", GUIDER: "pose_guider"}
STEM = "diffusion_pytorch_model"
DECOUPLED = ("decoupled_attn.safetensors", "decoupled_attn.pth")  # the released .pth is a safetensors file
KIND = "parts_to_whole"
# The released scheduler: linear in beta itself, not in its square root as Stable Diffusion's.
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000, "clip_sample": False,
             "steps_offset": 1, "timestep_spacing": "leading", "prediction_type": "epsilon", "set_alpha_to_one": False}
_WANTED = "Give the released folder (unet, reference_unet, pose_guider, decoupled_attn.pth) or a file that convert_parts_to_whole.py made."
_DC = (".to_k_dc", ".to_v_dc")


@dataclass(frozen=True)
class PartsWeights:
    """The four networks' weights under diffusers' names.

    Args:
        denoiser, appearance_encoder: of two UNets; the encoder's unread weights are there, as zeros.
        pose_guider: of the pose guider.
        image_projections: {"<block>.to_k_dc" or "<block>.to_v_dc": (C, D)}.
        config: {"denoiser": diffusers config of the UNet, ...}; what came with the files.
    """

    denoiser: dict[str, Tensor]
    appearance_encoder: dict[str, Tensor]
    pose_guider: dict[str, Tensor]
    image_projections: dict[str, Tensor]
    config: dict = field(default_factory=dict)


def load_weights(path) -> PartsWeights:
    """Reads a folder or a converted file.

    Raises:
        InputError: a file or weight is missing, damaged or of another shape.
    """
    path = Path(path)
    weights = _read_folder(path) if path.is_dir() else _read_file(path)
    _check(weights, path)
    return _with_unread(weights)


def save_weights(path, weights: PartsWeights, config=None):
    """Writes one file; weights that are never read are left out."""
    parts = {DENOISER: weights.denoiser, GUIDER: weights.pose_guider, PROJECTIONS: weights.image_projections}
    unread = unread_weights(weights.appearance_encoder)
    parts[ENCODER] = {name: weight for name, weight in weights.appearance_encoder.items() if name not in unread}
    tensors = {f"{part}.{name}": weight for part, found in parts.items() for name, weight in found.items()}
    write_safetensors(path, tensors, {**weights.config, **(config or {}), "kind": KIND})


def _read_file(path):
    tensors, config = read_safetensors(path, "Parts2Whole file")
    if config.get("kind") != KIND:
        raise InputError("Parts2Whole file", path, "holds something else", _WANTED)
    parts = {part: {name.removeprefix(part + "."): weight for name, weight in tensors.items() if name.startswith(part + ".")}
             for part in (DENOISER, ENCODER, GUIDER, PROJECTIONS)}
    return PartsWeights(*parts.values(), config)


def _read_folder(folder):
    parts = {part: _read_part(folder / name) for part, name in FOLDERS.items()}
    file = next((folder / name for name in DECOUPLED if (folder / name).is_file()), None)
    if file is None:
        raise InputError("Parts2Whole folder", folder, f"has no {DECOUPLED[1]}", _WANTED)
    tensors, _ = read_safetensors(file, "Parts2Whole file")  # by content: its suffix says nothing
    projections = {name.replace(".attn2.processor", "").removesuffix(".weight"): weight for name, weight in tensors.items()
                   if name.removesuffix(".weight").endswith(_DC)}
    parts[DENOISER] = {name: weight for name, weight in parts[DENOISER].items() if not name.removesuffix(".weight").endswith(_DC)}
    config = {part: _read_config(folder / name) for part, name in FOLDERS.items()}
    return PartsWeights(*parts.values(), projections, config)


def _read_part(folder):
    files = [folder / f"{STEM}{suffix}" for suffix in (".safetensors", ".fp16.safetensors", ".bin")]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise InputError("Parts2Whole folder", folder, f"has no {files[0].name}", _WANTED)
    if file.suffix != ".bin":
        return read_safetensors(file, "Parts2Whole file")[0]
    weights = read_checkpoint(file, "Parts2Whole file", "Download it again.")
    if not isinstance(weights, dict) or not all(isinstance(key, str) and isinstance(weight, Tensor) for key, weight in weights.items()):
        raise InputError("Parts2Whole file", file, "holds something else than named weights", "Download it again.")
    check_weights("Parts2Whole file", file, weights)
    return weights


def _read_config(folder):
    file = folder / "config.json"
    try:
        config = parse_json(read_text(file, "Parts2Whole file")) if file.is_file() else {}
        if isinstance(config, dict):
            return config
        raise ValueError("no object")
    except InputError:
        raise
    except ValueError as error:
        raise InputError("Parts2Whole file", file, f"is no JSON ({error})", "Download it again.") from None


def _check(weights, path):
    """The four parts must be one model; the message names the weight that does not fit."""
    wanted = {name: weight.shape for name, weight in weights.denoiser.items()}
    if "conv_in.weight" not in wanted or not any(".attn2." in name for name in wanted):
        raise InputError("Parts2Whole denoiser", path, "has no UNet weights under diffusers' names", _WANTED)
    unread = unread_weights(wanted)
    _compare("appearance encoder", weights.appearance_encoder, wanted, path, unread)
    texts = {name.removesuffix(".attn2.to_k.weight"): shape for name, shape in wanted.items() if name.endswith(".attn2.to_k.weight")}
    _compare("image tokens", weights.image_projections, {block + kind: shape for block, shape in texts.items() for kind in _DC}, path)
    channels, out = wanted["conv_in.weight"][0], PoseGuider.from_weights(weights.pose_guider).conv_out.out_channels
    if out != channels:
        raise InputError("pose guider weight", "conv_out.weight", f"of {path} has {out} rows, not {channels} as the denoiser's conv_in",
                         _WANTED)


def _compare(what, given, wanted, path, optional=()):
    for name, shape in wanted.items():
        if name not in given and name not in optional:
            raise InputError(f"{what} weight", name, f"is missing in {path}", _WANTED)
        if name in given and given[name].shape != shape:
            raise InputError(f"{what} weight", name, f"of {path} is {tuple(given[name].shape)}, not {tuple(shape)}", _WANTED)
    if surplus := sorted(set(given) - set(wanted)):
        raise InputError(f"{what} weight", surplus[0], f"of {path} is not known to the denoiser", _WANTED)


def _with_unread(weights):
    """Fills what the encoder's file leaves out with zeros, so that any UNet class loads it completely."""
    missing = {name: torch.zeros_like(weights.denoiser[name]) for name in weights.denoiser if name not in weights.appearance_encoder}
    return PartsWeights(weights.denoiser, {**weights.appearance_encoder, **missing}, weights.pose_guider, weights.image_projections,
                        weights.config)
