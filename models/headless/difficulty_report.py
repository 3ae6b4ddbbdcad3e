"""How hard the poses of some pairs are: the spread of the scores, and pictures at its quantiles (Weng et al. 2023, figure 4)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from ..assets.files import atomic_write
from ..checks import InputError, check_range
from ..pose_correction.gate import THRESHOLD
from ..pose_correction.shards import finished_shards, read_shard
from ..render.contact_sheet import draw_contact_sheet
from .pictures import write_png

SIDE = 256


def report_difficulty(source, folder, quantiles=(0.05, 0.5, 0.95), each=4):
    """Writes ``difficulty.json`` and ``difficulty.png``: a row of pictures for each quantile, from easy to hard.

    Args:
        source: folder with finished shards whose pairs carry their difficulty.
        folder: receives the files.
        quantiles: each 0..1.
        each: pictures at a quantile, those with the nearest scores.

    Returns:
        (paths, scores): the scores hold count, mean, share above the gate's threshold, and the score at each quantile.

    Raises:
        InputError: there are no scores, or an argument is out of range.
    """
    check_range("pictures at a quantile", each, 1, 32)
    quantiles = [check_range("quantile", float(q), 0.0, 1.0) for q in quantiles]
    shards = finished_shards(source)
    scored = [(pair.about["difficulty"], pair.id, shard) for shard in shards for pair in read_shard(shard) if "difficulty" in pair.about]
    if not scored:
        raise InputError("pairs folder", source, "holds no difficulty scores", "Make the pairs with `contrapposto pairs`.")
    scored.sort()
    values = torch.tensor([score for score, _, _ in scored], dtype=torch.float64)
    levels = torch.quantile(values, torch.tensor(quantiles, dtype=torch.float64)).tolist()
    chosen = [entry for level in levels for entry in sorted(scored, key=lambda entry: abs(entry[0] - level))[:each]]
    scores = {"count": len(scored), "mean": values.mean().item(), "threshold": THRESHOLD,
              "share_above": (values > THRESHOLD).double().mean().item(), "quantiles": dict(zip(map(str, quantiles), levels))}
    sheet, told = Path(folder) / "difficulty.png", Path(folder) / "difficulty.json"
    write_png(sheet, draw_contact_sheet(_pictures(chosen), _captions(chosen, quantiles), columns=min(each, len(scored))))
    with atomic_write(told, "report") as part:
        part.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return [sheet, told], scores


def _pictures(chosen):
    """(N, 256, 256, 3): only the chosen pictures are kept in memory."""
    wanted, found = {(shard, name) for _, name, shard in chosen}, {}
    for shard in {shard for _, _, shard in chosen}:
        found |= {(shard, pair.id): _thumb(pair.image) for pair in read_shard(shard) if (shard, pair.id) in wanted}
    return torch.stack([found[shard, name] for _, name, shard in chosen])


def _thumb(image):
    """(256, 256, 3) the whole picture, on black."""
    height, width = image.shape[:2]
    size = [max(1, round(SIDE * side / max(height, width))) for side in (height, width)]
    small = interpolate(image.permute(2, 0, 1)[None].float() / 255, size, mode="bilinear", antialias=True, align_corners=False)[0]
    thumb = torch.zeros(SIDE, SIDE, 3)
    top, left = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    thumb[top : top + size[0], left : left + size[1]] = small.permute(1, 2, 0).clamp(0, 1)
    return thumb


def _captions(chosen, quantiles):
    per_quantile = len(chosen) // len(quantiles)
    return [f"{quantiles[i // per_quantile]:.0%}: {score:.1f}" for i, (score, _, _) in enumerate(chosen)]
