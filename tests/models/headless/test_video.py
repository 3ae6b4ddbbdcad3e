"""``contrapposto video``: a motion file or sentences to a film, over a picture, in a studio, over a painted background."""

import json
from dataclasses import replace

import av
import pytest
import torch

from contrapposto.__main__ import main
from contrapposto.models.bodies import load_body_model
from contrapposto.models.bodies.posture import heading
from contrapposto.models.headless.pictures import write_png
from contrapposto.models.headless.video import faced_forward, paint_background, shrink_picture
from contrapposto.models.motion.save import FORMATS, save_motion
from contrapposto.models.rotations import rotation_about
from contrapposto.models.types import BodyPose

BVH = next(name for name, suffix in FORMATS.items() if suffix == ".bvh")


@pytest.fixture(scope="module")
def turning():
    rest = BodyPose.rest(8)
    return replace(rest, global_orient=rotation_about("y", torch.linspace(1, 2, 8)), fps=12.0, frame_index=torch.arange(8))


@pytest.fixture(scope="module")
def motion_file(turning, tmp_path_factory):
    path = tmp_path_factory.mktemp("motion") / "turn.bvh"
    save_motion(path, turning, load_body_model(), None, BVH)
    return path


def run(capsys, *arguments):
    code = main(["video", "--json", "--device", "cpu", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out)


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], container.streams.video[0].average_rate


def test_a_motion_file_over_a_picture(capsys, motion_file, tmp_path):
    picture = tmp_path / "park.png"
    write_png(picture, torch.full((90, 120, 3), 0.6))
    code, told = run(capsys, "--motion", motion_file, "--background", picture, "--size", 80, "--out", tmp_path / "dance.mp4")
    assert code == 0 and told["frames"] == 8 and told["fps"] == 12 and told["size"] == [80, 60]
    frames, rate = frames_of(tmp_path / "dance.mp4")
    assert len(frames) == 8 and rate == 12 and frames[0].shape == (60, 80, 3)
    assert abs(frames[0][:5].astype(int) - 153).max() < 4 and frames[0].std() > 5


def test_sentences_in_a_studio(capsys, tmp_path):
    code, told = run(capsys, "--poses", "a person waves; a person sits", "--fps", 4, "--seconds", 0.8, "--size", "64x48",
                     "--camera", "follow", "--out", tmp_path / "poses.mp4")
    assert code == 0 and told["frames"] == 3 and told["size"] == [64, 48]


def test_a_background_is_painted_once_around_the_avatar_and_then_without_it(turning):
    from contrapposto.models.avatars import load_avatar
    from contrapposto.models.bodies import pose_body
    from contrapposto.models.headless.video import shot_of

    body, calls = load_body_model(), []

    class Painter:
        """An image model that paints its seed's colour and notes what it was given."""

        input_channels, cell = 4, 8

        def encode(self, images):
            return torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2), 8).repeat(1, 2, 1, 1)[:, :4]

        def decode(self, latents):
            return torch.nn.functional.interpolate(latents[:, :3], scale_factor=8.0).permute(0, 2, 3, 1)

        def empty_latents(self, height, width):
            return torch.zeros(1, 4, height // 8, width // 8)

        def encode_text(self, texts):
            return texts

        def scale(self, latents):
            return latents

        def sample(self, positive, negative, latents, change_mask=None, *rest, **options):
            calls.append((positive, negative, change_mask))
            return torch.lerp(latents, torch.full_like(latents, 0.25), change_mask[:, None])

    shot = shot_of(turning, body, load_avatar(), (96, 64))
    plate = paint_background(Painter(), shot, replace(shot, figure=pose_body(body, turning)), "a stage", side=256)
    assert plate.shape == (1, 64, 96, 3) and len(calls) == 2
    assert (plate - 0.25).abs().max() < 0.02, "nothing of the avatar is left"
    (around, _, first), (empty, unwanted, second) = calls
    assert around == empty == ["a stage"] and "person" in unwanted[0]
    assert (first == 0).any() and (second[first == 0] == 1).all(), "what was kept around the avatar is painted in the second pass"


def test_the_motion_faces_the_camera_and_keeps_its_way(turning):
    moved = replace(turning, transl=torch.tensor([[0.0, 0.0, 1.0]]) * torch.arange(8)[:, None])
    forward = faced_forward(moved)
    assert heading(forward.global_orient).mean().abs() < 1e-4
    assert torch.allclose(forward.transl.diff(dim=0).norm(dim=-1), torch.ones(7), atol=1e-5)


def test_large_pictures_shrink_and_small_ones_stay():
    assert shrink_picture(torch.rand(1, 300, 401, 3), 200).shape == (1, 150, 200, 3)
    small = torch.rand(1, 30, 40, 3)
    assert torch.equal(shrink_picture(small, 200), small)


@pytest.mark.parametrize("arguments, told", [
    (["--out", "x.mp4"], "motion"), (["--motion", "gone.bvh", "--out", "x.mp4"], "does not exist"),
    (["--poses", "one pose", "--out", "x.mp4"], "fewer than two"), (["--poses", "a; b", "--out", "x.gif"], "x.mp4"),
    (["--poses", "a; b", "--fps", "0", "--out", "x.mp4"], "--fps"), (["--poses", "a; b", "--text", "sea", "--out", "x.mp4"], "image model"),
    (["--poses", "a; b", "--camera", "fly", "--out", "x.mp4"], "--camera"),
    (["--poses", "a; b", "--shadow", "3", "--out", "x.mp4"], "--shadow"),
])
def test_mistakes_are_named_and_nothing_is_written(capsys, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, answer = run(capsys, *arguments)
    assert code == 2 and told in json.dumps(answer["error"])
    assert list(tmp_path.iterdir()) == []
