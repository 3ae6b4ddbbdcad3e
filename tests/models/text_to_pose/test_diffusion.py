"""The schedule and both samplers against diffusers, and against the exact solution for Gaussian data."""

import inspect

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.text_to_pose.diffusion import (
    add_noise,
    candidate_noise,
    cosine_alphas_bar,
    ddim_step,
    dpmpp_2m_step,
    sample,
    sampling_timesteps,
)

COMMON = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "timestep_spacing": "trailing"}


def diffusers_scheduler(sampler, steps):
    diffusers = pytest.importorskip("diffusers")
    if sampler == "ddim":
        scheduler = diffusers.DDIMScheduler(**COMMON, clip_sample=False, set_alpha_to_one=True)
        scheduler.set_timesteps(steps)
    else:
        scheduler = diffusers.DPMSolverMultistepScheduler(**COMMON, final_sigmas_type="zero")
        if "timesteps" not in inspect.signature(scheduler.set_timesteps).parameters:
            pytest.skip(f"diffusers {diffusers.__version__} takes no time steps from outside")
        scheduler.set_timesteps(timesteps=sampling_timesteps(steps, sampler, cosine_alphas_bar()).tolist())
    return scheduler


def test_schedule_equals_diffusers():
    scheduler = diffusers_scheduler("ddim", 10)
    # diffusers multiplies a thousand betas in float32, hence the relative tolerance at the noisy end
    torch.testing.assert_close(cosine_alphas_bar().float(), scheduler.alphas_cumprod, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 8, 20, 50])  # divisors of 1000: diffusers' DDIM rounds its step length
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_steps_equal_diffusers(sampler, steps):
    """Every step of a whole sampling, both fed the same sample and the same predictions."""
    scheduler = diffusers_scheduler(sampler, steps)
    alphas_bar = scheduler.alphas_cumprod.double()
    ours = sampling_timesteps(steps, sampler, alphas_bar)
    assert ours.tolist() == scheduler.timesteps.tolist()
    x, last = torch.randn(4, 9, dtype=torch.float64), None
    levels = [*alphas_bar[ours], torch.tensor(1.0, dtype=torch.float64)]
    for i, t in enumerate(scheduler.timesteps):
        x_0 = torch.tanh(x + t / 1000)
        theirs = scheduler.step(x_0.float(), t, x.float()).prev_sample
        if sampler == "ddim":
            x = ddim_step(x, x_0, levels[i], levels[i + 1])
        else:
            x = dpmpp_2m_step(x, x_0, last, levels[i - 1] if i else None, levels[i], levels[i + 1])
        last = x_0
        torch.testing.assert_close(x.float(), theirs, rtol=1e-6, atol=1e-6)


MEAN, STD = torch.linspace(-1, 1, 8, dtype=torch.float64), torch.linspace(0.1, 1.5, 8, dtype=torch.float64)


def gaussian_denoiser(x_t, t):
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD^2): what a perfect network would say."""
    a = cosine_alphas_bar()[t]
    return MEAN + STD**2 * a.sqrt() * (x_t - a.sqrt() * MEAN) / (a * STD**2 + 1 - a)


def exact_solution(noise, first):
    """Along the probability flow the standard score of a Gaussian never changes."""
    a = cosine_alphas_bar()[first]
    return MEAN + STD * (noise - a.sqrt() * MEAN) / (a * STD**2 + 1 - a).sqrt()


def gaussian_error(sampler, steps):
    noise = torch.randn(256, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    first = int(sampling_timesteps(steps, sampler, cosine_alphas_bar())[0])
    return (sample(gaussian_denoiser, noise, steps, sampler) - exact_solution(noise, first)).abs().mean().item()


@pytest.mark.parametrize("sampler, worst", [("ddim", 2.5), ("dpmpp_2m", 3.5)])
def test_samplers_converge_to_the_exact_solution(sampler, worst):
    errors = [gaussian_error(sampler, steps) for steps in (10, 40, 160)]
    assert errors[0] / errors[1] > worst and errors[1] / errors[2] > worst
    assert errors[2] < 0.01


def test_second_order_beats_first_order():
    assert gaussian_error("dpmpp_2m", 20) < 0.7 * gaussian_error("ddim", 20)


def test_noise_then_perfect_prediction_gives_the_sample_back():
    x_0 = torch.randn(5, 8, dtype=torch.float64)
    for sampler in ("ddim", "dpmpp_2m"):
        torch.testing.assert_close(sample(lambda x, t: x_0, torch.randn_like(x_0), 10, sampler), x_0)


def test_noised_data_keeps_unit_variance():
    a_t = cosine_alphas_bar()[[10, 500, 990], None, None].float()
    x_t = add_noise(torch.randn(3, 4000, 2), torch.randn(3, 4000, 2), a_t)
    torch.testing.assert_close(x_t.flatten(1).var(1), torch.ones(3), rtol=0.1, atol=0)


def test_candidate_noise_does_not_depend_on_the_count():
    assert torch.equal(candidate_noise(3, 2, 38), candidate_noise(3, 7, 38)[:2])
    assert not torch.equal(candidate_noise(3, 2, 38), candidate_noise(4, 2, 38))


def test_progress_is_reported_and_may_stop():
    seen = []

    def stop_at_3(i, n):
        seen.append((i, n))
        if i == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(lambda x, t: x, torch.zeros(1, 2), 5, on_step=stop_at_3)
    assert seen == [(1, 5), (2, 5), (3, 5)]


def test_solver_starts_where_diffusers_clips_the_log_snr():
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DPMSolverMultistepScheduler(**COMMON, lambda_min_clipped=-5.1)
    scheduler.set_timesteps(20)
    assert sampling_timesteps(20, "dpmpp_2m", cosine_alphas_bar())[0] == scheduler.timesteps[0]


def test_unknown_sampler():
    with pytest.raises(InputError, match="ddim"):
        sampling_timesteps(5, "euler", cosine_alphas_bar())
