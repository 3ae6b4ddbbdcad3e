"""Rank Poses: the bundled scorer, CLIP in its place, the sheet, and one error per mistake."""

import sys

import pytest
import torch

TEXT = "a person raises both arms above the head"


@pytest.fixture(scope="module")
def candidates(pack):
    """BODY_POSE of the pack's own class: row 0 a T-pose, row 1 with both arms up, row 2 with both arms down."""
    folder = sys.modules[pack["ContrappostoFrameBody"].__module__].__package__.replace(".nodes", ".models")
    rest = sys.modules[f"{folder}.types"].BodyPose.rest(3)
    body = rest.body_pose.clone()
    for row, turn in ((1, 1.3), (2, -1.3)):
        for joint, sign in ((15, 1), (16, -1)):
            body[row, joint] = sys.modules[f"{folder}.rotations"].rotvec_to_rotmat(torch.tensor([0.0, 0.0, sign * turn]))
    return type(rest)(rest.global_orient, body)


class Clip:
    """A CLIP whose text embedding points along ``direction``, scaled by ``spread``: its projection says so."""

    def __init__(self, direction, spread=0.1, encoders=("l",)):
        projection = torch.nn.Linear(8, len(direction), bias=False)
        projection.weight.data = spread * torch.tensor(direction)[:, None] * torch.ones(1, 8)
        self.cond_stage_model = torch.nn.ModuleDict({"text_projection": projection})
        self.encoders = encoders

    def tokenize(self, text):
        return {encoder: [[(49406, 1.0), (49407, 1.0)]] for encoder in self.encoders}

    def encode_from_tokens(self, tokens, return_pooled):
        assert return_pooled == "unprojected"  # ComfyUI projects some kinds of CLIP and not others
        return torch.zeros(1, 77, 8), torch.ones(1, 8)


class ClipVision:
    """A CLIP vision model that sees how much of a picture is body, on the first axis."""

    def encode_image(self, images):
        assert images.ndim == 4 and images.shape[-1] == 3 and 0 <= images.min() and images.max() <= 1
        self.body = (images.mean(-1) < 0.9).float().mean((1, 2))
        return {"image_embeds": torch.stack([self.body, 1 - self.body], 1)}


def test_the_bundled_scorer_puts_the_fitting_pose_first(execute, candidates):
    kept, scores, sheet = execute("RankPoses", body_pose=candidates, text=TEXT)
    assert torch.equal(kept.body_pose[0], candidates.body_pose[1])
    assert len(kept) == len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert sheet.shape[0] == 1 and sheet.shape[-1] == 3 and 0 <= sheet.min() and sheet.max() <= 1


@pytest.mark.parametrize(("keep", "rows"), [(0, 3), (1, 1), (2, 2), (256, 3)])
def test_keep_takes_the_best(execute, candidates, keep, rows):
    everything, all_scores, _ = execute("RankPoses", body_pose=candidates, text=TEXT)
    kept, scores, _ = execute("RankPoses", body_pose=candidates, text=TEXT, keep=keep)
    assert torch.equal(kept.body_pose, everything.body_pose[:rows]) and scores == all_scores[:rows]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_clip_compares_pictures_of_the_poses(execute, candidates, sign):
    vision = ClipVision()
    kept, scores, _ = execute("RankPoses", body_pose=candidates, text=TEXT, clip=Clip((sign, -sign)), clip_vision=vision)
    assert scores == sorted(scores, reverse=True)
    order = (sign * vision.body).argsort(descending=True)
    assert len(set(vision.body.tolist())) == 3 and torch.equal(kept.body_pose, candidates.body_pose[order])


@pytest.mark.parametrize("spread", [0.0, 1e-6, 180.0, float("nan")])
def test_a_clip_without_text_projection_is_named(execute, candidates, spread):
    with pytest.raises(ValueError, match="clip 'l' came without its text projection.*Load CLIP"):
        execute("RankPoses", body_pose=candidates, text=TEXT, clip=Clip((1.0, -1.0), spread), clip_vision=ClipVision())


def test_a_projection_of_leftover_memory_is_no_projection(execute, candidates):
    with pytest.raises(ValueError, match="came without its text projection"):
        execute("RankPoses", body_pose=candidates, text=TEXT, clip=Clip((1.0, 1e-4)), clip_vision=ClipVision())


def test_two_text_encoders_at_once_are_named(execute, candidates):
    with pytest.raises(ValueError, match="clip 'g [+] l' is not one single CLIP"):
        execute("RankPoses", body_pose=candidates, text=TEXT, clip=Clip((1.0, -1.0), encoders=("l", "g")), clip_vision=ClipVision())


def test_halves_of_different_clips_are_named(execute, candidates):
    with pytest.raises(ValueError, match="clip_vision.*2 numbers per picture, the text encoder 3"):
        execute("RankPoses", body_pose=candidates, text=TEXT, clip=Clip((1.0, -1.0, 0.5)), clip_vision=ClipVision())


def test_one_half_of_a_clip_is_not_enough(execute, candidates):
    with pytest.raises(ValueError, match="clip_vision.*missing beside clip"):
        execute("RankPoses", body_pose=candidates, text=TEXT, clip=Clip((1.0, 0.0)))
    with pytest.raises(ValueError, match="clip .*missing beside clip_vision"):
        execute("RankPoses", body_pose=candidates, text=TEXT, clip_vision=ClipVision())


def test_bad_text_is_named_before_anything_is_drawn(execute, candidates):
    with pytest.raises(ValueError, match="prompt.*empty"):
        execute("RankPoses", body_pose=candidates, text=" ", clip=Clip((1.0, 0.0)), clip_vision=ClipVision())
