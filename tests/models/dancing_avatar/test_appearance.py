"""Appearance modules: cross-attention alone, all 64 layers of SD1.5, learnt, stopped and gone on with, and equal to peft's."""

from dataclasses import replace

import pytest
import torch

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.bodies.joints import OPENPOSE18_NAMES
from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.appearance import (
    AppearanceModule,
    AppearanceTrainer,
    AppearanceTraining,
    crop_parts,
    cross_attention_layers,
    load_state,
    lora_tensors,
    save_module,
    save_state,
)
from contrapposto.models.types import Keypoints

TRAINING = AppearanceTraining(steps=6, rank=2, alpha=4.0, learning_rate=1e-2, batch=2)


def sd15_topology():
    """A UNet built as Stable Diffusion 1.5's, but for its width."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(block_out_channels=(8, 8, 8, 8), cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4).eval()


class Tiny:
    """A Denoiser over a small UNet."""

    def __init__(self):
        from diffusers import UNet2DConditionModel

        torch.manual_seed(0)
        self.network = UNet2DConditionModel(
            block_out_channels=(16, 16), layers_per_block=1, cross_attention_dim=8, attention_head_dim=4, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            mid_block_type=None).requires_grad_(False).eval()
        self.sigmas, self.states = torch.linspace(0.05, 10, 100), torch.randn(1, 5, 8)

    def denoise(self, noisy, sigma, rows):
        wide = sigma.view(-1, 1, 1, 1)
        states = self.states.expand(len(noisy), -1, -1)
        return noisy - wide * self.network(noisy / (1 + wide.square()).sqrt(), sigma * 10, encoder_hidden_states=states).sample


@pytest.fixture(scope="module")
def tiny():
    return Tiny()


@pytest.fixture(scope="module")
def latents():
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def test_sd15_has_64_layers_and_the_file_names_them_all():
    unet = sd15_topology()
    module = AppearanceModule(unet, TRAINING)
    assert len(module.names) == len(cross_attention_layers(unet)) == 64
    assert all(".attn2." in name for name in module.names)
    tensors = lora_tensors(module)
    assert len(tensors) == 3 * 64
    assert tensors["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_out_0.lora_down.weight"].shape == (2, 8)
    with pytest.raises(InputError, match="no cross-attention"):
        AppearanceModule(torch.nn.Linear(2, 2), TRAINING)


def test_a_fresh_module_changes_nothing_and_leaves_no_hook(tiny, latents):
    given = latents[:1], torch.tensor([1.0]), torch.tensor([0])
    before = tiny.denoise(*given)
    module = AppearanceModule(tiny.network, TRAINING)
    with module.attached(tiny.network):
        assert torch.equal(tiny.denoise(*given), before)
        torch.nn.init.normal_(module.changes[0].up)
        assert not torch.equal(tiny.denoise(*given), before)
    assert torch.equal(tiny.denoise(*given), before)


def test_training_learns_and_never_touches_the_model(tiny, latents):
    before = {name: weight.clone() for name, weight in tiny.network.state_dict().items()}
    trainer = AppearanceTrainer(tiny, latents, replace(TRAINING, steps=60))
    told = []
    trainer.run(lambda done, total, loss: told.append((done, total)))
    assert told[-1] == (60, 60) and sum(trainer.losses[-15:]) < 0.97 * sum(trainer.losses[:15])
    assert all(torch.equal(before[name], weight) for name, weight in tiny.network.state_dict().items())


def test_a_stopped_training_goes_on_exactly_where_it_was(tiny, latents, tmp_path):
    whole = AppearanceTrainer(tiny, latents, TRAINING).run()

    class Stopped(Exception):
        pass

    def stop(done, total, loss):
        if done == 3:
            raise Stopped

    trainer = AppearanceTrainer(tiny, latents, TRAINING)
    with pytest.raises(Stopped):
        trainer.run(stop)
    save_state(tmp_path / "state.safetensors", trainer)
    second = AppearanceTrainer(tiny, latents, TRAINING, load_state(tmp_path / "state.safetensors"))
    assert second.step == 3 and len(second.losses) == 3
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), second.run().state_dict().values()))
    with pytest.raises(InputError, match="another training"):
        AppearanceTrainer(tiny, latents, replace(TRAINING, rank=3), load_state(tmp_path / "state.safetensors"))


def test_the_file_holds_what_was_trained(tiny, latents, tmp_path):
    module = AppearanceTrainer(tiny, latents, TRAINING).run()
    renamed = {name: f"other.{name}" for name in module.names}
    save_module(tmp_path / "a.safetensors", module, {"prompt": "red"}, renamed)
    tensors, facts = read_safetensors(tmp_path / "a.safetensors")
    assert facts["layers"] == len(module.names) and facts["prompt"] == "red" and facts["rank"] == 2
    stem = "lora_unet_other_" + module.names[0].replace(".", "_")
    assert torch.equal(tensors[f"{stem}.lora_up.weight"], module.changes[0].up) and tensors[f"{stem}.alpha"] == 4


def test_parity_with_peft():
    """The same layers, names and outputs as peft's LoRA with the same weights."""
    peft = pytest.importorskip("peft", reason="peft is missing: pip install -e '.[train]'")
    from diffusers.utils import convert_state_dict_to_kohya
    from peft.utils import get_peft_model_state_dict

    unet = sd15_topology()
    module = AppearanceModule(unet, TRAINING)
    given = torch.randn(1, 4, 16, 16), torch.tensor([500]), torch.randn(1, 7, 16)
    for change in module.changes:
        torch.nn.init.normal_(change.up, std=0.5)
    with module.attached(unet), torch.no_grad():
        ours = unet(*given).sample
    plain = unet(*given).sample
    unet.add_adapter(peft.LoraConfig(r=2, lora_alpha=4, target_modules=r".*attn2\.(to_q|to_k|to_v|to_out\.0)"))
    theirs = {name: layer for name, layer in unet.named_modules() if isinstance(layer, peft.tuners.lora.LoraLayer)}
    assert tuple(theirs) == module.names
    for layer, change in zip(theirs.values(), module.changes):
        layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data = change.down.data, change.up.data
    assert torch.allclose(unet(*given).sample, ours, atol=1e-5) and (ours - plain).abs().max() > 1e-3
    named = {f"unet.{name}": weight for name, weight in get_peft_model_state_dict(unet).items()}
    kohya = convert_state_dict_to_kohya(named)
    assert {name for name in kohya if "alpha" not in name} == {name for name in lora_tensors(module) if "alpha" not in name}


