"""The pose editor's frame against a plain skinned mesh of three.js, in one headless Chromium page at one size, frame by frame in turn.

Our frame holds all of a drag: the pose, the bones, the height above the floor, the dots, the picture with its shadow. three.js's own
examples load characters that its npm package does not hold, so the reference is a tube with as many triangles and bones as our body, in
the room of those examples (editor_page.html). Without a graphics card Chromium draws on the processor, which both sides share.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import os
import shutil
import statistics
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from benchmarks.timing import row
from contrapposto.models.bodies import load_body_model
from contrapposto.models.motion.editor_figure import write_editor_figure

ROOT = Path(__file__).parents[1]
THREE = ROOT / "web_src/node_modules/three/build"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
GOAL = "at most 2x three.js"


def run(rounds=30):
    """One row: milliseconds of a frame of ours and of three.js."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if reason := _missing(chromium):
        return [{"name": "pose editor, one frame", "value": "-", "reference": reason, "ratio": "-", "goal": GOAL, "met": None}]
    with tempfile.TemporaryDirectory() as folder:
        _write_page(Path(folder))
        with _served(folder) as url:
            measured = _measure(chromium, url, rounds)
    ours, theirs = (statistics.median(side) / 1e3 for side in zip(*measured["pairs"]))
    ratio = statistics.median(a / b for a, b in measured["pairs"])
    triangles, joints = measured["triangles"][0], measured["joints"]
    name = f"pose editor, one frame of a drag at 640 x 640, vs a skinned mesh of three.js ({triangles} triangles, {joints} bones)"
    return [row(name, ours, theirs, ratio, GOAL, 2.0)]


def _missing(chromium):
    if importlib.util.find_spec("playwright") is None:
        return "playwright is missing: pip install -e '.[test]'"
    if chromium is None:
        return "no Chromium found: install it or set CHROMIUM to its path"
    if not THREE.is_dir():
        return "three.js is missing: cd web_src && npm install"
    return None


def _write_page(folder):
    page = Path(__file__).with_name("editor_page.html")
    for path in (page, ROOT / "web/js/views3d.mjs", THREE / "three.module.js", THREE / "three.core.js"):
        shutil.copy(path, folder)
    drive = write_editor_figure(folder / "figure.glb", load_body_model(), None)
    (folder / "drive.json").write_text(json.dumps(drive), encoding="utf-8")


@contextmanager
def _served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/editor_page.html"
        server.shutdown()


def _measure(chromium, url, rounds):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 700, "height": 1320})
        page.goto(url)
        page.wait_for_function("() => window.measure", timeout=120_000)
        measured = page.evaluate("rounds => window.measure(rounds)", rounds)
        browser.close()
    return measured
