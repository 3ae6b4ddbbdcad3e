"""A Stable Diffusion UNet as it is trained: frozen beside a module of additions, or whole.

The additions are the first convolution with 13 input channels, low-rank changes of the attention's projections (Hu et al. 2021), and the
rate token; they alone are trained, averaged and saved. At the start they change nothing but the length of the text by one token. Trained
whole, as in the paper, every weight moves, and there is no patch for other bases.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from ..personalization.ldm_keys import to_ldm
from ..personalization.patch import CONV_IN, UNET, WHOLE, PersonalizationPatch
from ..personalization.unet import LATENT_CHANNELS, RateToken, append_token, widen_conv_in

PROJECTIONS = re.compile(r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)$")


def widened(first: nn.Conv2d) -> nn.Conv2d:
    """A copy of a first convolution with 13 input channels, the new ones zero."""
    wide = widen_conv_in(first.weight.detach().float())
    conv = nn.Conv2d(wide.shape[1], wide.shape[0], first.kernel_size, padding=first.padding)
    with torch.no_grad():
        conv.weight.copy_(wide)
        conv.bias.copy_(first.bias)
    return conv


class Additions(nn.Module):
    """What is trained beside a frozen UNet.

    Args:
        unet: UNet2DConditionModel with 4 or 9 input channels.
        rank: of the low-rank changes; 0 trains none.
        seed: of the fresh weights.
    """

    def __init__(self, unet, rank, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv_in = widened(unet.conv_in)
            self.rate_token = RateToken(unet.config.cross_attention_dim)
            self.low_rank = nn.ModuleDict({name.replace(".", "/"): _LowRank(module, rank) for name, module in unet.named_modules()
                                           if rank and PROJECTIONS.match(name)})
        self.conv_in.bias.requires_grad_(False)  # a patch holds weights only

    def change(self, name, x):
        """The low-rank change of the projection ``name`` for its input x."""
        return self.low_rank[name.replace(".", "/")](x)


class _LowRank(nn.Module):
    def __init__(self, linear, rank):
        super().__init__()
        self.down = nn.Linear(linear.in_features, rank, bias=False)
        self.up = nn.Linear(rank, linear.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.up(self.down(x))


class PersonalizedUNet:
    """A frozen UNet that runs with whichever ``Additions`` it is handed.

    Args:
        unet: UNet2DConditionModel; its first convolution is replaced, its attention projections are hooked.
        additions: any that was made for it, for the names of the projections.
    """

    def __init__(self, unet, additions):
        self.unet, self.additions = unet.eval().requires_grad_(False), additions
        self.names = list(unet.state_dict())
        self.base = {name: weight.detach().clone() for name, weight in unet.state_dict().items() if self._changes(name)}
        modules = dict(unet.named_modules())
        for key in additions.low_rank:
            name = key.replace("/", ".")
            modules[name].register_forward_hook(lambda module, given, out, name=name: out + self.additions.change(name, given[0]))
        unet.conv_in.forward = lambda x: self.additions.conv_in(x)

    def _changes(self, name):
        return name == "conv_in.weight" or name.removesuffix(".weight").replace(".", "/") in self.additions.low_rank

    def __call__(self, additions, noisy: Tensor, timesteps: Tensor, states: Tensor, beside: Tensor, rates: Tensor) -> Tensor:
        """Epsilon (B, 4, h, w) for noisy latents, times (B,), text states (B, T, D), channels (B, 9, h, w) and rates (B,)."""
        self.additions = additions
        states = append_token(states, additions.rate_token(rates))
        return self.unet(torch.cat([noisy, beside], 1), timesteps, encoder_hidden_states=states).sample

    def patch(self, additions, about) -> PersonalizationPatch:
        """The additions as a patch, names as in single-file checkpoints."""
        ldm = to_ldm(self.names, self.unet.config.layers_per_block)
        low_rank = {}
        for key, change in additions.low_rank.items():
            stem = UNET + ldm[key.replace("/", ".") + ".weight"].removesuffix(".weight")
            low_rank |= {f"{stem}.lora_up.weight": change.up.weight.detach(), f"{stem}.lora_down.weight": change.down.weight.detach()}
        base = self.base["conv_in.weight"].float()[:, :LATENT_CHANNELS]
        return PersonalizationPatch(additions.conv_in.weight.detach().float(), base, additions.rate_token, low_rank, about)

    def merged(self, additions) -> dict[str, Tensor]:
        """All weights with the additions in them, names as in single-file checkpoints, without a prefix."""
        ldm, state = to_ldm(self.names, self.unet.config.layers_per_block), self.unet.state_dict()
        weights = {ldm[name]: state[name] for name in self.names} | {CONV_IN: additions.conv_in.weight.detach()}
        for key, change in additions.low_rank.items():
            name = key.replace("/", ".") + ".weight"
            weights[ldm[name]] = state[name] + (change.up.weight.detach() @ change.down.weight.detach()).to(state[name])
        return weights


class WholeUNet(nn.Module):
    """What is trained when everything is: the UNet with 13 input channels, and the rate token.

    Args:
        unet: UNet2DConditionModel with 4 or 9 input channels; it becomes part of this module.
        seed: of the rate token.
    """

    def __init__(self, unet, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            unet.conv_in = widened(unet.conv_in)
            self.rate_token = RateToken(unet.config.cross_attention_dim)
        self.unet = unet.float().requires_grad_(True)


class TunedUNet:
    """Runs whichever ``WholeUNet`` it is handed; the counterpart of ``PersonalizedUNet``."""

    def __call__(self, whole: WholeUNet, noisy: Tensor, timesteps: Tensor, states: Tensor, beside: Tensor, rates: Tensor) -> Tensor:
        """As ``PersonalizedUNet``."""
        states = append_token(states, whole.rate_token(rates))
        return whole.unet(torch.cat([noisy, beside], 1), timesteps, encoder_hidden_states=states).sample

    def patch(self, whole: WholeUNet, about) -> PersonalizationPatch:
        """The rate token and the first convolution, as the file that belongs to the checkpoint alone."""
        conv = whole.unet.conv_in.weight.detach().float()
        return PersonalizationPatch(conv, conv[:, :LATENT_CHANNELS].clone(), whole.rate_token, {}, {**about, WHOLE: True})

    def merged(self, whole: WholeUNet) -> dict[str, Tensor]:
        """All weights, names as in single-file checkpoints, without a prefix."""
        state = whole.unet.state_dict()
        ldm = to_ldm(list(state), whole.unet.config.layers_per_block)
        return {ldm[name]: weight.detach() for name, weight in state.items()}
