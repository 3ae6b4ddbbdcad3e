import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import moving_discs

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.checks import InputError
from contrapposto.models.training.datasets.frame_pairs import find_frame_pairs, load_pair
from contrapposto.models.training.train_previous_frame import (
    PreviousFrameTask,
    PreviousFrameTraining,
    control_net_weights,
    new_module,
    train_previous_frame,
)

SMALL = PreviousFrameTraining(epochs=1, batch=4, size=64, lr=1e-3)


@pytest.fixture
def pairs(tmp_path):
    return find_frame_pairs(moving_discs.write_clips(tmp_path / "data"))


def test_pairs_are_neighbours_with_the_caption_of_the_second(tmp_path):
    folder = moving_discs.write_clips(tmp_path, clips=2, frames=3)
    with open(folder / "captions.jsonl", "a") as file:
        file.write(json.dumps({"name": "clip1/002", "caption": "the last"}) + "\n")
    found = find_frame_pairs(folder)
    assert [(pair.previous.stem, pair.following.stem) for pair in found] == [("000", "001"), ("001", "002")] * 2
    assert [pair.caption for pair in found] == ["a disc", "a disc", "a disc", "the last"]


def test_both_frames_are_cut_alike(tmp_path):
    from PIL import Image

    (tmp_path / "clips" / "a").mkdir(parents=True)
    wide = torch.randint(0, 256, (48, 96, 3), dtype=torch.uint8).numpy()
    for name in ("1", "2"):
        Image.fromarray(wide).save(tmp_path / "clips" / "a" / f"{name}.png")
    (tmp_path / "captions.jsonl").write_text('{"name": "a", "caption": "x"}\n')
    (pair,) = find_frame_pairs(tmp_path)
    frames = load_pair(pair, 48, torch.Generator().manual_seed(1))
    assert frames.shape == (2, 48, 48, 3) and torch.equal(frames[0], frames[1])


def test_a_fresh_module_changes_nothing(pairs):
    base = moving_discs.small_base()
    task = PreviousFrameTask(pairs, base, SMALL)
    x, times, states = torch.randn(2, 4, 8, 8), torch.tensor([900, 10]), base.encode_text(["a", "b"])
    with torch.no_grad():
        led = task.predict_noise(task.module, x, times, states, torch.rand(2, 64, 64, 3))
        assert torch.equal(led, base.unet(x, times, states).sample)


def test_training_moves_the_module_alone_resumes_and_exports(pairs, tmp_path):
    base = moving_discs.small_base()
    before = {name: weight.clone() for name, weight in base.unet.state_dict().items()}
    steps = []
    path = train_previous_frame(pairs, base, tmp_path / "run", SMALL, on_step=steps.append, about={"base": "small"})
    assert steps == [1, 2, 3], "12 pairs in batches of 4"
    assert all(torch.equal(weight, before[name]) for name, weight in base.unet.state_dict().items())
    weights, told = read_safetensors(path)
    assert weights["zero_convs.0.0.weight"].abs().max() > 0 and weights["input_hint_block.0.weight"].shape[1] == 3
    assert told["pairs"] == 12 and told["training"]["lr"] == 1e-3 and told["base"] == "small"
    again = train_previous_frame(pairs, moving_discs.small_base(), tmp_path / "run", SMALL, on_step=steps.append, about={"base": "small"})
    assert len(steps) == 3 and again.read_bytes() == path.read_bytes(), "it was finished"


def test_twenty_epochs_at_the_papers_rate():
    loop = PreviousFrameTraining().loop(1000)
    assert (loop.steps, loop.lr, loop.final_lr, loop.warmup) == (2500, 5e-5, 1.0, 0)


def test_exported_names_are_those_of_stable_diffusion_1_5():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        names = control_net_weights(new_module(UNet2DConditionModel(cross_attention_dim=768)))
    assert sum(name.startswith("zero_convs.") and name.endswith("weight") for name in names) == 12
    assert names["input_hint_block.14.weight"].shape == (320, 256, 3, 3)
    assert names["middle_block_out.0.weight"].shape == (1280, 1280, 1, 1)
    assert names["input_blocks.11.0.in_layers.2.weight"].shape == (1280, 1280, 3, 3)
    assert sum(weight.numel() for weight in names.values()) == 361_279_120, "as in control_v11p_sd15_openpose"


@pytest.mark.parametrize("spoil, said", [
    (lambda folder: (folder / "captions.jsonl").unlink(), "does not exist"),
    (lambda folder: (folder / "captions.jsonl").write_text("{}\n"), "line 1"),
    (lambda folder: (folder / "captions.jsonl").write_text('{"name": "other", "caption": "x"}\n'), "no pair"),
    (lambda folder: (folder / "clips").rename(folder / "gone"), "no clips"),
])
def test_unusable_folders(tmp_path, spoil, said):
    folder = moving_discs.write_clips(tmp_path, clips=1)
    spoil(folder)
    with pytest.raises(InputError, match=said):
        find_frame_pairs(folder)


def test_unfit_bases_and_frames(pairs):
    from diffusers import UNet2DConditionModel
    from PIL import Image

    with torch.device("meta"), pytest.raises(InputError, match="9 input channels"):
        new_module(UNet2DConditionModel(in_channels=9))
    Image.new("RGB", (32, 32)).save(pairs[0].following)
    with pytest.raises(InputError, match="neighbour's size"):
        load_pair(pairs[0], 64, torch.Generator())


@pytest.mark.slow
def test_the_module_learns_to_use_the_frame_before(tmp_path):
    """Captions say nothing of the colours, so what the loss gains over the base, and over another clip's frame, comes from the guide."""
    pairs = find_frame_pairs(moving_discs.write_clips(tmp_path, clips=40))
    base = moving_discs.small_base()
    task = PreviousFrameTask(pairs, base, PreviousFrameTraining(batch=16, size=64, drop_text=0.0))
    frames = torch.stack([load_pair(pair, 64, torch.Generator()) for pair in pairs])
    latents, states = base.encode(frames[:, 1]), base.encode_text(["a disc"])

    def errors(predict, rows, seed):
        generator = torch.Generator().manual_seed(seed)
        times = torch.randint(1000, (len(rows),), generator=generator)
        noise, signal = torch.randn(len(rows), 4, 8, 8, generator=generator), task.alphas_bar[times].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents[rows] + (1 - signal).sqrt() * noise
        return (predict(noisy, times, states.expand(len(rows), -1, -1), rows) - noise).square().mean()

    def fit(module, predict, seed):
        optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
        for step in range(300):
            optimizer.zero_grad()
            errors(predict, torch.randint(len(pairs), (16,), generator=torch.Generator().manual_seed(step)), seed + step).backward()
            optimizer.step()

    def led(shift=0):
        return lambda x, t, s, rows: task.predict_noise(task.module, x, t, s, frames[(rows + shift) % len(pairs), 0])

    def alone(x, t, s, rows):
        return base.unet(x, t, s).sample

    base.unet.requires_grad_(True)
    fit(base.unet, alone, 0)
    base.unet.requires_grad_(False)
    task.module.load_state_dict(new_module(base.unet).state_dict())
    fit(task.module, led(), 5000)
    with torch.no_grad():
        rows = torch.arange(len(pairs)).repeat(4)
        right, wrong, without = (float(errors(predict, rows, 99_999)) for predict in (led(), led(40), alone))
    assert right < 0.9 * wrong and right < 0.9 * without
