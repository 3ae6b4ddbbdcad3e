"""Our nodes on the classic canvas and in Nodes 2.0, in both themes: they draw, they react, they come back after an undo."""

import io
import json

import comfy_page
import editor_page
import numpy as np
import pytest
from PIL import Image

COUNT = 3
BUILD = """count => {
    const make = (type, x, y) => { const node = LiteGraph.createNode(type); node.pos = [x, y]; app.graph.add(node); return node; };
    const link = (from, to, name) => from.connect(0, to, to.inputs.findIndex(i => i.name === name));
    const prior = make('ContrappostoLoadPosePrior', 100, 120), decode = make('ContrappostoDecodeVPoser', 100, 320);
    const editor = make('ContrappostoEditPose', 480, 120), gallery = make('ContrappostoChoosePose', 940, 120);
    const player = make('ContrappostoPreviewMotion', 1400, 120);
    link(prior, decode, 'pose_prior');
    for (const node of [editor, gallery, player]) link(decode, node, 'body_pose');
    for (const [name, value] of [['count', count], ['seed', 4], ['control_after_generate', 'fixed']]) {
        const widget = decode.widgets.find(w => w.name === name);
        if (widget) widget.value = value;
    }
    app.canvas.setDirty(true, true);
}"""
NAME = """() => {
    const find = type => app.graph._nodes.find(node => node.type === type);
    Object.assign(window, {editorNode: find('ContrappostoEditPose'), galleryNode: find('ContrappostoChoosePose'),
                           playerNode: find('ContrappostoPreviewMotion')});
}"""
PLAYER = "playerNode.widgets.find(w => w.name === 'player').element.player"


KINDS = [("classic", "dark"), ("nodes2", "light"), ("nodes2", "dark"), ("classic", "light")]


# both canvases and both themes in every run, their other pairs in `make test-slow`
@pytest.fixture(params=[pytest.param(kind, marks=[pytest.mark.slow] if i > 1 else [], id="-".join(kind)) for i, kind in enumerate(KINDS)])
def canvas(request, page, server):
    """The page with our three live nodes on it, run once."""
    kind, theme = request.param
    comfy_page.set_up(page, nodes2=kind == "nodes2", theme=theme)
    page.evaluate(BUILD, COUNT)
    page.evaluate(NAME)
    editor_page.ready(page)
    done = comfy_page.press_run(page)
    assert done["end"] == "execution_success", done
    page.wait_for_function(f"() => {PLAYER}?.frames === {COUNT}")
    page.wait_for_timeout(600)
    page.screenshot(path=comfy_page.artefact(f"nodes-{kind}-{theme}-{server.host.version}.png"))
    return page


def clay(page, view):
    """The share of a 3D view that has the colour of the gray body; an empty studio has none."""
    picture = page.evaluate_handle(f"() => {view}.view.canvas").as_element().screenshot()
    red, _, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=float), 2, 0)
    return ((red > 80) & (red > blue + 15)).mean()


def test_they_draw_and_react(canvas):
    page = canvas
    stages = page.locator(".cp-stage:visible")
    assert stages.count() == 2, "the editor and the player"
    assert clay(page, editor_page.EDITOR) > 0.03 and clay(page, PLAYER) > 0.03
    assert page.locator(".cp-count:visible", has_text=f"candidate 1 of {COUNT}").count() == 1

    scale = page.evaluate("() => app.canvas.ds.scale")
    distance = f"() => {editor_page.EDITOR}.view.camera.position.length()"
    far = page.evaluate(distance)
    editor_page.drag(page, "left_wrist", 30, -60)
    page.mouse.wheel(0, -240)
    page.wait_for_timeout(100)
    assert page.evaluate(distance) < far and page.evaluate("() => app.canvas.ds.scale") == scale, "the wheel is the view's"
    edits = page.evaluate(editor_page.VALUE)
    assert "left_shoulder" in json.loads(edits)["joints"]

    page.locator(".cpw-tile:visible").nth(1).click()
    page.locator(".cpw-tile:visible").nth(2).press("Control+Enter")
    assert page.locator(".cpw-tile[aria-selected=true]:visible").count() == 2
    prompt = {node["class_type"]: node["inputs"] for node in comfy_page.queued_prompt(page).values()}
    assert prompt["ContrappostoEditPose"]["edits"] == edits and prompt["ContrappostoChoosePose"]["chosen"] == "2, 3"

    page.evaluate(f"() => {PLAYER}.stop()")
    page.evaluate(f"() => {PLAYER}.seek(0)")
    page.evaluate_handle(f"() => {PLAYER}.stage").as_element().press("ArrowRight")
    assert page.locator(".cp-count:visible", has_text=f"2 / {COUNT}").count() == 1
    page.get_by_title("The next candidate").locator("visible=true").first.click()
    assert page.evaluate("() => editorNode.widgets.find(w => w.name === 'candidate').value") == 2

    page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    page.wait_for_timeout(500)
    page.evaluate(NAME)
    editor_page.ready(page)
    assert page.evaluate("() => [editorNode, galleryNode, playerNode].every(n => n.widgets.find(w => w.element).element.isConnected)")
    page.wait_for_function(f"() => {PLAYER}?.frames === {COUNT}")
    page.wait_for_timeout(300)
    assert clay(page, editor_page.EDITOR) > 0.03 and clay(page, PLAYER) > 0.03
    assert page.locator(".cpw-tile:visible").count() == COUNT, "the candidates are still there"


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_a_pose_is_saved_and_taken_from_the_library(page, server, nodes2):
    comfy_page.set_up(page, nodes2=nodes2)
    editor_page.place(page)
    name = f"Bow {'two' if nodes2 else 'one'}"
    editor_page.drag(page, "head", 60, 60)
    page.get_by_role("button", name="Save pose").click()
    page.get_by_role("dialog").get_by_role("textbox").fill(name)
    page.keyboard.press("Enter")
    saved = page.locator("select.cp-select option", has_text=name)
    saved.wait_for(state="attached")
    assert (server.base / f"user/default/contrapposto/poses/{name}.json").is_file()
    bowed = page.evaluate(editor_page.VALUE)
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Reset").click()  # the first gives back the chosen joint
    page.evaluate(f"() => {editor_page.EDITOR}.reset()")
    assert page.evaluate(editor_page.VALUE) == ""
    page.locator("select.cp-select").select_option(name)
    page.wait_for_function(f"() => ({editor_page.VALUE})() !== ''", timeout=10_000)
    taken = json.loads(page.evaluate(editor_page.VALUE))["joints"]
    for joint, rotvec in json.loads(bowed)["joints"].items():
        assert taken[joint] == pytest.approx(rotvec, abs=2e-4)
