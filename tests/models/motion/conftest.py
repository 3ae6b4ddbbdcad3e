"""The body, some motion, and BVH files made of it with a known answer."""

import sys
from pathlib import Path

import pytest
import torch

from contrapposto.models.bodies import load_body_model
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path


@pytest.fixture(scope="session")
def body():
    return load_body_model()


@pytest.fixture(scope="session")
def motion():
    """40 frames of an invented walk: every joint turns, knees and elbows bend about their own hinges, the pelvis travels and turns."""
    torch.manual_seed(7)
    T = 40
    time = torch.linspace(0, 4 * torch.pi, T)
    joints = torch.zeros(T, 21, 3)
    phase, size = torch.rand(21, 3) * 6.3, torch.rand(21, 3) * 0.15
    joints += size * torch.sin(time[:, None, None] + phase)
    for joint, axis, sign, most in ((4, 0, 1, 1.2), (5, 0, 1, 1.2), (18, 1, -1, 1.4), (19, 1, 1, 1.4)):  # knees and elbows
        joints[:, joint - 1] = 0
        joints[:, joint - 1, axis] = sign * most * (0.6 + 0.4 * torch.sin(time + joint))
    joints[:, 15, 2] -= 0.7  # left and right upper arm down
    joints[:, 16, 2] += 0.7
    root = torch.stack([0.1 * torch.sin(time), 0.5 * torch.cos(time / 4), 0.05 * torch.cos(time)], -1)
    transl = torch.stack([0.3 * torch.sin(time / 4), 1 + 0.03 * torch.sin(2 * time), time / 8], -1)
    return BodyPose(rotvec_to_rotmat(root), rotvec_to_rotmat(joints), transl, frame_index=torch.arange(T), fps=30.0)


@pytest.fixture
def cmu():
    """Paths of motion files that nobody here wrote, by name."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "motion"
    files = {path.stem: path for path in sorted(folder.glob("*.bvh"))}
    if not files:
        pytest.skip(f"no motion files in {folder}")
    return files
