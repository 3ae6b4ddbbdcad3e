"""The main road inside a real ComfyUI: pictures, cache, mistakes, stop button."""

import copy
import json
import time

import comfy_host
import numpy as np
import pytest

TWIN = comfy_host.PACK / "example_workflows" / "api" / "text_to_avatar.json"
SIZE = 256


def nodes_of(prompt, name):
    return [key for key, node in prompt.items() if node["class_type"] == name]


def ours(prompt, name):
    (key,) = nodes_of(prompt, f"Contrapposto{name}")
    return key


@pytest.fixture
def prompt():
    """The API twin, small, with a text of its own so that no other test has its results in the cache."""
    prompt = json.loads(TWIN.read_text())
    prompt[ours(prompt, "FrameBody")]["inputs"] |= {"width": SIZE, "height": SIZE}
    return prompt


@pytest.fixture(scope="module")
def first(server):
    """(prompt, run) of the API twin as it ships."""
    prompt = json.loads(TWIN.read_text())
    return prompt, server.run(prompt)


def picture(server, run, node):
    (image,) = run.images(node)
    return server.picture(image)


def test_twin_succeeds_as_shipped(first):
    prompt, run = first
    assert run.succeeded, str(run.error)
    assert not run.cached & {ours(prompt, "TextToPose"), ours(prompt, "RenderAvatar")}  # other tests may have left loaders in the cache


def test_every_picture_has_the_size_asked_for_and_something_in_it(server, first):
    prompt, run = first
    frame = prompt[ours(prompt, "FrameBody")]["inputs"]
    for name in ("RenderGrayBody", "RenderAvatar", "RenderDepth", "RenderPoseMap"):
        pixels = picture(server, run, ours(prompt, name))
        assert pixels.shape[:2] == (frame["height"], frame["width"])
        assert 5 < pixels.std() and 0.005 < (pixels[..., :3].max(-1) > 16).mean() < 0.95, name


