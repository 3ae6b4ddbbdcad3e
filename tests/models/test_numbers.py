"""How far the numbers can be trusted: seeds, threads, devices, floating types, odd sizes, batches of any size and of none.

The rule for batches of none: what maps row by row gives none back; what draws, frames, writes or chooses says that there is nothing.
"""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path

import numbers_of_a_seed

from contrapposto.models import motion
from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies.body import load_body_model, lowest_points, place_on_floor, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.motion import edit
from contrapposto.models.pose_correction.lifter import load_lifter
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.depth import depth_to_image
from contrapposto.models.render.engine import render_figure
from contrapposto.models.render.pose_map import draw_pose_map, project_keypoints
from contrapposto.models.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from contrapposto.models.text_to_pose import load_text_to_pose
from contrapposto.models.text_to_pose.describe import describe_poses
from contrapposto.models.text_to_pose.ranking import load_pose_scorer, rank_poses
from contrapposto.models.types import BodyPose, Camera

ROWS = 17
ONE_ROW_ALONE = 2e-5  # of a tensor's largest value: what another batch size may change in float32
ANOTHER_THREAD_COUNT = 2e-5
# Largest differences from float32: degrees of a joint, parts of the largest value, cosines, metres.
BOUNDS = {
    torch.float64: {"decoded": 1e-3, "codes": 1e-5, "x_0": 1e-5, "score": 1e-5, "lifted": 1e-5, "states": 1e-5, "vertices": 1e-6},
    torch.float16: {"decoded": 0.3, "codes": 2e-3, "x_0": 6e-3, "score": 2e-3, "lifted": 6e-3, "states": 1e-4, "vertices": 3e-3},
    torch.bfloat16: {"decoded": 2.0, "codes": 2e-2, "x_0": 4e-2, "score": 1e-2, "lifted": 4e-2, "states": 1e-3, "vertices": 15e-3},
}
DTYPES = pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))


