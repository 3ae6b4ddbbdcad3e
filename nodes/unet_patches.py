"""Personalization inside ComfyUI's MODEL and CONDITIONING. Only clones are changed; the loaded model stays as it is for everybody else."""

from __future__ import annotations

import comfy.lora
import comfy.utils

from ..models.checks import InputError
from ..models.personalization.conditioning import input_channels
from ..models.personalization.patch import CONV_IN, UNET
from ..models.personalization.unet import INPAINT_CHANNELS, INPUT_CHANNELS, LATENT_CHANNELS, append_token

ATTACHMENT = "contrapposto_rate_token"
CHANNELS_KEY = "contrapposto_input_channels"  # conditioning key that our concat_cond reads


def apply_patch(model, patch, strength):
    """Returns a clone of a MODEL that takes 13 input channels and knows the rate token; at strength 0 a plain clone.

    Args:
        model: MODEL with a base UNet, or with the checkpoint that was exported together with the patch.
        patch: PersonalizationPatch.
        strength: 0 leaves the model as it is bit by bit, 1 is what was trained.

    Raises:
        InputError: the patch was made for another base.
    """
    clone = model.clone()
    if strength == 0:
        return clone
    base = _base_conv_in(model)
    patch.check_base(base)
    _check_text_width(model, patch.rate_token.width)
    if base.shape[1] != INPUT_CHANNELS:
        change = patch.conv_in_change(base)
        clone.add_patches({UNET + CONV_IN: ("diff", [change, {"pad_weight": True}])}, strength)
        names = comfy.lora.model_lora_keys_unet(model.model, {})
        clone.add_patches(comfy.lora.load_lora(dict(patch.low_rank), names), strength)
    clone.set_attachments(ATTACHMENT, RateTokenHolder(patch.rate_token))
    clone.add_object_patch("concat_cond", read_channels)
    return clone


class RateTokenHolder:
    """Carries the rate token along with the clones of a MODEL."""

    def __init__(self, rate_token):
        self.rate_token = rate_token


def is_personalized(model):
    """Whether a MODEL came through ``apply_patch``, so that it reads the gray body."""
    return model.get_attachment(ATTACHMENT) is not None


def personalize(model, positive, negative, personalization):
    """Puts the avatar into both conditionings, in the way that the MODEL was trained to read it.

    Returns:
        (MODEL, positive, negative): a 13-channel model reads all nine channels and the rate token; an inpainting model reads the mask
        and the avatar's latents; any other model is led by the LATENT's noise mask alone.

    Raises:
        InputError: the model's channels, or the VAE's, do not fit.
    """
    _check_latents(model, personalization)
    holder = model.get_attachment(ATTACHMENT)
    if holder is None:
        _check_channels(model)
        given = {"concat_latent_image": personalization.avatar_latents, "concat_mask": personalization.change_mask[:, None]}
        return model, with_values(positive, given), with_values(negative, given)
    channels = input_channels(personalization, model.model.process_latent_in)
    rate = channels.new_tensor([personalization.downsample_rate]).cpu()
    token = holder.rate_token(rate)
    return model, _with_token(positive, channels, token), _with_token(negative, channels, token)


def read_channels(**given):
    """Stands in for ``BaseModel.concat_cond``: the nine channels from the conditioning, in the noise's size and batch.

    Raises:
        InputError: a conditioning did not come through Personalize Conditioning.
    """
    if given.get(CHANNELS_KEY) is None:
        raise InputError("conditioning", "of a personalized model", "does not hold the avatar",
                         "Send both positive and negative through Personalize Conditioning.")
    return channels_beside(given[CHANNELS_KEY], given)


def channels_beside(channels, given):
    """Channels (B, E, h, w) in the size, batch and device of the noise that they lie beside; ``given`` is what concat_cond was given."""
    noise = given["noise"]
    if channels.shape[2:] != noise.shape[2:]:
        channels = comfy.utils.common_upscale(channels, noise.shape[-1], noise.shape[-2], "bilinear", "disabled")
    return comfy.utils.resize_to_batch_size(channels, noise.shape[0]).to(given["device"])


def with_values(conditioning, values):
    """Returns the conditioning with more keys in each of its entries."""
    return [[states, {**options, **values}] for states, options in conditioning]


def _with_token(conditioning, channels, token):
    """ControlNets were not trained with the token, so they get the text without it."""
    return [[append_token(states, token), {**options, CHANNELS_KEY: channels,
                                           "cross_attn_controlnet": options.get("cross_attn_controlnet", states)}]
            for states, options in conditioning]


def _base_conv_in(model):
    """The first convolution without anybody's patches.

    Raises:
        InputError: the model is no UNet.
    """
    patched = model.get_key_patches(UNET + CONV_IN)
    if UNET + CONV_IN not in patched:
        raise InputError("model", type(model.model).__name__, "is not a Stable Diffusion 1.5 UNet", "Load the base model of the patch.")
    return patched[UNET + CONV_IN][0][0]


def _check_text_width(model, width):
    own = model.model.model_config.unet_config.get("context_dim")
    if own != width:
        raise InputError("model", f"with text states {own} wide", f"does not fit the patch, whose base has {width}",
                         "Load the base model that the patch was trained on.")


def _check_latents(model, personalization):
    own, given = model.model.latent_format.latent_channels, personalization.avatar_latents.shape[1]
    if own != given:
        raise InputError("personalization", f"{given} latent channels", f"does not fit the model, which has {own}",
                         "Encode the avatar with the VAE that belongs to the model.")


def _check_channels(model):
    """Refuses UNets that read other channels than ours, and a personalized checkpoint without its rate token."""
    if not hasattr(model.model.diffusion_model, "input_blocks"):
        return
    channels = model.model.model_config.unet_config.get("in_channels", LATENT_CHANNELS)
    if channels == INPUT_CHANNELS:
        raise InputError("model", "with 13 input channels", "has no rate token",
                         "Put Load Personalization Patch with the checkpoint's own patch file behind the loader.")
    if channels not in (LATENT_CHANNELS, INPAINT_CHANNELS):
        raise InputError("model", f"with {channels} input channels", "reads something else than an inpainting model",
                         "Use a text-to-image model (4 channels), an inpainting model (9) or a personalized one (13).")
