"""What other packs leave behind does not reach our nodes."""

import logging
import sys
from types import SimpleNamespace

import torch


def a_picture(execute):
    """The avatar drawn from a sentence (1, 64, 64, 3)."""
    (model,) = execute("LoadTextToPose", file="open text-to-pose (bundled)")
    (poses,) = execute("TextToPose", text_to_pose=model, text="a person waves", steps=3, seed=3)
    (avatar,) = execute("LoadAvatar", file="default avatar (bundled)")
    posed = execute("RetargetPose", body_pose=poses, avatar=avatar)[0]
    camera = execute("FrameBody", figure=posed, width=64, height=64, view="front")[0]
    return execute("RenderAvatar", posed_avatar=posed, camera=camera)[0]


def test_a_picture_does_not_depend_on_torchs_defaults(execute):
    expected = a_picture(execute)
    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")  # as another pack's "cuda", which this machine may lack
    try:
        found = a_picture(execute)
        assert torch.get_default_dtype() == torch.float16 and torch.empty(0).device.type == "meta", "put back for those who count on it"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert torch.equal(found, expected)


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
