"""What surrounds our nodes: the template browser, workflows that come back out of a picture, the help page."""

import base64

import comfy_page
import pytest
from comfy_host import PACK, PACK_FOLDER

EXAMPLES = PACK / "example_workflows"
CARDS = "() => [...document.querySelectorAll('[role=dialog] img')].map(i => [i.alt, i.naturalWidth])"
NODES = "() => app.graph._nodes.map(node => node.type)"
DROP = """([name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0)), carried = new DataTransfer();
    carried.items.add(new File([bytes], name, {type}));
    for (const kind of ['dragenter', 'dragover', 'drop'])
        app.canvas.canvas.dispatchEvent(
            new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true, clientX: 1200, clientY: 800}));
}"""
BUILD = """() => {
    const make = (type, x, y) => { const node = LiteGraph.createNode(type); node.pos = [x, y]; app.graph.add(node); return node; };
    const link = (from, out, to, name) => from.connect(out, to, to.inputs.findIndex(i => i.name === name));
    const editor = window.editorNode = make('ContrappostoEditPose', 300, 120), frame = make('ContrappostoFrameBody', 760, 120);
    const render = make('ContrappostoRenderGrayBody', 1100, 120), save = make('SaveImage', 1500, 120);
    link(editor, 0, frame, 'figure');
    link(editor, 0, render, 'figure');
    link(frame, 0, render, 'camera');
    link(render, 0, save, 'images');
    for (const [name, value] of [['width', 128], ['height', 128]]) frame.widgets.find(w => w.name === name).value = value;
    editor.widgets.find(w => w.name === 'edits').value = '{"joints":{"left_elbow":[0,-1.4,0.3]}}';
}"""


@pytest.fixture
def templates(page):
    """The template browser, open at our pack."""
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_role("dialog").get_by_text(PACK_FOLDER).first.click()
    page.wait_for_function(f"ours => {{ const cards = ({CARDS})(); return cards.length && cards.every(([name]) => ours.includes(name)); }}",
                           arg=[path.stem for path in EXAMPLES.glob("*.json")])
    return page


def test_the_template_browser_shows_our_workflows_and_opens_one(templates, server):
    page = templates
    wanted = {path.stem for path in EXAMPLES.glob("*.json")}
    assert set(server.get_json("/workflow_templates")[PACK_FOLDER]) == wanted and "index" not in wanted
    seen = set()
    for step in range(80):  # it draws more cards as somebody scrolls; on a busy machine a row is only seen on the way back
        page.wait_for_function(f"() => {{ const cards = ({CARDS})(); return cards.length && cards.every(([, width]) => width > 100); }}")
        seen |= {name for name, width in page.evaluate(CARDS) if width > 100}
        if seen >= wanted:
            break
        page.mouse.move(1100, 700)
        page.mouse.wheel(0, 200 if step < 40 else -200)
        page.wait_for_timeout(150)
    assert seen == wanted
    page.screenshot(path=comfy_page.artefact("templates.png"))
    page.get_by_role("dialog").locator("img[alt]:visible").last.click()  # the one with the name may have been scrolled away again
    page.wait_for_function(f"() => ({NODES})().some(type => type.startsWith('Contrapposto'))", timeout=30_000)


def test_a_saved_picture_brings_its_workflow_back(page, server):
    page.evaluate(BUILD)
    assert comfy_page.press_run(page)["end"] == "execution_success"
    before = comfy_page.queued_prompt(page)
    picture = sorted((server.base / "output").glob("ComfyUI_*.png"))[-1]
    comfy_page.clean(page)
    page.evaluate(DROP, [picture.name, "image/png", base64.b64encode(picture.read_bytes()).decode()])
    page.wait_for_function(f"() => ({NODES})().includes('ContrappostoEditPose')")
    page.wait_for_timeout(300)
    assert sorted(n["class_type"] for n in before.values()) == sorted(page.evaluate(NODES))
    edits = page.evaluate("() => app.graph._nodes.find(n => n.type === 'ContrappostoEditPose').widgets[0].value")
    assert edits == '{"joints":{"left_elbow":[0,-1.4,0.3]}}'


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_the_help_of_a_node_is_our_page(page, nodes2):
    comfy_page.set_up(page, nodes2=nodes2)
    page.evaluate("""() => { const node = LiteGraph.createNode('ContrappostoPreviewMotion'); node.pos = [600, 300]; app.graph.add(node);
                             app.canvas.select?.(node) ?? app.canvas.selectNode(node); app.canvas.setDirty(true, true); }""")
    said = page.get_by_text("the arrow keys step, Space plays and pauses").first  # on our page and nowhere else
    page.get_by_test_id("info-button").click()
    page.wait_for_timeout(1500)
    if not said.is_visible():  # the panel was still open from another test, and 0.3.76 closes it then
        page.get_by_test_id("info-button").click()
    said.wait_for()
    page.wait_for_timeout(300)
    page.screenshot(path=comfy_page.artefact(f"help-{'nodes2' if nodes2 else 'classic'}.png"))


def test_a_help_page_shows_its_picture(page):
    page.evaluate("""() => { const node = LiteGraph.createNode('ContrappostoRenderAvatar'); node.pos = [600, 300]; app.graph.add(node);
                             app.canvas.select?.(node) ?? app.canvas.selectNode(node); app.canvas.setDirty(true, true); }""")
    page.get_by_test_id("info-button").click()
    page.wait_for_function("() => [...document.querySelectorAll('img[src*=ContrappostoRenderAvatar]')].some(i => i.naturalWidth > 100)",
                           timeout=20_000)
    page.screenshot(path=comfy_page.artefact("help-picture.png"))
