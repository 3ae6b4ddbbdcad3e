"""R-precision: does a pose find its own sentence among strangers (Guo et al., "Generating Diverse and Natural 3D Human Motions", 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError, check_shape


def r_precision(pose_embeds: Tensor, text_embeds: Tensor, pool=32, tops=(1, 2, 3), seed=0, repeats=1) -> dict[int, float]:
    """Share of poses whose own sentence is among the best ``top`` of a pool of ``pool`` sentences drawn without replacement.

    Row i of both belongs together, and no two rows should carry the same sentence. Scores are dot products; a tie counts against the pose.

    Args:
        pose_embeds: (N, D) unit vectors.
        text_embeds: (N, D) unit vectors.
        pool: sentences in a pool, the right one included.
        tops: ranks to report.
        seed: of the shuffles that form the pools; rows that do not fill the last pool are left out of that repeat.
        repeats: shuffles to average over.

    Returns:
        {top: share}; chance is top / pool.

    Raises:
        InputError: fewer rows than a pool needs, or shapes that do not fit.
    """
    sizes = check_shape("pose_embeds", pose_embeds, "N D")
    check_shape("text_embeds", text_embeds, "N D", **sizes)
    if sizes["N"] < pool:
        raise InputError("pose_embeds", sizes["N"], f"rows do not fill a pool of {pool}", f"Give at least {pool} rows.")
    generator, ranks = torch.Generator().manual_seed(seed), []
    for _ in range(repeats):
        rows = torch.randperm(sizes["N"], generator=generator)[: sizes["N"] // pool * pool].to(pose_embeds.device).view(-1, pool)
        scores = pose_embeds[rows] @ text_embeds[rows].transpose(1, 2)  # (pools, pose, sentence)
        own = scores.diagonal(dim1=1, dim2=2)
        ranks.append((scores >= own[..., None]).sum(-1).flatten())  # 1 is best; the sentence itself counts once
    ranks = torch.cat(ranks)
    return {top: (ranks <= top).double().mean().item() for top in tops}
