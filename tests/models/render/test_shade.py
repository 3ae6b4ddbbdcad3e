from dataclasses import replace

import pytest
import torch

from contrapposto.models.render.shade import (
    LIGHTS,
    Light,
    Lights,
    find_lights,
    illuminate,
    linear_to_srgb,
    srgb_to_linear,
    unit,
    vertex_normals,
)
from contrapposto.models.render.texture import MipMaps, build_pyramid, sample_texture
from contrapposto.models.types import Material


def test_srgb_round_trip_and_known_values():
    values = torch.linspace(0, 1, 1001)
    assert torch.allclose(srgb_to_linear(linear_to_srgb(values)), values, atol=1e-5)
    assert linear_to_srgb(torch.tensor(0.2140)).item() == pytest.approx(0.5, abs=1e-3)
    assert linear_to_srgb(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([0, 1])


def test_normals_of_a_sphere_point_outwards(scenes):
    vertices, faces, _ = scenes.sphere(40, 80)
    normals = vertex_normals(torch.stack([vertices, vertices * 3]), faces)
    inner = vertices[:, 1].abs() < 0.99
    assert torch.allclose(normals[0], normals[1], atol=1e-5)
    seam = (torch.arange(len(vertices)) % 81 == 0) | (torch.arange(len(vertices)) % 81 == 80)
    assert ((normals[0] * vertices).sum(-1)[inner & ~seam] > 0.999).all()


def test_light_comes_from_its_side():
    left = Lights((Light((-1.0, 0, 0), (1.0, 1.0, 1.0), 0.0),), (0.0,) * 3, (0.0,) * 3, shine=0.0, rim=0.0)
    normal = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 0, -1]]).T
    toward = torch.tensor([[0.0, 0, -1]]).T.expand(3, 3)
    lit = illuminate(normal, toward, torch.ones(3, 1), left)
    assert lit[0].tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def test_sky_is_above():
    lights = Lights((), (0.8, 0.8, 0.8), (0.2, 0.2, 0.2), shine=0.0, rim=0.0)
    normal = torch.tensor([[0.0, -1, 0], [0, 1, 0], [1, 0, 0]]).T
    lit = illuminate(normal, torch.tensor([[0.0, 0, -1]]).T.expand(3, 3), torch.ones(3, 1), lights)
    assert lit[1].tolist() == pytest.approx([0.8, 0.2, 0.5], abs=1e-6)


@pytest.mark.parametrize("name", LIGHTS)
def test_presets_neither_burn_nor_drown_a_white_ball(name):
    """Light on white stays below 1.6, and the face towards the camera above 0.3."""
    normal = unit(torch.randn(3, 2000))
    normal[2] = -normal[2].abs()
    lit = illuminate(normal, torch.tensor([[0.0, 0, -1]]).T.expand_as(normal), torch.ones(3, 1), find_lights(name))
    assert lit.isfinite().all() and lit.min() >= 0 and lit.max() < 1.8 and lit.mean() > 0.3
    assert find_lights(LIGHTS[name]) is LIGHTS[name]


def texel_places(width, height):
    u, v = torch.meshgrid((torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height, indexing="xy")
    return torch.stack([u.flatten(), v.flatten()])


def test_texel_centres_give_the_texels():
    texture = torch.randint(0, 256, (5, 7, 4), dtype=torch.uint8)
    color = sample_texture(build_pyramid(texture), ("repeat", "clamp"), texel_places(7, 5))
    expected = texture.reshape(-1, 4).T / 255
    assert torch.allclose(color[3], expected[3], atol=1e-5)
    assert torch.allclose(linear_to_srgb(color[:3]), expected[:3], atol=1e-4)


@pytest.mark.parametrize("wrap, column", [("repeat", 3), ("clamp", 0), ("mirror", 0)])
def test_wrapping(wrap, column):
    """The texel just left of the texture."""
    texture = torch.zeros(1, 4, 4, dtype=torch.uint8)
    texture[0, :, 3] = torch.tensor([10, 20, 30, 40])
    at = torch.tensor([[-0.125], [0.5]])
    assert sample_texture(build_pyramid(texture), (wrap, wrap), at)[3].item() * 255 == pytest.approx([10, 20, 30, 40][column], abs=1e-3)


def test_minified_checks_become_their_mean_light():
    texture = torch.full((64, 64, 4), 255, dtype=torch.uint8)
    texture[::2, ::2, :3] = texture[1::2, 1::2, :3] = 0
    uv = torch.rand(2, 100)
    color = sample_texture(build_pyramid(texture), ("repeat", "repeat"), uv, torch.full((100,), 1 / 64))
    assert torch.allclose(color[:3], torch.tensor(0.5), atol=0.01)


def test_transparent_texels_do_not_tint_smaller_maps():
    texture = torch.zeros(8, 8, 4, dtype=torch.uint8)
    texture[::2] = torch.tensor([255, 255, 255, 255], dtype=torch.uint8)
    color = sample_texture(build_pyramid(texture), ("repeat", "repeat"), torch.rand(2, 20), torch.full((20,), 1 / 4))
    assert torch.allclose(color[:3], torch.tensor(1.0), atol=0.01) and torch.allclose(color[3], torch.tensor(0.5), atol=0.01)


def test_levels_blend_into_one_another():
    texture = torch.randint(0, 256, (32, 32, 4), dtype=torch.uint8)
    pyramid, uv = build_pyramid(texture), torch.rand(2, 500)
    low, middle, high = (sample_texture(pyramid, ("repeat", "repeat"), uv, torch.full((500,), 4.0**level / 1024)) for level in (1, 1.5, 2))
    assert torch.allclose(middle, (low + high) / 2, atol=1e-4)


def test_pyramids_are_made_once():
    """Whoever draws; but a material with another texture gets its own."""
    material = Material(texture=torch.zeros(2, 2, 4, dtype=torch.uint8))
    assert MipMaps().of(material, "cpu") is MipMaps().of(material, "cpu")
    repainted = replace(material, texture=torch.ones(2, 2, 4, dtype=torch.uint8))
    assert MipMaps().of(repainted, "cpu").texels.max() == 1 and MipMaps().of(material, "cpu").texels.max() == 0
