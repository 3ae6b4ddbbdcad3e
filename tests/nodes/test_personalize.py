"""The personalization's nodes without ComfyUI's models; tests/host runs them with models."""

import sys

import pytest
import torch

SIZE = 64


@pytest.fixture(scope="module")
def types(pack):
    """The pack's own models.types: it is loaded by path, apart from `contrapposto`."""
    return sys.modules[sys.modules[pack["ContrappostoFrameBody"].__module__].__package__.replace(".nodes", ".models.types")]


@pytest.fixture(scope="module")
def renders(execute, types):
    """(avatar, gray body) of a T-pose, as BODY_RENDER."""
    pose = types.BodyPose.rest(1)
    (avatar,) = execute("LoadAvatar", file="default avatar (bundled)")
    posed = execute("RetargetPose", body_pose=pose, avatar=avatar)[0]
    camera = execute("FrameBody", figure=pose, width=SIZE, height=SIZE, view="front", margin=0.2)[0]
    return execute("RenderAvatar", posed_avatar=posed, camera=camera)[2], execute("RenderGrayBody", figure=pose, camera=camera)[2]


class Vae:
    """Averages cells of 8 x 8 pixels, and counts its batches."""

    def __init__(self):
        self.batches = []

    def spacial_compression_encode(self):
        return 8

    def encode(self, images):
        self.batches.append(tuple(images.shape))
        means = torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2), 8)
        return torch.cat([means, means[:, :1]], 1)


def test_the_avatar_is_encoded_in_one_batch_when_a_model_reads_it(execute, renders):
    vae = Vae()
    (encoding,) = execute("EncodeAvatar", vae=vae, avatar=renders[0], gray_body=renders[1], downsample_rate=0.25)
    assert vae.batches == []
    encoded = encoding.read()
    assert encoding.read().avatar_latents is encoded.avatar_latents and vae.batches == [(2, SIZE, SIZE, 3)]
    assert encoded.avatar_latents.shape == (1, 4, 8, 8) and encoded.downsample_rate == 0.25
    assert not torch.equal(encoded.avatar_latents, encoded.gray_latents)


def test_paste_back_with_every_option_keeps_solid_pixels(execute, renders):
    avatar, picture = renders[0], torch.rand(1, SIZE, SIZE, 3)
    plain = execute("PasteAvatarBack", image=picture, body_render=avatar)[0]
    options = {"clean_edges": True, "harmonise": 0.7, "occluder": torch.zeros(1, SIZE, SIZE)}
    full = execute("PasteAvatarBack", image=picture, body_render=avatar, **options)[0]
    solid, empty = avatar.alpha >= 1, avatar.alpha <= 0
    assert solid.any() and torch.equal(plain[solid], avatar.rgb[solid]) and torch.equal(full[solid], avatar.rgb[solid])
    assert torch.equal(plain[empty], picture[empty]) and not torch.equal(full[empty], picture[empty])


def test_old_workflows_without_the_new_inputs_still_run(pack, renders):
    picture = torch.rand(1, SIZE, SIZE, 3)
    (pasted,) = pack["ContrappostoPasteAvatarBack"].execute(image=picture, body_render=renders[0]).args
    assert pasted.shape == picture.shape


def test_two_avatars_on_a_canvas_then_window_and_back(execute, renders):
    first = execute("ComposeAvatars", avatar=renders[0], gray_body=renders[1], width=160, height=96, x=0.3)
    second = execute("ComposeAvatars", avatar=renders[0], gray_body=renders[1], x=0.7, scale=0.5, onto_avatar=first[2],
                     onto_gray_body=first[3])
    image, mask, avatar, gray = second
    assert image.shape == (1, 96, 160, 3) and mask.sum() > first[1].sum()
    small, small_gray, window, shown = execute("CropCanvas", avatar=avatar, gray_body=gray, side=64, margin=10.0)
    assert small.alpha.shape == small_gray.alpha.shape == shown.shape[:3] and small.alpha.shape[2] % 8 == 0
    (whole,) = execute("StitchCanvas", image=torch.rand(*shown.shape), window=window)
    assert whole.shape == (1, 96, 160, 3)


def test_part_of_a_picture_is_painted_anew(execute, renders):
    picture = torch.rand(1, 96, 160, 3)
    avatar, gray = execute("ComposeAvatars", avatar=renders[0], gray_body=renders[1], width=160, height=96, scale=0.5)[2:]
    _, _, window, shown = execute("CropCanvas", avatar=avatar, gray_body=gray, side=64, margin=0.1, canvas=picture)
    (whole,) = execute("StitchCanvas", image=1 - shown, window=window, canvas=picture)
    changed = (whole != picture).any(-1)
    assert 0 < changed.float().mean() < 0.9


def test_ground_camera_takes_the_pictures_size(execute, types):
    pose = types.BodyPose.rest(2)
    (camera,) = execute("GroundCamera", figure=pose, background=torch.rand(1, 48, 80, 3))
    assert (camera.width, camera.height, len(camera)) == (80, 48, 2)


def test_occluder_from_depth(execute, renders):
    (occluder,) = execute("OccluderFromDepth", depth=torch.zeros(1, SIZE, SIZE, 3), body_render=renders[0])
    assert occluder.shape == (1, SIZE, SIZE) and occluder.max() == 0


def test_patch_file_is_asked_for_by_name(pack, models_dir):
    said = pack["ContrappostoLoadPersonalizationPatch"].validate_inputs(file="gone.safetensors")
    assert "gone.safetensors" in said and str(models_dir / "personalization") in said
