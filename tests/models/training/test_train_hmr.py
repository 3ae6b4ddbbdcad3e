"""Finetuning a body estimator: data, losses, and the whole loop on a handful of rendered crops."""

import math
from dataclasses import replace

import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.pairs import make_pairs
from contrapposto.models.pose_correction.shards import ShardWriter, read_shard
from contrapposto.models.pose_correction.spin_export import export_spin
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.engine import render_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.training.body_estimator import (
    LIMBS,
    BodyEstimate,
    SmallEstimator,
    estimated_joints,
    limb_points,
    weak_perspective,
)
from contrapposto.models.training.datasets.body_crops import BodyCrops, stack_crops
from contrapposto.models.training.loop import LoopConfig
from contrapposto.models.training.train_hmr import HmrTask, HmrTraining, evaluate, finetune, paper_loss, released_loss
from contrapposto.models.types import BodyPose

ROWS = 4


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.fixture(scope="module")
def spin(body, tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("spin"), torch.Generator().manual_seed(0)
    pose = BodyPose(rotvec_to_rotmat(torch.randn(ROWS, 3, generator=generator) * 0.2),
                    rotvec_to_rotmat(torch.randn(ROWS, 21, 3, generator=generator) * 0.2), betas=torch.randn(ROWS, 10, generator=generator))
    figure = pose_body(body, pose)
    camera = frame_figure(figure, 96, 96, fov=math.radians(5), view="three-quarter")
    drawn = render_figure(figure, camera)
    with ShardWriter(folder / "0.tar") as shard:
        shard.add(make_pairs(drawn.rgb * drawn.alpha[..., None], pose, camera, body))
    return export_spin(read_shard(folder / "0.tar"), folder, crops=True)[0]


@pytest.mark.parametrize("turn", [0.0, 0.4, -2.0])
def test_body_points_and_picture_of_a_crop_belong_together(spin, body, turn):
    """Weak perspective of the true body meets the true points; turning keeps it so, and keeps the points on the figure."""
    crops = stack_crops([BodyCrops(spin).row(i, turn) for i in range(ROWS)])
    joints = limb_points(estimated_joints(BodyEstimate(crops.root, crops.body_pose, crops.betas, torch.ones(ROWS, 3)), body))[..., :2]
    points = crops.part[:, list(LIMBS), :2]
    flat, wanted = joints - joints.mean(1, keepdim=True), points - points.mean(1, keepdim=True)
    scale = (flat * wanted).sum((1, 2), keepdim=True) / flat.square().sum((1, 2), keepdim=True)
    assert (scale * flat - wanted).norm(dim=-1).max() < 0.04, "within 4 of 224 pixels, which is what weak perspective costs"
    place = ((points + 1) / 2 * 224).long().clamp(0, 223)
    on_figure = torch.stack([crops.images[i, :, place[i, :, 1], place[i, :, 0]].sum(0) > 0.1 for i in range(ROWS)])
    assert on_figure.float().mean() > 0.85


def test_paper_loss_is_equation_7(body):
    """Written out once more, row by row."""
    generator = torch.Generator().manual_seed(1)
    crops, estimate = made_up(generator), made_up_estimate(generator)
    got = paper_loss(estimate, crops, body)
    points = weak_perspective(limb_points(estimated_joints(estimate, body)), estimate.camera)
    expected, seen = 0.0, crops.part[0, list(LIMBS), 2] > 0
    expected += float((points[0, seen] - crops.part[0, list(LIMBS), :2][seen]).norm(dim=-1).mean())
    expected += float((estimate.betas[1] - crops.betas[1]).norm())
    difference = [estimate.root[1] - crops.root[1], *(estimate.body_pose[1] - crops.body_pose[1])]
    expected += math.sqrt(sum(float(part.square().sum()) for part in difference))
    assert float(got["loss"]) == pytest.approx(expected, rel=1e-4)


def test_released_loss_leaves_out_root_and_first_beta(body):
    generator = torch.Generator().manual_seed(1)
    crops, estimate = made_up(generator), made_up_estimate(generator)
    base = released_loss(estimate, crops, body)
    other_root = released_loss(replace_part(estimate, root=torch.eye(3).expand(2, 3, 3)), crops, body)
    assert other_root["pose"] == base["pose"] and other_root["joints"] != base["joints"]
    betas = estimate.betas.clone()
    betas[:, 0] += 1
    assert released_loss(replace_part(estimate, betas=betas), crops, body)["shape"] == base["shape"]
    negative = estimate.camera * torch.tensor([-1.0, 1, 1])
    assert released_loss(replace_part(estimate, camera=negative), crops, body)["camera"] > 100 * base["camera"]


@pytest.mark.parametrize("loss", [paper_loss, released_loss])
def test_the_truth_costs_nothing_and_gradients_are_finite(loss, body):
    generator = torch.Generator().manual_seed(1)
    crops, estimate = made_up(generator), made_up_estimate(generator)
    truth = BodyEstimate(crops.root, crops.body_pose, crops.betas, estimate.camera.abs() + 1)
    points = weak_perspective(limb_points(estimated_joints(truth, body)), truth.camera)
    part = crops.part.clone()
    part[:, list(LIMBS), :2] = points
    exact = replace(crops, part=part)
    assert float(loss(truth, exact, body)["loss"]) < 1e-3
    parts = [tensor.clone().requires_grad_() for tensor in (truth.root, truth.body_pose, truth.betas, truth.camera)]
    loss(BodyEstimate(*parts), exact, body)["loss"].backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in parts)


