"""Pose correction's second pass, pairs and their workflows inside a real ComfyUI, with models of random weights."""

import json
import tarfile
from pathlib import Path

import comfy_host
import numpy as np
import pytest
import tiny_models
import torch

from contrapposto.models.headless.pictures import write_png
from contrapposto.models.pose_correction.shards import read_manifest, read_shard

SIDE, SEED = 96, 7
PICTURE = "noise.png"
CHECKPOINT, DEPTH_UNET = "sd-v1-5-inpainting.ckpt", "depth5.safetensors"


@pytest.fixture(scope="module")
def stocked(server):
    """The server with a checkpoint, and a UNet that reads depth."""
    from safetensors.torch import save_file

    tiny_models.stock(server)
    path = server.base / "models" / "diffusion_models" / DEPTH_UNET
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tiny_models.ldm_unet(tiny_models.diffusers_unet(5)), str(path))
    write_png(server.base / "input" / PICTURE, levels())
    return server


def levels():
    """(SIDE, SIDE, 3) levels that survive being a file."""
    return torch.randint(256, (SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0)).float() / 255


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def ours(kind, **inputs):
    return node(f"Contrapposto{kind}", **inputs)


@pytest.fixture
def second_pass():
    """A picture, another one as its depth, and one step of the depth model."""
    return {
        "all": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "unet": node("UNETLoader", unet_name=DEPTH_UNET, weight_dtype="default"),
        "file": node("LoadImage", image=PICTURE),
        "image": node("ImageScale", image=["file", 0], upscale_method="bilinear", width=SIDE, height=SIDE, crop="center"),
        "depth": node("ImageInvert", image=["file", 0]),
        "text": node("CLIPTextEncode", clip=["all", 1], text="a person"),
        "none": node("ConditioningZeroOut", conditioning=["text", 0]),
        "given": ours("DepthToImage", model=["unet", 0], positive=["none", 0], negative=["none", 0], vae=["all", 2], image=["image", 0],
                      depth=["depth", 0], strength=1.0, steps=1, preset="paper", seed=0),
        "sampled": node("KSampler", model=["given", 0], positive=["given", 1], negative=["given", 2], latent_image=["given", 3],
                        steps=["given", 4], denoise=["given", 5], seed=SEED, cfg=1.0, sampler_name="euler", scheduler="normal"),
        "first": node("SaveLatent", samples=["given", 3], filename_prefix="first"),
        "last": node("SaveLatent", samples=["sampled", 0], filename_prefix="last"),
    }


def latents(server, run, key):
    from safetensors.torch import load

    (entry,) = run.entry["outputs"][key]["latents"]
    data = server.get("/view", **{name: entry[name] for name in ("filename", "subfolder", "type")})
    return load(data)["latent_tensor"].float()


def test_network_sees_and_says_what_it_does_in_diffusers(stocked, second_pass):
    """One Euler step from the first noise level to zero gives epsilon; diffusers' UNet of the same weights must say the same."""
    from contrapposto.models.pose_correction.depth_to_image import depth_channel

    run = stocked.run(second_pass)
    assert run.succeeded, run.error
    first, last = latents(stocked, run, "first") * 0.18215, latents(stocked, run, "last") * 0.18215
    sigma = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square().neg().add(1).log().sum().exp()
    sigma = float(((1 - sigma) / sigma).sqrt())
    noise = torch.randn(first.shape, generator=torch.manual_seed(SEED))
    x = first + noise * (1 + sigma**2) ** 0.5  # ComfyUI's start at full strength
    theirs = (x - last) / sigma
    given = torch.cat([x / (1 + sigma**2) ** 0.5, depth_channel(1 - levels().mean(-1)[None], first.shape[-2:])], 1)
    with torch.no_grad():
        ours = tiny_models.diffusers_unet(5)(given, 999, encoder_hidden_states=torch.zeros(1, 77, tiny_models.TEXT_WIDTH)).sample
        blind = tiny_models.diffusers_unet(5)(torch.cat([given[:, :4], -given[:, 4:]], 1), 999,
                                              encoder_hidden_states=torch.zeros(1, 77, tiny_models.TEXT_WIDTH)).sample
    assert (ours - theirs).abs().max() / ours.abs().max() < 1e-3
    assert (blind - theirs).abs().max() / ours.abs().max() > 1e-2, "the depth counts"


