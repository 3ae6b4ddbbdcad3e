"""ComfyUI in a headless browser."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
sys.path.insert(0, str(Path(__file__).parent))

import comfy_host
import comfy_page

HOSTS = comfy_host.find_hosts() or [None]
# a page takes long to load: the newest ComfyUI is seen in every run, the older ones in `make test-slow`
PARAMS = [pytest.param(host, marks=[pytest.mark.slow] if number else [], id=host and host.version) for number, host in enumerate(HOSTS)]


@pytest.fixture(scope="session", params=PARAMS)
def server(request):
    """A running ComfyUI, shared with the tests in tests/host."""
    if reason := comfy_host.usable(request.param):
        pytest.skip(reason)
    return comfy_host.serve(request.param)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[test]'")
    if comfy_page.find_chromium() is None:
        pytest.skip("no Chromium found: install it (Debian: apt-get install chromium) or set CHROMIUM to its path")
    with comfy_page.chromium(sync_api.sync_playwright) as browser:
        yield browser


@pytest.fixture(scope="session")
def shared_page(browser, server):
    """ComfyUI's page; only the local server can be reached from it. It takes longer to load than most tests take to run."""
    with comfy_page.comfy_page(browser, server.url) as page:
        yield page


@pytest.fixture
def page(shared_page):
    """The shared page, emptied. Afterwards no error may have come from our files."""
    comfy_page.clean(shared_page)
    with comfy_page.our_errors(shared_page) as found:
        yield shared_page
    assert found == []
