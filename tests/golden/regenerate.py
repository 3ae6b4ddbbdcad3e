"""Writes the golden pictures of the render and compose rooms: python tests/golden/regenerate.py

Look at every picture before committing it. The scenes are made of code only, so the goldens change when the rooms change and
never because a body or avatar file did.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from contrapposto.models.compose.paste_back import paste_back
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.depth import depth_to_image
from contrapposto.models.render.engine import render_figure
from contrapposto.models.render.pose_map import draw_pose_map, project_keypoints
from contrapposto.models.types import Material, Mesh, Render

FOLDER = Path(__file__).parent
SIZE = 160


@dataclass(frozen=True)
class Doll:
    """A ports.Figure made of ellipsoids, with the keypoints of a standing person."""

    meshes: Mesh
    points: torch.Tensor

    @property
    def device(self):
        return self.meshes.vertices.device

    def __len__(self):
        return len(self.meshes)

    def mesh(self, rows):
        return self.meshes[rows]

    def keypoints_3d(self):
        return self.points


def sphere(rings=24, around=48):
    """Vertices (V, 3) of a unit sphere, faces (F, 3), uv (V, 2). The seam has two columns of vertices."""
    polar = torch.linspace(0, math.pi, rings + 1)[:, None]
    turn = torch.linspace(0, 2 * math.pi, around + 1)[None]
    x, y, z = polar.sin() * turn.sin(), polar.cos() + 0 * turn, polar.sin() * turn.cos()
    vertices = torch.stack([x, y, z], -1).view(-1, 3)
    uv = torch.stack([(turn / (2 * math.pi)).expand(rings + 1, -1), (polar / math.pi).expand(-1, around + 1)], -1).view(-1, 2)
    corner = (torch.arange(rings)[:, None] * (around + 1) + torch.arange(around)).view(-1)
    below = corner + around + 1
    faces = torch.cat([torch.stack([corner, below, below + 1], 1), torch.stack([corner, below + 1, corner + 1], 1)])
    return vertices, faces, uv


def checks(size=64, cells=8):
    """A texture (size, size, 4) uint8 of warm and cool squares, with one red square in the top left corner."""
    cell = torch.arange(size) * cells // size
    even = (cell[:, None] + cell[None]) % 2 == 0
    texture = torch.where(even[..., None], torch.tensor([230, 190, 120, 255]), torch.tensor([60, 110, 150, 255]))
    texture[: size // cells, : size // cells] = torch.tensor([200, 30, 30, 255])
    return texture.to(torch.uint8)


def doll():
    """Two rows: standing, and the same with one arm forward. Textured trunk, vertex-coloured limbs."""
    parts = [  # centre, radii, colour
        ((0, 1.15, 0), (0.2, 0.34, 0.13), (1.0, 1.0, 1.0)), ((0, 1.68, 0.02), (0.1, 0.13, 0.11), (0.65, 0.4, 0.3)),
        ((0.3, 1.2, 0), (0.06, 0.3, 0.06), (0.65, 0.4, 0.3)), ((-0.3, 1.2, 0), (0.06, 0.3, 0.06), (0.65, 0.4, 0.3)),
        ((0.11, 0.45, 0), (0.09, 0.46, 0.09), (0.08, 0.1, 0.25)), ((-0.11, 0.45, 0), (0.09, 0.46, 0.09), (0.08, 0.1, 0.25)),
    ]
    ball, faces, uv = sphere()
    rows = []
    for forward in (False, True):
        placed = [ball * torch.tensor(radii) + torch.tensor(centre) for centre, radii, _ in parts]
        if forward:
            placed[2] = ball * torch.tensor([0.06, 0.06, 0.3]) + torch.tensor([0.25, 1.35, 0.3])
        rows.append(torch.cat(placed))
    count = len(parts)
    colors = torch.cat([torch.tensor([*color, 1.0]).expand(len(ball), 4) for *_, color in parts])
    mesh = Mesh(
        torch.stack(rows), torch.cat([faces + index * len(ball) for index in range(count)]), uv=uv.repeat(count, 1), colors=colors,
        materials=(Material("trunk", texture=checks()), Material("limbs")),
        face_material=torch.tensor([0] + [1] * (count - 1)).repeat_interleave(len(faces)),
    )
    return Doll(mesh, keypoints().expand(2, 18, 3))


def keypoints():
    """(18, 3) OpenPose points of the doll."""
    return torch.tensor([
        (0.0, 1.68, 0.13), (0, 1.45, 0), (-0.25, 1.45, 0), (-0.3, 1.2, 0), (-0.3, 0.92, 0), (0.25, 1.45, 0), (0.3, 1.2, 0), (0.3, 0.92, 0),
        (-0.11, 0.88, 0), (-0.11, 0.48, 0), (-0.11, 0.05, 0), (0.11, 0.88, 0), (0.11, 0.48, 0), (0.11, 0.05, 0),
        (-0.035, 1.71, 0.122), (0.035, 1.71, 0.122), (-0.101, 1.68, 0.02), (0.101, 1.68, 0.02),
    ])


def on_slate(render: Render):
    """Pictures (B, H, W, 3) of a render before a slate-blue gradient, which shows dark and bright fringes alike."""
    down = torch.linspace(0.25, 0.8, render.alpha.shape[1])[None, :, None, None]
    background = (down * torch.tensor([0.8, 0.95, 1.1])).clamp(0, 1).expand(1, *render.alpha.shape[1:], 3)
    return paste_back(background, render)


def pictures(engine):
    """Name -> picture (H, W, 3) of one engine."""
    figure = doll()
    camera = frame_figure(figure, SIZE, SIZE, view="three-quarter")
    gray, avatar = (render_figure(figure, camera, shading, engine) for shading in ("gray", "avatar"))
    made = {f"gray_{engine}": on_slate(gray), f"avatar_{engine}": on_slate(avatar)}
    if engine == "torch":
        made["depth"] = depth_to_image(gray.depth, alpha=gray.alpha)
        made["pose_map"] = draw_pose_map(project_keypoints(figure, camera, gray.depth))
        made["lights"] = torch.cat([on_slate(render_figure(figure, camera, "gray", lights=name)[:1]) for name in ("soft", "dramatic")])
    return {name: torch.cat(list(images), 1) for name, images in made.items()}


def main(engines):
    from PIL import Image

    for engine in engines:
        for name, image in pictures(engine).items():
            Image.fromarray((image * 255 + 0.5).to(torch.uint8).numpy()).save(FOLDER / f"{name}.png")
            sys.stdout.write(f"{name}.png\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ("torch", "pyrender"))
