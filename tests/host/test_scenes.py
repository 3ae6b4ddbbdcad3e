"""The scene workflows inside a real ComfyUI, with a random-weight inpainting checkpoint in the place of the real one."""

import json

import comfy_host
import numpy as np
import pytest
import tiny_models

SCENES = ("scene_sd15_inpainting", "scene_over_photo", "two_avatars", "large_canvas")
STEPS = 1  # random weights paint nothing worth waiting for
SIZED = ("ContrappostoFrameBody", "ContrappostoComposeAvatars", "ContrappostoCropCanvas")


def twin(name):
    """The API twin at a quarter of its size, with one step."""
    prompt = json.loads((comfy_host.PACK / "example_workflows" / "api" / f"{name}.json").read_text())
    for node in prompt.values():
        if node["class_type"] in SIZED:
            node["inputs"] |= {key: node["inputs"][key] // 4 for key in ("width", "height", "side") if key in node["inputs"]}
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = STEPS
    return prompt


def find(prompt, name):
    return next(key for key, node in prompt.items() if node["class_type"] == name)


def ours(prompt, name):
    return find(prompt, f"Contrapposto{name}")


def refusals(server, prompt):
    """Node errors of a prompt; its renderings run all the same, because they show something by themselves."""
    answer = server.post_json("/prompt", {"prompt": prompt, "client_id": "refusals"})
    server.wait(answer["prompt_id"])
    return answer["node_errors"]


@pytest.fixture(scope="module")
def stocked(server):
    """The server, with the files that the workflows name."""
    tiny_models.stock(server)
    return server


@pytest.fixture(scope="module")
def runs(stocked):
    """{workflow: (prompt, run)}, run when first asked for."""
    done = {}

    def run(name):
        if name not in done:
            prompt = twin(name)
            done[name] = prompt, stocked.run(prompt)
        return done[name]

    return run


@pytest.mark.parametrize("name", SCENES)
def test_twin_keeps_the_avatars_pixels(stocked, runs, name):
    prompt, run = runs(name)
    assert run.succeeded, run.error
    (saved,) = run.images(find(prompt, "SaveImage"))
    source = prompt[ours(prompt, "PasteAvatarBack")]["inputs"]["body_render"][0]
    scene, avatar = stocked.picture(saved), stocked.picture(run.images(source)[0])
    solid = avatar[..., 3] == 255
    assert scene.shape[:2] == avatar.shape[:2] and 0.005 < solid.mean() < 0.6
    np.testing.assert_array_equal(scene[solid], avatar[solid][:, :3])
    assert scene[avatar[..., 3] == 0].std() > 2, "something was painted around it"


def test_another_scene_renders_and_encodes_nothing_again(stocked):
    prompt = twin("scene_sd15_inpainting")
    assert stocked.run(prompt).succeeded
    prompt[find(prompt, "CLIPTextEncode")]["inputs"]["text"] = "a person on the moon"
    run = stocked.run(prompt)
    assert run.succeeded
    assert set(prompt) - run.cached == {find(prompt, "CLIPTextEncode"), ours(prompt, "PersonalizeConditioning"), find(prompt, "KSampler"),
                                        find(prompt, "VAEDecode"), ours(prompt, "PasteAvatarBack"), find(prompt, "SaveImage")}


def test_sizes_that_the_vae_cannot_take_are_named(stocked):
    prompt = twin("scene_sd15_inpainting")
    prompt["canvas"] = {"class_type": "EmptyImage", "inputs": {"width": 250, "height": 256, "batch_size": 1, "color": 0}}
    prompt[ours(prompt, "FrameBody")]["inputs"]["background"] = ["canvas", 0]
    error = stocked.run(prompt).error
    assert error["node_id"] == ours(prompt, "EncodeAvatar")
    assert "250 x 256" in error["exception_message"] and "248 x 256" in error["exception_message"]


def test_downsample_rate_out_of_range_is_refused_before_running(stocked):
    prompt = twin("scene_sd15_inpainting")
    node = ours(prompt, "EncodeAvatar")
    prompt[node]["inputs"]["downsample_rate"] = 1.5
    assert node in refusals(stocked, prompt)


def test_missing_patch_is_refused_with_the_place_it_belongs_to(stocked):
    prompt = twin("scene_sd15_inpainting")
    checkpoint = find(prompt, "CheckpointLoaderSimple")
    prompt["patch"] = {"class_type": "ContrappostoLoadPersonalizationPatch",
                       "inputs": {"model": [checkpoint, 0], "file": "gone.safetensors", "strength": 1.0}}
    prompt[ours(prompt, "PersonalizeConditioning")]["inputs"]["model"] = ["patch", 0]
    (error,) = refusals(stocked, prompt)["patch"]["errors"]
    assert str(stocked.base / "models" / "personalization") in error["details"]


def test_wrong_patch_file_is_named_on_its_node(stocked):
    path = stocked.base / "models" / "personalization" / "broken.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not weights")
    prompt = twin("scene_sd15_inpainting")
    prompt["patch"] = {"class_type": "ContrappostoLoadPersonalizationPatch",
                       "inputs": {"model": [find(prompt, "CheckpointLoaderSimple"), 0], "file": path.name, "strength": 1.0}}
    prompt[ours(prompt, "PersonalizeConditioning")]["inputs"]["model"] = ["patch", 0]
    error = stocked.run(prompt).error
    assert error["node_id"] == "patch" and "broken.safetensors" in error["exception_message"]
