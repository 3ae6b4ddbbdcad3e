"""What PAS adds to an image model: nine more input channels, and the downsample rate as one more word (section 3.5.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..checks import InputError, check_shape

LATENT_CHANNELS = 4
INPUT_CHANNELS = 3 * LATENT_CHANNELS + 1  # z_t | mask | z_p | gray body
INPAINT_CHANNELS = 2 * LATENT_CHANNELS + 1  # z_t | mask | z_p
TEXT_TOKENS = 77  # CLIP's; longer texts come in several runs of that many
RATE_SCALE = 1000.0  # w in 0..1 moves as far along the sinusoids as a diffusion time does
RATE_WAVES = 256


class RateToken(nn.Module):
    """Turns the downsample rate w into one context token: sinusoids, then two linear layers.

    Args:
        width: of the text encoder's states, 768 for CLIP-L.
    """

    def __init__(self, width=768):
        super().__init__()
        self.width = width
        self.hidden = nn.Linear(RATE_WAVES, width)
        self.out = nn.Linear(width, width)

    def forward(self, rate: Tensor) -> Tensor:
        """Rates (B,) in 0..1 -> tokens (B, 1, width)."""
        waves = rate_waves(rate).to(self.hidden.weight)
        return self.out(nn.functional.silu(self.hidden(waves)))[:, None]


def rate_waves(rate: Tensor, count=RATE_WAVES) -> Tensor:
    """Sinusoids of rates (B,): cosines then sines of ``1000 w / 10000^(i / half)``, (B, count)."""
    half = count // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=rate.device) / half)
    angles = RATE_SCALE * rate.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], -1)


def append_token(states: Tensor, token: Tensor, run=TEXT_TOKENS) -> Tensor:
    """Adds the token behind every run of 77 text states, so that a long text and a short one weigh it alike.

    Args:
        states: (B, T, D) text states.
        token: (1, 1, D) or (B, 1, D).

    Returns:
        (B, T + number of runs, D).

    Raises:
        InputError: the widths differ: the states come from another text encoder.
    """
    sizes = check_shape("conditioning", states, "B T D")
    if token.shape[-1] != sizes["D"]:
        raise InputError("conditioning", f"{sizes['D']} wide", f"does not fit the personalization, which is {token.shape[-1]} wide",
                         "Encode the text with the CLIP of the base model that the patch was trained for.")
    token = token.to(states).expand(sizes["B"], 1, sizes["D"])
    runs = states.split(run, dim=1)
    return torch.cat([part for text in runs for part in (text, token)], 1)


def widen_conv_in(weight: Tensor) -> Tensor:
    """The first convolution with 13 input channels, the new ones zero: at first the model does what it did before.

    Args:
        weight: (O, 4 or 9 or 13, k, k) of a text-to-image, an inpainting or a personalized UNet.

    Raises:
        InputError: another number of channels.
    """
    given = weight.shape[1]
    if given not in (LATENT_CHANNELS, INPAINT_CHANNELS, INPUT_CHANNELS):
        raise InputError("model", f"{given} input channels", "cannot be personalized",
                         "Use a model with 4 (text to image), 9 (inpainting) or 13 (personalized) input channels.")
    wide = weight.new_zeros(weight.shape[0], INPUT_CHANNELS, *weight.shape[2:])
    wide[:, :given] = weight
    return wide
