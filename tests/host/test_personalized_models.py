"""Personalization on random-weight models inside a real ComfyUI, held against the same networks in diffusers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import comfy_host
import pytest
import tiny_models
import torch

sys.path.insert(0, str(comfy_host.PACK / "tests" / "models" / "training"))

SIZE = 96
PROBE = Path(__file__).parent / "personalization_probe.py"


def inputs():
    """A round avatar with a soft outline, its gray body, and two texts."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    alpha = (30.5 - ((x - 50.0) ** 2 + (y - 44.0) ** 2).sqrt()).clamp(0, 1)[None]
    made = {"alpha": alpha, "avatar": torch.rand(1, SIZE, SIZE, 3, generator=generator), "gray": torch.full((1, SIZE, SIZE, 3), 0.4)}
    return made | {name: torch.randn(1, 77, tiny_models.TEXT_WIDTH, generator=generator) for name in ("positive", "negative")}


def export(unet, folder):
    """Three steps of training with a high learning rate: ``patch.safetensors`` and ``pas13.safetensors`` in the folder."""
    from diffusers import AutoencoderTiny, DDIMScheduler
    from tiny_diffusion import write_pictures

    from contrapposto.models.headless.diffusers_backend import DiffusersModel
    from contrapposto.models.training.datasets.person_images import find_person_images
    from contrapposto.models.training.loop import LoopConfig
    from contrapposto.models.training.train_personalization import PersonalizationTraining, train_personalization

    def texts(sentences):
        return torch.randn(len(sentences), 77, tiny_models.TEXT_WIDTH, generator=torch.Generator().manual_seed(len(sentences[0])))

    base = DiffusersModel(unet, AutoencoderTiny(scaling_factor=0.18215), DDIMScheduler(beta_schedule="scaled_linear"), texts)
    config = PersonalizationTraining(LoopConfig(steps=3, batch=1, lr=0.02, warmup=1, ema=0.1), rank=4, size=64)
    paths = train_personalization(find_person_images(write_pictures(folder / "data")), base, folder / "run", config)
    for path, name in zip(paths, ("patch", "pas13")):
        path.rename(folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every file that the probe reads: four base UNets, what three steps of training export, a foreign patch, a VAE."""
    from safetensors.torch import save_file

    from contrapposto.models.personalization.patch import load_patch, save_patch

    folder = tmp_path_factory.mktemp("personalization")
    base = tiny_models.ldm_unet(tiny_models.diffusers_unet(4))
    conv = "input_blocks.0.0.weight"
    export(tiny_models.diffusers_unet(4), folder)
    patch = load_patch(folder / "patch.safetensors")
    save_patch(folder / "other_patch.safetensors", replace(patch, conv_in=-patch.conv_in, base_conv=-patch.base_conv))
    save_file(base, folder / "base4.safetensors")
    save_file(base | {conv: torch.cat([base[conv], torch.randn(320, 5, 3, 3) * 0.05], 1)}, folder / "base9.safetensors")
    save_file(base | {conv: torch.cat([base[conv], torch.randn(320, 1, 3, 3) * 0.05], 1)}, folder / "base5.safetensors")
    save_file(base | {conv: torch.randn(320, 4, 3, 3) * 0.1}, folder / "other4.safetensors")
    save_file(tiny_models.taesd(), folder / "vae.safetensors")
    save_file(inputs(), folder / "inputs.safetensors")
    return folder


@pytest.fixture(scope="module")
def report(host, files, tmp_path_factory):
    """What the probe says."""
    pack = tmp_path_factory.mktemp("custom_nodes") / comfy_host.PACK_FOLDER
    pack.symlink_to(comfy_host.PACK, target_is_directory=True)
    done = subprocess.run([host.python, PROBE, host.root, pack, files], capture_output=True, text=True, env=host.environment(), timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    (files / "report.json").write_text(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return json.loads((files / "report.json").read_text())


def test_same_network_same_inputs_as_in_diffusers(report, files):
    """From the renders on, the command line's way gives what ComfyUI's network was given, and the same epsilon."""
    from diffusers import AutoencoderTiny
    from safetensors.torch import load_file

    from contrapposto.models.headless.diffusers_backend import DiffusersModel
    from contrapposto.models.headless.personalized_scene import channels_for, text_states
    from contrapposto.models.personalization.conditioning import encode_avatar
    from contrapposto.models.personalization.patch import load_patch
    from contrapposto.models.types import Camera, Render

    given, seen, weights = (load_file(files / f"{name}.safetensors") for name in ("inputs", "captured", "pas13"))
    unet = tiny_models.diffusers_unet(13)
    names = tiny_models.ldm_names(unet)
    unet.load_state_dict({name: weights[f"model.diffusion_model.{names[name]}"] for name in names})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderTiny(scaling_factor=0.18215)
    model = DiffusersModel(unet, vae, None, lambda texts: torch.cat([given[text] for text in texts]))
    ones = torch.ones(1)
    camera = Camera(ones, ones, ones, ones, torch.eye(3)[None], torch.zeros(1, 3), SIZE, SIZE)
    avatar, gray = (Render(given[name], given["alpha"], given["alpha"], camera) for name in ("avatar", "gray"))

    beside = channels_for(model, encode_avatar(avatar, gray, model.encode, 0.5))
    states = text_states(model, ["positive", "negative"], 0.5, load_patch(files / "patch.safetensors").rate_token)
    x, context = seen["x"], seen["context"]
    order = [0, 1] if torch.allclose(context[:1], states[:1], atol=1e-4) else [1, 0]
    assert torch.allclose(context, states[order], atol=1e-4)
    assert torch.allclose(x[:, 4:], beside.expand(2, -1, -1, -1), atol=1e-4)

    eps = model.predict_noise(x[:, :4], seen["times"], states[order], beside.expand(2, -1, -1, -1))
    assert (eps - seen["out"]).abs().max() / seen["out"].abs().max() < 1e-3


def test_thirteen_channels_in_one_pass_per_step(report):
    assert report["x"] == [2, 13, 12, 12] and report["calls"] == 2


def test_patch_over_its_base_is_the_full_checkpoint(report):
    assert report["patched_channels"] == 13 and report["patch_to_full"] < 1e-3


def test_strength(report):
    assert report["zero_is_base"] and report["half_differs"] > 1e-3


def test_the_loaded_model_is_never_changed(report):
    assert report["base_untouched"] and report["base_untouched_at_the_end"]


def test_texts_of_different_length_share_a_pass(report):
    assert report["long_text"] == {"calls": 2, "rows": 2, "tokens": 156}


def test_an_inpainting_model_reads_mask_and_avatar(report):
    assert report["inpaint"] == {"channels": 9, "finite": True, "mask": True, "avatar": True}


def test_any_model_keeps_the_avatars_cells(report):
    assert report["kept"]["cells"] > 50 and report["kept"]["exact"]


def test_works_with_loras_controlnets_batches_and_areas(report):
    assert report["lora"]["order"] < 1e-3 < report["lora"]["acts"]
    assert report["control"]["acts"] > 1e-3 and report["control"]["tokens"] == 77
    assert report["batch"] == [3, 4, 12, 12] and report["area"]


def test_works_with_other_packs_attention(report):
    """Image tokens and replaced attention, before and behind our patch, with a LoRA and a ControlNet."""
    told = report["attention"]
    assert told["seen"] == [78, 78], "77 words and our rate token reach the others"
    assert told["order"] < 1e-3 < told["acts"] and told["replaced_order"] < 1e-3 < told["replaced_acts"]
    assert told["replaced_seen"] == [78] and told["with_all"] > 1e-3 and told["untouched"]


def test_weights_may_wait_in_ram(report):
    assert report["lowvram"]["waiting"] > 1 and report["lowvram"]["difference"] < 1e-4


def test_other_families_are_led_by_the_noise_mask(report):
    assert report["families"] == {"sdxl": True, "flux": True, "flux fill": True}


@pytest.mark.parametrize("mistake, said", [
    ("other base", "was made for another base model"), ("other personalized", "is another personalized model"),
    ("no token", "has no rate token"), ("five channels", "with 5 input channels"), ("other vae", "16 latent channels"),
    ("narrow text", "1024 wide"), ("not personalized", "does not hold the avatar"),
])
def test_mistakes_are_named(report, mistake, said):
    assert said in report["says"][mistake]
