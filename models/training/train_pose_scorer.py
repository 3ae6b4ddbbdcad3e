"""Trains the text-pose scorer of ``text_to_pose/ranking.py``: symmetric InfoNCE with hard negatives.

    python -m contrapposto.models.training.train_pose_scorer --data DIR [--out FILE]

A sentence that names a side enters together with its mirrored twin, each with its own pose, so the twin is always among the negatives.
Half of a batch comes in families of one stance, whose members differ in arms, head and torso. A pose that shows all a sentence says,
and more, is not counted against it. Poses that a text-to-pose model made for sentences of the action bank join: each that fails its
conditions must score below one that is right (a logistic loss on the difference of scores).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch.nn import functional as F

from ..assets.registry import BUNDLED, write_manifest_entry
from ..bodies.joints import mirror_pose
from ..checks import InputError
from ..metrics.r_precision import r_precision
from ..text_to_pose.model import load_text_to_pose
from ..text_to_pose.prompts import mirror_words
from ..text_to_pose.ranking import OPEN_POSE_SCORER, PoseScorer, ScorerConfig, load_pose_scorer, pose_features, save_pose_scorer
from ..text_to_pose.text_encoder import load_minilm
from ..types import BodyPose
from .datasets.captions import CaptionedPoses, CaptionSource, load_groups, with_actions
from .datasets.text_pose import UNCLEAR_ORIGIN, load_text_pose
from .loop import LoopConfig, RunFolder, source_commit, train
from .processes import open_processes
from .rivals import find_rivals
from .train_text_to_pose import CaptionPool, encode_pool, in_parts

MIN_STD = 0.05


@dataclass(frozen=True)
class Preset:
    """One way to train.

    Args:
        network: sizes of the towers.
        loop: steps and so on; its ``batch`` counts sentences before their mirrored twins join.
        pool: sentences drawn and encoded together.
        refresh: steps after which a new pool is drawn.
        family: sentences of one stance that come together.
        held_out: sentences that scores are taken on.
        rivals: sentences per step with a right and a wrong pose of a text-to-pose model.
    """

    network: ScorerConfig = ScorerConfig()
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(4000, 192, lr=8e-4, warmup=200, ema=0.995, validate_every=1000))
    pool: int = 6144
    refresh: int = 1000
    family: int = 4
    held_out: int = 1024
    rivals: int = 96


@dataclass(frozen=True)
class Shown:
    """What a sentence's poses show: the stance with its side, and the modifiers. Captured clips are a stance of their own."""

    stance: str
    side: str | None
    modifiers: frozenset

    def mirrored(self):
        other = {"left": "right", "right": "left"}
        turn = lambda name: mirror_words(name)
        return Shown(self.stance, other.get(self.side), frozenset((p, turn(n), other.get(s)) for p, n, s in self.modifiers))

    def satisfies(self, asked):
        """Whether poses of this kind show all that is asked."""
        return self.stance == asked.stance and self.side == asked.side and asked.modifiers <= self.modifiers


@dataclass
class EncodedPool:
    """Encoded sentences, the number of each one's mirrored twin (-1: it names no side), and what they show."""

    texts: CaptionPool
    twin: torch.Tensor
    shown: list
    stance: torch.Tensor


