"""A real ComfyUI process per installation found; comfy_host.py says where it looks."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

import comfy_host


@pytest.fixture(scope="session", params=comfy_host.find_hosts() or [None], ids=lambda host: host and host.version)
def host(request):
    """An installation of ComfyUI."""
    if reason := comfy_host.usable(request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def server(host):
    """That installation, running with this pack."""
    return comfy_host.serve(host)