@pytest.fixture(scope="module", autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.fixture(scope="module")
def avatar():
    return load_avatar()


@pytest.fixture(scope="module")
def prior():
    return load_pose_prior()


@pytest.fixture(scope="module")
def text_to_pose():
    return load_text_to_pose()


@pytest.fixture(scope="module")
def scorer():
    return load_pose_scorer()


def poses(rows=ROWS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    turns = torch.randn(rows, 22, 3, generator=generator) * 0.4
    return BodyPose(rotvec_to_rotmat(turns[:, 0]), rotvec_to_rotmat(turns[:, 1:]), fps=24.0)


def none():
    return replace(BodyPose.rest(0), fps=24.0)


def degrees(a, b):
    return float(rotmat_to_rotvec(a.double().mT @ b.double()).norm(dim=-1).max().rad2deg())


def parts(a, b):
    """The largest difference as a part of the largest value."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())


def of_type(network, dtype):
    return copy.deepcopy(network).to(dtype)


# Seeds


@pytest.fixture(scope="module")
def seeded(text_to_pose, body, prior, avatar):
    """Numbers with one thread and with two, and the digests of a new process with one."""
    threads, found = torch.get_num_threads(), {}
    command = [sys.executable, Path(__file__).with_name("numbers_of_a_seed.py"), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            for count in (1, 2, 1):
                torch.set_num_threads(count)
                found.setdefault(count, []).append(numbers_of_a_seed.numbers(text_to_pose, body, prior, avatar))
        finally:
            torch.set_num_threads(threads)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    return found, json.loads(output)


def test_a_seed_gives_the_same_bits_again_and_in_a_new_process(seeded):
    found, elsewhere = seeded
    first, again = map(numbers_of_a_seed.digests, found[1])
    assert first == again == elsewhere


def test_another_thread_count_changes_the_last_digits_at_most(seeded):
    found, _ = seeded
    one, two = found[1][0], found[2][0]
    for name in set(one) - {"picture", "depth"}:
        assert parts(two[name], one[name]) < ANOTHER_THREAD_COUNT, name
    assert (two["picture"] - one["picture"]).abs().mean() < 1e-4, "a pixel on an edge may fall to the other side"


# Floating types


@DTYPES
def test_prior_agrees_with_float32(prior, dtype):
    latents = torch.randn(ROWS, prior.latent_size, generator=torch.Generator().manual_seed(0))
    other = of_type(prior, dtype)
    decoded, codes = other.decode(latents), other.encode(poses().body_pose).mean
    assert decoded.dtype == torch.promote_types(dtype, torch.float32)
    assert degrees(decoded, prior.decode(latents)) < BOUNDS[dtype]["decoded"]
    assert parts(codes, prior.encode(poses().body_pose).mean) < BOUNDS[dtype]["codes"]
    assert torch.isfinite(other.regularise(poses().body_pose, 0.5)).all()


@DTYPES
def test_text_to_pose_and_its_text_encoder_agree_with_float32(text_to_pose, dtype):
    network, encoder = text_to_pose.network, text_to_pose.encoder
    states = encoder(["a person waves", "a person doing a handstand"])
    noise, times = torch.randn(2, 8, network.config.pose_dim, generator=torch.Generator().manual_seed(0)), torch.full((2, 8), 500)
    other = of_type(network, dtype)
    x_0 = other(noise, times, other.encode_prefix(states))
    assert x_0.dtype == noise.dtype
    assert parts(x_0, network(noise, times, network.encode_prefix(states))) < BOUNDS[dtype]["x_0"]
    ids, mask = encoder.tokenize(["a person waves", "a person doing a handstand"])
    words = [net(ids, mask)[mask].double() for net in (of_type(encoder.network, dtype), encoder.network)]
    assert 1 - torch.nn.functional.cosine_similarity(*words).min() < BOUNDS[dtype]["states"]


@DTYPES
def test_scorer_and_lifter_agree_with_float32(scorer, dtype):
    scores = [rank_poses(net, ["a person waves"], poses())[1] for net in (of_type(scorer, dtype), scorer)]
    assert scores[0].dtype == torch.float32 and (scores[0] - scores[1]).abs().max() < BOUNDS[dtype]["score"]
    lifter, points = load_lifter(), torch.rand(ROWS, 18, 2, generator=torch.Generator().manual_seed(0)) * 512
    one = torch.ones(ROWS)
    camera = Camera(one * 600, one * 600, one * 256, one * 256, torch.eye(3).expand(ROWS, 3, 3), torch.zeros(ROWS, 3), 512, 512)
    guesses = [net.guess(points, torch.ones(ROWS, 18), camera) for net in (of_type(lifter, dtype), lifter)]
    assert parts(guesses[0].mean, guesses[1].mean) < BOUNDS[dtype]["lifted"]


@DTYPES
def test_poses_of_any_type_move_bodies_and_avatars(body, avatar, dtype):
    """Bodies and avatars are float32; a pose is rounded by its own type and by nothing else."""
    given = poses().like(torch.zeros((), dtype=dtype))
    vertices = pose_body(body, given).vertices()
    assert vertices.dtype == torch.float32 and (vertices - pose_body(body, poses()).vertices()).abs().max() < BOUNDS[dtype]["vertices"]
    assert torch.equal(vertices, pose_body(body, given.like(body.v_template)).vertices())
    ours, theirs = (retarget_pose(pose, body, avatar).T_driver for pose in (given, poses()))
    assert ours.dtype == torch.float32 and (ours - theirs).abs().max() < 2 * BOUNDS[dtype]["vertices"]
    placed = place_on_floor(body, given)
    assert lowest_points(body, placed).abs().max() < BOUNDS[dtype]["vertices"]
    assert describe_poses(given) is not None and rotmat_to_rotvec(edit.mirror(given).body_pose).dtype == dtype


# Devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: the bounds between CPU and CUDA")
def test_cuda_agrees_with_the_cpu(body, avatar, prior):
    pose, there = poses(), poses().to("cuda")
    assert parts(pose_body(body.to("cuda"), there).vertices().cpu(), pose_body(body, pose).vertices()) < 1e-5
    assert parts(prior.encode(pose.body_pose).mean, copy.deepcopy(prior).to("cuda").encode(there.body_pose).mean.cpu()) < 1e-3
    ours = retarget_pose(pose, body, avatar)
    theirs = retarget_pose(there, body.to("cuda"), avatar)
    assert parts(theirs.T_driver.cpu(), ours.T_driver) < 1e-4
    camera = frame_figure(ours, 96, 96)
    pictures = [render_figure(figure, camera, "avatar") for figure in (ours, theirs)]
    assert (pictures[0].rgb - pictures[1].rgb.cpu()).abs().mean() < 1e-3
    assert ((pictures[0].alpha - pictures[1].alpha.cpu()).abs() > 0.1).float().mean() < 1e-3


# Odd sizes


@pytest.mark.parametrize("width, height", [(1, 1), (97, 1), (513, 767)])
def test_pictures_of_any_size(body, avatar, width, height):
    posed = retarget_pose(poses(1), body, avatar)
    camera = frame_figure(posed, width, height)
    render = render_figure(posed, camera, "avatar")
    assert render.rgb.shape == (1, height, width, 3)
    assert render.alpha.max() <= 1 and torch.isfinite(render.rgb).all() and torch.isfinite(render.depth).all()
    assert render.alpha.max() > 0 or min(width, height) == 1, "a body thinner than a pixel may pass between the pixels' centres"
    level = depth_to_image(render.depth, alpha=render.alpha)
    drawn = draw_pose_map(project_keypoints(posed, camera, render.depth))
    for picture in (level, drawn):
        assert picture.shape[1:3] == (height, width) and 0 <= picture.min() and picture.max() <= 1


# Batches


@pytest.mark.parametrize("rows", [1, 2, 17, 64])
def test_a_row_is_the_same_in_every_batch(body, avatar, prior, text_to_pose, scorer, rows):
    whole, last = poses(64)[:rows], poses(64)[rows - 1]
    assert parts(pose_body(body, whole).vertices(slice(rows - 1, rows)), pose_body(body, last).vertices()) < ONE_ROW_ALONE
    assert parts(prior.encode(whole.body_pose).mean[-1:], prior.encode(last.body_pose).mean) < ONE_ROW_ALONE
    assert parts(prior.regularise(whole.body_pose, 0.5)[-1:], prior.regularise(last.body_pose, 0.5)) < ONE_ROW_ALONE
    assert (rank_poses(scorer, ["a"], whole)[1][0, -1] - rank_poses(scorer, ["a"], last)[1][0, 0]).abs() < ONE_ROW_ALONE
    posed, alone = retarget_pose(whole, body, avatar), retarget_pose(last, body, avatar)
    assert parts(posed.T_driver[-1:], alone.T_driver) < ONE_ROW_ALONE
    camera = frame_figure(alone, 16, 16)
    picture = render_figure(posed, camera, "avatar")
    assert len(picture) == rows and (picture.rgb[-1:] - render_figure(alone, camera, "avatar").rgb).abs().mean() < 1e-3
    network, states = text_to_pose.network, text_to_pose.encoder(["a person waves"])
    noise = torch.randn(1, rows, network.config.pose_dim, generator=torch.Generator().manual_seed(0))
    prefix, times = network.encode_prefix(states), torch.full((1, rows), 500)
    assert parts(network(noise, times, prefix)[:, -1:], network(noise[:, -1:], times[:, -1:], prefix)) < ONE_ROW_ALONE


def test_rows_of_none_map_to_none(body, avatar, prior):
    posed, moved = pose_body(body, none()), retarget_pose(none(), body, avatar)
    camera = frame_figure(pose_body(body, poses(1)), 16, 16)
    keypoints = project_keypoints(posed, camera)
    found = [posed.vertices(), posed.keypoints_3d(), lowest_points(body, none()), place_on_floor(body, none()), moved,
             prior.encode(none().body_pose).mean, prior.decode(torch.zeros(0, prior.latent_size)), prior.regularise(none().body_pose),
             describe_poses(none()), keypoints, draw_pose_map(keypoints), edit.mirror(none()), rotmat_to_rotvec(none().body_pose)]
    assert [len(each) for each in found] == [0] * len(found)


def test_nothing_cannot_be_drawn_written_or_chosen_from(body, scorer, tmp_path):
    posed, camera = pose_body(body, none()), frame_figure(pose_body(body, poses(1)), 16, 16)
    tries = {
        "frame": lambda: frame_figure(posed, 16, 16), "draw": lambda: render_figure(posed, camera),
        "rank": lambda: rank_poses(scorer, ["a person waves"], none()), "between": lambda: edit.between(none(), 1.0, 24.0),
        "trim": lambda: edit.trim(none(), 0, 0), "concatenate": lambda: edit.concatenate(none(), none(), 0),
        "speed": lambda: edit.change_speed(none(), 2.0), "resample": lambda: edit.resample(none(), 12.0),
        "smooth": lambda: edit.smooth(none(), 0.1),
        **{kind: lambda kind=kind: motion.save_motion(tmp_path / f"none.{kind}", none(), body) for kind in ("glb", "bvh", "npz")},
    }
    for name, call in tries.items():
        with pytest.raises(InputError):
            call()
            pytest.fail(f"{name} made something of nothing")
    assert not list(tmp_path.iterdir())
