"""Mass generation: a plan becomes shards of image-mesh pairs, on one process or, through Ray Data, on one actor per GPU.

Every shard is a task of its own. A worker that dies leaves nothing but a temporary file, and its shard is made again; finished shards are
skipped. What is in a shard depends only on the plan, so the ids do not depend on workers, kills or restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ..assets.files import PART
from ..checks import InputError, check_choice, check_range
from ..pose_correction.pairs import ImageMeshPairs
from ..pose_correction.shards import ShardWriter, read_manifest
from .plan import Plan, Sample

WORKERS = ("ray", "local")
DIGITS = 6


class PairMaker(Protocol):
    """Turns samples into pairs; one lives in each worker."""

    batch: int  # samples that are best made together

    def make(self, samples: list[Sample]) -> list[ImageMeshPairs | str]:
        """One entry for each sample: pairs of one row, or why there is none. What a sample gives must not depend on its neighbours."""


@dataclass(frozen=True)
class Tally:
    """What a run did: shards made and skipped, and all pairs and rejects that now lie in the folder."""

    made: int
    skipped: int
    pairs: int
    rejects: int


def generate(plan: Plan, load_maker: Callable[[], PairMaker], folder, shard_size=100, workers="ray", count=None, gpus=0,
             on_shard=None) -> Tally:
    """Makes all shards of a plan that are not finished.

    Args:
        plan: from ``read_plan``.
        load_maker: called once in each worker; for Ray it must be picklable.
        folder: receives ``000000.tar`` with ``000000.json`` and so on.
        shard_size: samples of a shard.
        workers: "ray", or "local" for this process alone.
        count: actors of Ray; None takes one per GPU, or one per two processors where there is none.
        gpus: GPUs of each actor.
        on_shard: called with (shards done, shards of the plan).

    Raises:
        InputError: the folder holds shards of another plan, Ray is missing, or a file cannot be written.
    """
    check_choice("workers", workers, WORKERS)
    folder, tasks = Path(folder), plan.tasks(shard_size)
    _check_folder(folder, plan, shard_size)
    todo = [task for task in tasks if read_manifest(shard_path(folder, task[0])) is None]
    skipped = len(tasks) - len(todo)
    _sweep(folder)
    if todo:
        work = partial(make_shard, folder=folder, about={"plan": plan.hash, "shard_size": shard_size, "recipe": plan.recipe})
        run = _run_local if workers == "local" else partial(_run_ray, count=count, gpus=gpus)
        for i, _ in enumerate(run(todo, load_maker, work), skipped + 1):
            if on_shard:
                on_shard(i, len(tasks))
        _sweep(folder)
    told = [read_manifest(shard_path(folder, number)) for number, _ in tasks]
    if None in told:
        raise InputError("shard", f"{told.index(None):0{DIGITS}}", "was not finished by its worker", "Run the same command again.")
    return Tally(len(todo), skipped, sum(t["count"] for t in told), sum(len(t["rejects"]) for t in told))


def shard_path(folder, number):
    """``FOLDER/000012.tar``."""
    return Path(folder) / f"{number:0{DIGITS}}.tar"


def make_shard(maker: PairMaker, task, folder, about):
    """Makes one shard. Returns its number.

    A sample that cannot be made for a reason of its own is noted as a reject and does not stop the others.
    """
    number, samples = task
    with ShardWriter(shard_path(folder, number), about) as shard:
        for start in range(0, len(samples), maker.batch):
            some = list(samples[start : start + maker.batch])
            for sample, made in zip(some, _make(maker, some)):
                if isinstance(made, str):
                    shard.reject(sample.id, made)
                else:
                    shard.add(made, [sample.id])
    return number


def _make(maker, samples):
    """The maker's results; when a user's mistake spoils a batch, each sample is tried alone."""
    try:
        return maker.make(samples)
    except InputError as error:
        return [str(error)] if len(samples) == 1 else [made for sample in samples for made in _make(maker, [sample])]


def _run_local(todo, load_maker, work):
    maker = load_maker()
    for task in todo:
        yield work(maker, task)


def _run_ray(todo, load_maker, work, count, gpus):
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("workers", "ray", "is not installed",
                         'Install it (pip install "contrapposto[scale]"), or choose --workers local.') from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    count = count or int(ray.cluster_resources().get("GPU", 0) / gpus if gpus else max(1, ray.cluster_resources().get("CPU", 1) // 2))
    check_range("number of workers", count, 1, 10_000)
    tasks = ray.data.from_items([{"place": i} for i in range(len(todo))], override_num_blocks=len(todo))
    # Ray starts an actor anew when its process dies, and gives it its task again
    made = tasks.map_batches(_RayWorker, fn_constructor_args=(todo, load_maker, work), batch_size=1, num_gpus=gpus,
                             compute=ray.data.ActorPoolStrategy(size=min(count, len(todo))))
    for row in made.iter_rows():
        yield int(row["number"])


class _RayWorker:
    """An actor: one maker, one task at a time."""

    def __init__(self, todo, load_maker, work):
        self.todo, self.maker, self.work = todo, load_maker(), work

    def __call__(self, batch):
        import numpy as np

        return {"number": np.array([self.work(self.maker, self.todo[int(place)]) for place in batch["place"]])}


def _check_folder(folder, plan, shard_size):
    """Two plans in one folder would be mixed up by whoever reads it."""
    for told in map(read_manifest, folder.glob("[0-9]*.tar")):
        if told and (told.get("plan") != plan.hash or told.get("shard_size") != shard_size):
            raise InputError("pairs folder", folder, "holds shards of another plan, recipe or shard size",
                             "Choose another folder, or give the plan and the options that it was begun with.")


def _sweep(folder):
    """Removes what killed workers have left."""
    for path in folder.glob(f".[0-9]*{PART}"):
        path.unlink(missing_ok=True)
