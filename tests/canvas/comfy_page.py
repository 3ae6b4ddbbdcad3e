"""ComfyUI's page in a headless Chromium, cut off from everything but the local server."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LAUNCH = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader"
)
READY = "() => !!(window.app?.graph && window.LiteGraph?.registered_node_types?.ContrappostoTextToPose)"
LOAD_SECONDS = 180  # on a busy machine; 5 to 6 on a quiet one


def find_chromium():
    """Returns $CHROMIUM, or the Chromium installed on this machine, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@contextmanager
def chromium(sync_playwright):
    """A headless browser, given playwright's ``sync_playwright``."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=LAUNCH.split())
        yield browser
        browser.close()


@contextmanager
def comfy_page(browser, url):
    """ComfyUI's page, loaded, with this pack's nodes known to it."""
    context = browser.new_context(viewport={"width": 1920, "height": 1080})
    page = context.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(url) else route.abort())
    page.goto(url, timeout=LOAD_SECONDS * 1000)
    page.wait_for_function(READY, timeout=LOAD_SECONDS * 1000)
    page.wait_for_timeout(1000)  # a first run opens the template browser a moment later
    page.keyboard.press("Escape")
    yield page
    context.close()


def load_workflow(page, path):
    """Opens a workflow file on the page."""
    page.evaluate("graph => app.loadGraphData(graph, true, true, 'example')", json.loads(path.read_text()))
    page.wait_for_timeout(500)


def queued_prompt(page):
    """Returns the API-format prompt that the canvas would queue."""
    return page.evaluate("async () => (await app.graphToPrompt()).output")
