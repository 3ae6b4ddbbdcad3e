"""The zero-shot film, the training of appearance modules and the measures inside a real ComfyUI."""

import json
import time

import comfy_host
import numpy as np
import pytest
import tiny_models
from PIL import Image
from safetensors import safe_open

TWIN = comfy_host.PACK / "example_workflows" / "api" / "avatar_dance_over_photo.json"
C = "Contrapposto"


def find(prompt, name):
    return next(key for key, node in prompt.items() if node["class_type"] == name)


def preview(source, output):
    return {"class_type": "PreviewAny", "inputs": {"source": [source, output]}}


@pytest.fixture(scope="module")
def filmed(server):
    """(prompt, run) of the workflow, a few frames long, with its masks and measures shown."""
    prompt = json.loads(TWIN.read_text())
    motion = [key for key, node in prompt.items() if node["class_type"] == C + "EditMotion"][-1]
    prompt[motion]["inputs"] |= {"between": 0.2, "hold": 0.05, "fps": 12, "loop": 0}
    film = find(prompt, C + "AvatarVideo")
    prompt |= {"90": {"class_type": "MaskToImage", "inputs": {"mask": [film, 1]}},
               "91": {"class_type": "PreviewImage", "inputs": {"images": ["90", 0]}},
               "92": {"class_type": C + "EvaluateVideo",
                      "inputs": {"images": [film, 0], "masks": [film, 1], "fps": 12.0, "quality_every": 10}},
               "93": preview("92", 1),
               "94": {"class_type": C + "EvaluatePoses", "inputs": {"body_pose": [motion, 0]}}, "95": preview("94", 1)}
    return prompt, server.run(prompt)


def test_the_film_is_saved_and_the_photograph_is_untouched_around_it(server, filmed):
    prompt, run = filmed
    assert run.succeeded, run.error
    assert list((server.base / "output").rglob("dance_over_photo*.mp4"))
    frames = [server.picture(image)[..., :3].astype(int) for image in run.images(find(prompt, C + "AvatarVideo"))]
    masks = [server.picture(image)[..., 0] for image in run.images("91")]
    photograph = np.asarray(Image.open(server.base / "input" / "example.png").convert("RGB")).astype(int)
    assert len(frames) >= 3 and frames[0].shape == photograph.shape
    for frame, mask in zip(frames, masks):
        outside = mask == 0
        assert (frame[outside] <= photograph[outside]).all(), "the shadow darkens, nothing else changes"
        assert (frame[outside] == photograph[outside]).all(-1).mean() > 0.85 and (mask == 255).sum() > 500


def test_the_measures_of_film_and_poses(filmed):
    _, run = filmed
    scores, poses = (json.loads(run.entry["outputs"][key]["text"][0]) for key in ("93", "95"))
    assert scores["means"]["Frame L1"] > 0 and scores["means"]["NIQE background"] > 0 and "CLIP text" in scores["missing"]
    assert 0 <= poses["plausible share"] <= 1 and poses["poses"] == scores["frames"]


def training(steps, prefix="test/clothes"):
    train = {"model": ["1", 0], "vae": ["1", 2], "positive": ["3", 0], "images": ["4", 0], "part": "whole picture", "steps": steps,
             "rank": 2, "learning_rate": 0.01, "size": 64, "seed": 0, "strength": 1.0, "filename_prefix": prefix}
    sampler = {"model": ["5", 0], "positive": ["3", 0], "negative": ["3", 0], "latent_image": ["6", 0], "seed": 0, "steps": 1, "cfg": 1.0,
               "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd-v1-5-inpainting.ckpt"}},
        "2": {"class_type": C + "PromptParse", "inputs": {"kind": "clothes", "description": "a red dress", "seed": 0, "keep": True}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ["2", 0]}},
        "4": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "5": {"class_type": C + "TrainAppearanceModule", "inputs": train},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "7": {"class_type": "KSampler", "inputs": sampler},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["1", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "trained"}},
        "10": preview("5", 3), "11": preview("5", 1),
    }


def test_a_module_is_trained_patched_completely_found_again_and_loaded_by_load_lora(server):
    tiny_models.stock(server)
    prompt = training(4)
    first = server.run(prompt)
    assert first.succeeded, first.error
    report, name = (first.entry["outputs"][key]["text"][0] for key in ("10", "11"))
    assert "12 cross-attention layers trained, 12 patched" in report and (server.base / "models" / "loras" / name).is_file()
    prompt["5"]["inputs"]["strength"] = 0.9
    again = server.run(prompt)
    assert "nothing was trained again" in again.entry["outputs"]["10"]["text"][0]
    prompt["5"]["inputs"]["strength"] = 1.0
    prompt["12"] = {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["1", 0], "lora_name": name, "strength_model": 1.0}}
    for source, expected in ((["12", 0], True), (["1", 0], False)):
        prompt["7"]["inputs"]["model"] = source
        run = server.run(prompt)
        assert run.succeeded, run.error
        same = np.array_equal(server.picture(run.images("9")[0]), server.picture(first.images("9")[0]))
        assert same is expected, "Load LoRA gives the trained model, and the loaded model was never changed"


def test_a_stopped_training_keeps_what_it_has_learnt(server):
    tiny_models.stock(server)
    waiting = server.submit(training(3000, "test/stopped"))
    kept = server.base / "output" / "contrapposto_appearance"
    deadline = time.monotonic() + 120
    while not list(kept.glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.2)
    server.post_json("/interrupt", {"prompt_id": waiting})
    assert server.wait(waiting).interrupted
    (state,) = kept.glob("*.safetensors")
    with safe_open(state, "pt") as file:
        facts = json.loads(file.metadata()["config"])
    assert 50 <= facts["step"] < 3000 and not list((server.base / "models" / "loras" / "test").glob("stopped*"))
