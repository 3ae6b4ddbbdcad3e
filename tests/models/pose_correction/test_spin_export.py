"""The SPIN layout: crops, keypoints and camera axes, against a plain re-computation."""

import numpy as np
import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.pairs import make_pairs
from contrapposto.models.pose_correction.shards import ShardWriter, read_shard
from contrapposto.models.pose_correction.spin_export import (
    CROP,
    SPIN_NAMES,
    crop_keypoints,
    crop_person,
    export_spin,
    person_box,
    spin_keypoints,
)
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.engine import render_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    body, generator = load_body_model(), torch.Generator().manual_seed(0)
    pose = BodyPose(rotvec_to_rotmat(torch.randn(2, 3, generator=generator) * 0.2),
                    rotvec_to_rotmat(torch.randn(2, 21, 3, generator=generator) * 0.2), betas=torch.randn(2, 10, generator=generator))
    figure = pose_body(body, pose)
    camera = frame_figure(figure, 200, 160, view="three-quarter", margin=0.2)
    alpha = render_figure(figure, camera).alpha
    path = tmp_path_factory.mktemp("pairs") / "0.tar"
    with ShardWriter(path) as writer:
        writer.add(make_pairs(alpha[..., None].expand(-1, -1, -1, 3), pose, camera, body), ["a", "b"])
    return path


def test_order_of_spin():
    points = torch.arange(18.0)[:, None].expand(18, 2)
    part = spin_keypoints(points, torch.ones(18))
    assert part[:, 0].tolist()[:12] == [10, 9, 8, 11, 12, 13, 4, 3, 2, 5, 6, 7] and part[19:, 0].tolist() == [0, 15, 14, 17, 16]
    assert (part[12:19] == 0).all() and len(SPIN_NAMES) == 24


def test_scale_rule():
    """A tall thin person is scaled by the box, a folded one by the torso."""
    part = torch.zeros(2, 24, 3)
    for row, spread in enumerate((300.0, 10.0)):
        part[row, [8, 9, 2, 3], :2] = torch.tensor([[90.0, 100], [110, 100], [90, 160], [110, 160]])
        part[row, 0, :2] = torch.tensor([100, 160 + spread])
        part[row, [0, 2, 3, 8, 9], 2] = 1
    centre, scale = person_box(part)
    assert scale.tolist() == pytest.approx([1.2 * 360 / 200, 3 * 60 / 200]) and centre[0].tolist() == [100, 280]
    with pytest.raises(InputError, match="too few"):
        person_box(torch.zeros(1, 24, 3))


@pytest.mark.parametrize("scale", [0.2, 0.5, 3.0])
def test_crop_puts_points_where_the_keypoints_say(scale):
    """A smooth spot at a known place, also far outside the picture's centre."""
    y, x = torch.meshgrid(torch.arange(300.0) + 0.5, torch.arange(400.0) + 0.5, indexing="ij")
    place = torch.tensor([180.0, 110.0])
    spot = torch.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * (20 * max(scale, 0.5)) ** 2))
    centre = torch.tensor([170.0, 120.0])
    crop = crop_person(spot[..., None], centre, scale)[..., 0]
    assert crop.shape == (CROP, CROP)
    part = crop_keypoints(torch.tensor([[[*place, 1.0]]]), centre[None], torch.tensor([scale]))
    expected = (part[0, 0, :2] + 1) / 2 * CROP
    height, width = torch.meshgrid(torch.arange(CROP) + 0.5, torch.arange(CROP) + 0.5, indexing="ij")
    peak = crop > 0.8 * crop.max()
    found = torch.stack([(width[peak] * crop[peak]).sum(), (height[peak] * crop[peak]).sum()]) / crop[peak].sum()
    assert (found - expected).abs().max() < 0.6


def test_export_of_whole_pictures_and_of_crops(shard, tmp_path):
    path, left_out = export_spin(read_shard(shard), tmp_path / "whole")
    assert left_out == []
    spin = np.load(path, allow_pickle=False)
    assert spin["pose"].shape == (2, 72) and spin["shape"].shape == (2, 10) and spin["part"].shape == (2, 24, 3)
    pairs = list(read_shard(shard))
    for row, pair in enumerate(pairs):
        root = rotvec_to_rotmat(torch.tensor(spin["pose"][row, :3]))
        assert torch.allclose(root, pair.camera.R[0] @ pair.pose.global_orient[0], atol=1e-5)
        assert np.allclose(spin["part"][row, 0, :2], pair.keypoints.keypoints_2d[0, 10].numpy())
        assert (tmp_path / "whole" / str(spin["imgname"][row])).is_file()

    path, _ = export_spin(read_shard(shard), tmp_path / "crops", crops=True)
    from PIL import Image

    crops = np.load(path, allow_pickle=False)
    for row in range(2):
        picture = np.asarray(Image.open(tmp_path / "crops" / str(crops["imgname"][row])))
        assert picture.shape == (224, 224, 3)
        seen = crops["part"][row, :12]
        inside = [picture[int(y), int(x), 0] > 127 for x, y, score in seen if score > 0]
        assert np.mean(inside) > 0.8, "shoulders, hips, knees lie on the body"
        torso = np.mean([np.linalg.norm(seen[8, :2] - seen[2, :2]), np.linalg.norm(seen[9, :2] - seen[3, :2])])
        assert torso <= 224 / 3 + 0.5 and float(crops["scale"][row]) * 200 == pytest.approx(224)


def test_nothing_to_export(tmp_path):
    with pytest.raises(InputError, match="nothing to export"):
        export_spin([], tmp_path)
