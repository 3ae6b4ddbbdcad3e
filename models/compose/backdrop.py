"""A plain photo studio to stand in when the user gives no background: a seamless paper roll that knows where the floor is."""

from __future__ import annotations

import torch
from torch import Tensor

from ..types import Camera

PAPER = (0.80, 0.78, 0.75)  # sRGB, a warm light gray that flatters skin and keeps dark and light clothes apart from it
WALL_METRES = 3.5  # where the floor has bent up into the wall


def studio_backdrop(camera: Camera, paper=PAPER, wall=WALL_METRES) -> Tensor:
    """Draws the backdrop seen by each camera: floor at y = 0, bending into a wall, lit from above the figure.

    Args:
        camera: (B) cameras.
        paper: sRGB colour of the paper.
        wall: metres from the origin at which the floor has bent up into the wall.

    Returns:
        (B, H, W, 3) sRGB 0..1.
    """
    origin = -(camera.R.mT @ camera.t[..., None])[..., 0]
    rays = pixel_rays(camera)
    down = (-rays[..., 1]).clamp(min=1e-4)
    height = origin[:, None, None, 1]
    reach = (height / down).clamp(0, 50)
    hit = origin[:, None, None] + rays * reach[..., None]
    far = (hit[..., [0, 2]].norm(dim=-1) / wall).clamp(0, 1)  # distance from the figure, which stands at the origin
    floor = 1.06 - 0.20 * far * far * (3 - 2 * far)
    upright = 0.86 - 0.22 * rays[..., 1].clamp(0, 1)
    blend = ((far - 0.75) / 0.25).clamp(0, 1)
    light = torch.lerp(floor, upright, blend * blend * (3 - 2 * blend))
    color = torch.tensor(paper, dtype=light.dtype, device=light.device)
    return _dithered(light[..., None] * color).clamp(0, 1)


def pixel_rays(camera: Camera) -> Tensor:
    """Directions through the pixel centres, (B, H, W, 3) unit vectors in the world."""
    device, dtype = camera.R.device, camera.R.dtype
    y = torch.arange(camera.height, device=device, dtype=dtype) + 0.5
    x = torch.arange(camera.width, device=device, dtype=dtype) + 0.5
    right = (x[None] - camera.cx[:, None]) / camera.fx[:, None]
    below = (y[None] - camera.cy[:, None]) / camera.fy[:, None]
    rays = torch.stack([right[:, None].expand(-1, len(y), -1), below[..., None].expand(-1, -1, len(x)),
                        torch.ones(len(camera), len(y), len(x), device=device, dtype=dtype)], -1)
    return torch.nn.functional.normalize(rays @ camera.R[:, None], dim=-1)


def _dithered(image):
    """Half a grey level of fixed noise, so that the soft gradient does not show bands in 8 bits."""
    noise = torch.rand(image.shape[1:3], generator=torch.Generator().manual_seed(0)).to(image)
    return image + ((noise - 0.5) / 255)[None, ..., None]
