"""What goes wrong on the canvas is said there, and nothing is lost or thrown; odd uses of the nodes work."""

import json

import comfy_host
import comfy_page
import editor_page
import pytest

BROKEN = ['{"joints": {"tail": [0, 0, 0]}}', "{", "7", '{"joints": null}', '{"place": [1e9, 0, 0]}', '{"joints": {"__proto__": [0, 0, 0]}}']
SET = "text => { editorNode.widgets.find(w => w.name === 'edits').value = text; }"
GALLERY = """files => {
    const node = window.galleryNode = LiteGraph.createNode('ContrappostoChoosePose');
    node.pos = [300, 120];
    app.graph.add(node);
    node.onExecuted({contrapposto: [{pictures: files}]});
}"""
CHOSEN = "() => galleryNode.widgets.find(w => w.name === 'chosen').value"
WITHOUT_WEBGL = """() => {
    const plain = window.plainContext = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.startsWith('webgl') ? null : plain.call(this, kind, ...rest);
    };
}"""


def test_corrupt_edits_are_told_kept_refused_and_reset(page, server):
    editor_page.place(page)
    for text in BROKEN:
        page.evaluate(SET, text)
        assert "cannot be read" in page.locator(".cp-notice:visible").inner_text(), text
        assert page.evaluate(editor_page.VALUE) == text, "kept until somebody decides"
        with pytest.raises(comfy_host.PromptRejected, match="edits"):
            server.submit({"1": {"class_type": "ContrappostoEditPose", "inputs": {"edits": text, "candidate": 1}}})
        page.get_by_role("button", name="Reset").click()
        assert page.evaluate(editor_page.VALUE) == "" and not page.locator(".cp-notice:visible").count()


def test_a_value_that_is_no_text_is_told_too(page):
    editor_page.place(page)
    page.evaluate("() => { editorNode.widgets.find(w => w.name === 'edits').value = {joints: [1]}; }")
    assert "cannot be read" in page.locator(".cp-notice:visible").inner_text()
    assert page.evaluate(editor_page.VALUE) == '{"joints":[1]}'


def test_a_missing_avatar_shows_the_body_and_keeps_the_edits(page):
    editor_page.place(page, avatar=True)
    editor_page.drag(page, "left_wrist", 30, -60)
    edits = page.evaluate(editor_page.VALUE)
    graph = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    next(n for n in graph["nodes"] if n["type"] == "ContrappostoLoadAvatar")["widgets_values"][0] = "gone.glb [input]"
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.evaluate("() => { window.editorNode = app.graph._nodes.find(n => n.type === 'ContrappostoEditPose'); }")
    editor_page.ready(page)
    page.locator(".cp-notice:visible", has_text="gone.glb").wait_for()
    assert "here is the body" in page.locator(".cp-notice:visible").inner_text()
    assert page.evaluate(editor_page.VALUE) == edits


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_sliders_where_there_is_no_webgl(page, nodes2):
    comfy_page.set_up(page, nodes2=nodes2)
    page.evaluate(WITHOUT_WEBGL)
    try:
        page.evaluate(editor_page.PLACE, False)
        page.locator(".cp-sliders input:visible").first.wait_for()
        assert "no WebGL" in page.locator(".cp-editor:visible").inner_text()
        page.locator(".cp-sliders input:visible").first.fill("90")
        page.wait_for_timeout(300)
        page.screenshot(path=comfy_page.artefact(f"sliders-{'nodes2' if nodes2 else 'classic'}.png"))
        assert json.loads(page.evaluate(editor_page.VALUE))["joints"]["pelvis"] == pytest.approx([1.5708, 0, 0], abs=1e-3)
        page.evaluate(SET, "{")
        assert "cannot be read" in page.locator(".cp-notice:visible").inner_text()
        page.get_by_role("button", name="Reset all").click()
        assert page.evaluate(editor_page.VALUE) == ""
        page.evaluate("() => app.graph.add(LiteGraph.createNode('ContrappostoPreviewMotion'))")
        page.get_by_text("The 3D view could not start: this browser has no WebGL").wait_for()
    finally:
        page.evaluate("() => { HTMLCanvasElement.prototype.getContext = plainContext; }")


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_two_hundred_candidates_scroll_and_are_chosen(page, server, nodes2):
    run = server.run({
        "1": {"class_type": "ContrappostoLoadPosePrior", "inputs": {"file": "open pose prior (bundled)"}},
        "2": {"class_type": "ContrappostoDecodeVPoser", "inputs": {"pose_prior": ["1", 0], "count": 4, "seed": 3}},
        "3": {"class_type": "ContrappostoChoosePose", "inputs": {"body_pose": ["2", 0], "chosen": "1"}},
    })
    comfy_page.set_up(page, nodes2=nodes2)
    page.evaluate(GALLERY, run.entry["outputs"]["3"]["contrapposto"][0]["pictures"] * 50)
    tiles = page.locator(".cpw-tile:visible")
    tiles.first.wait_for()
    assert tiles.count() == 200
    boxes = page.evaluate("() => [...document.querySelectorAll('.cpw-tile')].slice(0, 40).map(t => t.getBoundingClientRect().toJSON())")
    assert all(abs(box["width"] - box["height"]) < 1 and box["width"] >= 90 for box in boxes), "whole pictures"
    before = page.evaluate("() => app.canvas.ds.scale")
    page.mouse.move(boxes[0]["x"] + 20, boxes[0]["y"] + 40)
    page.mouse.click(boxes[0]["x"] + 20, boxes[0]["y"] + 40)  # in Nodes 2.0 the wheel belongs to what has been clicked
    page.mouse.wheel(0, 4000)
    page.wait_for_timeout(400)
    at = page.evaluate("() => document.querySelector('.cpw-grid').scrollTop")
    assert at > 1000 and page.evaluate("() => app.canvas.ds.scale") == before
    page.wait_for_timeout(400)
    page.screenshot(path=comfy_page.artefact(f"gallery-200-{'nodes2' if nodes2 else 'classic'}-{server.host.version}.png"))
    tiles.nth(60).click(modifiers=["Control"])
    tiles.nth(199).click(modifiers=["Control"])
    assert page.evaluate(CHOSEN) == "1, 61, 200"
    assert len(page.evaluate("() => JSON.stringify(galleryNode.serialize())")) < 50_000


