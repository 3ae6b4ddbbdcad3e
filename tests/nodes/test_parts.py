"""Reference Part, Render Part Map and Reference Similarity, without a ComfyUI. Sampling is tested in tests/host/test_parts_to_whole.py."""

import sys

import pytest
import torch

GIVEN = {"label": "face", "strength": 1.0, "start": 0.0, "end": 1.0, "crop": "whole picture", "fit": "pad"}


class MeanColour:
    """CLIP Vision's interface over the mean colour."""

    def encode_image(self, pictures):
        return {"image_embeds": pictures.mean((1, 2)) - 0.5, "last_hidden_state": None}


@pytest.fixture(scope="module")
def poses(pack):
    folder = sys.modules[pack["ContrappostoFrameBody"].__module__].__package__.replace(".nodes", ".models")
    return sys.modules[f"{folder}.types"].BodyPose.rest(2)


def test_a_batch_is_several_pictures_of_one_part_and_nodes_chain(execute):
    faces, shown = execute("ReferencePart", image=torch.rand(2, 8, 6, 3), **GIVEN)
    both, _ = execute("ReferencePart", image=torch.rand(1, 8, 6, 4), **{**GIVEN, "label": "shoes", "strength": 0.5}, references=faces)
    assert [reference.label for reference in both] == ["face", "face", "shoes"] and both[2].strength == 0.5
    assert torch.equal(shown[0], faces[0].image) and faces[0].mask.eq(1).all()


def test_crops(execute):
    image, mask = torch.rand(1, 40, 40, 3), torch.zeros(1, 40, 40)
    mask[:, 10:20, 10:20] = 1
    (cut,), _ = execute("ReferencePart", image=image, **{**GIVEN, "crop": "the mask"}, mask=mask)
    assert cut.image.shape == (12, 12, 3)
    points = [0.0] * 54
    points[14 * 3 : 16 * 3] = [15, 20, 1, 23, 20, 1]
    keypoints = [{"canvas_width": 40, "canvas_height": 40, "people": [{"pose_keypoints_2d": points}]}]
    (face,), _ = execute("ReferencePart", image=image, **{**GIVEN, "crop": "face, eyes level"}, pose_keypoint=keypoints)
    assert face.image.shape == (40, 40, 3)


@pytest.mark.parametrize("change, said", [
    ({"mask": torch.zeros(1, 64, 64)}, "64 x 64"), ({"mask": torch.zeros(8, 6)}, "shows no face"),
    ({"mask": torch.ones(3, 8, 6)}, "3 rows"),
    ({"crop": "face, eyes level"}, "is not connected"), ({"label": "nose"}, "label 'nose'"),
])
def test_mistakes_are_named(execute, change, said):
    with pytest.raises(ValueError, match=said):
        execute("ReferencePart", image=torch.rand(1, 8, 6, 3), **{**GIVEN, **change})


def test_part_maps_have_a_row_per_pose(execute, poses):
    (camera,) = execute("FrameBody", figure=poses, width=64, height=96, view="front", yaw=0.0, pitch=0.0, field_of_view=30.0, margin=0.08,
                        one_camera=False)
    image, mask = execute("RenderPartMap", body_pose=poses, camera=camera)
    assert image.shape == (2, 96, 64, 3) and mask.shape == (2, 96, 64) and (image[..., 2] * 255).round().max() <= 24


def test_similarity(execute):
    red = torch.tensor([1.0, 0.4, 0.4]).expand(2, 8, 6, 3)
    faces, _ = execute("ReferencePart", image=red[:1], **GIVEN)
    shoes, _ = execute("ReferencePart", image=1 - red[:1], **{**GIVEN, "label": "shoes"}, references=faces)
    whole, report = execute("ReferenceSimilarity", clip_vision=MeanColour(), images=red, references=shoes)
    assert report.splitlines()[1].startswith("face: ") and whole < 1
    part, _ = execute("ReferenceSimilarity", clip_vision=MeanColour(), images=red, references=faces, masks=torch.ones(1, 8, 6))
    assert part == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="at once"):
        execute("ReferenceSimilarity", clip_vision=MeanColour(), images=red, references=shoes, masks=torch.ones(1, 8, 6))