def test_saved_picture_holds_the_avatar_pixel_for_pixel(server, first):
    prompt, run = first
    avatar = picture(server, run, ours(prompt, "RenderAvatar"))
    (saved,) = run.images(nodes_of(prompt, "SaveImage")[0])
    scene = server.picture(saved)
    solid = avatar[..., 3] == 255
    assert saved["type"] == "output"
    assert 0.03 < solid.mean() < 0.8
    np.testing.assert_array_equal(scene[solid], avatar[solid][:, :3])
    assert scene[avatar[..., 3] == 0].mean() > 60, "the studio is light"
    colours = np.unique(avatar[solid][:, :3] // 16, axis=0)
    assert len(colours) > 30, "a dressed avatar has many colours"


def test_gray_body_is_gray_and_avatar_is_not(server, first):
    prompt, run = first
    spread = {}
    for name in ("RenderGrayBody", "RenderAvatar"):
        pixels = picture(server, run, ours(prompt, name)).astype(int)
        spread[name] = np.ptp(pixels[pixels[..., 3] == 255][:, :3], axis=1).mean()
    assert spread["RenderGrayBody"] < 6 < spread["RenderAvatar"]


def test_second_run_is_cached_and_a_new_text_reruns_only_what_follows(server, prompt):
    text = ours(prompt, "TextToPose")
    prompt[text]["inputs"]["text"] = "a person reaching up with both arms"
    assert server.run(prompt).succeeded
    assert server.run(copy.deepcopy(prompt)).cached == set(prompt)

    prompt[text]["inputs"]["text"] = "a person crouching down low"
    run = server.run(prompt)
    loaders = {ours(prompt, name) for name in ("LoadTextToPose", "LoadBodyModel", "LoadAvatar")}
    assert run.succeeded and run.cached == loaders


def test_same_seed_same_picture_new_seed_another(server, prompt):
    text = ours(prompt, "TextToPose")
    pictures = []
    for seed in (1, 2, 1):
        prompt[text]["inputs"]["seed"] = seed
        server.post_json("/free", {"unload_models": True, "free_memory": True})  # forget all results
        time.sleep(0.5)
        run = server.run(prompt)
        assert text not in run.cached
        pictures.append(picture(server, run, ours(prompt, "RenderGrayBody")))
    assert np.array_equal(pictures[0], pictures[2]) and not np.array_equal(pictures[0], pictures[1])


def test_batch_of_candidates_gives_a_batch_of_pictures(server, prompt):
    prompt[ours(prompt, "TextToPose")]["inputs"] |= {"count": 3, "seed": 11}
    run = server.run(prompt)
    for node in (ours(prompt, "RenderAvatar"), ours(prompt, "RenderPoseMap"), nodes_of(prompt, "SaveImage")[0]):
        shown = [server.picture(image) for image in run.images(node)]
        assert len(shown) == 3 and not np.array_equal(shown[0], shown[1])


@pytest.mark.parametrize(
    ("text", "said"), [("  ", "is empty"), ("walk " * 2500, "characters"), ("一个人在跳舞", "not English")]
)
def test_bad_text_is_an_error_on_its_node(server, prompt, text, said):
    node = ours(prompt, "TextToPose")
    prompt[node]["inputs"]["text"] = text
    error = server.run(prompt).error
    assert error["node_id"] == node and error["node_type"] == "ContrappostoTextToPose"
    assert said in error["exception_message"] and "prompt" in error["exception_message"]


@pytest.mark.parametrize("count", [0, 10_000, "many"])
def test_bad_count_is_refused_before_running(server, prompt, count):
    node = ours(prompt, "TextToPose")
    prompt[node]["inputs"]["count"] = count
    with pytest.raises(comfy_host.PromptRejected) as refused:
        server.submit(prompt)
    assert refused.value.report["node_errors"][node]["errors"][0]["extra_info"]["input_name"] == "count"


@pytest.mark.parametrize("side", [0, -8, 100_000])
def test_bad_size_is_refused_before_running(server, prompt, side):
    node = ours(prompt, "FrameBody")
    prompt[node]["inputs"]["height"] = side
    with pytest.raises(comfy_host.PromptRejected) as refused:
        server.submit(prompt)
    assert node in refused.value.report["node_errors"]


def test_missing_file_is_refused_with_the_place_it_belongs_to(server, prompt):
    node = ours(prompt, "LoadAvatar")
    prompt[node]["inputs"]["file"] = "gone.glb"
    with pytest.raises(comfy_host.PromptRejected) as refused:
        server.submit(prompt)
    (error,) = refused.value.report["node_errors"][node]["errors"]
    assert "gone.glb" in error["details"] and str(server.base / "models" / "avatars") in error["details"]


def test_new_file_appears_in_the_list_and_its_damage_on_the_node(server, prompt):
    path = server.base / "models" / "smpl" / "cut_off.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PK\x03\x04 cut off")
    offered = server.get_json("/object_info/ContrappostoLoadBodyModel")["ContrappostoLoadBodyModel"]
    assert "cut_off.npz" in json.dumps(offered["input"]["required"]["file"])
    node = ours(prompt, "LoadBodyModel")
    prompt[node]["inputs"]["file"] = "cut_off.npz"
    error = server.run(prompt).error
    assert error["node_id"] == node and "cut_off.npz" in error["exception_message"]
    path.unlink()


def test_pasting_on_another_size_names_both(server, prompt):
    prompt["paper"] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0}}
    node = ours(prompt, "PasteAvatarBack")
    prompt[node]["inputs"]["image"] = ["paper", 0]
    error = server.run(prompt).error
    assert error["node_id"] == node
    assert "64 x 48" in error["exception_message"] and f"{SIZE} x {SIZE}" in error["exception_message"]


def test_stop_button_stops_a_long_run(server, prompt):
    prompt[ours(prompt, "TextToPose")]["inputs"] |= {"count": 256, "steps": 1000, "seed": 5}
    prompt_id = server.submit(prompt)
    time.sleep(1)
    begun = time.monotonic()
    server.post_json("/interrupt", {})
    assert server.wait(prompt_id).interrupted
    assert time.monotonic() - begun < 20


def test_log_stays_free_of_warnings_about_us(server, first):
    assert "Contrapposto" not in "".join(line for line in server.log().splitlines() if "WARNING" in line)
