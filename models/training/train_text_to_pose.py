"""Trains the text-to-pose network (PAS, section 3.3).

    python -m contrapposto.models.training.train_text_to_pose --data DIR [--preset base] [--out FILE]
    torchrun --nproc_per_node 8 -m -- contrapposto.models.training.train_text_to_pose --data DIR --preset large

Captions are drawn into a pool that is encoded once and drawn anew every few hundred steps. Each caption of a batch meets several of its
poses at several noise levels at once, because they share the text part of the sequence (see network.py).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch.nn import functional as F

from ..assets.registry import BUNDLED, OPEN_TEXT_TO_POSE, write_manifest_entry
from ..bodies.body import load_body_model
from ..bodies.joints import mirror_pose
from ..bodies.posture import measure_posture
from ..checks import InputError
from ..metrics.probes import passes
from ..rotations import rotmat_to_rot6d
from ..text_to_pose.diffusion import T, add_noise, candidate_noise, cosine_alphas_bar
from ..text_to_pose.model import TextToPose, load_text_to_pose, save_text_to_pose
from ..text_to_pose.network import NetworkConfig, PoseTransformer
from ..text_to_pose.sampling import sample_vectors
from ..text_to_pose.text_encoder import TextStates, load_minilm
from .datasets.captions import CaptionedPoses, CaptionSource, with_actions
from .datasets.recombine import is_possible
from .datasets.text_pose import UNCLEAR_ORIGIN, load_text_pose, mirror_rotvec
from .loop import LoopConfig, RunFolder, source_commit, train
from .processes import open_processes
from .validation_probes import VALIDATION_PROBES

SAMPLING = {"sampler": "dpmpp_2m", "steps": 8, "guidance": 2.0, "sides": 1.0}
LICENCE = "Apache-2.0 (docs/model_cards/open_text_to_pose.md)"
FEWEST_POSSIBLE = 0.2  # of a caption's poses; where fewer are within the limits (hugged knees), all are kept
MIN_STD = 0.05  # components that hardly ever move would otherwise be blown up and dominate the loss


@dataclass(frozen=True)
class Preset:
    """One way to train.

    Args:
        network: sizes of the network.
        loop: steps, learning rate and so on; its ``batch`` counts captions.
        copies: noised poses per caption that share the text part.
        pool: captions that are drawn and encoded together.
        refresh: steps after which a new pool is drawn.
        drop: share of captions whose text is dropped, for guidance.
        place: weight of what a place in the words changes.
        held_out: captions of the validation split that are scored.
        bf16: run the network in bfloat16 (weights stay float32).
    """

    network: NetworkConfig
    loop: LoopConfig
    copies: int = 8
    pool: int = 12288
    refresh: int = 600
    drop: float = 0.1
    place: float = 2.0
    held_out: int = 1024
    bf16: bool = True


PRESETS = {
    "tiny": Preset(NetworkConfig(width=128, layers=4), LoopConfig(1500, 64, warmup=100, ema=0.99, validate_every=500), pool=4096),
    "base": Preset(NetworkConfig(), LoopConfig(12000, 64, warmup=100, ema=0.995, validate_every=400)),
    "large": Preset(NetworkConfig(width=512, layers=12, heads=8), copies=16, pool=49152,
                    loop=LoopConfig(60000, 256, lr=4e-4, warmup=1000, ema=0.9995, validate_every=2000)),
}


@dataclass
class CaptionPool:
    """Encoded captions, sorted by length: states in float16 one after another, where each begins, and the place of each one's twin or -1.
    Twins come last."""

    captions: list
    tokens: torch.Tensor
    starts: torch.Tensor
    pooled: torch.Tensor
    twin: torch.Tensor

    def states(self, rows, device):
        """Returns the TextStates of some captions, padded to the longest of them."""
        begin, count = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        place = torch.arange(int(count.max()))
        mask = place < count[:, None]
        tokens = self.tokens[torch.where(mask, begin[:, None] + place, 0)].float() * mask[..., None]
        return TextStates(tokens.to(device), mask.to(device), self.pooled[rows].float().to(device), "pool")


def encode_pool(encoder, captions, batch=128) -> CaptionPool:
    """Encodes captions and their twins in order of their length, so that little is padding."""
    captions = sorted(captions, key=lambda caption: len(caption.text))
    with_twin = [i for i, caption in enumerate(captions) if caption.twin]
    twin = torch.full((len(captions) + len(with_twin),), -1)
    twin[with_twin] = len(captions) + torch.arange(len(with_twin))
    captions += [CaptionedPoses(captions[i].twin, captions[i].rows, captions[i].mirrored) for i in with_twin]
    tokens, counts, pooled = [], [], []
    for start in range(0, len(captions), batch):
        states = encoder([caption.text for caption in captions[start : start + batch]])
        tokens.append(states.tokens[states.mask].half().cpu())
        counts.append(states.mask.sum(1).cpu())
        pooled.append(states.pooled.half().cpu())
    starts = F.pad(torch.cat(counts).cumsum(0), (1, 0))
    return CaptionPool(captions, torch.cat(tokens), starts, torch.cat(pooled), twin)


@dataclass
class Task:
    """What the training loop asks for: batches and losses.

    Args:
        data: the poses.
        vectors: (2, N, D) standardised pose vectors, as they are and mirrored.
        mean, std: (D,) their statistics.
        source: draws captions.
        encoder: encodes them.
        possible: (N,) bool, poses within the limits of joints and limbs; others are left out where a caption has enough.
    """

    data: object
    vectors: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    source: CaptionSource
    encoder: object
    preset: Preset
    possible: torch.Tensor
    alphas_bar: torch.Tensor = field(default_factory=lambda: cosine_alphas_bar().float())
    pools: dict = field(default_factory=dict)

    def pool(self, number) -> CaptionPool:
        """The captions of some hundred steps; only the current pool is kept."""
        if number not in self.pools:
            self.pools.clear()
            drawn = self.source.pool(f"{self.preset.loop.seed}/{number}", self.preset.pool)
            self.pools[number] = encode_pool(self.encoder, [self.without_impossible(caption) for caption in drawn])
        return self.pools[number]

    def without_impossible(self, caption):
        """The caption without poses that cross limbs or break joints, unless that is nearly all it has."""
        rows = caption.rows[self.possible[caption.rows]]
        return replace(caption, rows=rows) if len(rows) >= max(1, FEWEST_POSSIBLE * len(caption.rows)) else caption

    def draw(self, generator):
        """Places in the pool of one batch: captions of similar length, from a window of the sorted pool."""
        batch, window = self.preset.loop.batch, min(self.preset.pool, 16 * self.preset.loop.batch)
        first = torch.randint(0, self.preset.pool - window + 1, (), generator=generator)
        return first + torch.randperm(window, generator=generator)[:batch]

    def loss(self, network, rows, step, generator):
        """Mean squared error of the predicted x_0 (PAS, section 3.3) for several noised poses of each caption.

        Some captions meet the same noised poses once more with another place in their words; what the place changes is an error too.
        """
        pool = self.pool((step - 1) // self.preset.refresh)
        device, twins = generator.device, (pool.twin[rows] >= 0).nonzero()[: len(rows) // 5, 0]
        rows = torch.cat([rows, pool.twin[rows[twins]]])
        x_0 = self.poses([pool.captions[row] for row in rows.tolist()], generator).to(device)
        keep = torch.rand(len(rows), generator=generator, device=device) >= self.preset.drop
        t = torch.randint(0, T, x_0.shape[:2], generator=generator, device=device)
        eps = torch.randn(x_0.shape, generator=generator, device=device)
        plain, moved = torch.arange(len(rows))[twins], torch.arange(len(rows))[len(rows) - len(twins) :]
        for shared in (x_0, t, eps, keep):
            shared[moved] = shared[plain]
        x_t = add_noise(x_0, eps, self.alphas_bar.to(device)[t][..., None])
        with torch.autocast(device.type, torch.bfloat16, enabled=self.preset.bf16):
            predicted = network(x_t, t, network.encode_prefix(pool.states(rows, device), keep)).float()
        error = F.mse_loss(predicted, x_0)
        place = F.mse_loss(predicted[moved], predicted[plain]) if len(twins) else error.new_zeros(())
        return {"loss": error + self.preset.place * place * len(twins) / len(rows), "error": error, "place": place}

    def poses(self, captions, generator):
        """Draws (B, copies, D) pose vectors that fit the captions."""
        places = torch.rand(len(captions), self.preset.copies, generator=generator, device=generator.device).cpu()
        drawn = [self.vectors[int(c.mirrored), c.rows[(place * len(c.rows)).long()]] for c, place in zip(captions, places)]
        return torch.stack(drawn)


def pose_vectors(data, prior=None):
    """Returns (2, N, D) vectors [x_p, root 6D] of all poses, as they are and mirrored."""
    sides = []
    for mirrored in (False, True):
        rotvec = torch.cat([data.root_rotvec[:, None], data.body_rotvec], 1)
        rotmat = to_rotmats(mirror_rotvec(rotvec, data.mirror) if mirrored else rotvec)
        body = rotmat_to_rot6d(rotmat[:, 1:]).flatten(1) if prior is None else in_parts(lambda r: prior.encode(r).mean, rotmat[:, 1:])
        sides.append(torch.cat([body, rotmat_to_rot6d(rotmat[:, 0])], -1))
    return torch.stack(sides)


def to_rotmats(rotvec):
    from ..rotations import rotvec_to_rotmat

    return in_parts(rotvec_to_rotmat, rotvec)


def in_parts(function, tensor, size=8192):
    """Applies a function to the rows part by part, which bounds memory."""
    with torch.no_grad():
        return torch.cat([function(part) for part in tensor.split(size)])


def make_task(data, folder, preset, device, start=None):
    """Prepares vectors, statistics (those of the weights to go on from, if any), captions and the encoder.

    Returns:
        (task, sha256 of the prior or None).
    """
    data, actions, problems = with_actions(data, folder)
    data, prior = replace(data, problems=(*data.problems, *problems)), None
    if preset.network.representation == "latent":
        from ..pose_prior.vposer import load_pose_prior

        prior = load_pose_prior(device="cpu")
    vectors = pose_vectors(data, prior)
    chosen = vectors[:, data.rows("train")].flatten(0, 1)
    mean, std = (start.mean.cpu(), start.std.cpu()) if start else (chosen.mean(0), chosen.std(0).clamp(min=MIN_STD))
    vectors = (vectors - mean) / std
    source = CaptionSource(data, folder, actions=actions)
    body = load_body_model()
    possible = torch.cat([is_possible(data.rotmats(rows), body) for rows in torch.arange(len(data)).split(4096)])
    task = Task(data, vectors, mean.to(device), std.to(device), source, load_minilm(device=device), preset, possible)
    return task, None if prior is None else prior.sha256


class Validation:
    """Scores of the averaged weights: held-out error, and how many free sentences give a right pose."""

    def __init__(self, task, folder, config, per_probe=5, probes=VALIDATION_PROBES):
        self.task, self.config, self.probes = task, config, probes
        self.noise = candidate_noise(0, per_probe, task.vectors.shape[-1])
        captions = CaptionSource(task.data, folder, "val").pool("validation", task.preset.held_out)
        self.held_out = encode_pool(task.encoder, captions)
        self.probe_states = task.encoder([probe.text for probe in probes])

    def __call__(self, network):
        """Returns the scores. "probe" counts single samples, "probe_any" the best of five, "probe_side" sentences that name a side."""
        right = self.probe_table(network).float()
        sided = torch.tensor([probe.sided for probe in self.probes])
        return {"val_loss": self.held_out_error(network), "probe": right.mean(), "probe_any": right.amax(1).mean(),
                "probe_side": right[sided].mean()}

    @torch.no_grad()
    def held_out_error(self, network):
        """Mean squared error on captions of the validation split, at fixed noise."""
        device, generator, errors = self.task.mean.device, torch.Generator().manual_seed(0), []
        for rows in torch.arange(len(self.held_out.captions)).split(128):
            x_0 = self.task.poses([self.held_out.captions[row] for row in rows.tolist()], generator)
            t = torch.randint(0, T, x_0.shape[:2], generator=generator)
            x_t = add_noise(x_0, torch.randn(x_0.shape, generator=generator), self.task.alphas_bar[t][..., None])
            predicted = network(x_t.to(device), t.to(device), network.encode_prefix(self.held_out.states(rows, device)))
            errors.append(F.mse_loss(predicted.cpu(), x_0))
        return float(torch.stack(errors).mean())

    def probe_table(self, network, guidance=SAMPLING["guidance"], steps=SAMPLING["steps"]):
        """Returns (probes, samples) bool: which samples meet their probe's conditions."""
        model = TextToPose(network, self.task.mean, self.task.std, self.config)
        noise = self.noise.to(model.device)
        x = sample_vectors(model, self.probe_states, None, noise, steps, guidance, SAMPLING["sampler"])
        pose = model.decode(x.flatten(0, 1))
        shown, mirrored = measure_posture(pose), measure_posture(mirror_pose(pose))
        right = torch.stack([passes(probe, shown, mirrored) for probe in self.probes]).unflatten(1, (len(self.probes), -1))
        return right.diagonal().T.cpu()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/text_pose"), help="text_pose folder")
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--representation", choices=("rot6d", "latent"), default="rot6d")
    parser.add_argument("--steps", type=int, help="instead of the preset's number")
    parser.add_argument("--lr", type=float, help="learning rate after the warm-up, instead of the preset's")
    parser.add_argument("--start", type=Path, help="weights file to go on from, instead of random weights")
    parser.add_argument("--run", type=Path, help="run folder; an unfinished run in it is continued")
    parser.add_argument("--out", type=Path, help="weights file; default: the bundled one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    try:
        report = run_training(parser.parse_args(arguments))
    except InputError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(report and report + "\n")


def run_training(options):
    """Trains, writes the weights file, and returns a line for the user."""
    begun, preset, processes = time.monotonic(), chosen_preset(options), open_processes(options.device)
    data = load_text_pose(options.data, UNCLEAR_ORIGIN)
    run = RunFolder(options.run or Path("runs") / f"text_to_pose_{options.preset}_{options.representation}",
                    {"preset": asdict(preset), "start": str(options.start), "data": str(options.data)})
    if processes.main:
        run.open()
    start = load_text_to_pose(options.start, options.device) if options.start else None
    task, prior = make_task(data, options.data, preset, options.device, start)
    for problem in (*task.data.problems, *task.source.problems) if processes.main else ():
        sys.stderr.write(f"{problem.file} row {problem.row} {problem.what}; left out\n")
    torch.manual_seed(preset.loop.seed)
    network = PoseTransformer(preset.network).to(options.device)
    if start:
        network.load_state_dict(start.network.state_dict())
    about = {"text_encoder": {"id": task.encoder.id, "dim": task.encoder.dim}, "sampling": SAMPLING, "pose_prior": prior}
    validation = Validation(task, options.data, about)
    trained = train(network, task.draw, task.loss, preset.loop, run, validation)
    if not processes.main:
        return ""
    about["scores"] = {name: round(float(value), 4) for name, value in validation(trained).items()}
    about["training"] = {
        "steps": preset.loop.steps, "preset": options.preset, "before": start and start.config["training"], "commit": source_commit(),
        "excluded": list(UNCLEAR_ORIGIN), "poses": len(task.data.rows("train")), "seconds": round(time.monotonic() - begun)}
    out = options.out or BUNDLED / OPEN_TEXT_TO_POSE
    save_text_to_pose(out, trained, task.mean, task.std, {**about, "licence": LICENCE})
    if out.parent == BUNDLED:
        write_manifest_entry(out.name, LICENCE, "make train-text-to-pose DATA=DIR")
    return f"{out}: {about['scores']}"


def chosen_preset(options):
    """Returns the preset with what the command line changes in it."""
    preset = PRESETS[options.preset]
    loop = replace(preset.loop, steps=options.steps or preset.loop.steps, lr=options.lr or preset.loop.lr)
    return replace(preset, loop=loop, network=replace(preset.network, representation=options.representation))


if __name__ == "__main__":
    main()
