"""Each blueprint is taken out of the node library, wired to tiny models, and run: one node does the whole job."""

from pathlib import Path

import comfy_page
import pytest

pytestmark = pytest.mark.slow

ARTEFACTS = Path(__file__).parents[1] / "artefacts"
PATIENCE = 120_000  # milliseconds
ADD = """([type, widgets, x, y]) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    app.graph.add(node);
    for (const [name, value] of Object.entries(widgets)) node.widgets.find(w => w.name === name).value = value;
    return String(node.id);
}"""
CONNECT = """([from, output, to, input]) => {
    const find = id => app.graph._nodes.find(node => String(node.id) === id);
    const place = (slots, name) => { const at = slots.findIndex(s => s.name === name); if (at < 0) throw Error(name); return at; };
    find(from).connect(place(find(from).outputs, output), find(to), place(find(to).inputs, input));
}"""
PLACED = """name => { const node = app.graph._nodes.find(n => n.title === name && n.isSubgraphNode?.());
    if (!node) return null;
    node.pos = [760, 80];
    return {id: String(node.id), inputs: node.inputs.filter(i => !i.widget).map(i => [i.name, i.type]),
        widgets: node.widgets.map(w => w.name), outputs: node.outputs.map(o => [o.name, o.type])}; }"""
SET = """([id, values]) => { const node = app.graph._nodes.find(n => String(n.id) === id);
    for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value; }"""
LISTEN = """() => { window.contrapposto = {done: null};
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
        app.api.addEventListener(end, event => { window.contrapposto.done = {end, detail: event.detail}; }); }"""
SHOWN = "() => app.graph._nodes.filter(n => n.type === 'PreviewImage').map(n => n.imgs?.every(i => i.naturalWidth > 0) ? n.imgs.length : 0)"


class Canvas:
    """Nodes added and wired by their names on ComfyUI's page."""

    def __init__(self, page):
        self.page, self.rows = page, 0

    def add(self, kind, **widgets):
        self.rows += 1
        return self.page.evaluate(ADD, [kind, widgets, 60 + 340 * (self.rows % 2), 80 + 190 * (self.rows // 2)])

    def connect(self, source, output, target, given):
        self.page.evaluate(CONNECT, [source, output, target, given])

    def models(self, node, in_channels):
        """Tiny MODEL, CLIP and VAE into a blueprint's sockets."""
        model, clip = self.add("TinyModel", in_channels=in_channels), self.add("TinyClip")
        self.connect(model, "MODEL", node, "model")
        self.connect(model, "VAE", node, "vae")
        self.connect(clip, "CLIP", node, "clip")

    def poses(self, count):
        network, poses = self.add("ContrappostoLoadTextToPose"), self.add("ContrappostoTextToPose", count=count, steps=2)
        self.connect(network, "text_to_pose", poses, "text_to_pose")
        return poses


def wire_scene(canvas, node):
    canvas.models(node, 9)


def wire_dance(canvas, node):
    canvas.models(node, 9)
    motion = canvas.add("ContrappostoEditMotion", between=0.2, fps=24)
    canvas.connect(canvas.poses(2), "body_pose", motion, "body_pose")
    canvas.connect(motion, "body_pose", node, "motion")
    for name in ("pose_control_net", "previous_frame_control_net"):
        canvas.connect(canvas.add("TinyControlNet"), "CONTROL_NET", node, name)


def wire_correction(canvas, node):
    canvas.models(node, 4)
    poses, frame = canvas.poses(1), canvas.add("ContrappostoFrameBody", width=128, height=128)
    picture = canvas.add("ContrappostoRenderPoseMap")
    canvas.connect(poses, "body_pose", frame, "figure")
    canvas.connect(poses, "body_pose", picture, "figure")
    canvas.connect(frame, "camera", picture, "camera")
    canvas.connect(picture, "image", node, "image")
    canvas.connect(picture, "pose_keypoint", node, "pose_keypoint")
    canvas.connect(canvas.add("TinyControlNet"), "CONTROL_NET", node, "depth_control_net")


SMALL = {"width": 64, "height": 64, "steps": 2}
BLUEPRINTS = {
    "Avatar in a Scene (PAS)": (wire_scene, SMALL, "image", 1),
    "Dancing Avatar": (wire_dance, SMALL | {"frames": 3}, "images", 3),
    "Correct Picture (Diffusion-HPC)": (wire_correction, {"steps": 4, "threshold": 0}, "image", 1),
}


@pytest.fixture(scope="module")
def page(browser, server):
    """One page for all blueprints: it takes longer to load than they take to run."""
    with comfy_page.comfy_page(browser, server.url) as page:
        page.evaluate(LISTEN)
        yield page


def take_from_library(page, name):
    """Opens the node library, finds the blueprint, clicks it, and puts it onto the canvas."""
    page.evaluate("() => { app.graph.clear(); app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0]; window.contrapposto.done = null; }")
    search = page.get_by_placeholder("Search").first
    if not search.is_visible():
        page.keyboard.press("n")
    search.fill(name)
    page.get_by_text(name, exact=True).first.click()
    page.wait_for_timeout(500)
    if not page.evaluate(PLACED, name):  # newer pages let the node follow the mouse to where it shall be
        page.mouse.move(1300, 300)
        page.mouse.click(1300, 300)
    page.wait_for_function(PLACED, arg=name, timeout=PATIENCE)
    return page.evaluate(PLACED, name)


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_one_node_from_the_library_does_the_job(page, server, name):
    wire, values, output, pictures = BLUEPRINTS[name]
    placed = take_from_library(page, name)
    canvas = Canvas(page)
    wire(canvas, placed["id"])
    page.evaluate(SET, [placed["id"], values])
    canvas.connect(placed["id"], output, page.evaluate(ADD, ["PreviewImage", {}, 1300, 80]), "images")
    assert {name for name, _ in values.items()} <= set(placed["widgets"])

    page.get_by_test_id("queue-button").click()
    page.wait_for_function("() => window.contrapposto.done", timeout=PATIENCE)
    done = page.evaluate("() => window.contrapposto.done")
    assert done["end"] == "execution_success", done
    page.wait_for_function(f"() => ({SHOWN})()[0] === {pictures}", timeout=PATIENCE)
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"blueprint-{name.split(' (')[0]}-{server.host.version}.png")
