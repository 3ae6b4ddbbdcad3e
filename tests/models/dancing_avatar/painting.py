"""An image model that paints what it is told: the pose map, mixed with the frame before. Its pictures are exact to the cell."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, interpolate

CELL = 8


class HintPainter:
    """``ports.ImageDiffusion`` whose latents are cell means, and whose "sampling" mixes its hints with the noise of the seed."""

    def __init__(self, hints=None, input_channels=4):
        self.hint_channels, self.input_channels, self.cell = hints or {}, input_channels, CELL
        self.calls, self.encoded, self.guides = 0, 0, []

    def encode(self, images):
        self.encoded += 1
        means = avg_pool2d(images[..., :3].permute(0, 3, 1, 2).float(), CELL)
        return torch.cat([means, means[:, :1]], 1)

    def decode(self, latents):
        return interpolate(latents[:, :3], scale_factor=CELL, mode="nearest").permute(0, 2, 3, 1).clamp(0, 1)

    def encode_text(self, texts):
        return torch.zeros(len(texts), 1, 1)

    def scale(self, latents):
        return latents

    def empty_latents(self, height, width):
        return torch.zeros(1, 4, height // CELL, width // CELL)

    def sample(self, positive, negative, latents, change_mask=None, beside=None, seed=0, steps=25, guidance=7.5, on_step=None, hints=None):
        self.calls += 1
        hints = hints or {}
        assert set(hints) <= set(self.hint_channels)
        self.guides.append(hints.get("previous frame"))
        painted = 0.2 * torch.rand(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents) + 0.3
        for name, share in (("pose", 0.5), ("previous frame", 0.3)):
            if name in hints:
                means = avg_pool2d(hints[name].permute(0, 3, 1, 2).float(), CELL)
                painted = torch.lerp(painted, torch.cat([means, means[:, :1]], 1)[:, :4], share)
        for step in range(steps):
            if on_step:
                on_step(step + 1, steps)
        return painted if change_mask is None else torch.where(change_mask[:, None] > 0, painted, latents)


def dance(frames=5, height=64, width=48):
    """(pose maps, plate, masks): a disc that walks over a noisy ground; the plate is no 8 bit picture."""
    generator = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.linspace(12, width - 12, frames)
    masks = torch.stack([(((x - c) ** 2 + (y - height / 2) ** 2).sqrt() < 7).float() for c in centres])
    pose_maps = masks[..., None] * torch.tensor([1.0, 0.6, 0.1])
    return pose_maps, torch.rand(1, height, width, 3, generator=generator), masks
