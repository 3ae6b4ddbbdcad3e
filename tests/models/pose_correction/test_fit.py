"""The fit recovers held-out bodies from their key points, one like many, and says what it cannot do."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from seen_bodies import aligned_error, faces_right, see

from contrapposto.models.bodies import pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.fit import fit_body, front_camera
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import project
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.types import Keypoints

DATA = Path(__file__).parents[4] / "shared" / "data" / "text_pose"


@pytest.fixture(scope="module")
def clean(views, body, prior):
    return fit_body(views.keypoints, body, prior)


def errors(result, views, body):
    return 1000 * aligned_error(pose_body(body, result.pose).joints[:, :22], views.joints)


def test_bodies_come_back_from_clean_points(clean, views, body):
    error = errors(clean, views, body)
    assert error.median() < 40 and error.quantile(0.9) < 100, error
    assert faces_right(clean.pose, clean.camera, views).float().mean() > 0.9
    assert clean.residual.median() < 1.5 and bool(clean.fitted.all())


def test_bodies_come_back_from_noisy_points(views, body, prior):
    result = fit_body(views.noisy(5, 0.2), body, prior)
    assert errors(result, views, body)[result.fitted].median() < 70
    assert faces_right(result.pose, result.camera, views)[result.fitted].float().mean() > 0.9


def test_the_residual_is_what_a_projection_shows(clean, views, body):
    pixels, depth = project(pose_body(body, clean.pose).keypoints_3d(), clean.camera)
    assert torch.allclose((pixels - views.keypoints.keypoints_2d).norm(dim=-1).mean(1), clean.residual, atol=1e-2)
    assert bool((depth > 0).all())


def test_one_person_is_fitted_as_among_many(clean, views, body, prior):
    alone = fit_body(views.keypoints[5], body, prior)
    points, among = (pose_body(body, row).joints for row in (alone.pose, clean.pose[5]))
    assert (points - among).norm(dim=-1).mean() < 0.03


def test_without_shape_the_mean_body_stays(views, body, prior):
    result = fit_body(views.keypoints[:2], body, prior, shape=False)
    assert bool((result.pose.betas == 0).all())


def test_a_known_camera_is_kept_and_gives_the_place(views, body, prior):
    result = fit_body(views.keypoints[:6], body, prior, camera=views.camera[:6])
    assert torch.equal(result.camera.t, views.camera.t[:6])
    truth = pose_body(body, views.pose[:6]).joints[:, 0]
    found = pose_body(body, result.pose).joints[:, 0]
    distance = (truth - found).norm(dim=-1)
    assert distance.median() < 0.25  # metres; a taller body farther away looks the same


def test_another_prior_works_without_the_lifters_codes(views, body):
    other = load_pose_prior()
    other.sha256 = "another"
    result = fit_body(views.keypoints[:8], body, other)
    assert errors(result, replace(views, joints=views.joints[:8]), body).median() < 60


def test_a_size_is_no_matter(clean, views, body, prior):
    larger = Keypoints(2 * views.keypoints.keypoints_2d[:4], views.keypoints.scores[:4], "openpose18", 1024, 1024)
    result = fit_body(larger, body, prior)
    points, same = (pose_body(body, pose).joints for pose in (result.pose, clean.pose[:4]))
    assert (points - same).norm(dim=-1).mean() < 0.02


def test_people_without_a_trunk_are_set_aside(views, body, prior):
    scores = views.keypoints.scores[:3].clone()
    scores[1, [1, 2, 5, 8, 11]] = 0
    scores[2] = 0
    result = fit_body(replace(views.keypoints[:3], scores=scores), body, prior)
    assert result.fitted.tolist() == [True, False, False]
    assert result.residual.isnan().tolist() == [False, True, True]
    assert len(result.only_fitted().pose) == 1 and bool(torch.isfinite(result.pose.transl).all())


def test_points_outside_the_picture_count(views, body, prior):
    moved = replace(views.keypoints[:2], keypoints_2d=views.keypoints.keypoints_2d[:2] + torch.tensor([300.0, 0.0]))
    assert bool((fit_body(moved, body, prior).residual < 5).all())


@pytest.mark.parametrize("change, said", [
    (lambda k: replace(k, order="coco17"), "coco17"),
    (lambda k: replace(k, scores=torch.zeros_like(k.scores)), "have fewer than 5 points"),
    (lambda k: k[[]], "nobody to fit"),
    (lambda k: replace(k, keypoints_2d=k.keypoints_2d * torch.nan), "NaN"),
])
def test_what_cannot_be_fitted_is_named(views, body, prior, change, said):
    with pytest.raises(InputError, match=said):
        fit_body(change(views.keypoints[:2]), body, prior)


def test_nan_at_missing_points_does_no_harm(views, body, prior):
    points, scores = views.keypoints.keypoints_2d[:1].clone(), views.keypoints.scores[:1].clone()
    points[0, 4], scores[0, 4] = torch.nan, 0
    assert fit_body(Keypoints(points, scores, "openpose18", 512, 512), body, prior).residual[0] < 3


def film(held_out, body, frames=8):
    """One person who turns slowly, in frames one after another; the points tremble."""
    rotvec = held_out[14][None].expand(frames, -1, -1).clone()
    rotvec[:, 16, 2] += torch.linspace(0, 0.6, frames)
    views = see(rotvec, body)
    posed = pose_body(body, replace(views.pose, betas=None, global_orient=views.pose.global_orient[:1].expand(frames, 3, 3)))
    camera = views.camera[[0] * frames]
    pixels, _ = project(posed.keypoints_3d(), camera)
    pixels = pixels + 4 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(2))
    return Keypoints(pixels, torch.ones(frames, 18), "openpose18", 512, 512), posed


def test_a_film_is_smooth_and_of_one_shape(held_out, body, prior):
    keypoints, posed = film(held_out, body)
    frame = torch.arange(len(keypoints))

    def tremble(smooth):
        pose = fit_body(keypoints, body, prior, frame_index=frame, smooth=smooth).pose
        joints = pose_body(body, pose).joints[:, :22]
        joints = joints - joints[:, :1]
        return pose, (joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1).mean(), aligned_error(joints, posed.joints[:, :22]).mean()

    (_, rough, error_alone), (pose, smooth, error_film) = tremble(0.0), tremble(1.0)
    assert smooth < 0.6 * rough and error_film < error_alone + 0.005
    assert torch.allclose(pose.betas, pose.betas[:1].expand_as(pose.betas), atol=1e-5)
    assert torch.equal(pose.frame_index, frame)


def test_the_steps_are_reported(views, body, prior):
    seen = []
    fit_body(views.keypoints[:1], body, prior, on_step=lambda done, count: seen.append((done, count)))
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


def test_the_front_camera_sees_a_standing_body_upright():
    camera = front_camera(640, 480)
    pixels, depth = project(torch.tensor([[[0.0, 0.0, -3.0], [0.0, 1.0, -3.0]]]), camera)
    assert bool((depth == 3).all()) and pixels[0, 0].tolist() == [320, 240] and pixels[0, 1, 1] < 240


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the text_pose data")
def test_two_hundred_held_out_poses(body, prior):
    data = load_text_pose(DATA)
    generator = torch.Generator().manual_seed(0)
    pools = [data.rows("test", authored=authored) for authored in (False, True)]
    rows = torch.cat([pool[torch.randperm(len(pool), generator=generator)[:100]] for pool in pools])
    views = see(torch.cat([data.root_rotvec[rows][:, None], data.body_rotvec[rows]], 1), body)
    clean, noisy = fit_body(views.keypoints, body, prior), fit_body(views.noisy(5, 0.2), body, prior)
    assert errors(clean, views, body).median() < 40 and faces_right(clean.pose, clean.camera, views).float().mean() > 0.9
    assert errors(noisy, views, body)[noisy.fitted].median() < 70
    assert faces_right(noisy.pose, noisy.camera, views)[noisy.fitted].float().mean() > 0.9
