"""The frame loop inside a real ComfyUI, with models of a few hundred thousand random weights (tiny_nodes)."""

import json
import time
from dataclasses import replace

import comfy_host
import pytest
import tiny_models
import torch

LOOP = "ContrappostoDancingAvatarFrameLoop"
STEPS = 2
SETTINGS = {
    "seed": 1, "steps": STEPS, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "pose_strength": 1.0,
    "previous_frame_strength": 0.7, "previous_frame_end": 1.0, "reanchor_every": 0, "colour_hold": 0.0, "mask_dilation": 6, "feather": 3,
    "output": "images", "fps": 24.0, "cache_gb": 4.0,
}
TEXTS = {"positive": ["text", 0], "negative": ["no text", 0]}


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def dance(frames=6, edited=-1, channels=4, leave_out=(), name="frames", **changes):
    """An API prompt: tiny models, the loop, and a file with its frames and its report."""
    inputs = {
        "model": ["model", 0], "vae": ["model", 1], **TEXTS, "pose_maps": ["dance", 0], "plate": ["dance", 1], "masks": ["dance", 2],
        "pose_control_net": ["pose net", 0], "previous_frame_control_net": ["previous net", 0],
    }
    inputs = {key: value for key, value in inputs.items() if key not in leave_out}
    return {
        "model": node("TinyModel", in_channels=channels, seed=0),
        "text": node("TinyText", seed=1),
        "no text": node("TinyText", seed=2),
        "dance": node("TinyDance", frames=frames, size=64, edited=edited),
        "pose net": node("TinyControlNet", hint_channels=3, text_width=64, seed=3),
        "previous net": node("TinyControlNet", hint_channels=3, text_width=64, seed=4),
        "loop": node(LOOP, **inputs, **(SETTINGS | changes)),
        "save": node("SaveTensors", image=["loop", 0], name=name, note=["loop", 2]),
    }


def read(server, name="frames"):
    return torch.load(server.base / "output" / f"{name}.pt", weights_only=True)


def frames_of(server, prompt):
    """(frames, report) of a prompt that must succeed."""
    run = server.run(prompt)
    assert run.succeeded, run.error["exception_message"]
    saved = read(server)
    return saved["image"], saved["note"]


def cache_folder(server):
    return server.base / "output" / "contrapposto_frames"


def plate_and_masks(server, frames):
    prompt = {"dance": node("TinyDance", frames=frames, size=64, edited=-1),
              "mask": node("MaskToImage", mask=["dance", 2]), "note": node("StringConcatenate", string_a="", string_b="", delimiter="")}
    for place, source in (("plate", ["dance", 1]), ("masks", ["mask", 0])):
        prompt[place] = node("SaveTensors", image=source, name=place, note=["note", 0])
    assert server.run(prompt).succeeded
    return read(server, "plate")["image"], read(server, "masks")["image"][..., 0]


def check_background(server, frames):
    from contrapposto.models.dancing_avatar.background import grow

    plate, masks = plate_and_masks(server, len(frames))
    outside = grow(masks, SETTINGS["mask_dilation"]) == 0
    assert torch.equal(frames[outside], plate.expand_as(frames)[outside]), "outside the grown masks every frame is the plate"
    person = masks == 1
    assert (frames[person] != plate.expand_as(frames)[person]).any(-1).all()


def test_a_dance_an_edit_and_a_damaged_frame(server):
    first, said = frames_of(server, dance())
    assert first.shape == (6, 64, 64, 3) and "6 painted, 0 from the cache" in said
    check_background(server, first)

    again, said = frames_of(server, dance(cache_gb=5.0))
    assert torch.equal(first, again) and "0 painted, 6 from the cache" in said

    edited, said = frames_of(server, dance(edited=4))
    assert "2 painted, 4 from the cache" in said and torch.equal(edited[:4], first[:4])
    assert not torch.equal(edited[4], first[4]) and not torch.equal(edited[5], first[5])

    newest = max(cache_folder(server).glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-50])
    mended, said = frames_of(server, dance(edited=4, cache_gb=5.0))
    assert torch.equal(mended, edited) and "1 painted, 5 from the cache. Damaged" in said and newest.name in said


def test_another_text_or_model_shares_no_frame(server):
    frames_of(server, dance(2))
    other_text, other_model = dance(2), dance(2)
    other_text["text"]["inputs"]["seed"] = 9
    other_model["model"]["inputs"]["seed"] = 9
    for prompt in (other_text, other_model):
        assert "2 painted" in frames_of(server, prompt)[1]


