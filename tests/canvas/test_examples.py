"""Every example workflow opens in a real browser, runs there, and looks as it should."""

import json
import re
from pathlib import Path

import comfy_page
import pytest

EXAMPLES = Path(__file__).parents[2] / "example_workflows"
WORKFLOWS = sorted(EXAMPLES.glob("*.json"))

BOXES = """() => app.graph._nodes.map(n => {
    n.updateArea?.();
    const [x, y, width, height] = n.boundingRect ?? n.getBounding();
    return {title: n.title, x, y, width, height};
})"""
SHOW_ALL = """() => {
    const boxes = [...app.graph._nodes, ...app.graph._groups].map(n => [...n.pos, ...n.size]);
    const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1])) - 60;
    const right = Math.max(...boxes.map(b => b[0] + b[2])), bottom = Math.max(...boxes.map(b => b[1] + b[3]));
    const {clientWidth, clientHeight} = app.canvas.canvas;
    const scale = Math.min((clientWidth - 140) / (right - left), (clientHeight - 160) / (bottom - top));
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset = [90 / scale - left, 110 / scale - top];
    app.canvas.setDirty(true, true);
}"""
HALVE = """() => app.graph._nodes.filter(n => n.type === 'ContrappostoFrameBody').forEach(
    n => n.widgets.filter(w => ['width', 'height'].includes(w.name)).forEach(w => { w.value /= 2; }))"""
FILMS = ("avatar_dance",)  # run at half their size: what is proved here is the canvas
PICTURES = """() => Object.fromEntries(app.graph._nodes.filter(n => n.imgs?.length).map(
    n => [n.type, n.imgs.every(i => i.complete && i.naturalWidth > 0)]))"""


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return request.param


@pytest.fixture
def opened(page, workflow):
    """The page with the workflow loaded."""
    comfy_page.load_workflow(page, workflow)
    return page


def test_opens_as_drawn_runs_and_shows_its_pictures(opened, server, workflow):
    missing = "() => app.graph._nodes.map(n => n.type).filter(type => !LiteGraph.registered_node_types[type])"
    unknown = opened.evaluate(missing)
    assert not [kind for kind in unknown if kind.startswith("Contrapposto")]
    if unknown:
        pytest.skip(f"opened, but this ComfyUI is older than {', '.join(unknown)}")
    assert opened.locator(".p-toast-message").all_inner_texts() == [], "the frontend complains about the file"
    assert overlaps(opened.evaluate(BOXES)) == []
    assert bare(comfy_page.queued_prompt(opened)) == known_here(server, twin(workflow)), "run tests/canvas/refresh_examples.py"
    if wanted := files_lacking(server, twin(workflow)):
        pytest.skip(f"opened and compared with its twin, but not run: this ComfyUI has no {', '.join(wanted)}")

    if workflow.stem in FILMS:
        opened.evaluate(HALVE)
    done = comfy_page.press_run(opened)
    assert done["end"] == "execution_success", done

    expected = {
        n["class_type"]
        for n in twin(workflow).values()
        if re.search(r"^ContrappostoRender(?!Studio)|^ContrappostoComposeAvatars|^SaveImage|^LoadImage", n["class_type"])
    }
    opened.wait_for_function(f"() => Object.keys(({PICTURES})()).length >= {len(expected)}", timeout=60_000)
    opened.evaluate(SHOW_ALL)
    opened.wait_for_timeout(700)
    opened.screenshot(path=comfy_page.artefact(f"canvas-{workflow.stem}-{server.host.version}.png"))
    shown = opened.evaluate(PICTURES)
    assert all(shown.values()) and expected <= set(shown)
    assert overlaps(opened.evaluate(BOXES)) == [], "a node grew over its neighbour when its picture came"


def twin(workflow):
    return bare(json.loads((EXAMPLES / "api" / workflow.name).read_text()))


def known_here(server, prompt):
    """The prompt without what a newer ComfyUI has added to its own nodes."""
    offered = server.get_json("/object_info")

    def names(node):
        declared = offered[node["class_type"]]["input"]
        return {*declared.get("required", {}), *declared.get("optional", {})}

    def keep(node):
        ours = node["class_type"].startswith("Contrapposto")
        return {name: value for name, value in node["inputs"].items() if ours or "." in name or name in names(node)}

    return {key: node | {"inputs": keep(node)} for key, node in prompt.items()}


def files_lacking(server, prompt):
    """Values that this ComfyUI's lists do not offer: checkpoints, pictures."""
    offered = server.get_json("/object_info")
    lacking = []
    for node in prompt.values():
        declared = offered[node["class_type"]]["input"]
        for name, (kind, *options) in {**declared.get("required", {}), **declared.get("optional", {})}.items():
            choices = kind if isinstance(kind, list) else options[0].get("options") if kind == "COMBO" else None
            value = node["inputs"].get(name)
            if choices is not None and isinstance(value, str) and value not in choices:
                lacking.append(value)
    return lacking


def bare(prompt):
    """An API-format prompt without its titles."""
    return {key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in prompt.items()}


def overlaps(boxes):
    """Pairs of titles whose boxes cover a common area."""
    return [(a["title"], b["title"]) for i, a in enumerate(boxes) for b in boxes[:i] if _meet(a, b)]


def _meet(a, b):
    apart_x = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
    apart_y = a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]
    return not (apart_x or apart_y)
