"""What the frame loop adds to a frame, against the sampling that any node would do, and memory against the number of frames.

The loop's own work (region, hints, blending, digests, the cache's PNG) is timed at 512 x 512 with a model that costs nothing. One guided
pass of a full-size Stable Diffusion 1.5 UNet is timed and taken 25 times; ControlNets and the VAE, which a plain KSampler runs just as
well, are left out of the reference, so the ratio is an upper bound.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

import torch

from benchmarks.timing import row
from contrapposto.models.dancing_avatar.frame_cache import FrameCache
from contrapposto.models.dancing_avatar.frame_loop import FrameSources, LoopSettings, paint_frames

SIDE, STEPS, CELL = 512, 25, 8
AT_MOST = 1.15
FEW, MANY = 24, 240


class CostlessModel:
    """``ports.ImageDiffusion`` that paints gray at once."""

    input_channels, cell = 4, CELL
    hint_channels = {"pose": 3, "previous frame": 3}

    def encode(self, images):
        return self.empty_latents(*images.shape[1:3])

    def decode(self, latents):
        return torch.full((1, latents.shape[2] * CELL, latents.shape[3] * CELL, 3), 0.5)

    def encode_text(self, texts):
        return torch.zeros(len(texts), 1, 1)

    def scale(self, latents):
        return latents

    def empty_latents(self, height, width):
        return torch.zeros(1, 4, height // CELL, width // CELL)

    def sample(self, positive, negative, latents, *given, **options):
        return latents


def sources(frames, side=SIDE):
    """A disc that stands on noise; rows share their memory, so only the loop's own memory grows or does not."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    mask = (((x - side / 2) ** 2 + (y - side / 2) ** 2).sqrt() < side / 4).float()[None]
    plate = torch.rand(1, side, side, 3, generator=torch.Generator().manual_seed(0))
    return FrameSources(mask[..., None].repeat(1, 1, 1, 3).expand(frames, -1, -1, -1), plate, mask)


def run(rounds=5):
    """Rows for time and memory."""
    own, one_pass = statistics.median(frame_seconds(6) for _ in range(rounds)), statistics.median(pass_seconds() for _ in range(2))
    sampling = STEPS * one_pass
    few, many = peak_megabytes(FEW), peak_megabytes(MANY)
    memory = {"name": f"peak memory of the loop at {MANY} frames, vs {FEW}", "value": f"{many:.0f} MB", "reference": f"{few:.0f} MB",
              "ratio": many / few, "goal": "within 5 %", "met": many <= 1.05 * few}
    return [row("a frame of the loop at 512 x 512, vs its 25 steps of SD1.5 alone", sampling + own, sampling, 1 + own / sampling,
                f"at most {AT_MOST}x", AT_MOST), memory]


def frame_seconds(frames):
    """Seconds per frame of the loop's own work, cache included."""
    with tempfile.TemporaryDirectory() as folder:
        given, begun = sources(frames), time.perf_counter()
        for _ in paint_frames(CostlessModel(), None, None, given, LoopSettings(), FrameCache(folder, 1 << 30)):
            pass
        return (time.perf_counter() - begun) / frames


def pass_seconds():
    """Seconds of one guided pass of a full-size UNet."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(cross_attention_dim=768).eval()
    noisy, states = torch.randn(2, 4, SIDE // 8, SIDE // 8), torch.randn(2, 77, 768)
    with torch.no_grad():
        begun = time.perf_counter()
        unet(noisy, torch.tensor(500), encoder_hidden_states=states)
    return time.perf_counter() - begun


def peak_megabytes(frames):
    """Largest resident memory of a fresh process that paints so many frames and hands each on."""
    script = f"import resource\nfrom benchmarks.bench_frame_loop import frame_seconds\nframe_seconds({frames})\n"
    script += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
