"""The upload buttons of Load Avatar and Load Motion, pressed in a real browser."""

import json

import comfy_page
import pytest
from comfy_host import PACK

BVH = "HIERARCHY\nROOT hip\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION\nFrames: 1\nFrame Time: 0.03\n0 0 0\n"
CREATE = """type => { app.graph.clear(); const node = LiteGraph.createNode(type); app.graph.add(node);
    return node.widgets.map(widget => [widget.name, widget.type]); }"""
PRESS = "() => { const node = app.graph._nodes[0]; const w = node.widgets.at(-1); w.callback.call(w, w.value, app.canvas, node); }"
VALUE = "name => app.graph._nodes[0].widgets.find(widget => widget.name === name).value"


def choose(page, *files):
    with page.expect_file_chooser() as chooser:
        page.evaluate(PRESS)
    chooser.value.set_files(files)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "walk.bvh").write_text(BVH)
    (tmp_path / "hero.glb").write_bytes((PACK / "models/assets/bundled/default_avatar.glb").read_bytes())
    (tmp_path / "hero.bones.json").write_text(json.dumps({"head": "head"}))
    (tmp_path / "notes.txt").write_text("not a character")
    return tmp_path


def test_files_are_uploaded_chosen_and_saved_with_the_workflow(page, server, files):
    assert page.evaluate(CREATE, "ContrappostoLoadAvatar") == [["file", "combo"], ["bone_map", "text"], ["upload_file", "button"]]
    choose(page, files / "hero.glb", files / "hero.bones.json")
    page.wait_for_function(f"() => ({VALUE})('file') === 'hero.glb [input]'")
    assert (server.base / "input/hero.glb").is_file() and (server.base / "input/hero.bones.json").is_file()
    saved = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    assert saved["nodes"][0]["widgets_values"] == ["hero.glb [input]", ""]
    page.evaluate("graph => app.loadGraphData(graph)", saved)
    assert comfy_page.queued_prompt(page).popitem()[1]["inputs"] == {"file": "hero.glb [input]", "bone_map": ""}

    page.evaluate(CREATE, "ContrappostoLoadMotion")
    choose(page, files / "walk.bvh")
    page.wait_for_function(f"() => ({VALUE})('motion_file') === 'walk.bvh'")
    choose(page, files / "notes.txt")
    page.get_by_text("Give a file of the type .bvh").wait_for()
    assert page.evaluate(VALUE, "motion_file") == "walk.bvh" and not (server.base / "input/notes.txt").exists()
