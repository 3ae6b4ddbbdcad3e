"""What the second pass is given, against diffusers' own numbers."""

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.depth_to_image import (
    PRESETS,
    DepthToImage,
    check_pictures,
    depth_channel,
    freshen_person,
    ksampler_settings,
    steps_to_run,
)


def test_depth_channel_is_diffusers():
    """The lines of StableDiffusionDepth2ImgPipeline.prepare_depth_map, written out."""
    depth = torch.rand(2, 60, 90) * 255
    wanted = torch.nn.functional.interpolate(depth[:, None], size=(8, 12), mode="bicubic", align_corners=False)
    low, high = wanted.amin([1, 2, 3], keepdim=True), wanted.amax([1, 2, 3], keepdim=True)
    assert torch.allclose(depth_channel(depth, (8, 12)), 2.0 * (wanted - low) / (high - low) - 1.0, atol=1e-5)
    assert torch.equal(depth_channel(torch.zeros(1, 64, 64), (8, 8)), -torch.ones(1, 1, 8, 8)), "nobody there: all is background"
    with pytest.raises(InputError, match="NaN"):
        depth_channel(torch.full((1, 4, 4), torch.nan), (2, 2))


@pytest.mark.parametrize("steps", [1, 7, 20, 25, 30, 50, 99])
@pytest.mark.parametrize("strength", [0.01, 0.33, 0.58, 0.7, 0.9, 1.0])
def test_ksampler_runs_the_same_part_of_the_same_schedule(steps, strength):
    run, denoise = ksampler_settings(steps, strength)
    assert run == max(1, min(int(steps * strength), steps))
    assert int(run / denoise) == steps and 0 < denoise <= 1


def test_released_numbers():
    assert ksampler_settings(50, 0.7) == (35, 0.7)
    released = PRESETS["released"]
    assert (released.strength, released.steps, released.guidance, released.negative) == (0.7, 50, 7.5, "deformed, bad anatomy")


def test_fresh_person_has_the_models_spread_and_the_rest_stays():
    latents, person = torch.ones(2, 4, 32, 32), torch.zeros(1, 256, 256)
    person[:, :, :128] = 1
    unscale = lambda noise: noise / 0.18215
    made = freshen_person(latents, person, unscale, seed=4)
    assert torch.equal(made[..., 16:], latents[..., 16:])
    assert abs(float(made[..., :16].mul(0.18215).std()) - 1) < 0.03
    assert torch.equal(made, freshen_person(latents, person, unscale, seed=4))
    assert torch.equal(freshen_person(latents, torch.zeros(1, 256, 256), unscale), latents), "an empty mask changes nothing"


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, float("nan")])
def test_strength_outside_is_refused(strength):
    for call in (lambda: steps_to_run(50, strength), lambda: DepthToImage(strength=strength)):
        with pytest.raises(InputError, match="strength"):
            call()


def test_pictures_that_do_not_belong_together():
    image = torch.zeros(2, 64, 96, 3)
    check_pictures(image, torch.zeros(2, 64, 96), torch.zeros(2, 64, 96))
    check_pictures(image, torch.zeros(1, 8, 12))
    depth = torch.zeros(2, 64, 96)
    for arguments, said in (((image[:, :60], depth[:, :60]), "96 x 56"), ((image, depth[..., :64]), "64 x 64"),
                            ((image, torch.zeros(3, 64, 96)), "3 rows"), ((image, depth, torch.zeros(1, 32, 48)), "48 x 32")):
        with pytest.raises(InputError, match=said):
            check_pictures(*arguments)
