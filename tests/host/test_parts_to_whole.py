"""Parts2Whole on random weights inside a real ComfyUI, held against the same networks in diffusers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import comfy_host
import pytest
import tiny_models
import torch

sys.path.insert(0, str(comfy_host.PACK / "tests" / "models" / "parts_to_whole"))

PROBE = Path(__file__).parent / "parts_probe.py"
HEIGHT, WIDTH = 96, 64
CONFIG = {"in_channels": 4, "block_out_channels": (320, 320), "layers_per_block": 1, "cross_attention_dim": 768, "mid_block_type": None,
          "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
          "attention_head_dim": 8}
LABELS = ("face", "shoes")


def inputs():
    """Two pictures with masks, a pose, texts and CLIP tokens."""
    generator = torch.Generator().manual_seed(4)
    texts = ("positive", "negative", *(f"label {label}" for label in LABELS))
    made = {name: torch.randn(1, 77, 768, generator=generator) for name in texts}
    for label in LABELS:
        mask = torch.zeros(HEIGHT, WIDTH)
        mask[16:64, 8:48] = 1
        made |= {f"picture {label}": torch.rand(HEIGHT, WIDTH, 3, generator=generator), f"mask {label}": mask.roll(len(label) * 4, 0)}
    return made | {"pose": torch.rand(1, HEIGHT, WIDTH, 3, generator=generator), "tokens": torch.randn(1, 768, generator=generator),
                   "size": torch.tensor([HEIGHT // 8, WIDTH // 8])}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The released folder, the converted file, a folder that lacks a part, a plain UNet, a VAE, the inputs."""
    from safetensors.torch import save_file
    from tiny_parts import write_release

    from contrapposto.models.parts_to_whole.weights import load_weights, save_weights

    folder = tmp_path_factory.mktemp("parts")
    write_release(folder / "release", config=CONFIG)
    save_weights(folder / "one.safetensors", load_weights(folder / "release"))
    shutil.copytree(folder / "release", folder / "incomplete")
    shutil.rmtree(folder / "incomplete" / "pose_guider")
    save_file(tiny_models.ldm_unet(tiny_models.diffusers_unet(4)), folder / "plain.safetensors")
    save_file(tiny_models.taesd(), folder / "vae.safetensors")
    save_file(inputs(), folder / "inputs.safetensors")
    return folder


@pytest.fixture(scope="module")
def report(host, files, tmp_path_factory):
    """What the probe says."""
    pack = tmp_path_factory.mktemp("custom_nodes") / comfy_host.PACK_FOLDER
    pack.symlink_to(comfy_host.PACK, target_is_directory=True)
    done = subprocess.run([host.python, PROBE, host.root, pack, files], capture_output=True, text=True, env=host.environment(), timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


@torch.no_grad()
def test_the_same_pass_as_in_diffusers(report, files):
    """From pictures on: VAE, appearance encoder, masks, shared attention, image tokens, pose, in one pass with both rows."""
    from diffusers import AutoencoderTiny, UNet2DConditionModel
    from safetensors.torch import load_file

    from contrapposto.models.parts_to_whole.appearance_encoder import encode_appearance, join
    from contrapposto.models.parts_to_whole.image_tokens import ImageProjections, pad_tokens
    from contrapposto.models.parts_to_whole.network import PartsUNet
    from contrapposto.models.parts_to_whole.parts import acting, fit_reference, make_reference
    from contrapposto.models.parts_to_whole.pose_guider import PoseGuider
    from contrapposto.models.parts_to_whole.weights import load_weights

    given, seen = (load_file(files / f"{name}.safetensors") for name in ("inputs", "captured"))
    weights = load_weights(files / "release")
    encoder, denoiser = (UNet2DConditionModel(**CONFIG) for _ in range(2))
    encoder.load_state_dict(weights.appearance_encoder)
    denoiser.load_state_dict(weights.denoiser)
    network = PartsUNet(denoiser, ImageProjections.from_weights(weights.image_projections)).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderTiny(scaling_factor=0.18215)

    references = acting([make_reference(given[f"picture {label}"], label, given[f"mask {label}"]) for label in LABELS])
    features = []
    for reference in references:
        picture, mask = fit_reference(reference, HEIGHT, WIDTH)
        latents = vae.encode(picture * 2 - 1).latents * 0.18215
        features.append(encode_appearance(encoder.eval(), latents, given[f"label {reference.label}"], mask))
    tokens = pad_tokens(torch.stack([given["tokens"] * reference.image.mean() for reference in references], 1))
    pose = PoseGuider.from_weights(weights.pose_guider)(given["pose"].movedim(-1, 1))
    network.use(join(references, features), pose)

    conditional = [torch.allclose(row, given["positive"][0], atol=1e-5) for row in seen["context"]]
    assert sorted(conditional) == [False, True]
    states = torch.cat([torch.cat([row[None], tokens * yes], 1) for row, yes in zip(seen["context"], conditional)])
    eps = network(seen["x"], seen["times"], states).sample
    assert (eps - seen["out"]).abs().max() / seen["out"].abs().max() < 1e-3


def test_both_rows_share_a_pass_and_references_are_encoded_once_per_run(report):
    assert report["rows"] == 2 and report["calls"] == 2 and report["encoded"] == [2]
    assert report["freed"] and report["again"]


def test_the_denoisers_own_schedule(report):
    assert 25.0 < report["sigma_max"] < 25.2


def test_nothing_to_read_is_the_plain_model_bit_for_bit(report):
    assert report["plain"]["none"] and report["plain"]["zero"] and report["plain"]["never"] and report["plain"]["acts"] > 1e-2
    assert report["pose_alone"] > 1e-3


def test_order_strength_and_steps(report):
    assert report["order"] and report["ended"]
    near, far = report["strength"]
    assert near < 1e-2 < far and report["weak"] < 1e-4


def test_batches_cfg_1_and_the_converted_file(report):
    assert report["cfg1"] == 1 and report["batch"] < 1e-4 and report["converted"]


def test_stands_beside_others_patches(report):
    assert report["lora"]["order"] < 1e-4 < report["lora"]["acts"]
    assert report["adapter"]["ours"] > 1e-3 and report["adapter"]["theirs"] > 1e-3
    assert report["perturbed"] and report["area"] and report["override"][0] < 1e-5 and report["override"][1]


def test_weights_may_wait_in_ram(report):
    assert report["lowvram"] < 1e-3


def test_works_where_a_job_samples_by_itself(report):
    assert report["frame loop"] and report["experimental"]


@pytest.mark.parametrize("mistake, said", [
    ("sdxl", "is not Stable Diffusion 1.5"), ("narrow vision", "512 numbers per picture, not 768"), ("twenty", "20 are more than the 6"),
    ("other model", "did not come through Apply Parts2Whole"), ("label", "upper body clothes"), ("small mask", "64 x 64"),
    ("empty mask", "shows no face"), ("no points", "is not connected"), ("folder", "pose_guider has no diffusion_pytorch_model"),
])
def test_mistakes_are_named(report, mistake, said):
    assert said in report["says"][mistake]
