"""Drawing from a pose, ranking and hands inside a real ComfyUI."""

import pytest
from comfy_host import PromptRejected

TEXT = "a person sits cross-legged and points with the left hand"


def node(name, **inputs):
    return {"class_type": f"Contrapposto{name}", "inputs": inputs}


@pytest.fixture
def prompt():
    """Arms up; four candidates that keep the arms; the best two, with hands, as an avatar."""
    model = {"text_to_pose": ["model", 0], "steps": 0, "guidance": -1.0, "regularise": 0.0}
    view = {"width": 192, "height": 192, "view": "front", "yaw": 0.0, "pitch": 0.0, "field_of_view": 30.0, "margin": 0.1}
    return {
        "model": node("LoadTextToPose", file="open text-to-pose (bundled)"),
        "start": node("TextToPose", text="a person raises both arms", count=1, seed=2, **model),
        "drawn": node("TextToPose", text=TEXT, count=4, seed=1, start_pose=["start", 0], strength=1.0, keep_parts="arms", **model),
        "ranked": node("RankPoses", body_pose=["drawn", 0], text=TEXT, keep=2),
        "handed": node("SetHands", body_pose=["ranked", 0], left="auto", right="fist", text=TEXT),
        "camera": node("FrameBody", figure=["handed", 0], one_camera=False, **view),
        "picture": node("RenderGrayBody", figure=["handed", 0], camera=["camera", 0], engine="torch"),
        "scores": {"class_type": "PreviewAny", "inputs": {"source": ["ranked", 1]}},
    }


def test_ranked_poses_flow_on(server, prompt):
    run = server.run(prompt)
    assert run.succeeded, run.error
    (sheet,) = run.images("ranked")
    height, width, _ = server.picture(sheet).shape
    assert width == 2 * 320 and 320 < height < 400
    assert len(run.images("picture")) == 2
    scores = [float(text) for text in run.entry["outputs"]["scores"]["text"]]
    assert len(scores) == 2 and scores == sorted(scores, reverse=True)


def test_redrawing_runs_only_what_follows(server, prompt):
    server.run(prompt)
    prompt["drawn"]["inputs"]["redraw"] = "2=99"
    run = server.run(prompt)
    assert run.succeeded and {"model", "start"} <= run.cached and "drawn" not in run.cached


def test_a_part_without_a_pose_is_named(server, prompt):
    del prompt["drawn"]["inputs"]["start_pose"]
    error = server.run(prompt).error
    assert error["node_id"] == "drawn" and "Connect start_pose" in error["exception_message"]


def test_keeping_more_than_there_can_be_is_refused_before_anything_runs(server, prompt):
    prompt["ranked"]["inputs"]["keep"] = 300
    with pytest.raises(PromptRejected, match="(?s)keep.*256"):
        server.run(prompt)
