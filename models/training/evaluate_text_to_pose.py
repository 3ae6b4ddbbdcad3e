"""The scoreboard of text to pose: what PAS reports (section 4.1), what it lacks, and always the baselines beside it.

    python -m contrapposto evaluate text-to-pose --data DIR [--split test] [--weights FILE] [--out DIR]

Every score is a function of fixed seeds, so the same weights give the same numbers. R-precision and ranking use the bundled scorer, which
was trained on the train split of the same data: it judges sentences like those, and knows free language less well than the probes do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..assets.files import file_sha256
from ..assets.registry import OPEN_TEXT_TO_POSE, bundled
from ..bodies.body import load_body_model, place_on_floor
from ..bodies.joints import mirror_pose
from ..bodies.plausibility import LIMITS, implausibility, is_plausible
from ..bodies.posture import Posture, measure_posture
from ..bodies.repair import repair
from ..checks import InputError, check_choice
from ..metrics.frechet import MIN_ROWS, frechet_distance, frechet_pose_distance
from ..metrics.poses import multimodality, pose_distance, pose_features, pose_points, side_contrast, side_score
from ..metrics.probes import PROBES, load_probes, passes
from ..metrics.r_precision import r_precision
from ..pose_prior.vposer import load_pose_prior
from ..text_to_pose import load_text_to_pose
from ..text_to_pose.prompts import mirror_words
from ..text_to_pose.ranking import OPEN_POSE_SCORER, load_pose_scorer, rank_poses
from ..types import BodyPose
from .baselines import RandomPoses, Real, Retrieval, Sampled, captions_of, data_poses
from .datasets.captions import CaptionedPoses, with_actions
from .datasets.text_pose import SPLITS, UNCLEAR_ORIGIN, load_text_pose
from .loop import source_commit
from .scoreboard import goals
from .side_by_side import gray_picture, write_side_by_side

SCENES = ("in front of the Swiss Alps", "at the beach")
_MIN_CONTRAST = 2.0  # a sentence whose poses differ less from their mirror images than this says nothing about sides
_CHUNK = 512
_PICTURE = 224  # pixels, what CLIPs look at


@dataclass(frozen=True)
class Size:
    """How much is sampled.

    Args:
        captions: test captions of each part, for the Frechet distances and R-precision.
        candidates: poses per probe.
        varied: captions whose candidates' spread is measured.
        sided: mirrored caption pairs.
        scenes: sentences to which scenes are added.
        pool: training captions that retrieval searches.
        seed: of everything.
    """

    captions: int = 1000
    candidates: int = 5
    varied: int = 100
    sided: int = 300
    scenes: int = 200
    pool: int = 12000
    seed: int = 0


@dataclass(frozen=True)
class Judges:
    """What scores poses: the prior whose space FPD is measured in, the scorer, the body for plausibility, and a CLIP or None.

    The CLIP is a ports.ImageTextSimilarity.
    """

    prior: object
    scorer: object
    body: object
    clip: object = None


@dataclass(frozen=True)
class Bench:
    """Everything that is read once.

    Args:
        data: TextPoseData.
        judges: what scores.
        systems: {name: system} that answer free sentences; "real" answers only captions.
        about: what the numbers belong to.
    """

    data: object
    judges: Judges
    systems: dict
    about: dict


def open_bench(data_dir, weights=None, size=None, device="cpu", clip=None) -> Bench:
    """Reads data, model, baselines and judges.

    Args:
        data_dir: text_pose folder.
        weights: text-to-pose file; None takes the bundled one.
        size: Size, None for the full one.
        device: where the model samples.
        clip: ports.ImageTextSimilarity for CLIPSIM, or None.

    Raises:
        InputError: a file is missing or damaged.
    """
    size = size or Size()
    model, data = load_text_to_pose(weights, device), load_text_pose(data_dir, UNCLEAR_ORIGIN)
    judges, body = Judges(load_pose_prior(device="cpu"), load_pose_scorer(), load_body_model(), clip), load_body_model(device=device)
    searched, actions, _ = with_actions(data, data_dir)  # retrieval has read what the model has read
    retrieval = Retrieval(searched, data_dir, model.encoder, size.pool, size.seed, actions)
    systems = {"real": Real(data), "model": Sampled(model, body), "retrieval, one": retrieval.one, "retrieval, varied": retrieval.varied,
               "random": RandomPoses(data), "unconditional": Sampled(model, body, 0.0)}
    about = {**provenance(weights, judges), "data": Path(data_dir).name, "excluded": ", ".join(UNCLEAR_ORIGIN), "size": asdict(size)}
    return Bench(data, judges, systems, about)


def evaluate(bench: Bench, split="test", size=None, on_stage=None) -> dict:
    """Scores a model and the baselines.

    Args:
        split: "train", "val" or "test".
        size: Size, None for the full one.
        on_stage: called with (stage, done, total).

    Returns:
        The report: plain JSON values, see ``scoreboard.py`` for its use.

    Raises:
        InputError: there are too few captions.
    """
    size, tell, systems = size or Size(), on_stage or (lambda *_: None), bench.systems
    check_size(split, size)
    report = {"provenance": {**bench.about, "split": split}, "captions": {}, "probes": {}}
    for part, kind in (("authored", "combo"), ("captured", "clip")):
        asked = {name: system for name, system in systems.items() if name != "retrieval, varied"}
        report["captions"][part] = score_captions(asked, bench.data, split, kind, bench.judges, size, tell)
    tell("sides", 0, 1)
    sided = {name: systems[name] for name in ("real", "model", "retrieval, one", "random")}
    report["sides"] = score_sides(sided, bench.data, split, size)
    free = {name: system for name, system in systems.items() if name != "real"}
    for done, (name, system) in enumerate(free.items()):
        tell("probes", done, len(free))
        report["probes"][name] = score_probes(system, bench.judges, size)
    tell("scenes", 0, 1)
    report["scenes"] = score_scenes(systems["model"], bench.data, split, size)
    report["goals"] = goals(report)
    return report


def check_size(split, size):
    """Refuses before any work what cannot give an honest number."""
    check_choice("--split", split, SPLITS)
    if size.captions < MIN_ROWS:
        raise InputError("--captions", size.captions, "are too few for a Frechet distance", f"Take at least {MIN_ROWS}.")


def preference_pairs(path, bench: Bench, count, seed=0, on_stage=None):
    """Writes the blind test of the model against the nearest caption's pose, on probe sentences; returns the path."""
    chosen = torch.randperm(len(load_probes()), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    texts = [load_probes()[i].text for i in chosen]
    asked = [CaptionedPoses(text, torch.empty(0, dtype=torch.int64)) for text in texts]
    shown = {name: bench.systems[name](asked, 1, seed + 50_000).to("cpu") for name in ("model", "retrieval, one")}
    drawn = on_stage and (lambda i, n: on_stage("drawing", i, n))
    return write_side_by_side(path, texts, shown, bench.judges.body, seed=seed, on_row=drawn)


def provenance(weights, judges):
    """The files behind the numbers, by checksum."""
    files = {"weights": Path(weights) if weights else bundled(OPEN_TEXT_TO_POSE), "scorer": bundled(OPEN_POSE_SCORER), "probes": PROBES}
    return {**{name: f"{path.name} {file_sha256(path)[:12]}" for name, path in files.items()},
            "prior": f"{judges.prior.version} {judges.prior.sha256[:12]}", "commit": source_commit(), "plausibility limits": LIMITS}


def score_captions(systems, data, split, kind, judges, size, tell=lambda *_: None):
    """Frechet distances, R-precision, multimodality and plausibility of every system on one kind of caption."""
    asked, reference = paired_captions(data, split, kind, size)
    unique = captions_of(data, split, kind, size.captions, size.seed)
    unique = asked if [c.text for c in unique] == [c.text for c in asked] else unique
    truth, scores = data_poses(data, reference), {}
    for done, (name, system) in enumerate(systems.items()):
        tell(kind, done, len(systems))
        poses = system(asked, 1, size.seed)
        several = 2 if name == "real" else size.candidates  # a caption has two to four poses of its own
        spread = [c for c in unique if len(c.rows) >= several] if name == "real" else unique
        spread = spread[: size.varied]
        candidates = system(spread, several, size.seed + 10_000)
        scores[name] = {
            "n": len(asked), "fpd_prior": frechet_pose_distance(judges.prior, poses.body_pose.cpu(), truth.body_pose),
            "fpd_joints": frechet_distance(pose_features(poses).cpu(), pose_features(truth)),
            **precision(judges.scorer, poses if asked is unique else system(unique, 1, size.seed + 20_000), unique),
            "multimodality_m": multimodality(pose_points(candidates).unflatten(0, (len(spread), several))),
            **implausible_share(poses, judges.body)}
    return scores


def paired_captions(data, split, kind, size):
    """Captions to ask and (M,) rows of other real poses of the same kind to compare with; few sentences are asked once for each pose."""
    entries = captions_of(data, split, kind, 2 * size.captions, size.seed)
    if len(entries) < 2 * size.captions:
        entries = captions_of(data, split, kind, 2 * size.captions, size.seed, one_per_text=False)
    half = len(entries) // 2
    if half < MIN_ROWS:
        raise InputError(f"{kind} captions", half, "are too few for a Frechet distance", "Use the whole text_pose folder.")
    return entries[:half], torch.cat([entry.rows[:1] for entry in entries[half:]])


def precision(scorer, poses, captions):
    """R-precision of one pose per caption, all sentences different; pools that they cannot fill are left out."""
    if len(captions) < 32:
        return {}
    embeds, texts, found = scorer.embed_poses(poses), scorer.embed_texts([caption.text for caption in captions]), {}
    for pool in (32, 256):
        if len(captions) >= pool:
            found.update({f"r{top}_of_{pool}": share for top, share in r_precision(embeds, texts, pool, repeats=10).items()})
    return found


def implausible_share(poses: BodyPose, body):
    """Share of implausible poses, each standing on its lowest point, and which measure it was."""
    measures = [implausibility(place_on_floor(body, part), body) for part in in_chunks(poses.to("cpu"))]
    bad = torch.cat([~is_plausible(measure) for measure in measures]).float().mean().item()
    over = {f"{name}_over": torch.cat([getattr(m, name) > LIMITS[name] for m in measures]).float().mean().item()
            for name in ("joint_excess", "self_overlap")}
    return {"implausible": bad, **over}


def in_chunks(poses, size=_CHUNK):
    return (poses[start : start + size] for start in range(0, len(poses), size))


def score_sides(systems, data, split, size):
    """Left and right on mirrored caption pairs: a sentence and its twin must each give a pose of the right side."""
    entries = captions_of(data, split, "combo", len(data.captions), size.seed)
    entries = [c for c in entries if mirror_words(c.text) != c.text and len(c.rows) > 1][: 4 * size.sided]
    entries = [c for c in entries if side_contrast(pose_points(data_poses(data, c.rows), 30)) > _MIN_CONTRAST][: size.sided]
    scores = {}
    for name, system in systems.items():
        right = []
        for mirrored in (False, True):
            asked = [CaptionedPoses(mirror_words(c.text) if mirrored else c.text, c.rows[:1], mirrored) for c in entries]
            poses = pose_points(system(asked, 1, size.seed + 30_000), 30).cpu()
            for caption, points in zip(entries, poses):
                known = data_poses(data, caption.rows[1:])
                right.append(side_score(points[None], pose_points(mirror_pose(known) if mirrored else known, 30)) > 0)
        scores[name] = {"pairs": len(entries), "right": torch.cat(right).float().mean().item()}
    return scores


def score_probes(system, judges, size):
    """Probe sentences: a single sample (the mean over all candidates), any of them, the one ranked first; each family apart; and the
    same samples repaired, as the nodes and commands give them."""
    probes = load_probes()
    asked = [CaptionedPoses(probe.text, torch.empty(0, dtype=torch.int64)) for probe in probes]
    poses = system(asked, size.candidates, size.seed + 40_000).to("cpu")
    met = probe_table(probes, poses)
    order, _ = rank_poses(judges.scorer, [probe.text for probe in probes], poses, judges.body)
    table = {"single": met.mean(1), "any": met.amax(1), "ranked": met.gather(1, order[:, :1])[:, 0]}
    families = {family: torch.tensor([probe.family == family for probe in probes]) for family in dict.fromkeys(p.family for p in probes)}
    summed = {name: values.mean().item() for name, values in table.items()}
    if judges.clip is not None:
        summed["clipsim"] = clipsim([probe.text for probe in probes], poses[:: size.candidates], judges)
    repaired = repair(poses, judges.body)[0]
    return {"n": len(probes), **summed, **implausible_share(poses, judges.body),
            "repaired": {"single": probe_table(probes, repaired).mean().item(), **implausible_share(repaired, judges.body)},
            "families": {family: {"n": int(rows.sum()), **{name: values[rows].mean().item() for name, values in table.items()}}
                         for family, rows in families.items()}}


def clipsim(texts, poses, judges):
    """CLIPSIM of PAS (section 4.1): the mean cosine between sentences and pictures of their poses' gray bodies, one pose each."""
    found = [judges.clip.similarity(gray_picture(judges.body, poses[i], _PICTURE)[None], [text]) for i, text in enumerate(texts)]
    return torch.cat(found).mean().item()


def probe_table(probes, poses):
    """(probes, candidates) 1 where a candidate meets its probe's conditions."""
    shown, mirrored = measure_posture(poses), measure_posture(mirror_pose(poses))
    count, rows = len(poses) // len(probes), []
    for i, probe in enumerate(probes):
        own = slice(i * count, (i + 1) * count)
        rows.append(passes(probe, *(Posture(p.points[own], p.rotmats[own]) for p in (shown, mirrored))))
    return torch.stack(rows).float()


def score_scenes(system, data, split, size):
    """How far joints move when words about the place are added, at the same seed: metres."""
    more = captions_of(data, split, "combo", size.scenes, size.seed)
    texts = [*(probe.text for probe in load_probes()), *(caption.text.rstrip(".") for caption in more)][: size.scenes]
    nowhere = torch.empty(0, dtype=torch.int64)
    plain = system([CaptionedPoses(text, nowhere) for text in texts], 1, size.seed)
    moved = {}
    for scene in SCENES:
        there = system([CaptionedPoses(f"{text} {scene}", nowhere) for text in texts], 1, size.seed)
        change = pose_distance(plain, there)
        moved[scene] = {"n": len(texts), "median_m": change.median().item(), "p90_m": change.quantile(0.9).item()}
    return moved
