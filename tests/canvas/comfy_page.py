"""ComfyUI's page in a headless Chromium, cut off from everything but the local server."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

ARTEFACTS = Path(__file__).parents[1] / "artefacts"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LAUNCH = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader"
)
READY = "() => !!(window.app?.graph && window.LiteGraph?.registered_node_types?.ContrappostoTextToPose)"
OURS = re.compile(r"contrapposto", re.IGNORECASE)  # our folder, our routes and our nodes all bear the name
CLEAN = """async () => {
    app.canvas.setGraph?.(app.rootGraph ?? app.graph);
    const {state} = app.graph, {lastNodeId} = state;
    app.graph.clear();
    app.graph.state.lastNodeId = lastNodeId; // Nodes 2.0 keeps values by node number
    app.nodeOutputs = {};
    app.extensionManager.toast?.removeAll?.();
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
}"""
SET = """async ([name, value]) => {
    const setting = app.extensionManager.setting, now = setting.get(name);
    if (now !== undefined && now !== value) await setting.set(name, value); // undefined: an older page does not know it
}"""
LISTEN = """() => {
    window.contrapposto = {done: null};
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
        app.api.addEventListener(end, event => { window.contrapposto.done = {end, detail: event.detail}; }, {once: true});
}"""
RUN_SECONDS = 120
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
    page.set_default_timeout(LOAD_SECONDS * 1000)
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(url) else route.abort())
    page.goto(url, timeout=LOAD_SECONDS * 1000)
    page.wait_for_function(READY, timeout=LOAD_SECONDS * 1000)
    page.wait_for_timeout(1000)  # a first run opens the template browser a moment later
    page.keyboard.press("Escape")
    yield page
    context.close()


def ours(text, url):
    """Whether a line of the console tells of a fault in our files. A refused request (4xx) is an answer, which the page has to show;
    ComfyUI looks for a help page under several names, and older pages ask the registry about every node of a workflow."""
    refused = re.search(r"status of 4\d\d", text) and "/js/" not in url
    return not refused and "api.comfy.org" not in text and OURS.search(text + url)


@contextmanager
def our_errors(page):
    """Gathers what our files throw and write to the console as an error."""
    found = []
    listeners = {
        "pageerror": lambda error: OURS.search(error.stack or str(error)) and found.append(error.stack or str(error)),
        "console": lambda line: line.type == "error" and ours(line.text, line.location.get("url", "")) and found.append(line.text),
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
    set_up(page)
    page.evaluate(SET, ["Comfy.RightSidePanel.IsOpen", False])  # it takes the widgets of a chosen node out of the node
    page.evaluate(CLEAN)


def set_up(page, nodes2=False, theme="dark"):
    """Chooses between the classic canvas and Nodes 2.0, and the theme."""
    page.evaluate(SET, ["Comfy.VueNodes.Enabled", nodes2])
    page.evaluate(SET, ["Comfy.ColorPalette", theme])


def artefact(name):
    """Path of a screenshot that somebody looks at."""
    ARTEFACTS.mkdir(exist_ok=True)
    return ARTEFACTS / name


def load_workflow(page, path):
    """Opens a workflow file on the page."""
    page.evaluate("graph => app.loadGraphData(graph, true, true, 'example')", json.loads(path.read_text()))
    page.wait_for_timeout(500)


def queued_prompt(page):
    """Returns the API-format prompt that the canvas would queue."""
    return page.evaluate("async () => (await app.graphToPrompt()).output")


def press_run(page):
    """Queues what is on the canvas with ComfyUI's own button and returns how it ended."""
    page.evaluate(LISTEN)
    page.get_by_test_id("queue-button").click()
    page.wait_for_function("() => window.contrapposto.done", timeout=RUN_SECONDS * 1000)
    return page.evaluate("() => window.contrapposto.done")