def test_strength_is_told_to_the_sampler(stocked, second_pass):
    for name in ("first", "last", "sampled"):
        del second_pass[name]
    second_pass["given"]["inputs"] |= {"strength": 0.7, "steps": 50}
    second_pass |= {f"told{i}": node("PreviewAny", source=["given", i]) for i in (4, 5)}
    run = stocked.run(second_pass)
    assert run.succeeded, run.error
    assert [float(run.entry["outputs"][f"told{i}"]["text"][0]) for i in (4, 5)] == pytest.approx([35, 0.7])


@pytest.mark.parametrize("change, said", [
    ({"given": {"model": ["all", 0]}}, "does not read depth"), ({"image": {"width": 100}, "given": {"depth": ["image", 0]}}, "100 x 96"),
    ({"given": {"preset": "released"}}, "needed by the preset"),
])
def test_mistakes_are_named_on_the_node(stocked, second_pass, change, said):
    for key, inputs in change.items():
        second_pass[key]["inputs"] |= inputs
    error = stocked.run(second_pass).error
    assert error["node_id"] == "given" and said in error["exception_message"]


def test_strength_outside_is_refused_before_running(stocked, second_pass):
    second_pass["given"]["inputs"]["strength"] = 0.0
    with pytest.raises(comfy_host.PromptRejected, match="(?s)strength.*0.01"):
        stocked.submit(second_pass)


def twin(name):
    """The API twin, small."""
    prompt = json.loads((comfy_host.PACK / "example_workflows" / "api" / f"{name}.json").read_text())
    for entry in prompt.values():
        for key in ("width", "height"):
            if isinstance(entry["inputs"].get(key), int) and entry["inputs"][key] > 192:
                entry["inputs"][key] = 192
        if entry["class_type"] == "KSampler" and isinstance(entry["inputs"]["steps"], int):
            entry["inputs"]["steps"] = 1
        if entry["class_type"] == "ContrappostoDepthToImage":
            entry["inputs"]["steps"] = 2
        if "count" in entry["inputs"]:
            entry["inputs"]["count"] = min(entry["inputs"]["count"], 2)
        if "batch_size" in entry["inputs"]:
            entry["inputs"]["batch_size"] = 2
    return prompt


def key_of(prompt, kind):
    return next(key for key, entry in prompt.items() if entry["class_type"] in (kind, f"Contrapposto{kind}"))


def with_tiny_models(prompt):
    """The depth checkpoint becomes the stocked one with the depth UNet; ControlNets are left out."""
    for entry in prompt.values():
        if entry["class_type"] == "CheckpointLoaderSimple":
            entry["inputs"]["ckpt_name"] = CHECKPOINT
    prompt["unet"] = node("UNETLoader", unet_name=DEPTH_UNET, weight_dtype="default")
    prompt[key_of(prompt, "DepthToImage")]["inputs"]["model"] = ["unet", 0]
    return prompt


def shard_of(run, prompt):
    return Path(run.entry["outputs"][key_of(prompt, "SaveImageMeshPairs")]["text"][0])