def test_whole_loop_learns_and_scores(spin, tmp_path):
    torch.manual_seed(0)
    crops, real = BodyCrops(spin), BodyCrops(spin, bodies=False)
    config = HmrTraining(LoopConfig(steps=12, batch=4, lr=3e-3, warmup=1, ema=0.5, weight_decay=0.0, log_every=1), turn=0.0)
    model = SmallEstimator(8)
    before = evaluate(model, crops, load_body_model())
    trained, path = finetune(model, real, crops, tmp_path / "run", config)
    after = evaluate(trained, crops, load_body_model())
    assert set(after) == {"pck", "mpjpe", "pa_mpjpe"} and after["mpjpe"] < before["mpjpe"]
    assert path.is_file()
    again, _ = finetune(SmallEstimator(8), real, crops, tmp_path / "run", config)  # a finished run is only loaded
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), trained.state_dict().values()))


def test_batches_mix_real_and_synthetic(spin, body):
    crops, real = BodyCrops(spin), BodyCrops(spin, bodies=False)
    config = HmrTraining(LoopConfig(steps=1, batch=8), synthetic_share=0.25)
    task = HmrTask(real, crops, config, body)
    rows = task.draw(torch.Generator().manual_seed(0))
    assert task.batch(rows).known.tolist() == [0.0] * 6 + [1.0] * 2
    assert task.batch(rows, torch.Generator().manual_seed(0)).images.shape == (8, 3, 224, 224)


def test_mistakes(spin, tmp_path, body):
    import numpy as np

    with pytest.raises(InputError, match="neither real nor synthetic"):
        HmrTask(None, None, HmrTraining(), body)
    with pytest.raises(InputError, match="preset"):
        HmrTraining(preset="mine")
    arrays = dict(np.load(spin))
    np.savez(tmp_path / "points.npz", **{name: arrays[name] for name in ("imgname", "center", "scale", "part")})
    with pytest.raises(InputError, match="pose, shape.*real data"):
        BodyCrops(tmp_path / "points.npz")
    assert len(BodyCrops(tmp_path / "points.npz", bodies=False)) == ROWS
    with pytest.raises(InputError, match="cannot be read"):
        BodyCrops(tmp_path / "points.npz", bodies=False).row(0)


def made_up(generator):
    """Row 0 is real, row 1 synthetic."""
    part = torch.cat([torch.randn(2, 24, 2, generator=generator), (torch.rand(2, 24, 1, generator=generator) > 0.4).float()], -1)
    from contrapposto.models.training.datasets.body_crops import CropBatch

    return CropBatch(torch.zeros(2, 3, 224, 224), part, turns(2, generator=generator), turns(2, 21, generator=generator),
                     torch.randn(2, 10, generator=generator), torch.tensor([0.0, 1.0]))


def made_up_estimate(generator):
    return BodyEstimate(turns(2, generator=generator), turns(2, 21, generator=generator), torch.randn(2, 10, generator=generator),
                        torch.rand(2, 3, generator=generator) + 0.5)


def turns(*shape, generator):
    return rotvec_to_rotmat(torch.randn(*shape, 3, generator=generator) * 0.5)


def replace_part(estimate, **parts):
    return BodyEstimate(**{name: parts.get(name, getattr(estimate, name)) for name in ("root", "body_pose", "betas", "camera")})
