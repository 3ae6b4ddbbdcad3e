"""Bodies made up for the tests: small, random, with real pose blend shapes, and in the layouts of SMPL, SMPL+H and SMPL-X."""

import numpy as np
import pytest
import torch

from contrapposto.models.bodies import PARENTS
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

VERTICES = 300


def skeleton(joints):
    """Parents of SMPL (24), SMPL+H (52) or SMPL-X (55): fingers hang on the wrists in chains of three, jaw and eyes on the head."""
    if joints == 24:
        return list(PARENTS)
    parents = list(PARENTS[:22]) + ([15, 15, 15] if joints == 55 else [])
    for wrist in (20, 21):
        for _ in range(5):
            parents += [wrist, len(parents), len(parents) + 1]
    return parents


def made_up_body(joints=24, betas=10, seed=0):
    """Arrays of a body file in the dtypes that publishers use."""
    rng = np.random.default_rng(seed)
    parents = np.array(skeleton(joints), dtype=np.int64)
    table = np.stack([np.where(parents < 0, 2**32 - 1, parents), np.arange(joints)]).astype(np.uint32)
    return {
        "v_template": rng.normal(0, 0.4, (VERTICES, 3)), "f": rng.integers(0, VERTICES, (500, 3)).astype(np.uint32),
        "shapedirs": rng.normal(0, 0.02, (VERTICES, 3, betas)), "posedirs": rng.normal(0, 0.01, (VERTICES, 3, 9 * (joints - 1))),
        "J_regressor": rng.dirichlet(np.full(VERTICES, 0.05), joints), "weights": rng.dirichlet(np.full(joints, 0.1), VERTICES),
        "kintree_table": table,
    }


def random_pose(rows, seed=0, betas=10, hands=False):
    """Strong random poses: every joint anywhere up to about 60 degrees, the root anywhere."""
    generator = torch.Generator().manual_seed(seed)

    def rotmats(*shape, scale):
        return rotvec_to_rotmat(torch.randn(*shape, 3, generator=generator) * scale)

    return BodyPose(rotmats(rows, scale=1.5), rotmats(rows, 21, scale=0.4), torch.randn(rows, 3, generator=generator),
                    betas=torch.randn(rows, betas, generator=generator) if betas else None,
                    hands=rotmats(rows, 30, scale=0.4) if hands else None)


@pytest.fixture(name="made_up_body")
def _made_up_body():
    return made_up_body


@pytest.fixture(name="random_pose")
def _random_pose():
    return random_pose
