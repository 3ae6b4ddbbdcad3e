"""Finetuning a depth-to-image model on a folder of pictures with bodies, with a model of a few thousand weights."""

import numpy as np
import pytest
import torch
from tiny_diffusion import tiny_model

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.bodies.pose_file import save_poses
from contrapposto.models.checks import InputError
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.engine import render_figure
from contrapposto.models.training.datasets.person_images import find_person_images
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.train_depth_model import DepthTask, DepthTraining, finetune_depth_model
from contrapposto.models.types import BodyPose

TINY = DepthTraining(LoopConfig(steps=1, batch=2, lr=3e-3, warmup=1, ema=0.5, log_every=1), epochs=10, size=64)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    from PIL import Image

    folder, pose = tmp_path_factory.mktemp("domain"), BodyPose.rest()
    for name in ("images", "captions", "bodies"):
        (folder / name).mkdir()
    figure = pose_body(load_body_model(), pose)
    for i, view in enumerate(("front", "side", "back")):
        camera = frame_figure(figure, 96, 64, view=view)
        rgb = render_figure(figure, camera).rgb[0]
        Image.fromarray((rgb.numpy() * 255).astype(np.uint8)).save(folder / "images" / f"{i}.png")
        (folder / "captions" / f"{i}.txt").write_text(f"a person from the {view}")
        body = folder / "bodies" / f"{i}.npz"
        save_poses(body, pose)
        np.savez(body, **dict(np.load(body)), **{name: getattr(camera, name)[0].numpy() for name in ("fx", "fy", "cx", "cy", "R", "t")})
    return find_person_images(folder)


def test_ten_epochs_lower_the_loss_and_export_both_layouts(items, tmp_path):
    from diffusers import UNet2DConditionModel

    from contrapposto.models.assets.files import read_safetensors

    base = tiny_model(5)
    task = DepthTask(items, base, TINY.for_pictures(3))
    assert task.config.loop.steps == 20, "10 epochs of 3 pictures in batches of 2"

    def score(unet):
        rows = torch.arange(3).repeat(4)
        with torch.no_grad():
            return float(task.loss(unet, rows, 1, torch.Generator().manual_seed(5))["loss"])

    before = score(base.unet)
    folder, single = finetune_depth_model(items, base, tmp_path / "run", TINY, {"base": "tiny"})
    trained = UNet2DConditionModel.from_pretrained(folder)
    assert score(trained) < before
    weights, told = read_safetensors(single)
    assert torch.equal(weights["input_blocks.0.0.weight"], trained.conv_in.weight) and weights["input_blocks.0.0.weight"].shape[1] == 5
    assert told["base"] == "tiny" and told["training"]["epochs"] == 10 and told["pictures"] == 3


def test_depth_lies_on_the_picture(items):
    image, depth = DepthTask(items, tiny_model(5), TINY).load(items[0])
    assert image.shape == (64, 64, 3) and depth.shape == (64, 64)
    figure = image.sum(-1) > 0.2
    assert ((depth > 0.3) == figure).float().mean() > 0.97


def test_mistakes(items, tmp_path):
    with pytest.raises(InputError, match="no depth-to-image model"):
        DepthTask(items, tiny_model(4), TINY)
    from dataclasses import replace

    with pytest.raises(InputError, match="0.png.*has no body"):
        DepthTask([replace(items[0], body=None)], tiny_model(5), TINY)
    with pytest.raises(InputError, match="epochs"):
        replace(TINY, epochs=0).for_pictures(3)
