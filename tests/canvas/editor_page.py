"""The pose editor on ComfyUI's page: where its dots are, and hands that drag them."""

from __future__ import annotations

from contrapposto.models.bodies.joints import JOINT_NAMES

EDITOR = "editorNode.widgets.find(w => w.name === 'edits').element.editor"
VALUE = "() => editorNode.widgets.find(w => w.name === 'edits').value"
READY = f"() => {EDITOR}?.figure && {EDITOR}.view.canvas.clientWidth > 0"
PLACE = """(avatar) => {
    const node = window.editorNode = LiteGraph.createNode('ContrappostoEditPose');
    node.pos = [300, 100];
    app.graph.add(node);
    if (avatar) {
        const source = LiteGraph.createNode('ContrappostoLoadAvatar');
        source.pos = [20, 300];
        app.graph.add(source);
        source.connect(0, node, node.inputs.findIndex(i => i.name === 'avatar'));
    }
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
    app.canvas.setDirty(true, true);
}"""
ON_SCREEN = f"""(joint) => {{
    const {{handles, view}} = {EDITOR}, box = view.canvas.getBoundingClientRect();
    const at = handles.positions[joint].clone().project(view.camera);
    return [box.left + (at.x + 1) / 2 * box.width, box.top + (1 - at.y) / 2 * box.height];
}}"""


def place(page, avatar=False):
    """Opens an editor on the page, alone or with Load Avatar linked to it."""
    page.evaluate(PLACE, avatar)
    ready(page)
    return page


def ready(page):
    """Waits until the editor named editorNode shows its figure, and the node has its final size, which moves the picture."""
    page.wait_for_function(READY, timeout=120_000)
    at, before = on_screen(page, "left_wrist"), None
    while at != before:
        page.wait_for_timeout(250)
        at, before = on_screen(page, "left_wrist"), at


def on_screen(page, joint):
    """Pixels of the page where a joint's dot is."""
    return page.evaluate(ON_SCREEN, JOINT_NAMES.index(joint))


def drag(page, joint, x, y):
    """Pulls a joint's dot by (x, y) pixels with the mouse and returns by how much it moved."""
    start = on_screen(page, joint)
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, 5):
        page.mouse.move(start[0] + x * step / 4, start[1] + y * step / 4)
    page.mouse.up()
    end = on_screen(page, joint)
    return end[0] - start[0], end[1] - start[1]
