"""ComfyUI's page in a headless Chromium, cut off from everything but the local server."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import contextmanager

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LAUNCH = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader"
)
READY = "() => !!(window.app?.graph && window.LiteGraph?.registered_node_types?.ContrappostoTextToPose)"
OURS = re.compile(r"contrapposto", re.IGNORECASE)  # our folder, our routes and our nodes all bear the name
CLEAN = """async () => {
    const setting = app.extensionManager.setting;
    for (const [name, value] of [["Comfy.VueNodes.Enabled", false], ["Comfy.ColorPalette", "dark"]])
        if (setting.get(name) !== undefined && setting.get(name) !== value) await setting.set(name, value);
    app.graph.clear();
    app.nodeOutputs = {};
    app.extensionManager.toast?.removeAll?.();
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
}"""
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
def comfy_page(browser, url, before="", **context_options):
    """ComfyUI's page, loaded, with this pack's nodes known to it. ``before`` is a script that runs first."""
    context = browser.new_context(**{"viewport": {"width": 1920, "height": 1080}, **context_options})
    context.add_init_script(before)
    page = context.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(url) else route.abort())
    page.goto(url, timeout=LOAD_SECONDS * 1000)
    page.wait_for_function(READY, timeout=LOAD_SECONDS * 1000)
    page.wait_for_timeout(1000)  # a first run opens the template browser a moment later
    page.keyboard.press("Escape")
    yield page
    context.close()


@contextmanager
def our_errors(page):
    """Gathers what our files throw and write to the console as an error, and requests to our addresses that fail."""
    found = []
    listeners = {
        "pageerror": lambda error: OURS.search(error.stack or str(error)) and found.append(error.stack or str(error)),
        "console": lambda line: line.type == "error" and OURS.search(line.text + line.location.get("url", "")) and found.append(line.text),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        yield found
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)


def clean(page):
    """Brings a used page back to an empty graph in the dark theme on the classic canvas, without messages and open dialogs."""
    page.keyboard.press("Escape")
    page.evaluate(CLEAN)


def load_workflow(page, path):
    """Opens a workflow file on the page."""
    page.evaluate("graph => app.loadGraphData(graph, true, true, 'example')", json.loads(path.read_text()))
    page.wait_for_timeout(500)


def queued_prompt(page):
    """Returns the API-format prompt that the canvas would queue."""
    return page.evaluate("async () => (await app.graphToPrompt()).output")
