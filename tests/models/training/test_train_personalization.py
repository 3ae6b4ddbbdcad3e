import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contrapposto.models.checks import InputError
from contrapposto.models.personalization.patch import load_patch
from contrapposto.models.training.datasets.person_images import choose_square, find_person_images, load_crop
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.train_personalization import (
    CHECKPOINT,
    PersonalizationTask,
    PersonalizationTraining,
    train_personalization,
)

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

from tiny_diffusion import encode_letters, tiny_model, write_pictures

LOOP = LoopConfig(steps=6, batch=2, lr=2e-3, warmup=2, ema=0.5, log_every=1, save_seconds=1e9)
CONFIG = PersonalizationTraining(LOOP, rank=2, size=64)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return find_person_images(write_pictures(tmp_path_factory.mktemp("pictures")))


def fixed_loss(task, additions, seeds=range(8)):
    """Mean loss over the same batches every time."""
    with torch.no_grad():
        return sum(task.loss(additions, task.draw(torch.Generator().manual_seed(s)), s, torch.Generator().manual_seed(s))["loss"].item()
                   for s in seeds) / len(seeds)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("channels", [4, 9])
def test_additions_start_as_the_base(items, channels, whole):
    """Before training, the 13 channels and the low-rank changes do nothing; only the text is a token longer."""
    base = tiny_model(channels)
    noisy, times, states = torch.randn(2, 4, 8, 8), torch.tensor([10, 500]), encode_letters(["a", "b"])
    beside = torch.randn(2, 9, 8, 8)
    own = torch.cat([noisy, beside[:, : channels - 4]], 1)
    task = PersonalizationTask(items, base, replace(CONFIG, whole_unet=whole))
    rates = torch.tensor([0.0, 0.7])
    token = task.additions.rate_token(rates)
    untouched = tiny_model(channels).unet(own, times, encoder_hidden_states=torch.cat([states, token], 1)).sample
    assert torch.allclose(task.network(task.additions, noisy, times, states, beside, rates), untouched, atol=1e-5)


def test_loss_falls(items, tmp_path):
    config = replace(CONFIG, loop=replace(LOOP, steps=60, batch=4, lr=5e-3), rank=4)
    task = PersonalizationTask(items, tiny_model(4), config)
    before = fixed_loss(task, task.additions)
    train_personalization(items, tiny_model(4), tmp_path, config)
    trained = load_patch(tmp_path / "personalization_patch.safetensors")
    with torch.no_grad():
        task.additions.conv_in.weight.copy_(trained.conv_in)
        task.additions.rate_token.load_state_dict(trained.rate_token.state_dict())
    assert fixed_loss(task, task.additions) < 0.9 * before


def test_the_whole_unet_is_trained_and_exported(items, tmp_path):
    """Other weights than those of the patch move, and the checkpoint answers as what was trained; bfloat16 is only for computing."""
    from contrapposto.models.personalization.ldm_keys import to_ldm

    config = replace(CONFIG, whole_unet=True, bf16=True)
    train_personalization(items, tiny_model(4), tmp_path, config)
    weights, patch = load_file(tmp_path / CHECKPOINT), load_patch(tmp_path / "personalization_patch.safetensors")
    assert not patch.low_rank and patch.about["whole_unet"]
    before = tiny_model(4).unet.state_dict()
    names = to_ldm(list(before), 1)
    moved = [name for name in before if name != "conv_in.weight"
             and not torch.equal(weights[f"model.diffusion_model.{names[name]}"], before[name])]
    assert len(moved) > 0.9 * len(before) and all(weight.dtype == torch.float32 for weight in weights.values())
    patch.check_base(weights["model.diffusion_model.input_blocks.0.0.weight"])
    for foreign in (before["conv_in.weight"], torch.randn(32, 13, 3, 3)):
        with pytest.raises(InputError, match="exported"):
            patch.check_base(foreign)


