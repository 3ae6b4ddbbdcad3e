"""Parts2Whole on the command line's way, with random weights."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "parts_to_whole"))  # importlib mode puts no test folder on the path

import tiny_parts

from contrapposto.models.checks import InputError
from contrapposto.models.headless.cli import main
from contrapposto.models.headless.parts import PartsModel, build_networks, clip_pixels, paint_person
from contrapposto.models.headless.parts_command import read_references
from contrapposto.models.headless.pictures import write_png
from contrapposto.models.parts_to_whole.parts import make_reference
from contrapposto.models.parts_to_whole.weights import SCHEDULER, load_weights

SIZE = {"height": 128, "width": 96}


def texts(sentences):
    table = torch.randn(128, 24, generator=torch.Generator().manual_seed(7))
    return torch.stack([table[torch.tensor([ord(c) % 128 for c in text.ljust(77)[:77]])] for text in sentences])


def see(pictures):
    return pictures.mean((1, 2)) @ torch.randn(3, 24, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from diffusers import AutoencoderTiny, DDIMScheduler

    encoder, unet, guider = build_networks(load_weights(tiny_parts.write_release(tmp_path_factory.mktemp("parts") / "release")))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1,) * 4,
                              num_decoder_blocks=(1,) * 4, scaling_factor=0.18215)
    return PartsModel(unet, vae, DDIMScheduler(**SCHEDULER), texts, encoder, guider, see)


@pytest.fixture(scope="module")
def references():
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(60, 40)
    mask[10:50, 5:35] = 1
    return [make_reference(torch.rand(60, 40, 3, generator=generator), label, mask) for label in ("face", "shoes")]


def paint(model, references, **options):
    return paint_person(model, references, "a person", steps=2, **{**SIZE, **options})


def test_references_act_their_order_does_not(model, references):
    both = paint(model, references)
    assert both.shape == (1, 128, 96, 3)
    assert torch.equal(paint(model, references[::-1]), both)
    assert not torch.allclose(paint(model, references[:1]), both, atol=1e-3)
    assert model.unet.bank is None and model.unet.pose is None


def test_without_references_it_is_the_denoiser_alone(model):
    states = (torch.cat([texts([said]), torch.zeros(1, 6, 24)], 1) for said in ("a person", ""))
    plain = model.sample(*states, model.empty_latents(128, 96), steps=2, guidance=3.5)
    zero = [make_reference(torch.rand(8, 8, 3), "face", strength=0.0), make_reference(torch.rand(8, 8, 3), "shoes", torch.zeros(8, 8))]
    assert torch.equal(paint(model, zero), model.decode(plain))


def test_pose_count_and_guidance_1(model, references):
    posed = paint(model, references, pose=torch.rand(1, 50, 40, 3), count=2)
    assert len(posed) == 2 and not torch.allclose(posed[0], posed[1])
    assert paint(model, references, guidance=1.0).isfinite().all()


def test_clip_reads_the_middle_of_a_picture():
    picture = torch.zeros(1, 300, 600, 3)
    picture[:, :, 150:450] = 1
    pixels = clip_pixels(picture)
    assert pixels.shape == (1, 3, 224, 224) and pixels[..., 5:-5].min() > 1.5


@pytest.mark.parametrize("options, said", [({"height": 100}, "multiple of 8"), ({"width": 0}, "between 64"), ({"count": 0}, "count")])
def test_bad_numbers(model, references, options, said):
    with pytest.raises(InputError, match=said):
        paint(model, references, **options)


def test_reference_files(tmp_path):
    rgb = torch.rand(20, 10, 3)
    write_png(tmp_path / "alpha.png", rgb, (torch.arange(20)[:, None] < 10).float().expand(20, 10))
    write_png(tmp_path / "plain.png", rgb)
    write_png(tmp_path / "mask.png", torch.ones(20, 10, 3))
    files = {name: str(tmp_path / f"{name}.png") for name in ("alpha", "plain", "mask")}
    cut, plain = read_references([("face", files["alpha"]), ("shoes", files["plain"], files["mask"])])
    assert cut.mask.sum() == 100 and cut.image[10:].eq(1).all() and plain.mask.eq(1).all()
    with pytest.raises(InputError, match="nose"):
        read_references([("nose", files["plain"])])
    with pytest.raises(InputError, match="LABEL FILE"):
        read_references([("face",)])


def test_the_command_names_what_is_missing(tmp_path, capsys):
    write_png(tmp_path / "face.png", torch.rand(20, 10, 3))
    given = ["parts", "a person", "--model", str(tmp_path), "--reference", "face", str(tmp_path / "face.png")]
    given += ["--out", str(tmp_path / "out")]
    assert main(given) == 2 and "image_encoder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
