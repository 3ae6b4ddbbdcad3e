"""PAS, sections 3.5.4 and 3.5.5, as one job: a rendered avatar and a sentence become a scene around that very avatar."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError
from ..compose.paste_back import paste_back
from ..personalization.conditioning import AvatarConditioning, encode_avatar, input_channels
from ..personalization.unet import INPAINT_CHANNELS, INPUT_CHANNELS, LATENT_CHANNELS, append_token
from ..ports import ImageDiffusion
from ..types import Render
from .diffusers_backend import shrink_mask


def personalize_scene(model: ImageDiffusion, avatar: Render, gray_body: Render, text, negative="", downsample_rate=0.0, rate_token=None,
                      seed=0, steps=25, guidance=7.5, occluder=None, on_step=None) -> Tensor:
    """Paints a scene around an avatar.

    Args:
        model: with 4 input channels (led by the noise mask), 9 (inpainting) or 13 (PAS).
        avatar, gray_body: B rows of one pose through one camera.
        text, negative: the scene, and what it shall not show.
        downsample_rate: w, 0..1.
        rate_token: RateToken of a 13-channel model.
        seed, steps, guidance: of the sampler.
        occluder: see ``paste_back``.
        on_step: called with (done, total).

    Returns:
        (B, H, W, 3).

    Raises:
        InputError: from the checks of each stage.
    """
    conditioning = encode_avatar(avatar, gray_body, model.encode, downsample_rate, gray=model.input_channels == INPUT_CHANNELS)
    beside = channels_for(model, conditioning)
    states = text_states(model, [text] * len(avatar), downsample_rate, rate_token)
    unwanted = text_states(model, [negative] * len(avatar), downsample_rate, rate_token)
    latents, mask = conditioning.avatar_latents, shrink_mask(conditioning.change_mask, conditioning.alpha.shape[1:])
    painted = model.decode(model.sample(states, unwanted, latents, mask, beside, seed, steps, guidance, on_step))
    return paste_back(painted, avatar.to(painted.device), occluder, linear_light=True)


def channels_for(model: ImageDiffusion, conditioning: AvatarConditioning) -> Tensor | None:
    """What a model reads beside its noisy latents: nothing, an inpainting model's five channels, or PAS's nine.

    Raises:
        InputError: a model with other channels.
    """
    if model.input_channels == LATENT_CHANNELS:
        return None
    if model.input_channels == INPUT_CHANNELS:
        return input_channels(conditioning, model.scale)
    if model.input_channels == INPAINT_CHANNELS:
        mask = shrink_mask(conditioning.change_mask, conditioning.alpha.shape[1:])[:, None]
        return torch.cat([mask.to(conditioning.avatar_latents), model.scale(conditioning.avatar_latents)], 1)
    raise InputError("image model", f"with {model.input_channels} input channels", "is of an unexpected kind",
                     "Use a text-to-image model (4 channels), an inpainting model (9) or a personalized one (13).")


def text_states(model: ImageDiffusion, texts, downsample_rate=0.0, rate_token=None) -> Tensor:
    """Text states of a model, with the token of the downsample rate behind them if the model knows it.

    Raises:
        InputError: a 13-channel model without its rate token.
    """
    states = model.encode_text(texts)
    if rate_token is None:
        if model.input_channels == INPUT_CHANNELS:
            raise InputError("rate token", None, "is needed by a personalized model", "Load the patch that belongs to the model.")
        return states
    with torch.no_grad():
        return append_token(states, rate_token.to(states.device)(torch.full((len(states),), float(downsample_rate), device=states.device)))
