"""Shared fixtures: one torch thread count, fixed seeds, nothing else."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine spinning threads cost up to 30x

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