def test_resumed_run_is_the_undisturbed_one(items, tmp_path, monkeypatch):
    straight = train_personalization(items, tiny_model(4), tmp_path / "straight", CONFIG)

    class Stop(Exception):
        pass

    def stop(step):
        if step == 4:
            raise Stop

    config = replace(CONFIG, loop=replace(LOOP, save_seconds=0))
    with pytest.raises(Stop):
        train_personalization(items, tiny_model(4), tmp_path / "stopped", config, on_step=stop)
    resumed = train_personalization(items, tiny_model(4), tmp_path / "stopped", config)
    for one, other in zip(straight, resumed):
        one, other = load_file(one), load_file(other)
        assert set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_exported_checkpoint_and_patch_say_the_same(items, tmp_path):
    """The checkpoint's weights, read back into a diffusers UNet, answer as the additions do."""
    from contrapposto.models.personalization.ldm_keys import to_ldm
    from contrapposto.models.personalization.unet import append_token

    base = tiny_model(4)
    task = PersonalizationTask(items, base, CONFIG)
    train_personalization(items, tiny_model(4), tmp_path, CONFIG)
    patch = load_patch(tmp_path / "personalization_patch.safetensors")
    weights = load_file(tmp_path / CHECKPOINT)
    full = tiny_model(13).unet
    names = to_ldm(list(full.state_dict()), 1)
    assert {f"model.diffusion_model.{name}" for name in names.values()} == set(weights)
    full.load_state_dict({name: weights[f"model.diffusion_model.{names[name]}"] for name in names})

    ldm = to_ldm(task.network.names, 1)
    with torch.no_grad():
        task.additions.conv_in.weight.copy_(patch.conv_in)
        for key, change in task.additions.low_rank.items():
            stem = "diffusion_model." + ldm[key.replace("/", ".") + ".weight"].removesuffix(".weight")
            change.up.weight.copy_(patch.low_rank[f"{stem}.lora_up.weight"])
            change.down.weight.copy_(patch.low_rank[f"{stem}.lora_down.weight"])
        task.additions.rate_token.load_state_dict(patch.rate_token.state_dict())
        noisy, times, states, beside = torch.randn(2, 4, 8, 8), torch.tensor([10, 500]), encode_letters(["a", "b"]), torch.randn(2, 9, 8, 8)
        rates = torch.tensor([0.0, 0.7])
        ours = task.network(task.additions, noisy, times, states, beside, rates)
        given = torch.cat([noisy, beside], 1)
        theirs = full(given, times, encoder_hidden_states=append_token(states, patch.rate_token(rates))).sample
    assert any(change.abs().max() > 0 for name, change in patch.low_rank.items() if "lora_up" in name)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_crop_holds_the_person_and_its_parts_agree(items):
    for seed in range(5):
        crop = load_crop(items[0], 64, torch.Generator().manual_seed(seed))
        assert crop.image.shape == (64, 64, 3) and crop.alpha.shape == (64, 64)
        assert ((crop.alpha > 0.5) == (crop.gray_alpha > 0.5)).float().mean() > 0.99, "mask and gray body are cut alike"
        assert not (crop.alpha[0] > 0.5).all() and 0.01 < crop.alpha.mean() < 0.9
    assert load_crop(items[-1], 64, torch.Generator()).gray_alpha.max() == 0


def test_square_holds_the_whole_person():
    alpha = torch.zeros(60, 100)
    alpha[10:50, 70:90] = 1
    for seed in range(20):
        left, top, side = choose_square(alpha, torch.Generator().manual_seed(seed))
        assert 0 <= left and left + side <= 100 and 0 <= top and top + side <= 60
        assert left <= 70 and left + side >= 90 and top <= 10 and top + side >= 50


def test_segmenter_fills_in_for_missing_masks(items):
    class Thirds:
        def person_masks(self, image):
            masks = torch.zeros(2, *image.shape[:2])
            masks[0, :3, :3], masks[1, 20:60, 20:60] = 1, 1
            return masks

    bare = replace(items[0], mask=None)
    assert load_crop(bare, 64, torch.Generator(), Thirds()).alpha.mean() > 0.05
    with pytest.raises(InputError, match="segmenter"):
        load_crop(bare, 64, torch.Generator())


def test_body_files_are_drawn_through_their_camera(tmp_path):
    import numpy as np

    from contrapposto.models.bodies.body import load_body_model, pose_body
    from contrapposto.models.bodies.pose_file import save_poses
    from contrapposto.models.render.camera import frame_figure
    from contrapposto.models.render.engine import render_figure
    from contrapposto.models.training.datasets.person_images import draw_body
    from contrapposto.models.types import BodyPose

    pose = BodyPose.rest(1)
    figure = pose_body(load_body_model(), pose)
    camera = frame_figure(figure, 64, 64)
    save_poses(tmp_path / "pose.npz", pose)
    camera_arrays = {name: getattr(camera, name).numpy()[0] for name in ("fx", "fy", "cx", "cy", "R", "t")}
    np.savez(tmp_path / "body.npz", **np.load(tmp_path / "pose.npz"), **camera_arrays)
    assert torch.allclose(draw_body(tmp_path / "body.npz", 64, 64).alpha, render_figure(figure, camera).alpha, atol=1e-4)
    with pytest.raises(InputError, match="holds no camera"):
        draw_body(tmp_path / "pose.npz", 64, 64)


@pytest.mark.parametrize("spoil, said", [
    (lambda f: [path.unlink() for path in (f / "images").iterdir()], "no pictures"),
    (lambda f: [path.unlink() for path in (f / "captions").iterdir()], "no captions"),
    (lambda f: (f / "captions.jsonl").write_text("{"), "line 1"),
])
def test_unusable_folders(tmp_path, spoil, said):
    folder = write_pictures(tmp_path, 2)
    spoil(folder)
    with pytest.raises(InputError, match=said):
        find_person_images(folder)


def test_unusable_pictures(tmp_path):
    folder = write_pictures(tmp_path, 2)
    (folder / "images" / "0.png").write_bytes(b"no picture")
    (folder / "masks" / "1.png").write_bytes((folder / "masks" / "0.png").read_bytes()[:40])
    for item in find_person_images(folder):
        with pytest.raises(InputError, match="cannot be read"):
            load_crop(item, 64, torch.Generator())


def test_unsuitable_base(items):
    with pytest.raises(InputError, match="5 input channels"):
        PersonalizationTask(items, tiny_model(5), CONFIG)
