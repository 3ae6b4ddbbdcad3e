"""What other packs leave behind does not reach our nodes."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch


@pytest.fixture
def upset():
    """A function that changes torch's defaults; they are put back after the test."""

    def change(dtype, device):
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)

    yield change
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def a_picture(execute):
    """The avatar drawn from a sentence (1, 64, 64, 3)."""
    (model,) = execute("LoadTextToPose", file="open text-to-pose (bundled)")
    (poses,) = execute("TextToPose", text_to_pose=model, text="a person waves", steps=3, seed=3)
    (avatar,) = execute("LoadAvatar", file="default avatar (bundled)")
    posed = execute("RetargetPose", body_pose=poses, avatar=avatar)[0]
    camera = execute("FrameBody", figure=posed, width=64, height=64, view="front")[0]
    return execute("RenderAvatar", posed_avatar=posed, camera=camera)[0]


@pytest.mark.parametrize("dtype, device", [(torch.float16, None), (torch.float64, "meta")])
def test_a_picture_does_not_depend_on_torchs_defaults(execute, upset, dtype, device):
    expected = a_picture(execute)
    upset(dtype, device)
    assert torch.equal(a_picture(execute), expected)
    assert torch.get_default_dtype() == dtype and torch.empty(0).device.type == (device or "cpu"), "put back for those who count on it"


def test_a_second_copy_of_the_pack_does_not_stop_comfyui(pack, monkeypatch, caplog):
    """aiohttp raises at the start of the server when a route is said twice."""
    name = pack["ContrappostoDoctor"].__module__.removesuffix("doctor") + "browser"
    browser = sys.modules[name]
    routes = [SimpleNamespace(path="/ws"), SimpleNamespace(path=browser.FIGURE_ROUTE)]  # no .get: adding one more fails
    server = SimpleNamespace(PromptServer=SimpleNamespace(instance=SimpleNamespace(routes=routes)))
    monkeypatch.setitem(sys.modules, "server", server)
    with caplog.at_level(logging.WARNING):
        browser.register_routes()
    assert "twice" in caplog.text
