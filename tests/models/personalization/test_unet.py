import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from contrapposto.models.checks import InputError
from contrapposto.models.personalization.ldm_keys import to_ldm
from contrapposto.models.personalization.patch import PersonalizationPatch, load_patch, save_patch
from contrapposto.models.personalization.unet import RateToken, append_token, rate_waves, widen_conv_in


def test_waves_are_those_of_diffusion_times():
    """Against diffusers' embedding of times, at 1000 w."""
    from diffusers.models.embeddings import get_timestep_embedding

    rate = torch.tensor([0.0, 0.31, 1.0])
    expected = get_timestep_embedding(rate * 1000, 256, flip_sin_to_cos=True, downscale_freq_shift=0)
    assert torch.allclose(rate_waves(rate), expected, atol=1e-4)
    assert math.isclose(rate_waves(torch.ones(1))[0, 128].item(), math.sin(1000), abs_tol=1e-4)


def test_tokens_tell_rates_apart():
    token = RateToken(32)
    made = token(torch.tensor([0.0, 0.5, 1.0]))
    assert made.shape == (3, 1, 32)
    assert (made[0] - made[1]).abs().max() > 1e-3 and (made[1] - made[2]).abs().max() > 1e-3


def test_token_comes_behind_every_run_of_text():
    states, token = torch.randn(2, 154, 8), torch.randn(1, 1, 8)
    longer = append_token(states, token)
    assert longer.shape == (2, 156, 8)
    assert torch.equal(longer[:, :77], states[:, :77]) and torch.equal(longer[:, 78:155], states[:, 77:])
    assert torch.equal(longer[:, 77], longer[:, 155]) and torch.equal(longer[:, 77], token[:, 0].expand(2, 8))


def test_a_repeated_text_weighs_the_token_alike():
    """ComfyUI repeats a short text beside a long one: attention must not notice."""
    text, token, query = torch.randn(1, 77, 8), torch.randn(1, 1, 8), torch.randn(1, 5, 8)
    once, twice = append_token(text, token), append_token(text.repeat(1, 2, 1), token)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert torch.allclose(attend(query, once, once), attend(query, twice, twice), atol=1e-5)


def test_token_of_another_width():
    with pytest.raises(InputError, match="1024 wide"):
        append_token(torch.zeros(1, 77, 1024), torch.zeros(1, 1, 768))


@pytest.mark.parametrize("channels", [4, 9, 13])
def test_widened_convolution_ignores_the_new_channels(channels):
    weight, x = torch.randn(6, channels, 3, 3), torch.randn(1, 13, 8, 8)
    wide = widen_conv_in(weight)
    conv = torch.nn.functional.conv2d
    assert torch.allclose(conv(x, wide, padding=1), conv(x[:, :channels], weight, padding=1), atol=1e-4)


@pytest.mark.parametrize("channels", [3, 5, 8, 16])
def test_other_numbers_of_channels(channels):
    with pytest.raises(InputError, match=f"{channels} input channels"):
        widen_conv_in(torch.zeros(6, channels, 3, 3))


def test_names_of_a_full_stable_diffusion_unet():
    """Against diffusers' own reader of single-file checkpoints, on the real topology without its weights."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
    state = unet.state_dict()
    names = to_ldm(list(state), 2)
    assert len(set(names.values())) == len(state) == 686
    back = convert_ldm_unet_checkpoint({f"model.diffusion_model.{names[name]}": _Named(name) for name in state}, dict(unet.config))
    assert {name: weight.name for name, weight in back.items()} == {name: name for name in state}


class _Named:
    """A stand-in for a weight that remembers where it came from."""

    def __init__(self, name):
        self.name = name


@pytest.fixture
def patch():
    base = torch.randn(8, 4, 3, 3)
    return PersonalizationPatch(widen_conv_in(base) + torch.randn(8, 13, 3, 3) * 0.01, base, RateToken(16),
                                {"diffusion_model.x.lora_up.weight": torch.randn(4, 2)}, {"base": "tiny"})


def test_patch_survives_its_file(patch, tmp_path):
    save_patch(tmp_path / "patch.safetensors", patch)
    back = load_patch(tmp_path / "patch.safetensors")
    assert torch.equal(back.conv_in, patch.conv_in) and torch.equal(back.base_conv, patch.base_conv)
    assert set(back.low_rank) == set(patch.low_rank) and back.about["base"] == "tiny"
    rate = torch.tensor([0.4])
    assert torch.equal(back.rate_token(rate), patch.rate_token(rate))


@pytest.mark.parametrize("channels", [4, 9])
def test_change_leads_from_the_base_to_what_was_trained(patch, channels):
    base = torch.cat([patch.base_conv, torch.randn(8, channels - 4, 3, 3)], 1)
    patch.check_base(base)
    assert torch.allclose(widen_conv_in(base) + patch.conv_in_change(base), patch.conv_in, atol=1e-6)


def test_relatives_and_half_precision_are_accepted(patch):
    patch.check_base((patch.base_conv + 0.3 * torch.randn_like(patch.base_conv)).half())
    patch.check_base(patch.conv_in.half())


@pytest.mark.parametrize("conv, said", [(torch.randn(8, 4, 3, 3), "another base"), (torch.randn(6, 4, 3, 3), "another base"),
                                        (torch.randn(8, 13, 3, 3), "another personalized"), (torch.randn(8, 5, 3, 3), "5 input channels")])
def test_other_bases_are_refused(patch, conv, said):
    with pytest.raises(InputError, match=said):
        patch.check_base(conv)


def test_damaged_patches(patch, tmp_path):
    path = tmp_path / "patch.safetensors"
    save_patch(path, patch)
    tensors = load_file(path)
    with pytest.raises(InputError, match="is not a personalization patch"):
        save_file(tensors, tmp_path / "plain.safetensors")
        load_patch(tmp_path / "plain.safetensors")
    for spoilt, said in ((PersonalizationPatch(patch.conv_in * float("nan"), patch.base_conv, patch.rate_token), "NaN or infinity"),):
        save_patch(path, spoilt)
        with pytest.raises(InputError, match=said):
            load_patch(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="patch.safetensors"):
        load_patch(path)
    with pytest.raises(InputError, match="does not exist"):
        load_patch(tmp_path / "gone.safetensors")
