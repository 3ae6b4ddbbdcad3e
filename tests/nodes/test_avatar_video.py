"""The zero-shot film, the refined prompts and the measures as nodes."""

import json
from dataclasses import replace

import pytest
import torch


@pytest.fixture(scope="module")
def posed(pack, execute):
    import importlib

    root = pack["ContrappostoAvatarVideo"].__module__.rsplit(".nodes.", 1)[0]
    types, rotations = (importlib.import_module(f"{root}.models.{name}") for name in ("types", "rotations"))
    pose = replace(types.BodyPose.rest(4), global_orient=rotations.rotation_about("y", torch.linspace(0, 1, 4)), fps=12.0)
    (avatar,) = execute("LoadAvatar", file="default avatar (bundled)")
    return execute("RetargetPose", body_pose=pose, avatar=avatar)[0]


@pytest.fixture(scope="module")
def videos(pack):
    """Lets host.video_of_images and video_of_file answer with what they were given, as the stand-in has no VIDEO."""
    import importlib

    host = importlib.import_module(pack["ContrappostoAvatarVideo"].__module__.rsplit(".", 1)[0] + ".host")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "video_of_images", lambda images, fps: (images, fps))
        patch.setattr(host, "video_of_file", str)
        yield


def test_a_film_over_a_picture(execute, posed, videos):
    background = torch.rand(1, 60, 80, 3)
    images, masks, video, camera = execute("AvatarVideo", posed_avatar=posed, background=background, shadow=0.0, fps=12.0)
    assert images.shape == (4, 60, 80, 3) and masks.shape == (4, 60, 80) and len(camera) == 4 and video[1] == 12
    assert torch.equal(images[masks <= 0], background.expand_as(images)[masks <= 0]) and (masks >= 1).sum() > 20


def test_the_cameras_show_the_same_film(execute, posed, videos):
    images, masks, _, camera = execute("AvatarVideo", posed_avatar=posed, width=96, height=96, camera_move="follow")
    _, again, _ = execute("RenderAvatar", posed_avatar=posed, camera=camera)
    assert (masks - again).abs().max() < 0.6 and (masks - again).abs().mean() < 0.01


def test_a_long_film_goes_to_a_file(execute, posed, videos):
    av = pytest.importorskip("av")
    images, masks, video, _ = execute("AvatarVideo", posed_avatar=posed, width=64, height=48, output="video file", fps=6.0)
    assert images.shape == (1, 48, 64, 3) and masks.shape == (1, 48, 64)
    with av.open(video) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_a_wrong_background_is_refused(execute, posed, videos):
    with pytest.raises(ValueError, match="do not fit 4 frames"):
        execute("AvatarVideo", posed_avatar=posed, background=torch.rand(3, 60, 80, 3))


def test_the_language_model_is_asked_once(execute, pack):
    parse, given = pack["ContrappostoPromptParse"], {"kind": "face", "description": "a sailor", "seed": 5, "keep": True}
    (asked,) = execute("PromptTemplate", kind="face", description="a sailor")
    assert "a sailor" in asked and "20 single words" in asked
    assert parse.check_lazy_status(**given) == [] and parse.check_lazy_status(**given, answer=None) == ["answer"]
    first, report = execute("PromptParse", **given, answer="bearded, weathered, tanned")
    assert first.startswith("bearded, weathered, tanned, ") and "3 words" in report
    assert parse.check_lazy_status(**given, answer=None) == []
    assert execute("PromptParse", **given)[0] == first
    assert parse.check_lazy_status(**(given | {"keep": False}), answer=None) == ["answer"]
    assert parse.check_lazy_status(**(given | {"seed": 6}), answer=None) == ["answer"]


def test_a_video_is_measured(execute):
    images = torch.rand(3, 120, 120, 3)
    mask = torch.zeros(1, 120, 120)
    mask[:, 10:110, 10:110] = 1
    table, told, plot = execute("EvaluateVideo", images=images, masks=mask)
    assert "| Frame L1 | " in table and json.loads(told)["missing"]["CLIP text"] == "no CLIP is given" and plot.ndim == 4
    people = [{"canvas_width": 120, "canvas_height": 120, "people": [{"pose_keypoints_2d": [60.0, 30.0, 1.0] * 18}]} for _ in range(3)]
    empty = [*people[:2], {**people[2], "people": []}]
    scores = json.loads(execute("EvaluateVideo", images=images, given_pose=people, found_pose=empty)[1])
    assert scores["over_time"]["Pose MSE"] == [0, 0, None]