def test_a_choice_that_cannot_be_is_told_and_mended_by_a_click(page, server):
    page.evaluate(GALLERY, [{"filename": "gone.png", "subfolder": "contrapposto", "type": "temp"}] * 3)
    for text, said in [("one or two", "is not a list of numbers"), ("2, 99", "There is no candidate")]:
        page.evaluate("text => { galleryNode.widgets.find(w => w.name === 'chosen').value = text; }", text)
        assert said in page.locator(".cpw-note:visible").inner_text()
        assert page.evaluate(CHOSEN) == text
        page.locator(".cpw-tile:visible").nth(2).click()
        assert page.evaluate(CHOSEN) == "3" and not page.locator(".cpw-note:visible").count()


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_a_resized_node_keeps_a_sharp_picture(page, server, nodes2):
    if nodes2 and server.host.version == "0.3.76":
        pytest.skip("Nodes 2.0 of ComfyUI 0.3.76 keeps a node's size")
    comfy_page.set_up(page, nodes2=nodes2)
    editor_page.place(page)
    seen = []
    for width, height in [(420, 560), (800, 760), (360, 480)]:
        page.evaluate("size => { editorNode.setSize(size); app.canvas.setDirty(true, true); }", [width, height])
        page.wait_for_timeout(400)
        drawn, shown, stage, inner = page.evaluate(f"""() => {{
            const {{canvas}} = {editor_page.EDITOR}.view, box = canvas.parentElement.getBoundingClientRect();
            return [[canvas.width, canvas.height], [canvas.clientWidth, canvas.clientHeight], [box.width, box.height],
                    canvas.closest('.cp-editor').scrollWidth <= canvas.closest('.cp-editor').clientWidth];
        }}""")
        assert drawn == shown == pytest.approx(stage, abs=1) and inner
        seen.append(shown)
    assert seen[2][0] < seen[0][0] < seen[1][0] and seen[0][1] < seen[1][1]


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_a_copy_has_a_value_of_its_own(page, nodes2):
    comfy_page.set_up(page, nodes2=nodes2)
    editor_page.place(page)
    editor_page.drag(page, "left_wrist", 30, -60)
    first = page.evaluate(editor_page.VALUE)
    page.evaluate("""() => { window.first = editorNode; window.editorNode = editorNode.clone(); editorNode.pos = [800, 100];
                             app.graph.add(editorNode); }""")
    editor_page.ready(page)
    assert page.evaluate(editor_page.VALUE) == first
    editor_page.drag(page, "right_wrist", -30, -60)
    values = {node["inputs"]["edits"] for node in comfy_page.queued_prompt(page).values()}
    assert values == {first, page.evaluate(editor_page.VALUE)} and len(values) == 2


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_a_node_inside_a_subgraph(page, nodes2):
    comfy_page.set_up(page, nodes2=nodes2)
    editor_page.place(page)
    editor_page.drag(page, "left_wrist", 30, -60)
    edits = page.evaluate(editor_page.VALUE)
    page.evaluate("""() => {
        const {subgraph} = app.graph.convertToSubgraph(new Set([editorNode]));
        window.editorNode = subgraph.nodes.find(n => n.type === 'ContrappostoEditPose');
        app.canvas.setGraph(subgraph);
    }""")
    page.wait_for_timeout(500)
    page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0]; editorNode.pos = [300, 100]; }")
    page.evaluate("() => app.canvas.setDirty(true, true)")
    editor_page.ready(page)
    page.wait_for_timeout(500)
    assert page.evaluate(editor_page.VALUE) == edits
    editor_page.drag(page, "right_wrist", -30, -60)
    assert page.evaluate(editor_page.VALUE) != edits
    inner = next(node for node in comfy_page.queued_prompt(page).values() if node["class_type"] == "ContrappostoEditPose")
    assert inner["inputs"]["edits"] == page.evaluate(editor_page.VALUE)
