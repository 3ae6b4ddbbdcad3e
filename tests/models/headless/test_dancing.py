import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dancing_avatar"))

import painting
from moving_discs import small_base

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.background import Brush, Sampling, grow
from contrapposto.models.dancing_avatar.frame_cache import FrameCache
from contrapposto.models.dancing_avatar.frame_loop import LoopSettings
from contrapposto.models.headless.dancing import Dance, DanceSettings, DanceTexts, paint_dance
from contrapposto.models.headless.diffusers_backend import Control, DiffusersModel
from contrapposto.models.ports import ImageDiffusion
from contrapposto.models.training.train_previous_frame import new_module

TEXTS = DanceTexts("a dancer in a red coat on a beach", "an empty beach")
SETTINGS = DanceSettings(LoopSettings(Sampling(steps=2), Brush(4, 2)), "a model")


def dance(frames=3, **changes):
    pose_maps, plate, masks = painting.dance(frames, 64, 64)
    return Dance(TEXTS, pose_maps, masks, **({"plate": plate} | changes))


def model(strength=1.0, scheduler=None):
    """The small base with two ControlNets, whose zeros are filled so that they act; None for a strength leaves them away."""
    base, controls = small_base(), {}
    for seed, name in enumerate(("pose", "previous frame")):
        network = new_module(base.unet, seed)
        with torch.no_grad():
            for weight in network.controlnet_down_blocks.parameters():
                weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(seed))
        controls[name] = Control(network, strength or 0.0)
    return DiffusersModel(base.unet, base.vae, scheduler or base.scheduler, base.encode_text, controls if strength is not None else None)


def video(*given, **options):
    return torch.stack([frame.picture for frame in paint_dance(*given, **options)])


def test_the_whole_job_over_diffusers(tmp_path):
    cache, stages = FrameCache(tmp_path, 1 << 30), set()
    assert isinstance(model(), ImageDiffusion)
    frames = list(paint_dance(model(), dance(plate=None), SETTINGS, cache, lambda stage, done, total: stages.add(stage)))
    assert stages == {"character", "background", "frames"} and not any(frame.kept for frame in frames)
    assert all(frame.kept for frame in paint_dance(model(), dance(plate=None), SETTINGS, cache))
    shown = torch.stack([frame.picture for frame in frames])
    outside = (grow(dance().masks, 4) == 0).all(0)
    assert outside.any() and torch.equal(shown[0][outside], shown[2][outside]), "one still background"


def test_control_nets_act_and_strength_0_leaves_them_out():
    loud, silent = video(model(), dance(), SETTINGS), video(model(0.0), dance(), SETTINGS)
    assert torch.equal(silent, video(model(None), dance(), SETTINGS)) and not torch.equal(loud, silent)


def test_the_papers_sampler():
    from diffusers import DPMSolverMultistepScheduler

    solver = DPMSolverMultistepScheduler.from_config(small_base().scheduler.config, use_karras_sigmas=True, algorithm_type="dpmsolver++")
    shown = video(model(scheduler=solver), dance(2), SETTINGS)
    assert torch.isfinite(shown).all() and torch.equal(shown, video(model(scheduler=solver), dance(2), SETTINGS))


def test_without_an_identity_nothing_is_kept(tmp_path):
    list(paint_dance(model(), dance(2), DanceSettings(SETTINGS.loop), FrameCache(tmp_path, 1 << 30)))
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_named_before_the_plate_is_painted():
    with pytest.raises(InputError, match="masks"):
        next(paint_dance(painting.HintPainter(), Dance(TEXTS, torch.zeros(3, 64, 64, 3), torch.ones(2, 64, 64)), SETTINGS))
