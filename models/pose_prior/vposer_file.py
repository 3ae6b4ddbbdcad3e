"""Reads the files that hold a VPoser network: v1 snapshots, V02_05 checkpoints, and our own safetensors.

All three become the same thing: a ``VPoserConfig`` with the few details in which the versions differ, and tensors under our names.
No pickled code ever runs: .pt and .ckpt files go through torch's restricted reader.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..assets.checkpoints import read_checkpoint
from ..assets.files import check_file, check_weights, config_of, read_safetensors, write_safetensors
from ..assets.registry import OPEN_POSE_PRIOR, bundled
from ..assets.search import locate
from ..checks import InputError

FORMAT = "contrapposto pose prior"
_NAME = "pose prior file"
# Our layers and what each version's files call them.
V1_LAYERS = {
    "encoder_norm_in": "bodyprior_enc_bn1", "encoder_in": "bodyprior_enc_fc1", "encoder_norm": "bodyprior_enc_bn2",
    "encoder_hidden": "bodyprior_enc_fc2", "mean": "bodyprior_enc_mu", "spread": "bodyprior_enc_logvar",
    "decoder_in": "bodyprior_dec_fc1", "decoder_hidden": "bodyprior_dec_fc2", "decoder_out": "bodyprior_dec_out",
}
V2_LAYERS = {
    "encoder_norm_in": "encoder_net.1", "encoder_in": "encoder_net.2", "encoder_norm": "encoder_net.4", "encoder_hidden": "encoder_net.6",
    "encoder_out": "encoder_net.7", "mean": "encoder_net.8.mu", "spread": "encoder_net.8.logvar",
    "decoder_in": "decoder_net.0", "decoder_hidden": "decoder_net.3", "decoder_out": "decoder_net.5",
}
_COUNTER = "num_batches_tracked"  # batch norm's bookkeeping, of no use after training


@dataclass(frozen=True)
class VPoserConfig:
    """In what the versions of VPoser differ.

    Args:
        version: "open", "v1" or "V02_05".
        slope: negative slope of the LeakyReLUs.
        linear_encoder_out: the encoder ends with two linear layers in a row (V02_05) instead of one and a LeakyReLU (v1).
        width: units of the hidden layers.
        latent_size: units of the latent code.
        dropout: share of hidden units dropped in training.
    """

    version: str = "open"
    slope: float = 0.2
    linear_encoder_out: bool = False
    width: int = 512
    latent_size: int = 32
    dropout: float = 0.1


def find_vposer(source):
    """Returns the path of a prior: None is the bundled one; a folder is VPoser's own, whose last snapshot by name is taken.

    Raises:
        InputError: there is no such file, or the folder holds no snapshot.
    """
    if source is None:
        return bundled(OPEN_POSE_PRIOR)
    if not Path(source).is_dir():
        return Path(source) if isinstance(source, Path) else locate("pose_priors", source)
    folder = Path(source)
    snapshots = sorted(path for path in (*folder.glob("snapshots/*"), *folder.glob("*")) if path.suffix in (".pt", ".ckpt"))
    if not snapshots:
        raise InputError(_NAME, folder, "is a folder without snapshots", "Give the folder that VPoser's archive unpacks to, or one file.")
    return snapshots[-1]


def read_vposer(path):
    """Reads a prior.

    Returns:
        (VPoserConfig, tensors): float32 tensors under our layer names.

    Raises:
        InputError: the file is missing, damaged, holds code or NaN, or is not a VPoser.
    """
    path = check_file(_NAME, path, (".safetensors", ".pt", ".ckpt"))
    if path.suffix.lower() == ".safetensors":
        tensors, info = read_safetensors(path, _NAME)
        if info.get("format") == FORMAT:
            return _config(path, info, tensors), _checked(path, tensors)
    else:
        tensors = _read_checkpoint(path)
    for prefix in ("vp_model.", "module."):
        if any(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return _translated(path, tensors)


def write_vposer(path, config, tensors, info):
    """Writes a prior of ours: its config, float16 weights (batch norms stay float32), and ``info`` about its training."""
    kept = {key: value for key, value in tensors.items() if not key.endswith(_COUNTER)}
    halved = {key: value if "norm" in key else value.half() for key, value in kept.items()}
    write_safetensors(path, halved, {"format": FORMAT, "network": asdict(config), **info})


def _read_checkpoint(path):
    """Returns the state dict of a .pt or .ckpt file."""
    loaded = read_checkpoint(path, _NAME, "Give the original file, or save its state dict alone as .safetensors.")
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    tensors = {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)} if isinstance(loaded, dict) else {}
    if not tensors:
        raise InputError(_NAME, path, "holds no weights", "Give a VPoser snapshot.")
    return tensors


def _config(path, info, tensors):
    """Returns the VPoserConfig that a file of ours carries."""
    try:
        config = config_of(VPoserConfig, info["network"], tensors, lambda c: c.width * (c.width + c.latent_size))
        if not (0 <= config.slope <= 1 and 0 <= config.dropout < 1):
            raise TypeError(f"{info['network']}")
        return config
    except (KeyError, TypeError) as error:
        raise InputError(_NAME, path, f"describes a network we do not know ({error})", "Update the pack, or train the file anew.") from None


def _translated(path, tensors):
    """Returns (config, tensors) of a v1 or V02_05 state dict. Body-model buffers and other extras are ignored."""
    if any(key.startswith("bodyprior_enc_") for key in tensors):
        version, layers, differs = "v1", V1_LAYERS, {"slope": 0.2, "linear_encoder_out": False}
    elif any(key.startswith("encoder_net.") for key in tensors):
        version, layers, differs = "V02_05", V2_LAYERS, {"slope": 0.01, "linear_encoder_out": True}
    else:
        raise InputError(_NAME, path, "is not a VPoser", "Give a VPoser v1 or V02_05 snapshot, or a pose prior of this pack.")
    renamed = {}
    for ours, theirs in layers.items():
        found = {key.rpartition(".")[2]: value for key, value in tensors.items() if key.rpartition(".")[0] == theirs}
        renamed.update({f"{ours}.{part}": value for part, value in found.items() if part != _COUNTER})
    width = renamed["encoder_in.weight"].shape[0] if "encoder_in.weight" in renamed else 512
    latent = renamed["mean.weight"].shape[0] if "mean.weight" in renamed else 32
    return VPoserConfig(version, **differs, width=width, latent_size=latent), _checked(path, renamed)


def _checked(path, tensors):
    tensors = {key: value.float() for key, value in tensors.items()}
    check_weights(_NAME, path, tensors)
    return tensors
