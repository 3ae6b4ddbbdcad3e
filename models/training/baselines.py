"""What a text-to-pose model is compared with: real poses, retrieval of the nearest caption, random poses, and itself without the text.

Each system answers a list of captions with candidates, prompt-major, as ``sample_poses`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.joints import mirror_pose
from ..text_to_pose.sampling import sample_poses
from ..types import BodyPose
from .datasets.captions import CaptionedPoses, CaptionSource

GROUP = 32  # captions that are sampled together from one seed; the next group takes the next seed, so that noise is not shared by all
_UNCONDITIONAL_AT_ONCE = 256


def data_poses(data, rows: Tensor, mirrored=None) -> BodyPose:
    """The poses of some rows of the data; ``mirrored`` (M,) bool turns some of them into their mirror images."""
    rotmats = data.rotmats(rows)
    pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
    if mirrored is None:
        return pose
    turned, chosen = mirror_pose(pose), mirrored[:, None, None]
    return BodyPose(torch.where(chosen, turned.global_orient, pose.global_orient),
                    torch.where(chosen[..., None], turned.body_pose, pose.body_pose))


@dataclass(frozen=True)
class Sampled:
    """The model. ``guidance`` None takes the weights' own; 0 ignores the text."""

    model: object
    body: object
    guidance: float | None = None

    def __call__(self, captions, count, seed) -> BodyPose:
        if self.guidance == 0:
            return self.without_text(len(captions) * count, seed)
        parts = []
        for number, start in enumerate(range(0, len(captions), GROUP)):
            texts = [caption.text for caption in captions[start : start + GROUP]]
            parts.append(sample_poses(self.model, texts, count, seed + number, guidance=self.guidance, body=self.body))
        return BodyPose.cat(parts)

    def without_text(self, rows, seed):
        """Candidates of one dropped prompt are independent samples of the model's unconditional distribution."""
        starts = range(0, rows, _UNCONDITIONAL_AT_ONCE)
        return BodyPose.cat([sample_poses(self.model, "a person", min(_UNCONDITIONAL_AT_ONCE, rows - start), seed + start, guidance=0.0,
                                          body=self.body) for start in starts])


@dataclass(frozen=True)
class Real:
    """The poses that the captions were written for; captions without poses cannot be asked."""

    data: object

    def __call__(self, captions, count, seed) -> BodyPose:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.cat([_pick(caption.rows, count, generator) for caption in captions])
        return data_poses(self.data, rows, torch.tensor([caption.mirrored for caption in captions]).repeat_interleave(count))


@dataclass(frozen=True)
class RandomPoses:
    """Any poses of the train split."""

    data: object

    def __call__(self, captions, count, seed) -> BodyPose:
        rows = self.data.rows("train")
        chosen = torch.randint(len(rows), (len(captions) * count,), generator=torch.Generator().manual_seed(seed))
        return data_poses(self.data, rows[chosen])


class Retrieval:
    """Poses of the training captions that lie nearest in the text encoder's pooled space."""

    def __init__(self, data, folder, encoder, size, seed=0, actions=()):
        """
        Args:
            size: training captions to search, drawn as for the training of the model.
            actions: of the action bank, with the data that has their poses.
        """
        self.data, self.encoder = data, encoder
        pool = {caption.text: caption for caption in CaptionSource(data, folder, "train", actions).pool(f"retrieval/{seed}", size)}
        self.pool = sorted(pool.values(), key=lambda caption: len(caption.text))
        self.keys = self.embed([caption.text for caption in self.pool])

    def embed(self, texts):
        return torch.cat([self.encoder(texts[start : start + 128]).pooled.cpu() for start in range(0, len(texts), 128)])

    def one(self, captions, count, seed) -> BodyPose:
        """All candidates from the nearest caption."""
        best = (self.embed([caption.text for caption in captions]) @ self.keys.T).argmax(1)
        return Real(self.data)([self.pool[i] for i in best.tolist()], count, seed)

    def varied(self, captions, count, seed) -> BodyPose:
        """Candidate i from the i-th nearest caption."""
        best = (self.embed([caption.text for caption in captions]) @ self.keys.T).topk(count, dim=1).indices
        return Real(self.data)([self.pool[i] for i in best.flatten().tolist()], 1, seed)


def _pick(rows, count, generator):
    """``count`` of the rows, without repeats as far as there are enough."""
    order = torch.cat([torch.randperm(len(rows), generator=generator) for _ in range(-(-count // len(rows)))])
    return rows[order[:count]]


def captions_of(data, split, kind, size, seed, one_per_text=True) -> list[CaptionedPoses]:
    """Test captions, each with its poses.

    Args:
        kind: "combo" (authored, sentences unseen in training) or "clip" (captured).
        size: at most so many.
        one_per_text: every sentence once; else one entry per pose of the split, each with that pose alone.
    """
    own = [caption for caption in data.captions if caption.split == split and caption.kind == kind]
    entries = list({caption.text: CaptionedPoses(caption.text, caption.rows) for caption in own}.values())
    if not one_per_text:
        entries = [CaptionedPoses(caption.text, row[None]) for caption in own for row in caption.rows]
    order = torch.randperm(len(entries), generator=torch.Generator().manual_seed(seed))
    if one_per_text:
        return [entries[i] for i in order[:size].tolist()]
    seen, chosen = set(), []
    for i in order.tolist():  # each pose once, whatever the number of its captions
        if entries[i].rows.item() not in seen and len(chosen) < size:
            seen.add(entries[i].rows.item())
            chosen.append(entries[i])
    return chosen


