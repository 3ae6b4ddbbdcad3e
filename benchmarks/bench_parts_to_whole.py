"""A guided step of a full-size Stable Diffusion 1.5 with references, random weights, 512 x 768, against the same step without.

Only the conditional one of the two rows reads references, so N of them lengthen half of the keys by N times the row's own. Operations are
counted as well as timed: the count does not depend on how busy the machine is. The references' own passes run once per picture.
"""

from __future__ import annotations

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.parts_to_whole.appearance_encoder import Bank, transformer_blocks
from contrapposto.models.parts_to_whole.image_tokens import ImageProjections
from contrapposto.models.parts_to_whole.network import PartsUNet
from contrapposto.models.parts_to_whole.parts import Reference

HEIGHT, WIDTH, TEXT, ROWS = 768, 512, 768, 2
COUNTED, TIMED = (1, 2, 3, 6), 3
PER_REFERENCE = 0.45


def run():
    """Rows for counted steps, for encoding one reference, and for one timed step."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"), torch.no_grad():
        unet = UNet2DConditionModel(cross_attention_dim=TEXT)
        plain, once = (operations(unet, torch.randn(rows, 4, HEIGHT // 8, WIDTH // 8), torch.randn(rows, 77, TEXT)) for rows in (ROWS, 1))
    extra = reading(unet)
    rows = [counted(f"a guided step with {count} references, vs none, 512 x 768", plain + count * extra, plain, count) for count in COUNTED]
    rows.append(counted("encoding one reference, once per picture, vs a guided step", once, plain))
    torch.manual_seed(0)
    step = workload(UNet2DConditionModel(cross_attention_dim=TEXT).eval(), TIMED)
    with torch.no_grad():
        timed = interleaved(step, lambda: step(reads=False), rounds=1, warmup=0)
    return [*rows, row(f"a guided step with {TIMED} references, vs none, 512 x 768", *timed, *goal(TIMED))]


def goal(count):
    return f"at most 1 + 0.45 x {count}", 1 + PER_REFERENCE * count


def counted(name, ours, theirs, count=None):
    text, at_most = goal(count) if count else ("-", None)
    return {"name": f"operations of {name}", "value": f"{ours / 1e12:.2f} T", "reference": f"{theirs / 1e12:.2f} T", "ratio": ours / theirs,
            "goal": text, "met": None if at_most is None else ours / theirs <= at_most}


def operations(unet, latents, states):
    """Floating point operations of one pass's matrix products, convolutions and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        unet(latents, torch.zeros(len(latents), device=latents.device), encoder_hidden_states=states)
    return counter.get_total_flops()


def reading(unet):
    """Operations that one reference adds to a guided step: keys and values of both rows, attention of the conditional one."""
    total = 0
    for name, block in transformer_blocks(unet).items():
        length, width = tokens(name), block.attn1.to_q.in_features
        total += 2 * ROWS * 2 * length * width * width + 2 * 2 * length * length * width
    return total


def workload(unet, count):
    """A callable that runs one guided step, with ``count`` references or with none."""
    blocks = transformer_blocks(unet)
    network = PartsUNet(unet, ImageProjections({name: block.attn2.to_k.out_features for name, block in blocks.items()}, TEXT)).eval()
    references = tuple(Reference(torch.ones(1, 1, 3), torch.ones(1, 1), "face") for _ in range(count))
    bank = Bank(references, {name: tuple(torch.randn(1, tokens(name), block.attn1.to_q.in_features) for _ in references)
                             for name, block in blocks.items()})
    latents, states = torch.randn(ROWS, 4, HEIGHT // 8, WIDTH // 8), torch.randn(ROWS, 77 + 6, TEXT)
    states[1, 77:] = 0  # the row that reads nothing
    plain = states * torch.cat([torch.ones(77), torch.zeros(6)])[:, None]

    def step(reads=True):
        network.use(bank if reads else None)
        network(latents, 500, states if reads else plain)
    return step


def tokens(name):
    """How many tokens the block of that name works on."""
    shrink = {"down_blocks": (0, 1, 2), "up_blocks": (3, 2, 1, 0)}
    side, number = name.split(".")[:2]
    level = 3 if side == "mid_block" else shrink[side][int(number)]
    return (HEIGHT >> 3 + level) * (WIDTH >> 3 + level)
