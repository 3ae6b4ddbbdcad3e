"""Shared fixtures: one torch thread count, fixed seeds, nothing else."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine spinning threads cost up to 30x
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already

import pytest
import torch


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """Of several processes one gets all tests of real hosts and browsers, so that each host runs once; the rest goes by file."""
    for item in items:
        hosted = item.path.parent.name in ("host", "canvas")
        item.add_marker(pytest.mark.xdist_group("hosts" if hosted else str(item.path)))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
