"""Pose correction inside a real ComfyUI: key points become bodies and depth, and the gate runs the second pass only when it must."""

import numpy as np
import pytest

VIEW = {"width": 256, "height": 256, "view": "front", "yaw": 0.0, "pitch": 0.0, "field_of_view": 60.0, "margin": 0.1, "one_camera": False}
GATE = {"code": "mean", "draw": 0, "cut_off": "pass through"}


def node(name, **inputs):
    return {"class_type": f"Contrapposto{name}", "inputs": inputs}


def core(name, **inputs):
    return {"class_type": name, "inputs": inputs}


@pytest.fixture
def prompt():
    """Two random poses, seen by a camera; their points, fitted again; pictures, depth, variations."""
    return {
        "prior": node("LoadPosePrior", file="open pose prior (bundled)"),
        "drawn": node("DecodeVPoser", pose_prior=["prior", 0], count=2, seed=4),
        "camera": node("FrameBody", figure=["drawn", 0], **VIEW),
        "map": node("RenderPoseMap", figure=["drawn", 0], camera=["camera", 0], hide_far_face=False),
        "fit": node("FitBody", pose_keypoint=["map", 3], field_of_view=60.0, keypoint_error=1.0, smooth=0.0, fit_shape=True),
        "first": node("RenderGrayBody", figure=["fit", 0], camera=["fit", 1], engine="torch"),
        "told": core("PreviewAny", source=["fit", 2]),
    }


def gate(prompt, threshold, second):
    """The prompt with a gate before a second pass, and the gate's picture and report."""
    settings = {"body_pose": ["fit", 0], "camera": ["fit", 1], "pose_prior": ["prior", 0], "threshold": threshold, **GATE}
    prompt["gate"] = node("DifficultyGate", image=["first", 0], corrected=second, **settings)
    prompt["hard"] = node("KeepHardPictures", image=["first", 0], **settings)
    prompt["shown"] = core("PreviewImage", images=["gate", 0])
    prompt["report"] = core("PreviewAny", source=["gate", 3])
    return prompt


def pictures(server, run, name):
    return np.stack([server.picture(image).astype(int)[..., :3] for image in run.images(name)])


def test_points_become_bodies_and_depth(server, prompt):
    prompt["more"] = node("AugmentPose", body_pose=["fit", 0], camera=["fit", 1], preset="paper", scale=0.05, count=2, seed=1,
                          root_jitter=-1.0, shape_jitter=-1.0, code="sampled")
    prompt["depth"] = node("OccludedBodyDepth", figure=["more", 0], camera=["more", 1], scale="relative", size="latent (an eighth)",
                           scene_share=0.0)
    prompt["maps"] = core("PreviewImage", images=["depth", 0])
    run = server.run(prompt)
    assert run.succeeded, run.error
    assert "2 of 2 people fitted" in run.entry["outputs"]["told"]["text"][0]
    maps = pictures(server, run, "maps")
    assert maps.shape == (4, 32, 32, 3) and all(one.max() == 255 and one.min() == 0 for one in maps)


def test_easy_pictures_do_not_run_the_second_pass(server, prompt):
    """A second pass that cannot run: 100 pixels are no multiple of 8."""
    prompt["odd"] = node("FrameBody", figure=["drawn", 0], **(VIEW | {"width": 100}))
    prompt["second"] = node("OccludedBodyDepth", figure=["drawn", 0], camera=["odd", 0], scale="relative", size="latent (an eighth)",
                            scene_share=0.0)
    run = server.run(gate(prompt, 10000.0, ["second", 0]))
    assert run.succeeded, run.error
    assert (pictures(server, run, "shown") == pictures(server, run, "first")).all()
    assert "picture 0: easy" in run.entry["outputs"]["report"]["text"][0]
    error = server.run(gate(prompt, 0.0, ["second", 0])).error
    assert error["node_id"] == "second" and "multiple of 8" in error["exception_message"]


def test_hard_pictures_alone_are_painted_again(server, prompt):
    run = server.run(gate(prompt, 0.0, ["first", 0]))
    scores = [float(line.rsplit(" ", 1)[1]) for line in run.entry["outputs"]["report"]["text"][0].splitlines()]
    between = sum(scores) / 2
    prompt = gate(prompt, between, ["second", 0])
    prompt["second"] = core("ImageInvert", image=["hard", 0])  # as many pictures as are hard
    run = server.run(prompt)
    assert run.succeeded, run.error
    shown, first = pictures(server, run, "shown"), pictures(server, run, "first")
    hard = scores.index(max(scores))
    assert (shown[1 - hard] == first[1 - hard]).all() and abs(shown[hard] - (255 - first[hard])).max() <= 1


def test_a_missing_file_is_named_on_the_node(server):
    prompt = {"file": node("LoadBodyPose", body_file="(take the path below)", path="/nowhere/bodies.npz", width=512, height=512),
              "shown": core("PreviewAny", source=["file", 2])}
    error = server.run(prompt).error
    assert error["node_id"] == "file" and "body file" in error["exception_message"] and "does not exist" in error["exception_message"]
