"""Training from folders as users have them: a whole Stable Diffusion, a segmentation network and a CLIP of transformers, all tiny."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parent))

from tiny_diffusion import write_clip_tokenizer, write_diffusers_folder, write_pictures

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.checks import InputError
from contrapposto.models.headless.diffusers_backend import load_diffusers_model
from contrapposto.models.headless.segmenter import load_segmenter
from contrapposto.models.personalization.patch import load_patch
from contrapposto.models.training.evaluate_personalization import load_clip

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "train_personalization.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_personalization_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_diffusers_folder(tmp_path_factory.mktemp("base") / "tiny")


@pytest.mark.parametrize("whole", [False, True])
def test_the_command_trains_and_exports(script, base, tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    data = write_pictures(tmp_path / "data", 3)
    given = ["--data", str(data), "--base", str(base), "--steps", "2", "--batch", "2", "--rank", "2", "--size", "64", "--run", "try"]
    script.main([*given, *(["--whole-unet", "--bf16"] if whole else [])])
    patch = load_patch(tmp_path / "runs" / "try" / "personalization_patch.safetensors")
    weights, about = read_safetensors(tmp_path / "runs" / "try" / "personalization_checkpoint.safetensors")
    assert bool(patch.low_rank) != whole and about["training"]["loop"]["steps"] == 2 and about["base"].startswith("tiny (unet sha256")
    assert {name.split(".")[0] for name in weights} == {"model", "first_stage_model", "cond_stage_model"}
    assert weights["model.diffusion_model.input_blocks.0.0.weight"].shape[1] == 13
    if whole:
        with pytest.raises(InputError, match="exported with"):
            patch.check_base(load_diffusers_model(base).unet.conv_in.weight)
    patch.check_base(weights["model.diffusion_model.input_blocks.0.0.weight"])


def test_the_folders_text_encoder_tells_texts_apart(base):
    model = load_diffusers_model(base)
    one, same, other = model.encode_text(["a man walks", "a man walks", "a dog"])
    assert one.shape == (77, 32) and torch.equal(one, same) and not torch.allclose(one, other)


def write_segmenter(folder, names):
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor, SwinConfig

    backbone = SwinConfig(image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2,
                          out_features=["stage1", "stage2", "stage3", "stage4"])
    config = Mask2FormerConfig(backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
                               encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=8,
                               id2label=dict(enumerate(names)), label2id={name: number for number, name in enumerate(names)})
    torch.manual_seed(0)
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_masks_of_people_from_a_segmentation_network(tmp_path):
    image = torch.rand(50, 40, 3)
    found = []
    for names in (["person", "dog"], ["dog", "person"]):
        segmenter = load_segmenter(write_segmenter(tmp_path / names[0], names))
        assert segmenter.person_masks(image).shape[1:] == (50, 40)
        segmenter.sure = 0.0  # random weights are sure of nothing: every query becomes an instance of its likeliest class
        masks = segmenter.person_masks(image)
        assert set(masks.unique().tolist()) <= {0.0, 1.0} and (masks.sum(0) <= 1).all()
        found.append(masks)
    assert all(len(masks) for masks in found) and not (found[0].sum(0) * found[1].sum(0)).any()  # what is a person is no dog


def test_segmenters_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(InputError, match="has no class 'person'"):
        load_segmenter(write_segmenter(tmp_path / "cats", ["cat", "dog"]))
    with pytest.raises(InputError, match="segmenter.*cannot be loaded"):
        load_segmenter(tmp_path / "nowhere")


def test_a_clip_folder_compares_pictures_and_texts(tmp_path):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    vocabulary = write_clip_tokenizer(tmp_path)
    text = {"vocab_size": vocabulary, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    vision = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    clip, images = load_clip(tmp_path), torch.rand(2, 40, 36, 3)
    scores = clip.similarity(images, ["a man", "a dog"])
    assert scores.shape == (2,) and (scores.abs() <= 1).all()
    torch.testing.assert_close(clip.similarity(images[1:], ["a dog"])[0], scores[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(clip.similarity(images[:1], ["a dog"])[0], scores[0])
    with pytest.raises(InputError, match="--clip.*cannot be loaded"):
        load_clip(tmp_path / "nowhere")
