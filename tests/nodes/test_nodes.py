"""The nodes run: sockets in, the library's result out, mistakes named."""

import sys

import pytest
import torch

SIZE = 96


@pytest.fixture(scope="module")
def poses(pack):
    """BODY_POSE of three T-poses, of the pack's own class: the pack is loaded by path, apart from `contrapposto`."""
    types = sys.modules[
        sys.modules[pack["ContrappostoFrameBody"].__module__].__package__.replace(".nodes", ".models.types")
    ]
    return types.BodyPose.rest(3)


@pytest.fixture(scope="module")
def posed_avatar(execute, poses):
    (avatar,) = execute("LoadAvatar", file="default avatar (bundled)")
    return execute("RetargetPose", body_pose=poses, avatar=avatar)[0]


@pytest.fixture(scope="module")
def camera(execute, poses):
    return execute("FrameBody", figure=poses, width=SIZE, height=SIZE, view="front")[0]


@pytest.fixture(scope="module")
def prior(execute):
    return execute("LoadPosePrior", file="open pose prior (bundled)")[0]


@pytest.fixture(scope="module")
def text_to_pose(execute):
    return execute("LoadTextToPose", file="open text-to-pose (bundled)")[0]


def test_text_to_pose_gives_the_same_rows_for_the_same_seed(execute, text_to_pose):
    given = {"text_to_pose": text_to_pose, "text": "a person waving", "steps": 3}
    (two,), (again,), (four,) = (execute("TextToPose", **given, seed=7, count=count) for count in (2, 2, 4))
    assert len(two) == 2 and len(four) == 4
    assert torch.equal(two.body_pose, again.body_pose)
    torch.testing.assert_close(two.body_pose, four.body_pose[:2])
    assert not torch.equal(two.body_pose, execute("TextToPose", **given, seed=8, count=2)[0].body_pose)


@pytest.mark.parametrize(
    ("text", "said"), [("", "empty"), ("x " * 5000, "characters"), ("1 2 3", "words"), ("人が走る", "English")]
)
def test_text_to_pose_refuses_bad_text(execute, text_to_pose, text, said):
    with pytest.raises(ValueError, match=f"(?s)prompt.*{said}"):
        execute("TextToPose", text_to_pose=text_to_pose, text=text)


def test_text_to_pose_refuses_a_foreign_clip(execute, text_to_pose):
    class Sdxl:
        def tokenize(self, text):
            return {"l": [], "g": []}

    with pytest.raises(ValueError, match="clip.*not a plain CLIP-L.*leave the input unconnected"):
        execute("TextToPose", text_to_pose=text_to_pose, text="a person", clip=Sdxl())


def test_a_clip_reaches_the_library_as_text_states(execute, text_to_pose):
    class ClipL:
        layer = -2

        def tokenize(self, text):
            return {"l": [[(49406, 1.0), (1237, 1.0), (49407, 1.0)] + [(49407, 1.0)] * 74]}

        def clone(self):
            return ClipL()

        def clip_layer(self, layer):
            self.layer = layer

        def encode_from_tokens(self, tokens, return_pooled):
            assert self.layer is None and return_pooled == "unprojected"
            return torch.zeros(1, 77, 768), torch.zeros(1, 768)

    with pytest.raises(ValueError, match="clip-l.*does not fit these text-to-pose weights"):
        execute("TextToPose", text_to_pose=text_to_pose, text="a person", clip=ClipL())


def test_latents_decode_to_the_pose_they_encode(execute, prior):
    (random_poses,) = execute("DecodeVPoser", pose_prior=prior, count=4, seed=3)
    (latents,) = execute("EncodeVPoser", pose_prior=prior, body_pose=random_poses)
    (decoded,) = execute("DecodeVPoser", pose_prior=prior, pose_latents=latents, placement=random_poses)
    (regularised,) = execute("RegularisePose", pose_prior=prior, body_pose=random_poses, strength=1.0)
    assert latents.shape == (4, 32)
    torch.testing.assert_close(decoded.body_pose, regularised.body_pose)
    assert torch.equal(decoded.transl, random_poses.transl)


def test_sampled_latents_depend_on_the_seed_only(execute, prior, poses):
    codes = [
        execute("EncodeVPoser", pose_prior=prior, body_pose=poses, sample=True, seed=seed)[0] for seed in (1, 1, 2)
    ]
    assert torch.equal(codes[0], codes[1]) and not torch.equal(codes[0], codes[2])


def test_zero_strength_changes_nothing(execute, prior, poses):
    assert torch.equal(
        execute("RegularisePose", pose_prior=prior, body_pose=poses, strength=0.0)[0].body_pose, poses.body_pose
    )


def test_placement_must_have_one_row_or_as_many_as_latents(execute, prior, poses):
    with pytest.raises(ValueError, match="placement 2 rows do not fit 3 poses. Give 1 row or 3 rows"):
        execute("DecodeVPoser", pose_prior=prior, pose_latents=torch.zeros(3, 32), placement=poses[:2])


def test_framing_takes_the_size_of_a_connected_background(execute, poses):
    (camera,) = execute("FrameBody", figure=poses, width=64, height=64, background=torch.zeros(1, 40, 80, 3))
    assert (camera.width, camera.height, len(camera)) == (80, 40, 3)


