"""The file that makes a personalized model out of its base: the first convolution, low-rank changes, and the rate token.

A patch knows its base by the part of the first convolution that reads ``z_t``: fine-tuned relatives of a base keep it nearly unchanged,
other bases have nothing in common with it. Names of UNet weights are those of single-file checkpoints (``input_blocks.0.0`` ...).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..assets.files import read_safetensors, write_safetensors
from ..checks import InputError, check_range
from .unet import INPUT_CHANNELS, LATENT_CHANNELS, RateToken, widen_conv_in

KIND = "contrapposto personalization patch"
CONV_IN = "input_blocks.0.0.weight"
UNET = "diffusion_model."
TOKEN = "rate_token."
WHOLE = "whole_unet"  # in ``about``: all weights were trained, so the file serves its own checkpoint alone
RELATED = 0.7  # cosine between a base's first convolution and a relative's
EQUAL = 2e-3  # largest difference between the same weights in half and in full precision


@dataclass(frozen=True)
class PersonalizationPatch:
    """What training changed in a base model.

    Args:
        conv_in: (O, 13, 3, 3) the whole first convolution.
        base_conv: (O, 4, 3, 3) the part of the base's that reads the noisy latents, by which it is known.
        rate_token: the network that turns w into a token.
        low_rank: {"<weight name>.lora_up.weight" and ".lora_down.weight": tensor}, names with the ``diffusion_model.`` prefix.
        about: what the file tells about its training.
    """

    conv_in: Tensor
    base_conv: Tensor
    rate_token: RateToken
    low_rank: dict = field(default_factory=dict)
    about: dict = field(default_factory=dict)

    def check_base(self, conv_in: Tensor):
        """Checks that a model's first convolution (O, C, 3, 3) is the base's, a relative's, or the personalized one.

        Raises:
            InputError: the patch was made for another base.
        """
        channels = conv_in.shape[1]
        if channels == INPUT_CHANNELS and conv_in.shape == self.conv_in.shape:
            if (conv_in.float().cpu() - self.conv_in).abs().max() <= EQUAL * max(1.0, self.conv_in.abs().max().item()):
                return
            raise InputError("model", "with 13 input channels", "is another personalized model than the one this file belongs to",
                             "Load the checkpoint that was exported together with the file, or a base model.")
        widen_conv_in(conv_in)  # refuses other numbers of channels
        if self.about.get(WHOLE):
            raise InputError("model", f"with {channels} input channels", "is not the checkpoint that this file was exported with",
                             "Load that checkpoint: its whole UNet was trained, so no other base will do.")
        mine = conv_in[:, :LATENT_CHANNELS].float().cpu()
        if mine.shape != self.base_conv.shape or cosine_similarity(mine.flatten(), self.base_conv.flatten(), 0) < RELATED:
            raise InputError("personalization patch", self.about.get("base", "of unknown origin"), "was made for another base model",
                             "Load the base that it was trained on, or one fine-tuned from it.")

    def conv_in_change(self, base: Tensor) -> Tensor:
        """What has to be added to the base's first convolution once it is widened with zeros, (O, 13, 3, 3) float32."""
        return self.conv_in - widen_conv_in(base.float().cpu())


def save_patch(path, patch: PersonalizationPatch):
    """Writes a patch as .safetensors with its description."""
    tensors = {"conv_in.weight": patch.conv_in, "base_conv.weight": patch.base_conv, **patch.low_rank}
    tensors |= {TOKEN + name: weight for name, weight in patch.rate_token.state_dict().items()}
    write_safetensors(path, tensors, {**patch.about, "kind": KIND, "text_width": patch.rate_token.width})


def load_patch(path) -> PersonalizationPatch:
    """Reads a patch.

    Raises:
        InputError: the file cannot be read, is no patch, or is incomplete.
    """
    tensors, config = read_safetensors(path, "personalization patch")
    if config.get("kind") != KIND:
        raise InputError("personalization patch", path, "is not a personalization patch",
                         "Give the file that train_personalization wrote as personalization_patch.safetensors.")
    try:
        widest = max(weight.shape[0] for weight in tensors.values() if weight.ndim)
        token = RateToken(check_range("text_width", config["text_width"], 1, widest))
        token.load_state_dict({name[len(TOKEN) :]: weight.float() for name, weight in tensors.items() if name.startswith(TOKEN)})
        conv_in, base_conv = tensors.pop("conv_in.weight").float(), tensors.pop("base_conv.weight").float()
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError("personalization patch", path, f"is incomplete ({str(error)[:200]})", "Export it again.") from None
    low_rank = {name: weight for name, weight in tensors.items() if name.startswith(UNET)}
    return PersonalizationPatch(conv_in, base_conv, token.eval().requires_grad_(False), low_rank, config)
