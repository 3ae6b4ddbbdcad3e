"""Parts2Whole's files as ComfyUI's own models: two UNets in its memory management, the pose guider, the image projections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import comfy.model_sampling
import comfy.sd

from ..models.assets import search
from ..models.checks import InputError
from ..models.parts_to_whole.image_tokens import ImageProjections
from ..models.parts_to_whole.pose_guider import PoseGuider
from ..models.parts_to_whole.weights import DECOUPLED, load_weights
from ..models.personalization.ldm_keys import to_ldm
from . import host

KIND = "parts_to_whole"
OWN_DENOISER = "contrapposto_parts_denoiser"  # attachment of the MODEL that Load Parts2Whole gives


@dataclass(frozen=True)
class LoadedParts:
    """Everything of Parts2Whole beside the denoiser.

    Args:
        encoder: ModelPatcher of the appearance encoder.
        guider: host.HostedNetwork of the PoseGuider.
        projections: ImageProjections, on the CPU.
        blocks: {diffusers name of a transformer block: ("input", 1, 0)}.
        widths: {the same place: channels}.
    """

    encoder: object
    guider: object
    projections: ImageProjections
    blocks: dict[str, tuple]
    widths: dict[tuple, int]


def choices():
    """Released folders and converted files below ComfyUI/models/parts_to_whole."""
    files = [PurePosixPath(name) for name in host.file_choices(KIND)]
    folders = {file.parent for file in files if file.name in DECOUPLED}
    single = [file for file in files if file.suffix == ".safetensors" and not any(_within(file, folder) for folder in folders)]
    return [str(entry) for entry in (*sorted(folders), *sorted(single))]


def _within(file, folder):
    inner = file.relative_to(folder).parts if file.is_relative_to(folder) else ()
    return len(inner) == 1 and inner[0] in DECOUPLED or len(inner) == 2 and inner[0] in ("unet", "reference_unet", "pose_guider", "vae",
                                                                                         "text_encoder", "image_encoder")


def choice_to_path(choice):
    """The file or folder of an entry of ``choices``.

    Raises:
        InputError: it is gone.
    """
    names = [PurePosixPath(choice) / name for name in DECOUPLED]
    listed = set(host.file_choices(KIND))
    for name in names:
        if str(name) in listed:
            return search.find_file(KIND, str(name)).parent
    return search.find_file(KIND, choice)


def load_parts(path):
    """Returns (MODEL, LoadedParts).

    Raises:
        InputError: files are missing or do not fit together, or are no Stable Diffusion 1.5.
    """
    weights = load_weights(path)
    names = to_ldm(list(weights.denoiser), _layers_per_block(weights.denoiser))
    attended = [name.removesuffix(".attn2.to_q.weight") for name in weights.denoiser if name.endswith(".attn2.to_q.weight")]
    blocks = {name: _place(names[f"{name}.attn2.to_q.weight"]) for name in attended}
    widths = {blocks[name]: weights.denoiser[f"{name}.attn2.to_q.weight"].shape[0] for name in attended}
    denoiser = with_linear_betas(_unet(weights.denoiser, names, path))
    denoiser.set_attachments(OWN_DENOISER, _Mark())
    encoder = _unet(weights.appearance_encoder, names, path)
    guider = PoseGuider.from_weights({name: weight.float() for name, weight in weights.pose_guider.items()}, host.OPERATIONS).eval()
    projections = ImageProjections.from_weights({name: weight.float() for name, weight in weights.image_projections.items()})
    return denoiser, LoadedParts(encoder, host.HostedNetwork(guider, guider), projections.requires_grad_(False), blocks, widths)


class _Mark:
    """Says that a MODEL is the released denoiser, or a clone of it."""


def _unet(weights, names, path):
    model = comfy.sd.load_diffusion_model_state_dict({names[name]: weight for name, weight in weights.items()})
    if model is None:
        raise InputError("Parts2Whole", path, "is no Stable Diffusion 1.5 network", "Choose the released files.")
    return model


def with_linear_betas(model):
    """The released denoiser was trained with betas that rise linearly, which ComfyUI calls "sqrt_linear"."""

    class LinearBetas(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    class Settings:
        sampling_settings = {"beta_schedule": "sqrt_linear", "linear_start": 0.00085, "linear_end": 0.012}

    clone = model.clone()
    clone.add_object_patch("model_sampling", LinearBetas(Settings))
    return clone


def _layers_per_block(names):
    return 1 + max(int(name.split(".")[3]) for name in names if name.startswith("down_blocks.0.resnets."))


def _place(ldm_name):
    """"input_blocks.1.1.transformer_blocks.0.attn2..." -> ("input", 1, 0)."""
    parts = ldm_name.split(".")
    index = int(parts[parts.index("transformer_blocks") + 1])
    return ("middle", 0, index) if parts[0] == "middle_block" else (parts[0].removesuffix("_blocks"), int(parts[1]), index)


def check_model(model, parts):
    """Refuses MODELs whose attention does not fit; returns whether it is the released denoiser.

    Raises:
        InputError: another family, or another depth.
    """
    network = model.model.diffusion_model
    own = model.model.model_config.unet_config.get("context_dim") if hasattr(network, "input_blocks") else None
    wanted = parts.projections.token_width
    if own != wanted:
        raise InputError("model", type(model.model).__name__, f"is not Stable Diffusion 1.5 (text {own} wide, not {wanted})",
                         "Connect the model of Load Parts2Whole.")
    for place, width in parts.widths.items():
        found = _width(network, place)
        if found != width:
            raise InputError("model", type(model.model).__name__, f"has {found or 'no'} channels in block {place}, not {width}",
                             "Connect the model of Load Parts2Whole, or another Stable Diffusion 1.5.")
    return model.get_attachment(OWN_DENOISER) is not None


def _width(network, place):
    from .parts_patches import place_name

    try:
        return network.get_submodule(place_name(place)).attn1.to_q.in_features
    except AttributeError:
        return None
