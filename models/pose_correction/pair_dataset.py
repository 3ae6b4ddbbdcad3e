"""Image-mesh pairs for training: a PyTorch dataset over shards."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..checks import check_range
from .shards import finished_shards, read_shard


class PairDataset(IterableDataset):
    """Every pair of some shards, once per epoch. Shards are shared out among processes and DataLoader workers.

    Example::

        loader = DataLoader(PairDataset("pairs", shuffle=512, transform=to_crop), batch_size=64, num_workers=4)

    Args:
        source: a folder, of which the finished shards are read, or a list of tars.
        shuffle: pairs that are held back and drawn from at random; 0 keeps the order of the shards.
        seed: of the shuffling; every epoch gives another order.
        transform: StoredPair -> what the dataset yields; DataLoader's own collation needs dicts of tensors.

    Raises:
        InputError: a folder without a finished shard.
    """

    def __init__(self, source, shuffle=0, seed=0, transform=None):
        check_range("shuffle", shuffle, 0, 1 << 20, "pairs")
        self.paths = [Path(path) for path in source] if isinstance(source, (list, tuple)) else finished_shards(source)
        self.shuffle, self.seed, self.transform, self.epoch = shuffle, seed, transform, 0

    def set_epoch(self, epoch):
        """Chooses the order of the next pass, so that a resumed training goes on where it was."""
        self.epoch = epoch

    def __iter__(self):
        dice = random.Random(f"{self.seed} {self.epoch}")  # the same on all processes, so that no shard is read twice
        paths = list(self.paths)
        if self.shuffle:
            dice.shuffle(paths)
        place, places = _place()
        pairs = (pair for path in paths[place::places] for pair in read_shard(path))
        for pair in self._mixed(pairs, dice) if self.shuffle else pairs:
            yield self.transform(pair) if self.transform else pair

    def _mixed(self, pairs, dice):
        held = []
        for pair in pairs:
            held.append(pair)
            if len(held) > self.shuffle:
                yield held.pop(dice.randrange(len(held)))
        dice.shuffle(held)
        yield from held


def _place():
    """(number of this reader, number of readers) over all processes and their workers."""
    worker, distributed = get_worker_info(), torch.distributed
    together = distributed.is_available() and distributed.is_initialized()
    rank, ranks = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
    number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
    return rank * workers + number, ranks * workers
