"""Reading the released layout, the converted file, and what is wrong with others."""

import json

import pytest
import tiny_parts
import torch
from safetensors.torch import save_file

from contrapposto.models.checks import InputError
from contrapposto.models.parts_to_whole.pose_guider import PoseGuider
from contrapposto.models.parts_to_whole.weights import load_weights, save_weights


@pytest.fixture()
def folder(tmp_path):
    return tiny_parts.write_release(tmp_path / "parts2whole")


def test_the_released_folder_and_the_converted_file_hold_the_same(folder, tmp_path):
    released = load_weights(folder)
    save_weights(tmp_path / "one.safetensors", released)
    converted = load_weights(tmp_path / "one.safetensors")
    for part in ("denoiser", "appearance_encoder", "pose_guider", "image_projections"):
        one, other = getattr(released, part), getattr(converted, part)
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert converted.config["denoiser"]["cross_attention_dim"] == 24
    encoder = released.appearance_encoder
    assert encoder["conv_out.weight"].eq(0).all() and encoder["up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2.bias"].eq(0).all()
    assert encoder["up_blocks.3.attentions.2.transformer_blocks.0.norm1.weight"].ne(0).any()
    assert tiny_parts.unet("x").load_state_dict(encoder) and PoseGuider.from_weights(released.pose_guider)


def test_a_missing_file_is_named(folder):
    (folder / "decoupled_attn.pth").unlink()
    with pytest.raises(InputError, match="has no decoupled_attn.pth"):
        load_weights(folder)


def test_a_missing_part_is_named(folder):
    (folder / "reference_unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InputError, match="reference_unet has no diffusion_pytorch_model"):
        load_weights(folder)


@pytest.mark.parametrize("place, name, change, said", [
    ("reference_unet/diffusion_pytorch_model.safetensors", "conv_in.weight", torch.zeros(8, 9, 3, 3), "appearance encoder weight"),
    ("decoupled_attn.pth", f"{tiny_parts.BLOCK}.attn2.processor.to_k_dc.weight", torch.zeros(8, 5), "image tokens weight '.*to_k_dc'"),
    ("decoupled_attn.pth", f"{tiny_parts.BLOCK}.attn2.processor.to_v_dc.weight", None, "to_v_dc' is missing"),
    ("pose_guider/diffusion_pytorch_model.safetensors", "conv_out.weight", torch.zeros(5, 8, 3, 3), "pose guider weights"),
    ("pose_guider/diffusion_pytorch_model.safetensors", "blocks.1.weight", None, "pose guider"),
    ("unet/diffusion_pytorch_model.safetensors", "conv_in.weight", None, "has no UNet weights"),
])
def test_weights_that_do_not_fit_are_named(folder, place, name, change, said):
    from safetensors.torch import load_file

    weights = load_file(folder / place)
    weights.pop(name) if change is None else weights.update({name: change})
    save_file(weights, str(folder / place))
    with pytest.raises(InputError, match=said):
        load_weights(folder)


def test_another_safetensors_file_and_a_damaged_one(tmp_path):
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="holds something else"):
        load_weights(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{cut")
    with pytest.raises(InputError, match="cut.safetensors"):
        load_weights(tmp_path / "cut.safetensors")


def test_a_damaged_config_is_named(folder):
    (folder / "unet" / "config.json").write_text("{")
    with pytest.raises(InputError, match="config.json"):
        load_weights(folder)
    (folder / "unet" / "config.json").write_text(json.dumps({}))
    assert load_weights(folder)
