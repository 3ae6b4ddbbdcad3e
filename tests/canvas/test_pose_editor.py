"""The pose editor in a real browser: what is dragged is what the queue gets, and the figure stands as Python poses it."""

import json
import struct
import urllib.error
from pathlib import Path

import comfy_page
import editor_page
import pytest
import torch
from editor_page import EDITOR, VALUE, drag

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies.body import load_body_model, place_on_floor, pose_body
from contrapposto.models.bodies.joints import BODY_JOINTS, JOINT_NAMES
from contrapposto.models.bodies.pose_edits import edit_pose, parse_pose_edits, relaxed_pose

JOINTS = f"() => Array.from({{length: {BODY_JOINTS}}}, (_, j) => {EDITOR}.figure.joint(j)?.toArray() ?? null)"
BENT = {"joints": {"left_shoulder": [0.3, 0.4, 0.5], "right_knee": [1.2, 0, 0], "spine2": [0.3, 0.2, 0], "left_elbow": [0, -1.4, 0.3],
                   "left_wrist": [0.9, 0, 0.2]}, "place": [0.2, 0.15, -0.3]}


def test_a_dragged_hand_follows_and_comes_out_of_the_queue(page, server):
    editor_page.place(page)
    moved = drag(page, "left_wrist", 40, -120)
    assert moved == pytest.approx((40, -120), abs=2)
    drag(page, "pelvis", 0, 30)
    text = page.evaluate(VALUE)
    assert {"left_shoulder", "left_elbow", "left_knee", "right_knee"} <= set(json.loads(text)["joints"])
    assert "head" not in json.loads(text)["joints"], "a joint that nobody touched"
    prompt = comfy_page.queued_prompt(page)
    assert next(iter(prompt.values()))["inputs"]["edits"] == text
    page.screenshot(path=comfy_page.artefact(f"pose-editor-{server.host.version}.png"))

    run = server.run(prompt)
    assert run.succeeded, run.error
    shown = next(iter(run.entry["outputs"].values()))["contrapposto"][0]
    assert len(shown["poses"]) == 1 and shown["figure"]["file"]["type"] == "temp"


def test_keys_undo_mirror_and_leave_the_graph_alone(page):
    editor_page.place(page)
    drag(page, "left_wrist", 40, -120)
    once = page.evaluate(VALUE)
    page.keyboard.press("m")
    mirrored = json.loads(page.evaluate(VALUE))["joints"]
    x, y, z = json.loads(once)["joints"]["left_elbow"]
    assert mirrored["right_elbow"] == pytest.approx([x, -y, -z], abs=2e-4)
    page.keyboard.press("Control+z")
    assert page.evaluate(VALUE) == once
    page.keyboard.press("Control+z")
    assert page.evaluate(VALUE) == ""
    page.keyboard.press("Control+Shift+z")
    assert page.evaluate(VALUE) == once
    assert page.evaluate("() => app.graph._nodes.length === 1 && editorNode.mode === 0"), "ComfyUI took a key that was ours"


@pytest.mark.parametrize("with_avatar", [False, True], ids=["body", "avatar"])
def test_the_figure_stands_as_python_poses_it(page, with_avatar):
    editor_page.place(page, with_avatar)
    page.evaluate("text => { editorNode.widgets.find(w => w.name === 'edits').value = text; }", json.dumps(BENT))
    seen = page.evaluate(JOINTS)
    body = load_body_model()
    pose = edit_pose(place_on_floor(body, relaxed_pose()), parse_pose_edits(json.dumps(BENT)), body)
    if with_avatar:
        avatar = load_avatar()
        posed = retarget_pose(pose, body, avatar)
        wanted = dict(zip(avatar.rig.humanoid, posed.joints[0]))
    else:
        wanted = dict(zip(JOINT_NAMES, pose_body(body, pose).joints[0]))
    root = torch.tensor(seen[0]) - wanted["pelvis"]  # an avatar steps by its own leg length
    apart = [float((torch.tensor(at) - wanted[name] - root).norm()) for name, at in zip(JOINT_NAMES, seen) if at]
    assert len(apart) == BODY_JOINTS and max(apart) < 2e-3
    assert abs(float(root[1])) < 0.03, "the height above the floor"


def test_small_files_at_start_and_one_bundle_below_a_megabyte():
    web = Path(__file__).parents[2] / "web"
    assert sum(path.stat().st_size for path in web.rglob("*.js")) < 30_000
    assert sum(path.stat().st_size for path in web.rglob("*.mjs")) < 1_000_000


def test_values_and_what_the_workflow_keeps_are_small(page, server):
    editor_page.place(page)
    row = {"joints": [[1.2345, -0.1234, 0.4321]] * BODY_JOINTS, "place": [1.2345, 0.1234, -2.3456]}
    page.evaluate(f"row => {EDITOR}.take(row)", row)
    value = page.evaluate(VALUE)
    assert len(json.loads(value)["joints"]) == BODY_JOINTS and len(value) < 50_000
    figure = server.get_json("/contrapposto/figure", avatar="")
    page.evaluate("message => editorNode.onExecuted({contrapposto: [message]})", {"poses": [row] * 256, "figure": figure})
    assert page.get_by_text("candidate 1 of 256").count() == 1
    assert len(page.evaluate("() => JSON.stringify(editorNode.serialize())")) < 50_000


@pytest.mark.parametrize("name", ["../../secret.glb", "/etc/passwd", "default avatar"])
def test_the_route_knows_the_list_of_load_avatar_and_nothing_else(server, name):
    assert server.get_json("/contrapposto/figure", avatar="")["drive"]["source"][:3] == [0, 1, 2]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server.get("/contrapposto/figure", avatar=name)


def test_the_motion_player_gets_every_frame(server):
    prompt = {
        "1": {"class_type": "ContrappostoLoadPosePrior", "inputs": {"file": "open pose prior (bundled)"}},
        "2": {"class_type": "ContrappostoDecodeVPoser", "inputs": {"pose_prior": ["1", 0], "count": 7, "seed": 1}},
        "3": {"class_type": "ContrappostoPreviewMotion", "inputs": {"body_pose": ["2", 0], "fps": 12.0}},
    }
    run = server.run(prompt)
    assert run.succeeded, run.error
    sent = run.entry["outputs"]["3"]["contrapposto"][0]
    assert (sent["frames"], sent["fps"]) == (7, 12.0)
    data = server.get("/view", **sent["file"])
    size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + size])
    assert document["accessors"][document["animations"][0]["samplers"][0]["input"]]["count"] == 7
