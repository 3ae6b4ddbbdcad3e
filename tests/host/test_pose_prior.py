"""The pose prior's nodes inside a real ComfyUI: random poses, variations, repair, drawn as gray bodies."""

import numpy as np
import pytest

SIZE = 192


def node(name, **inputs):
    return {"class_type": f"Contrapposto{name}", "inputs": inputs}


@pytest.fixture
def prompt():
    """Three random poses, three variations of the first kind, and their repaired version, each drawn."""
    drawn = {"prior": node("LoadPosePrior", file="open pose prior (bundled)")}
    drawn["random"] = node("DecodeVPoser", pose_prior=["prior", 0], count=3, seed=4)
    drawn["codes"] = node("EncodeVPoser", pose_prior=["prior", 0], body_pose=["random", 0], sample=True, seed=1)
    drawn["varied"] = node(
        "DecodeVPoser", pose_prior=["prior", 0], pose_latents=["codes", 0], placement=["random", 0], count=1, seed=0
    )
    drawn["repaired"] = node("RegularisePose", pose_prior=["prior", 0], body_pose=["varied", 0], strength=0.5)
    view = {"width": SIZE, "height": SIZE, "view": "custom", "yaw": 20, "pitch": 10, "field_of_view": 30, "margin": 0.1}
    drawn["camera"] = node("FrameBody", figure=["random", 0], one_camera=True, **view)
    for name in ("random", "varied", "repaired"):
        drawn[f"{name} drawn"] = node("RenderGrayBody", figure=[name, 0], camera=["camera", 0], engine="torch")
    return drawn


def test_poses_go_through_the_prior_and_back(server, prompt):
    run = server.run(prompt)
    assert run.succeeded, run.error
    pictures = {}
    for name in ("random", "varied", "repaired"):
        pictures[name] = np.stack([server.picture(image) for image in run.images(f"{name} drawn")])
        assert pictures[name].shape == (3, SIZE, SIZE, 4)
        assert 0.02 < (pictures[name][..., 3] > 127).mean() < 0.7
    assert not np.array_equal(pictures["random"], pictures["varied"])
    assert not np.array_equal(pictures["varied"], pictures["repaired"])


def test_another_seed_reruns_the_codes_but_not_the_poses(server, prompt):
    server.run(prompt)
    prompt["codes"]["inputs"]["seed"] = 2
    assert server.run(prompt).cached == {"prior", "random", "camera", "random drawn"}


def test_rows_that_do_not_fit_are_named(server, prompt):
    prompt["other"] = node("DecodeVPoser", pose_prior=["prior", 0], count=2, seed=1)
    prompt["varied"]["inputs"]["placement"] = ["other", 0]
    error = server.run(prompt).error
    assert error["node_id"] == "varied" and "placement 2 rows do not fit 3 poses" in error["exception_message"]
