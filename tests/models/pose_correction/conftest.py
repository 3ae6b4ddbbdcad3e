"""The bundled body and prior, and held-out poses before cameras."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contrapposto.models.bodies import load_body_model
from contrapposto.models.pose_prior.vposer import load_pose_prior

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

import seen_bodies


@pytest.fixture(scope="session")
def body():
    return load_body_model()


@pytest.fixture(scope="session")
def prior():
    return load_pose_prior()


@pytest.fixture(scope="session")
def held_out():
    """(24, 22, 3) rotvecs: 12 captured and 12 authored poses of text_pose's test split, root without heading."""
    return torch.from_numpy(np.load(Path(__file__).parent / "held_out_poses.npz")["rotvec"]).float()


@pytest.fixture(scope="session")
def views(held_out, body):
    return seen_bodies.see(held_out, body)