@pytest.mark.parametrize("off, without", [("pose_strength", "pose_control_net"), ("previous_frame_strength", "previous_frame_control_net")])
def test_strength_0_is_as_if_not_connected(server, off, without):
    silent, _ = frames_of(server, dance(3, cache_gb=0.0, **{off: 0.0}))
    absent, _ = frames_of(server, dance(3, cache_gb=0.0, leave_out=(without,)))
    whole, _ = frames_of(server, dance(3, cache_gb=0.0))
    assert torch.equal(silent, absent) and not torch.equal(silent, whole)


def test_frames_are_what_stock_nodes_make(server):
    """Two frames painted whole, against KSampler, ControlNetApplyAdvanced and our Previous Frame Guide in a row."""
    from contrapposto.models.dancing_avatar.frame_loop import to_bytes

    whole = dance(2, leave_out=("plate", "masks"), cache_gb=0.0)
    ours, _ = frames_of(server, whole)
    sampler = {key: SETTINGS[key] for key in ("seed", "steps", "cfg", "sampler_name", "scheduler")}
    prompt = {key: whole[key] for key in ("model", "text", "no text", "dance", "pose net", "previous net")}
    prompt |= {"empty": node("EmptyLatentImage", width=64, height=64, batch_size=1), "loop": whole["loop"],
               "note": node("StringConcatenate", string_a="", string_b="", delimiter="")}
    for index in (0, 1):
        prompt[f"row {index}"] = node("ImageFromBatch", image=["loop", 0], batch_index=index, length=1)
        prompt[f"pose {index}"] = node("ImageFromBatch", image=["dance", 0], batch_index=index, length=1)
        prompt[f"posed {index}"] = node("ControlNetApplyAdvanced", **TEXTS, control_net=["pose net", 0], image=[f"pose {index}", 0],
                                        strength=1.0, start_percent=0.0, end_percent=1.0)
        prompt[f"guided {index}"] = node(
            "ContrappostoPreviousFrameGuide", positive=[f"posed {index}", 0], negative=[f"posed {index}", 1],
            control_net=["previous net", 0], previous_frame=["row 0", 0], frame_index=index, strength=0.7, start_percent=0.0,
            end_percent=1.0, reanchor_every=0, colour_hold=0.0)
        prompt[f"sampled {index}"] = node("KSampler", model=["model", 0], positive=[f"guided {index}", 0], negative=[f"guided {index}", 1],
                                          latent_image=["empty", 0], denoise=1.0, **sampler)
        prompt[f"decoded {index}"] = node("VAEDecode", samples=[f"sampled {index}", 0], vae=["model", 1])
        prompt[f"save {index}"] = node("SaveTensors", image=[f"decoded {index}", 0], name=f"stock {index}", note=["note", 0])
    run = server.run(prompt)
    assert run.succeeded, run.error
    for index in (0, 1):
        stock = read(server, f"stock {index}")["image"][0]
        assert torch.equal(to_bytes(ours[index]), to_bytes(stock))


def test_inpainting_models_and_plates(server):
    prompt = dance(2, channels=9)
    prompt["first mask"] = node("MaskToImage", mask=["dance", 2])
    prompt["row"] = node("ImageFromBatch", image=["first mask", 0], batch_index=0, length=1)
    prompt["mask"] = node("ImageToMask", image=["row", 0], channel="red")
    given = {key: SETTINGS[key] for key in ("seed", "steps", "cfg", "sampler_name", "scheduler", "mask_dilation", "feather")}
    prompt["plate"] = node("ContrappostoBackgroundPlate", model=["model", 0], **TEXTS, vae=["model", 1], image=["dance", 1],
                           mask=["mask", 0], **given)
    prompt["loop"]["inputs"]["plate"] = ["plate", 0]
    frames, said = frames_of(server, prompt)
    assert "2 painted" in said and torch.isfinite(frames).all()