def test_custom_view_takes_the_angles_and_others_ignore_them(execute, poses):
    views = {"custom": (90.0, 0.0), "side": (12.0, 34.0), "front": (0.0, 0.0)}
    custom, side, front = (
        execute("FrameBody", figure=poses, view=v, yaw=y, pitch=p)[0].R for v, (y, p) in views.items()
    )
    torch.testing.assert_close(custom, side)
    assert not torch.allclose(side, front)


def test_gray_body_of_poses(execute, poses, camera):
    image, mask, render = execute("RenderGrayBody", figure=poses, camera=camera)
    assert image.shape == (3, SIZE, SIZE, 3) and mask.shape == (3, SIZE, SIZE)
    assert 0.05 < mask.mean() < 0.6 and mask.amax() == 1 and mask.amin() == 0
    assert torch.equal(image, render.rgb)


def test_depth_is_white_near_and_black_where_nothing_is(execute, poses, camera):
    image, mask, render = execute("RenderDepth", figure=poses, camera=camera)
    assert image.amax() == 1 and torch.all(image[mask == 0] == 0)
    assert render.depth[render.depth > 0].amin() > 0.5


def test_pose_map_and_its_key_points(execute, poses, camera):
    image, mask, render, people = execute("RenderPoseMap", figure=poses, camera=camera)
    assert image.shape == (3, SIZE, SIZE, 3) and 0.001 < (image > 0).float().mean() < 0.3
    assert torch.equal(mask, render.alpha) and 0.01 < mask.mean() < 0.9
    assert len(people) == 3 and (people[0]["canvas_width"], people[0]["canvas_height"]) == (SIZE, SIZE)
    points = torch.tensor(people[0]["people"][0]["pose_keypoints_2d"]).reshape(18, 3)
    assert torch.all(points[:, :2] >= 0) and torch.all(points[:, :2] <= SIZE)
    right_shoulder, left_shoulder = points[2], points[5]
    assert right_shoulder[0] < left_shoulder[0], "seen from the front, the right shoulder is on the left of the picture"


def test_key_points_behind_the_head_are_left_out_on_demand(execute, poses):
    (back,) = execute("FrameBody", figure=poses, width=SIZE, height=SIZE, view="back")
    nose = {}
    for hide in (True, False):
        *_, people = execute("RenderPoseMap", figure=poses, camera=back, hide_far_face=hide)
        nose[hide] = people[0]["people"][0]["pose_keypoints_2d"][:3]
    assert nose[True] == [0, 0, 0] and nose[False][2] == 1


def test_avatar_is_drawn_and_pasted_bit_for_bit(execute, posed_avatar):
    (camera,) = execute("FrameBody", figure=posed_avatar, width=SIZE, height=SIZE)
    image, mask, render = execute("RenderAvatar", posed_avatar=posed_avatar, camera=camera)
    background = torch.rand(1, SIZE, SIZE, 4)
    (pasted,) = execute("PasteAvatarBack", image=background, body_render=render)
    solid, empty = mask == 1, mask == 0
    assert solid.any() and empty.any()
    assert torch.equal(pasted[solid], image[solid])
    assert torch.equal(pasted[empty], background[..., :3].expand(3, -1, -1, -1)[empty])


def test_an_occluder_hides_the_avatar(execute, posed_avatar):
    (camera,) = execute("FrameBody", figure=posed_avatar, width=SIZE, height=SIZE)
    render = execute("RenderAvatar", posed_avatar=posed_avatar, camera=camera)[2]
    background = torch.rand(1, SIZE, SIZE, 3)
    (pasted,) = execute("PasteAvatarBack", image=background, body_render=render, occluder=torch.ones(SIZE, SIZE))
    assert torch.equal(pasted, background.expand(3, -1, -1, -1))


def test_pasting_on_a_picture_of_another_size_names_both_sizes(execute, poses, camera):
    render = execute("RenderGrayBody", figure=poses, camera=camera)[2]
    with pytest.raises(ValueError, match="background 64 x 32|background '64 x 32'"):
        execute("PasteAvatarBack", image=torch.zeros(1, 32, 64, 3), body_render=render)


def test_studio_has_a_shadow_unless_it_is_turned_off(execute, poses, camera):
    dark, plain = (execute("RenderStudio", figure=poses, camera=camera, shadow=shadow)[0] for shadow in (0.45, 0.0))
    assert dark.shape == plain.shape == (3, SIZE, SIZE, 3)
    assert torch.all(dark <= plain) and (plain - dark).amax() > 0.05


def test_body_model_is_used_when_given(execute, poses, camera):
    (body,) = execute("LoadBodyModel", file="open body (bundled)")
    given, default = (
        execute("RenderGrayBody", figure=poses, camera=camera, **extra)[1] for extra in ({"body_model": body}, {})
    )
    assert torch.equal(given, default)


def test_previews_are_transparent_and_short(pack, poses, camera):
    many = poses[[0] * 20]
    node = pack["ContrappostoRenderGrayBody"]
    shown = node.execute(figure=many, camera=camera[0], engine="torch").ui.image
    assert shown.shape == (16, SIZE, SIZE, 4)


def test_progress_is_reported(execute, poses, camera):
    import fake_comfy

    fake_comfy.ProgressBar.reports.clear()
    execute("RenderGrayBody", figure=poses, camera=camera)
    assert fake_comfy.ProgressBar.reports[-1] == (3, 3)