def people(count=1):
    """A standing person in a picture 100 wide and 200 high."""
    points = torch.full((18, 2), float("nan"))
    places = {"nose": (50, 30), "neck": (50, 50), "right_eye": (47, 27), "left_eye": (53, 27), "right_shoulder": (38, 52),
              "left_shoulder": (62, 52), "right_hip": (43, 105), "left_hip": (57, 105), "right_ankle": (43, 185), "left_ankle": (57, 185)}
    for name, place in places.items():
        points[OPENPOSE18_NAMES.index(name)] = torch.tensor(place, dtype=torch.float32)
    return Keypoints(points.expand(count, 18, 2), (~points.isnan().any(-1)).float().expand(count, 18), "openpose18", 100, 200)


def test_crops_hold_the_part_and_nothing_is_stretched():
    picture = torch.zeros(2, 200, 100, 3)
    picture[:, 18:36, 42:58] = torch.tensor([1.0, 0.0, 0.0])  # the head
    picture[:, 45:190, 35:65] = torch.tensor([0.0, 0.0, 1.0])  # the body
    face = crop_parts(picture, people(2), "face", 64)
    assert face.shape == (2, 64, 64, 3)
    share = lambda crop, channel: float((crop[0, ..., channel] > 0.5).float().mean())
    assert share(face, 0) > 0.15 and share(face, 2) < 0.15
    clothes = crop_parts(picture, people(2), "clothes", 64)
    assert share(clothes, 2) > 0.2
    assert crop_parts(picture, None, "face", 32).shape == (2, 32, 32, 3)


@pytest.mark.parametrize("change, said", [
    ({"keypoints_2d": people().keypoints_2d, "scores": torch.zeros(1, 18)}, "no face"), ({"order": "coco"}, "OpenPose-18"),
    ({"width": 50}, "do not fit"),
])
def test_key_points_that_do_not_fit_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        crop_parts(torch.zeros(1, 200, 100, 3), replace(people(), **change), "face", 64)
    with pytest.raises(InputError, match="1 people"):
        crop_parts(torch.zeros(2, 200, 100, 3), people(), "face", 64)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rank": 0}, {"learning_rate": 0.0}, {"alpha": -1.0}, {"batch": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        AppearanceTraining(**wrong)
