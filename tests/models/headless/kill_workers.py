"""Kills workers at random moments: run by test_generate.py in a process of its own, which loads torch once and forks the workers.

Arguments: plan, folder, number of kills, seed. Prints "killed N" with the number of workers that died at work.
"""

import os
import random
import signal
import sys
import time

import torch

from contrapposto.models.headless.generate import generate
from contrapposto.models.headless.plan import read_plan
from contrapposto.models.pose_correction.pairs import ImageMeshPairs
from contrapposto.models.types import BodyPose, Camera, Keypoints

SIDE, SHARD = 32, 4


class FakeMaker:
    """Pairs that depend on their sample alone, and take a moment."""

    batch = 2

    def make(self, samples):
        time.sleep(0.01)
        return [self.pair(sample) if sample.seed % 7 else "a multiple of seven" for sample in samples]

    def pair(self, sample):
        generator = torch.Generator().manual_seed(sample.seed)
        one = torch.ones(1)
        camera = Camera(one, one, one, one, torch.eye(3)[None], torch.zeros(1, 3), SIDE, SIDE)
        points = torch.rand(1, 24, 3, generator=generator)
        keypoints = Keypoints(points[:, :18, :2], torch.ones(1, 18), "openpose18", SIDE, SIDE)
        image, mask = torch.rand(1, SIDE, SIDE, 3, generator=generator), torch.zeros(1, SIDE, SIDE)
        about = ({"prompt": sample.prompt},)
        return ImageMeshPairs(image, mask, BodyPose.rest(), camera, points, points[..., :2], keypoints, points[:, :18], None, None, about)


def run(plan, folder):
    return generate(read_plan(plan), FakeMaker, folder, SHARD, "local")


def main(plan, folder, kills, seed):
    torch.set_num_threads(1)
    dice, killed = random.Random(int(seed)), 0
    while killed < int(kills):
        worker = os.fork()
        if worker == 0:
            run(plan, folder)
            os._exit(0)
        time.sleep(dice.uniform(0.0, 0.12))
        os.kill(worker, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(worker, 0)[1])
    run(plan, folder)
    print(f"killed {killed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
