"""The thirteen metrics: what a still, a flickering and a wrong video score, and what is left out."""

import json
from dataclasses import replace

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.metrics import pose_report
from contrapposto.models.metrics.video import METRICS, cut_out, evaluate_video, pose_errors
from contrapposto.models.metrics.video_report import as_json, as_picture, as_table
from contrapposto.models.types import BodyPose, Keypoints

SIZE = (200, 200)


@pytest.fixture(scope="module")
def frames():
    generator = torch.Generator().manual_seed(0)
    rough = torch.rand(1, 3, 50, 50, generator=generator)
    still = torch.nn.functional.interpolate(rough, SIZE, mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)
    return torch.stack([still, still, (still + 0.1).clamp(0, 1)])


@pytest.fixture(scope="module")
def masks():
    mask = torch.zeros(1, *SIZE)
    mask[:, 50:150, 60:140] = 1
    return mask


def embed(pictures):
    """A stand-in for CLIP: mean colours and one."""
    return torch.cat([pictures.mean((1, 2)), torch.ones(len(pictures), 1)], 1)


def keypoints(shift=0.0, rows=3, width=200):
    points = torch.arange(36, dtype=torch.float32).view(18, 2) + shift
    return Keypoints(points.expand(rows, 18, 2), torch.ones(rows, 18), "openpose18", width, width)


def test_all_thirteen_are_measured(frames, masks):
    text = embed(frames[:1])
    scores = evaluate_video(frames, masks, keypoints(), keypoints(2.0), embed, text, "a stand-in")
    assert list(scores.means) == list(METRICS) and len(METRICS) == 13
    missing = {name for name, mean in scores.means.items() if mean is None}
    assert missing <= {"NIQE body", "NIQE background"}, "the picture is small"
    assert scores.over_time["Frame L1"][0] == 0 and scores.over_time["Frame MSE"][0] == 0
    assert scores.over_time["Frame L1"][1] == pytest.approx(float(((frames[2] * 255).round() - (frames[1] * 255).round()).abs().mean()))
    assert scores.over_time["CLIP frame"][0] == pytest.approx(100) and scores.over_time["CLIP frame"][1] < 100
    assert scores.over_time["CLIP text"][0] == pytest.approx(100, abs=1e-3)
    assert scores.means["Pose MSE"] == pytest.approx(2 * (2 * 512 / 200) ** 2)
    assert "a stand-in" in scores.choices["CLIP model"] and "niqe.safetensors" in scores.choices["models"]


def test_without_clip_masks_and_poses_the_rest_is_measured(frames):
    scores = evaluate_video(frames, quality_every=2)
    assert set(scores.over_time) == {"BRISQUE frame", "NIQE frame", "Frame L1", "Frame MSE"}
    assert scores.missing["CLIP text"] == "no CLIP is given" and scores.missing["BRISQUE body"] == "no masks are given"
    assert scores.missing["Pose MSE"] == "no key points are given"
    assert torch.tensor(scores.over_time["BRISQUE frame"]).isnan().tolist() == [False, True, False]
    one = evaluate_video(frames[:1])
    assert one.missing["Frame L1"] == "there is one frame only"


def test_pose_errors_take_what_both_have_and_do_not_depend_on_the_picture_size():
    wanted, found = keypoints(), keypoints(1.0)
    assert torch.allclose(pose_errors(wanted, found), torch.full((3,), 2 * (512 / 200) ** 2))
    double = replace(found, keypoints_2d=wanted.keypoints_2d * 2, width=400, height=400)
    assert pose_errors(wanted, double).max() < 1e-6
    hidden = replace(found, scores=torch.zeros(3, 18))
    assert pose_errors(wanted, hidden).isnan().all()


def test_cut_outs(frames, masks):
    body, background = cut_out(frames[0], masks[0])
    assert body.shape == (1, 100, 80, 3) and torch.equal(body[0], frames[0, 50:150, 60:140])
    assert (background[0, 50:150, 60:140] == 0.5).all() and torch.equal(background[0, :50], frames[0, :50])
    assert cut_out(frames[0], torch.zeros(SIZE))[0] is None


def test_the_report_holds_table_json_and_plot(frames):
    scores = evaluate_video(frames)
    table = as_table(scores)
    assert all(f"| {name} |" in table for name in METRICS) and "no CLIP is given" in table and "How it was measured" in table
    told = json.loads(as_json(scores))
    assert told["means"]["CLIP text"] is None and told["over_time"]["Frame L1"][2] is None and len(told["over_time"]["NIQE frame"]) == 3
    picture = as_picture(scores, fps=24)
    assert picture.ndim == 3 and picture.shape[1] == 990 and picture.std() > 0.02


@pytest.mark.parametrize("wrong, said", [
    ({"frames": torch.zeros(0, 8, 8, 3)}, "0"), ({"masks": torch.zeros(2, *SIZE)}, "masks"), ({"masks": torch.zeros(1, 8, 8)}, "masks"),
    ({"wanted": keypoints(rows=2), "found": keypoints()}, "given poses"), ({"quality_every": 0}, "quality_every"),
    ({"wanted": keypoints(), "found": replace(keypoints(), order="coco")}, "another order"),
])
def test_mistakes_are_named(frames, wrong, said):
    with pytest.raises(InputError, match=said):
        evaluate_video(**({"frames": frames} | wrong))


def test_poses_are_measured_and_compared():
    from contrapposto.models.bodies import load_body_model, place_on_floor

    body = load_body_model()
    rest = place_on_floor(body, BodyPose.rest(3))
    measures = pose_report.evaluate_poses(rest, body, rest)
    assert measures["poses"] == 3 and measures["distance row by row, metres"] == pytest.approx(0, abs=1e-6)
    assert measures["variety, metres"] == pytest.approx(0, abs=1e-6) and 0 <= measures["plausible share"] <= 1
    assert "200" in measures["left out"]["Frechet distance, joint space"]
    assert "| poses | 3 |" in pose_report.as_table(measures)
    with pytest.raises(InputError, match="at least one pose"):
        pose_report.evaluate_poses(BodyPose.rest(0), body)
