"""``contrapposto dance`` over tiny folders in diffusers' layout; words become states by their letters, which needs no transformers."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dancing_avatar"))

from moving_discs import small_base
from tiny_diffusion import write_painting_parts

from contrapposto.__main__ import main
from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.appearance import AppearanceModule, AppearanceTraining, merge_module, save_module
from contrapposto.models.headless import diffusers_backend
from contrapposto.models.training.train_previous_frame import new_module


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """model, pose, previous: folders; clothes: a module that changes something."""
    place = tmp_path_factory.mktemp("dance")
    write_painting_parts(place / "model", small_base())
    for name in ("text_encoder", "tokenizer"):
        (place / "model" / name).mkdir()
    unet = small_base().unet
    for seed, name in enumerate(("pose", "previous")):
        control = new_module(unet, seed)
        for weight in control.controlnet_down_blocks.parameters():
            torch.nn.init.normal_(weight, 0, 0.05, generator=torch.Generator().manual_seed(seed))
        control.save_pretrained(place / name)
    save_module(place / "clothes.safetensors", clothes(unet), {})
    return place


def clothes(unet):
    module = AppearanceModule(unet, AppearanceTraining(rank=2))
    for change in module.changes:
        torch.nn.init.normal_(change.up, 0, 0.3, generator=torch.Generator().manual_seed(3))
    return module


@pytest.fixture
def run(folders, capsys, monkeypatch, tmp_path):
    """Runs the command for two small frames; returns (exit code, what it told)."""
    monkeypatch.setattr(diffusers_backend, "clip_text_encoder", lambda *given: small_base().encode_text)

    def run(out, *more, text="a dancer in red", background="an empty beach"):
        code = main(["dance", "--json", "--device", "cpu", text, "--background", str(background), "--quality", "0",
                     "--poses", "a person waves; a person sits", "--fps", "4", "--seconds", "0.5", "--size", "64", "--steps", "2",
                     "--model", str(folders / "model"),
                     "--pose-control", str(folders / "pose"), "--out", str(tmp_path / out), *map(str, more)])
        return code, json.loads(capsys.readouterr().out)
    return run


def frames_of(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def test_a_dance_is_painted_kept_and_gone_on_with(run, folders, tmp_path):
    given = ("--frames", tmp_path / "kept", "--previous-control", folders / "previous")
    code, told = run("one.mp4", *given)
    assert code == 0 and told["frames"] == 2 and told["from an earlier run"] == 0 and told["fps"] == 4
    again = run("two.mp4", *given)[1]
    assert again["from an earlier run"] == 2 and (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    other = run("three.mp4", *given, "--module", folders / "clothes.safetensors")[1]
    assert other["from an earlier run"] == 0, "another module makes other frames"
    assert abs(frames_of(tmp_path / "three.mp4") - frames_of(tmp_path / "one.mp4")).max() > 3


def test_a_merged_module_does_what_the_attached_one_does(folders):
    unet, given = small_base().unet, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    states = small_base().encode_text(["red"])
    with torch.no_grad():
        plain = unet(given, 5, encoder_hidden_states=states).sample
        with clothes(unet).attached(unet):
            wanted = unet(given, 5, encoder_hidden_states=states).sample
        assert merge_module(unet, folders / "clothes.safetensors") == 16
        merged = unet(given, 5, encoder_hidden_states=states).sample
    assert torch.allclose(merged, wanted, atol=1e-5) and not torch.allclose(merged, plain, atol=1e-3)


def test_a_module_of_another_model_is_refused(folders):
    from contrapposto.models.assets.files import write_safetensors

    other = folders / "other.safetensors"
    write_safetensors(other, {"lora_unet_elsewhere.lora_down.weight": torch.ones(2, 2)}, {})
    with pytest.raises(InputError, match="fits no cross-attention layer"):
        merge_module(small_base().unet, other)


@pytest.mark.parametrize(("more", "name"), [
    (["--module", "a", "b", "c"], "--module"),
    (["--motion", "dance.bvh"], "motion"),
    (["--previous-control", "nowhere"], "ControlNet"),
    (["--previous-strength", "11", "--previous-control", "pose"], "--previous-strength"),
    (["--size", "60"], "--size"),
    (["--view", "below"], "--view"),
    (["--fps", "0"], "--fps"),
    (["--background", "no_such_beach.jpg"], "--background"),
    (["--dilation", "-1"], "mask dilation"),
])
def test_mistakes_are_named_and_nothing_is_written(run, tmp_path, more, name, folders):
    more = [str(folders / "pose") if value == "pose" else value for value in more]
    code, told = run("no.mp4", *more)
    assert code == 2 and told["error"]["input"] == name and not list(tmp_path.iterdir())
