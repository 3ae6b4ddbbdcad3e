"""Fingers on the pose editor: one on a dot poses, one beside it turns the camera, two zoom. The graph behind stays where it is."""

import json

import comfy_page
import editor_page
import pytest

CAMERA = f"() => {editor_page.EDITOR}.view.camera.position.toArray()"
AIM = f"() => {editor_page.EDITOR}.view.controls.target.toArray()"
GRAPH = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
STEPS = 5


@pytest.fixture(params=[False, True], ids=["classic", "nodes2"])
def touch(request, page):
    """Moves fingers over the page: each is given as (from x, from y, to x, to y)."""
    comfy_page.set_up(page, nodes2=request.param)
    editor_page.place(page)
    session = page.context.new_cdp_session(page)

    def move(*fingers):
        points = lambda part: [{"x": x + (u - x) * part, "y": y + (v - y) * part, "id": i} for i, (x, y, u, v) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points(0)})
        for step in range(1, STEPS + 1):
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points(step / STEPS)})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(100)

    yield move
    session.detach()


def length(page):
    return sum((a - b) ** 2 for a, b in zip(page.evaluate(CAMERA), page.evaluate(AIM))) ** 0.5


def test_one_finger_poses_or_orbits_and_two_zoom(page, touch):
    graph = page.evaluate(GRAPH)
    x, y = editor_page.on_screen(page, "left_wrist")
    right, up = (part * page.locator(".cp-stage:visible").bounding_box()["height"] for part in (0.06, 0.15))  # within the arm's reach
    touch((x + 6, y + 6, x + 6 + right, y + 6 - up))  # a finger does not hit a dot's middle
    assert editor_page.on_screen(page, "left_wrist") == pytest.approx([x + right, y - up], abs=2)
    edits = page.evaluate(editor_page.VALUE)
    assert {"left_shoulder", "left_elbow"} <= set(json.loads(edits)["joints"])

    box = page.locator(".cp-stage:visible").bounding_box()
    left, top = box["x"] + 30, box["y"] + 30
    camera, far = page.evaluate(CAMERA), length(page)
    touch((left, top, left + 80, top))
    assert page.evaluate(CAMERA) != pytest.approx(camera, abs=0.05)
    assert length(page) == pytest.approx(far, rel=1e-3)

    touch((left, top, left - 20, top - 20), (left + 40, top + 40, left + 120, top + 120))
    assert length(page) < far * 0.8
    assert page.evaluate(editor_page.VALUE) == edits and page.evaluate(GRAPH) == graph
