"""The first guess: what it sees does not depend on place and lens, and it stays near the truth on held-out poses."""

from dataclasses import replace

import pytest
import torch

from contrapposto.models.assets.files import write_safetensors
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.lifter import FEATURES, LifterConfig, PoseLifter, load_lifter, view_features, write_lifter
from contrapposto.models.rotations import rotation_about
from contrapposto.models.training.losses import geodesic_angle


@pytest.fixture(scope="module")
def lifter():
    return load_lifter()


def test_it_speaks_the_bundled_priors_codes(lifter, prior):
    assert lifter.config.prior_sha256 == prior.sha256


def test_it_sees_which_way_held_out_bodies_are_turned(lifter, views, prior):
    seen = lifter.guess(views.keypoints.keypoints_2d, views.keypoints.scores, views.camera)
    angle = geodesic_angle(seen.root, views.camera.R @ views.pose.global_orient).rad2deg()
    assert angle.median() < 20
    code = prior.encode(views.pose.body_pose).mean
    assert (code - seen.mean).norm(dim=1).median() < 0.8 * code.norm(dim=1).median() and bool((seen.std > 0).all())


def test_turning_the_camera_about_itself_changes_nothing_it_sees(views):
    """The same rays from a camera that looks elsewhere: equal features, and the turn tells the difference."""
    camera, points = views.camera[:5], views.keypoints.keypoints_2d[:5]
    rays = torch.cat([(points - 256) / camera.fx[:, None, None], torch.ones(5, 18, 1)], -1) @ rotation_about("y", 0.3).T
    moved = rays[..., :2] / rays[..., 2:] * camera.fx[:, None, None] + 256
    (features, turn), (same, other) = (view_features(p, torch.ones(5, 18), camera) for p in (points, moved))
    assert torch.allclose(features, same, atol=0.02) and not torch.allclose(turn, other, atol=0.1)


def test_another_lens_and_size_of_picture_change_nothing(views):
    camera = views.camera[:5]
    larger = replace(camera, **{name: 2 * getattr(camera, name) for name in ("fx", "fy", "cx", "cy")}, width=1024, height=1024)
    points, scores = views.keypoints.keypoints_2d[:5], torch.ones(5, 18)
    assert torch.allclose(view_features(points, scores, camera)[0], view_features(2 * points, scores, larger)[0], atol=1e-5)


def test_missing_points_are_not_looked_at(views):
    scores, points = torch.ones(1, 18), views.keypoints.keypoints_2d[:1].clone()
    scores[0, 4] = 0
    first, _ = view_features(points, scores, views.camera[:1])
    points[0, 4] = 1e4
    assert torch.equal(first, view_features(points, scores, views.camera[:1])[0]) and first.shape == (1, FEATURES)


def test_a_written_lifter_comes_back(tmp_path):
    made = PoseLifter(LifterConfig(width=16, blocks=1))
    write_lifter(tmp_path / "a.safetensors", made, {})
    x = torch.randn(2, FEATURES)
    assert all(torch.allclose(a, b, atol=1e-2) for a, b in zip(made(x), load_lifter(tmp_path / "a.safetensors")(x)))


@pytest.mark.parametrize("config", [{}, {"format": "contrapposto_pose_lifter", "network": {"width": 8}},
                                    {"format": "contrapposto_pose_lifter", "network": {"wide": 8}}])
def test_another_file_is_refused(tmp_path, config):
    write_safetensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)}, config)
    with pytest.raises(InputError, match="no pose lifter"):
        load_lifter(tmp_path / "a.safetensors")
