"""The pose guider (Parts2Whole): a small network whose output is added behind the denoiser's first convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from ..checks import InputError

CHANNELS = (16, 32, 96, 256)


class PoseGuider(nn.Module):
    """A picture of the pose, DensePose colours in the released weights, eight times coarser.

    Args:
        out_channels: of the denoiser's first convolution.
        in_channels: of the picture.
        channels: of the blocks; each but the last is followed by a halving.
        operations: namespace with Conv2d; the host gives its own.
    """

    def __init__(self, out_channels=320, in_channels=3, channels=CHANNELS, operations=nn):
        super().__init__()
        self.conv_in = operations.Conv2d(in_channels, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in zip(channels, channels[1:]):
            self.blocks.append(operations.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(operations.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = operations.Conv2d(channels[-1], out_channels, 3, padding=1)

    def start_silent(self):
        """Sets the last convolution to zero, so that an untrained guider adds nothing."""
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)
        return self

    def forward(self, pose: Tensor) -> Tensor:
        """(B, 3, H, W) 0..1 -> (B, C, H / 8, W / 8)."""
        features = silu(self.conv_in(pose))
        for block in self.blocks:
            features = silu(block(features))
        return self.conv_out(features)

    @classmethod
    def from_weights(cls, weights, operations=nn):
        """Builds the guider that fits released weights, with them loaded.

        Raises:
            InputError: a weight is missing or of another shape.
        """
        try:
            return cls._from_weights(weights, operations)
        except (KeyError, IndexError, RuntimeError) as error:
            raise InputError("pose guider weights", sorted(weights)[:4], f"do not fit ({error})", "Download the file again.") from None

    @classmethod
    def _from_weights(cls, weights, operations):
        blocks = sorted({int(name.split(".")[1]) for name in weights if name.startswith("blocks.")})
        channels = (weights["conv_in.weight"].shape[0], *(weights[f"blocks.{i}.weight"].shape[0] for i in blocks[1::2]))
        made = cls(weights["conv_out.weight"].shape[0], weights["conv_in.weight"].shape[1], channels, operations)
        made.load_state_dict(weights)
        return made