def test_sentence_to_pairs(stocked):
    prompt = twin("text_to_pairs")
    prompt[key_of(prompt, "SaveImageMeshPairs")]["inputs"] |= {"meshes": "ply", "spin_layout": True}
    run = stocked.run(prompt)
    assert run.succeeded, run.error
    shard = shard_of(run, prompt)
    assert shard.is_relative_to(stocked.base / "output") and read_manifest(shard)["count"] == 2
    pairs = list(read_shard(shard, verify=True))
    saved = [stocked.picture(image)[..., :3] for image in run.images(key_of(prompt, "SaveImage"))]
    for pair, picture in zip(pairs, saved):
        assert np.abs(pair.image.numpy().astype(int) - picture.astype(int)).max() <= 1
        inside = pair.mask[pair.joints_2d[:22, 1].long(), pair.joints_2d[:22, 0].long()] > 127
        assert inside.float().mean() > 0.7, "the body's joints lie on the avatar"
    with tarfile.open(shard) as tar:
        assert len(tar.getnames()) == 6
    beside = {path.name for path in shard.parent.iterdir() if path.is_dir()}
    assert beside == {f"{shard.stem}meshes", f"{shard.stem}spin"}


def test_augmented_poses(stocked):
    prompt = twin("augment_poses")
    run = stocked.run(prompt)
    assert run.succeeded, run.error
    one, other = (stocked.picture(image).astype(int) for image in run.images(key_of(prompt, "SaveImage")))
    assert np.abs(one - other).max() > 60


def test_generated_pictures_are_corrected_only_when_hard(stocked):
    prompt = with_tiny_models(twin("generate_and_correct"))
    sampler = next(entry for entry in prompt.values() if entry["class_type"] == "KSampler" and "EmptyLatentImage" in
                   prompt[entry["inputs"]["latent_image"][0]]["class_type"])
    control = key_of(prompt, "ControlNetApplyAdvanced")
    for side in ("positive", "negative"):
        sampler["inputs"][side] = prompt[control]["inputs"][side]
    del prompt[prompt[control]["inputs"]["control_net"][0]], prompt[control]
    gates = [prompt[key_of(prompt, kind)]["inputs"] for kind in ("KeepHardPictures", "DifficultyGate")]
    painted = key_of(prompt, "DepthToImage")
    for gate in gates:
        gate["threshold"] = 10_000.0
    easy = stocked.run(prompt)
    assert easy.succeeded, easy.error
    ran = {data["node"] for kind, data in easy.entry["status"]["messages"] if kind == "executing"} | set(easy.entry["outputs"])
    assert painted not in ran
    for gate in gates:
        gate["threshold"] = 0.0
    hard = stocked.run(prompt)
    assert hard.succeeded, hard.error
    pictures = [[stocked.picture(image) for image in run.images(key_of(prompt, "SaveImage"))] for run in (easy, hard)]
    assert len(pictures[1]) == 2 and all(not np.array_equal(a, b) for a, b in zip(*pictures))


def test_a_picture_is_corrected(stocked):
    """The example workflow with key points drawn by us in the place of SDPose's, which older hosts lack."""
    prompt = with_tiny_models(twin("correct_picture"))
    detector = key_of(prompt, "SDPoseKeypointExtractor")
    del prompt[prompt[detector]["inputs"]["model"][0]]
    prompt |= {
        "poses": ours("LoadTextToPose", file="open text-to-pose (bundled)"),
        "pose": ours("TextToPose", text_to_pose=["poses", 0], text="a person waves", count=1, seed=2, steps=0, guidance=-1.0,
                     regularise=0.0),
        "camera": ours("FrameBody", figure=["pose", 0], width=192, height=192, view="front", yaw=0.0, pitch=0.0, field_of_view=60.0,
                       margin=0.1, one_camera=False),
        detector: ours("RenderPoseMap", figure=["pose", 0], camera=["camera", 0], hide_far_face=False, engine="torch"),
    }
    prompt[key_of(prompt, "FitBody")]["inputs"]["pose_keypoint"] = [detector, 3]
    prompt[key_of(prompt, "DifficultyGate")]["inputs"]["threshold"] = 0.0
    run = stocked.run(prompt)
    assert run.succeeded, run.error
    (pair,) = read_shard(shard_of(run, prompt))
    (saved,) = run.images(key_of(prompt, "SaveImage"))
    assert np.abs(pair.image.numpy().astype(int) - stocked.picture(saved)[..., :3].astype(int)).max() <= 1
    assert pair.keypoints.scores.sum() >= 12