def test_a_file_takes_the_frames_one_by_one(server):
    av = pytest.importorskip("av")
    prompt = dance(5, output="video file")
    prompt["video"] = node("SaveVideo", video=["loop", 1], filename_prefix="dance", format="auto", codec="auto")
    last, _ = frames_of(server, prompt)
    whole, said = frames_of(server, dance(5))
    assert torch.equal(last, whole[-1:]) and "5 from the cache" in said
    (saved,) = (server.base / "output").glob("dance*.mp4")
    with av.open(str(saved)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5 and float(container.streams.video[0].average_rate) == 24
    saved.unlink()


def wait_for_frames(server, number, before=0, seconds=120):
    deadline = time.monotonic() + seconds
    while len(list(cache_folder(server).glob("[0-9a-f]*.png"))) < before + number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupted_run_goes_on(server):
    before = len(list(cache_folder(server).glob("[0-9a-f]*.png")))
    prompt_id = server.submit(dance(6, seed=77))
    wait_for_frames(server, 2, before)
    server.post_json("/interrupt", {"prompt_id": prompt_id})
    assert server.wait(prompt_id).interrupted
    video, said = frames_of(server, dance(6, seed=77))
    assert int(said.split("painted, ")[1].split()[0]) >= 2
    assert torch.equal(video, frames_of(server, dance(6, seed=77, cache_gb=0.0))[0])


@pytest.mark.parametrize("spoil, said", [
    (lambda prompt: prompt["previous net"]["inputs"].update(text_width=128), "another family"),
    (lambda prompt: prompt["previous net"]["inputs"].update(hint_channels=6), "Connect pictures of the motion"),
    (lambda prompt: prompt["loop"]["inputs"].update(masks=["few", 2]), "frames do not match"),
    (lambda prompt: prompt["loop"]["inputs"].pop("plate"), "must be given together"),
])
def test_mistakes_are_named(server, spoil, said):
    prompt = dance(3)
    prompt["few"] = node("TinyDance", frames=2, size=64, edited=-1)
    spoil(prompt)
    error = server.run(prompt).error
    assert error["node_id"] == "loop" and said in error["exception_message"]


def test_fps_0_is_refused_before_running(server):
    with pytest.raises(comfy_host.PromptRejected, match="fps"):
        server.submit(dance(2, fps=0.0))


@pytest.mark.slow
def test_a_killed_host_loses_nothing(host):
    """24 frames: the process is killed once 13 are there; a new one goes on, and the video is that of an undisturbed run."""
    server = comfy_host.ComfyServer(host)
    try:
        server.submit(dance(24))
        wait_for_frames(server, 13)
        server.process.kill()
        server.process.wait()
        there = len(list(cache_folder(server).glob("[0-9a-f]*.png")))
        server.process = server._start()
        video, said = frames_of(server, dance(24))
        assert 13 <= there < 24 and f"{24 - there} painted, {there} from the cache" in said
        check_background(server, video)
        assert torch.equal(video, frames_of(server, dance(24, cache_gb=0.0))[0])
    finally:
        server.stop()


POSE_NET, TEMPORAL_NET = "control_v11p_sd15_openpose_fp16.safetensors", "diffusion_pytorch_model.fp16.safetensors"


@pytest.mark.slow
def test_the_workflow_paints_a_dance_with_nets_as_we_train_them(server):
    """The API twin at a quarter of its size, two frames and one step; Load ControlNet Model reads what our training exports."""
    from contrapposto.models.bodies.body import load_body_model
    from contrapposto.models.motion import save_motion
    from contrapposto.models.types import BodyPose

    tiny_models.stock(server)
    tiny_models.stock_control_nets(server, (POSE_NET, TEMPORAL_NET))
    save_motion(server.base / "input" / "dance.bvh", replace(BodyPose.rest(4), transl=torch.rand(4, 3), fps=24.0), load_body_model())
    prompt = json.loads((comfy_host.PACK / "example_workflows" / "api" / "dancing_avatar_text_bvh.json").read_text())
    for each in prompt.values():
        inputs = each["inputs"]
        inputs |= {key: inputs[key] // 4 for key in ("width", "height") if key in inputs}
        inputs |= {"steps": 1} if "steps" in inputs else {}
        inputs |= {"end": 2} if each["class_type"] == "ContrappostoEditMotion" else {}
    loop = next(key for key, each in prompt.items() if each["class_type"] == LOOP)
    prompt["save"] = node("SaveTensors", image=[loop, 0], name="frames", note=[loop, 2])
    frames, said = frames_of(server, prompt)
    assert frames.shape == (2, 128, 128, 3) and "2 frames" in said and not torch.equal(frames[0], frames[1])