class ScorerTask:
    """Batches and losses of one training."""

    def __init__(self, folder, preset, device, rival=None):
        """
        Args:
            rival: TextToPose whose poses are to be told apart, or None.
        """
        self.preset, self.device = preset, torch.device(device)
        self.data, actions, _ = with_actions(load_text_pose(folder, UNCLEAR_ORIGIN), folder)
        self.features = torch.stack([all_features(self.data, mirrored) for mirrored in (False, True)])
        self.encoder, self.source = load_minilm(device=device), caption_source(self.data, folder, "train", actions)
        self.source.twins = 0
        self.shown = {group.rows[0].item(): Shown(group.stance, group.side, frozenset(group.modifiers))
                      for group in load_groups(folder, self.data, "train")[0]}
        self.shown |= {action.rows[0].item(): Shown(action.stances[0], "left", frozenset({("ACTION", str(number), None)}))
                       for number, action in enumerate(actions)}
        self.stances, self.pools = {}, {}
        self.rivals = find_rivals(rival, actions) if rival and actions else None
        self.rival_texts = self.rivals and encode_pool(self.encoder, self.rivals.captions)

    def pool(self, number) -> EncodedPool:
        """The sentences of some hundred steps; only the current pool is kept."""
        if number not in self.pools:
            self.pools.clear()
            self.pools[number] = self.encode(self.source.pool(f"scorer/{self.preset.loop.seed}/{number}", self.preset.pool))
        return self.pools[number]

    def encode(self, captions) -> EncodedPool:
        """Encodes sentences and the mirrored twins of those that name a side."""
        twins = {}
        for caption in captions:
            text = mirror_words(caption.text)
            if text != caption.text:
                twins[id(caption)] = CaptionedPoses(text, caption.rows, not caption.mirrored)
        texts = encode_pool(self.encoder, [*captions, *twins.values()])
        place = {id(caption): i for i, caption in enumerate(texts.captions)}
        twin = torch.full((len(texts.captions),), -1)
        for first, second in twins.items():
            twin[place[first]], twin[place[id(second)]] = place[id(second)], place[first]
        shown = [self.what_is_shown(caption) for caption in texts.captions]
        stance = torch.tensor([self.stances.setdefault(s.stance, len(self.stances)) for s in shown])
        return EncodedPool(texts, twin, shown, stance)

    def what_is_shown(self, caption) -> Shown:
        known = self.shown.get(caption.rows[0].item()) or Shown(f"clip {caption.rows[0].item()}", None, frozenset())
        return known.mirrored() if caption.mirrored else known

    def draw(self, generator):
        """Random numbers that ``choose`` turns into sentences of the current pool."""
        return torch.randint(0, 2**31, (self.preset.loop.batch,), generator=generator)

    def choose(self, pool, numbers):
        """Places of one batch, from a window of sentences of similar length: half at random, half in families of one stance."""
        total, family = len(pool.twin), self.preset.family
        window = max(len(numbers) * 8, total // 4)
        first = int(numbers[0]) % max(1, total - window)
        places, half = first + numbers % min(window, total), len(numbers) // 2
        chosen = places[:half].tolist()
        by_stance = {}
        for place in range(first, min(first + window, total)):
            by_stance.setdefault(int(pool.stance[place]), []).append(place)
        for number, place in zip(numbers[half::family].tolist(), places[half::family].tolist()):
            kin = by_stance[int(pool.stance[place])]
            chosen += [kin[(number + i * 7919) % len(kin)] for i in range(family)]
        chosen = dict.fromkeys(chosen)
        chosen.update(dict.fromkeys(int(pool.twin[place]) for place in list(chosen) if pool.twin[place] >= 0))
        return torch.tensor(list(chosen))

    def loss(self, scorer, numbers, step, generator):
        """InfoNCE in both directions over the batch (Radford et al. 2021), pairs that also fit masked out."""
        pool = self.pool((step - 1) // self.preset.refresh)
        places = self.choose(pool, numbers)
        captions = [pool.texts.captions[place] for place in places.tolist()]
        poses = self.pose_features(captions, generator).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            texts, poses = scorer.embed_states(pool.texts.states(places, self.device)), scorer.embed_features(poses)
        scores = scorer.log_scale.exp().clamp(max=100) * texts.float() @ poses.float().T
        scores = scores.masked_fill(self.also_fit(pool, places).to(self.device), -torch.inf)
        target = torch.arange(len(places), device=self.device)
        contrast = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        if self.rivals is None:
            return {"loss": contrast}
        rivalry = self.rivalry(scorer, generator)
        return {"loss": contrast + rivalry, "contrast": contrast, "rivalry": rivalry}

    def rivalry(self, scorer, generator):
        """Logistic loss on the score of a right pose, real or the model's own, over that of a wrong one."""
        rivals = self.rivals
        draw = lambda high: torch.randint(0, high, (self.preset.rivals,), generator=generator, device=generator.device).cpu()
        chosen = draw(len(rivals.captions))
        right, count = rivals.right[chosen].float(), rivals.right.shape[1]
        wrong = rivals.features[chosen, (1 - right).multinomial(1)[:, 0]]
        own = rivals.features[chosen, (right + 1e-9).multinomial(1)[:, 0]]
        real = self.pose_features([rivals.captions[i] for i in chosen.tolist()], generator)
        good = torch.where((right.any(1) & (draw(count) * 3 < 2 * count))[:, None], own, real)
        with torch.autocast(self.device.type, torch.bfloat16):
            texts = scorer.embed_states(self.rival_texts.states(chosen, self.device))
            good, wrong = (scorer.embed_features(features.to(self.device)) for features in (good, wrong))
        margin = (texts.float() * (good.float() - wrong.float())).sum(-1)
        return F.softplus(-scorer.log_scale.exp().clamp(max=100) * margin).mean()

    def also_fit(self, pool, places):
        """(B, B) bool, True where another pose shows all that a sentence says."""
        stance, shown = pool.stance[places], [pool.shown[place] for place in places.tolist()]
        mask = torch.zeros(len(places), len(places), dtype=torch.bool)
        for text, pose in (stance[:, None] == stance).nonzero().tolist():
            if text != pose:
                mask[text, pose] = shown[pose].satisfies(shown[text])
        return mask

    def pose_features(self, captions, generator):
        """(B, F) one pose for each sentence."""
        place = torch.rand(len(captions), generator=generator, device=generator.device).cpu()
        return torch.stack([self.features[int(c.mirrored), c.rows[int(p * len(c.rows))]] for c, p in zip(captions, place)])


def caption_source(data, folder, split, actions=()):
    """The captions of a split without rule-based descriptions, which fit too many poses of a batch to tell them apart."""
    source = CaptionSource(data, folder, split, actions)
    source.sources.pop("described", None)
    return source


def all_features(data, mirrored):
    """(N, F) features of every pose, mirrored or not."""
    def features(rotvec):
        from ..rotations import rotvec_to_rotmat

        rotmats = rotvec_to_rotmat(rotvec)
        pose = BodyPose(rotmats[:, 0], rotmats[:, 1:])
        return pose_features(mirror_pose(pose) if mirrored else pose)
    return in_parts(features, torch.cat([data.root_rotvec[:, None], data.body_rotvec], 1))


class Validation:
    """R-precision on held-out sentences, and how often a sided sentence prefers its pose to the mirror image."""

    def __init__(self, task, folder, split="val"):
        held_out = caption_source(task.data, folder, split).pool(f"scorer {split}", task.preset.held_out)
        unique = {caption.text: caption for caption in held_out}
        self.pool = encode_pool(task.encoder, list(unique.values()))
        generator = torch.Generator().manual_seed(0)
        self.poses = task.pose_features(self.pool.captions, generator)
        generator.manual_seed(0)
        turned = [CaptionedPoses(c.text, c.rows, not c.mirrored) for c in self.pool.captions]
        self.mirrored = task.pose_features(turned, generator)
        self.sided = torch.tensor([mirror_words(c.text) != c.text for c in self.pool.captions])
        self.device = task.device

    @torch.no_grad()
    def __call__(self, scorer):
        texts = torch.cat([scorer.embed_states(self.pool.states(rows, self.device)) for rows in torch.arange(len(self.sided)).split(128)])
        own, other = (scorer.embed_features(poses.to(self.device)) for poses in (self.poses, self.mirrored))
        sides = ((texts * own).sum(-1) > (texts * other).sum(-1)).cpu()[self.sided].float().mean()
        found = r_precision(own, texts, 32, repeats=5)
        return {"r1_of_32": found[1], "r3_of_32": found[3], "sides": sides}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/text_pose"), help="text_pose folder")
    parser.add_argument("--steps", type=int, help="instead of the preset's number")
    parser.add_argument("--rival", type=Path, help="text-to-pose weights whose poses are to be told apart; default: the bundled ones")
    parser.add_argument("--start", type=Path, help="scorer to go on from, instead of random weights")
    parser.add_argument("--blend", type=float, default=0.4, help="share of the new weights in those written; the rest are the start's")
    parser.add_argument("--run", type=Path, default=Path("runs/pose_scorer"), help="run folder; an unfinished run in it is continued")
    parser.add_argument("--out", type=Path, help="weights file; default: the bundled one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    try:
        report = run_training(parser.parse_args(arguments))
    except InputError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(report and report + "\n")


def run_training(options, preset=None):
    """Trains, writes the weights file, and returns a line for the user."""
    begun, preset, processes = time.monotonic(), preset or Preset(), open_processes(options.device)
    loop = LoopConfig(**{**asdict(preset.loop), **({"steps": options.steps} if options.steps else {})})
    preset = replace(preset, loop=loop)
    task = ScorerTask(options.data, preset, options.device, load_text_to_pose(options.rival, options.device))
    torch.manual_seed(loop.seed)
    scorer, start = PoseScorer(preset.network).to(options.device), None
    if options.start:
        start = load_pose_scorer(options.start, options.device)
        scorer.load_state_dict(start.state_dict())
    else:
        chosen = task.features[:, task.data.rows("train")].flatten(0, 1)
        scorer.pose_mean.copy_(chosen.mean(0))
        scorer.pose_std.copy_(chosen.std(0).clamp(min=MIN_STD))
    validation = Validation(task, options.data)
    run = RunFolder(options.run, {"preset": asdict(preset), "data": str(options.data), "excluded": list(UNCLEAR_ORIGIN),
                                  "poses": len(task.data), "start": str(options.start), "rival": str(options.rival)})
    trained = train(scorer, task.draw, task.loss, loop, run, validation)
    if start:
        blend(trained, start, options.blend)
    if not processes.main:
        return ""
    scores = {f"val_{name}": round(float(value), 4) for name, value in validation(trained).items()}
    scores.update({f"test_{name}": round(float(value), 4) for name, value in Validation(task, options.data, "test")(trained).items()})
    out = options.out or BUNDLED / OPEN_POSE_SCORER
    before = start and {**start.about["training"], "share": 1 - options.blend}
    save_pose_scorer(out, trained, {
        "text_encoder": {"id": task.encoder.id, "dim": task.encoder.dim}, "scores": scores,
        "training": {"steps": loop.steps, "before": before, "excluded": list(UNCLEAR_ORIGIN),
                     "poses": len(task.data.rows("train")), "commit": source_commit(), "seconds": round(time.monotonic() - begun)},
        "licence": "Apache-2.0; training data: docs/model_cards/open_pose_scorer.md"})
    if out.parent == BUNDLED:
        write_manifest_entry(out.name, "Apache-2.0 (docs/model_cards/open_pose_scorer.md)",
                             "python -m contrapposto.models.training.train_pose_scorer --data DIR")
    return f"{out}: {scores}"


@torch.no_grad()
def blend(scorer, start, share):
    """Mixes weights with those the training began from, in place, which keeps what was known (Wortsman et al. 2022)."""
    for weight, old in zip(scorer.state_dict().values(), start.state_dict().values()):
        weight.mul_(share).add_(old, alpha=1 - share)


if __name__ == "__main__":
    main()
