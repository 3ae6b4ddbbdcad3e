"""ComfyUI in a headless browser."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))

import comfy_host

LAUNCH = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
LOAD_SECONDS = 180  # on a busy machine; 5 to 6 on a quiet one


@pytest.fixture(scope="session", params=comfy_host.find_hosts() or [None], ids=lambda host: host and host.version)
def server(request):
    """A running ComfyUI, shared with the tests in tests/host."""
    if reason := comfy_host.usable(request.param):
        pytest.skip(reason)
    return comfy_host.serve(request.param)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium: $CHROMIUM, or the one installed on the machine."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[test]'")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium found: install it (Debian: apt-get install chromium) or set CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=LAUNCH.split())
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, server):
    """ComfyUI's page, loaded, with this pack's nodes known to it; only the local server can be reached."""
    context = browser.new_context(viewport={"width": 1920, "height": 1080})
    page = context.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(server.url) else route.abort())
    page.goto(server.url, timeout=LOAD_SECONDS * 1000)
    page.wait_for_function(
        "() => !!(window.app?.graph && window.LiteGraph?.registered_node_types?.ContrappostoTextToPose)",
        timeout=LOAD_SECONDS * 1000,
    )
    page.wait_for_timeout(1000)  # a first run opens the template browser a moment later
    page.keyboard.press("Escape")
    yield page
    context.close()
