"""Figures for the render tests, from the golden scenes."""

import importlib.util
from pathlib import Path

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.types import Mesh

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def scenes():
    """The module tests/golden/regenerate.py."""
    spec = importlib.util.spec_from_file_location("golden_scenes", GOLDEN / "regenerate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def figure(scenes):
    """Makes a figure of a mesh: figure(vertices (V, 3) or (B, V, 3), faces, **fields of Mesh)."""

    def make(vertices, faces, **fields):
        vertices = vertices if vertices.ndim == 3 else vertices[None]
        return scenes.Doll(Mesh(vertices, faces, **fields), scenes.keypoints().expand(len(vertices), 18, 3))

    return make


@pytest.fixture
def ball(scenes, figure):
    """Makes a sphere: ball(radius, centre, **fields of Mesh)."""

    def make(radius=0.5, centre=(0.0, 0.0, 0.0), rings=48, **fields):
        vertices, faces, uv = scenes.sphere(rings, 2 * rings)
        return figure(vertices * radius + torch.tensor(centre), faces, uv=uv, **fields)

    return make


@pytest.fixture
def quad(figure):
    """Makes an upright square that faces +Z, uv from its top left corner: quad(side, z, **fields of Mesh)."""

    def make(side=1.0, z=0.0, **fields):
        corners = torch.tensor([(-0.5, 0.5, 0), (0.5, 0.5, 0), (0.5, -0.5, 0), (-0.5, -0.5, 0)]) * side + torch.tensor([0, 0, z])
        uv = torch.tensor([(0.0, 0.0), (1, 0), (1, 1), (0, 1)])
        return figure(corners, torch.tensor([(0, 2, 1), (0, 3, 2)]), uv=uv, **fields)

    return make


@pytest.fixture(scope="session")
def has_gl():
    """Skips the test where pyrender cannot run."""
    from contrapposto.models.render.pyrender_engine import PyrenderEngine
    from contrapposto.models.render.shade import find_lights

    try:
        PyrenderEngine("gray", find_lights(None))
    except InputError as error:
        pytest.skip(f"no second engine: {error}")
