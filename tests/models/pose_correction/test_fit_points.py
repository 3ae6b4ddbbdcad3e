"""The written-out derivatives against finite differences and autograd, and the solver on a problem with a known answer."""

from dataclasses import replace

import pytest
import torch

from contrapposto.models.bodies import pose_body
from contrapposto.models.pose_correction.fit import front_camera, make_target
from contrapposto.models.pose_correction.fit_camera import place_before_camera
from contrapposto.models.pose_correction.fit_points import PointMap, decode_with_slope, project_with_slope
from contrapposto.models.pose_correction.fit_solver import minimise, solve
from contrapposto.models.pose_correction.fit_stages import Tracks, best, choose
from contrapposto.models.pose_correction.fit_terms import Problem, Unknowns, Weights
from contrapposto.models.render.camera import project
from contrapposto.models.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from contrapposto.models.types import BodyPose, Keypoints

ROWS, STEP = 3, 1e-3


@pytest.fixture(scope="module")
def points(body):
    return PointMap(body, 10)


@pytest.fixture(scope="module")
def state():
    draw = torch.Generator().manual_seed(0)
    turns = rotvec_to_rotmat(0.1 * torch.randn(ROWS, 21, 3, generator=draw))
    root = rotvec_to_rotmat(torch.randn(ROWS, 3, generator=draw))
    place = torch.tensor([0.1, 0.2, -3.0]) + 0.1 * torch.randn(ROWS, 3, generator=draw)
    return Unknowns(root, place, torch.randn(ROWS, 32, generator=draw), turns, 0.5 * torch.randn(ROWS, 10, generator=draw))


@pytest.fixture(scope="module")
def problem(points, prior, state):
    keypoints = 512 * torch.rand(ROWS, 18, 2, generator=torch.Generator().manual_seed(1))
    scores = torch.linspace(0.1, 1, 18).expand(ROWS, 18)
    target = make_target(Keypoints(keypoints, scores, "openpose18", 512, 512), front_camera(512, 512)[[0] * ROWS], 0.1)
    return Problem(points, prior, target, Weights(smooth=40.0), neighbours=torch.zeros(ROWS, 18, 3))


def test_the_points_are_the_bodys(points, prior, state, body):
    joints = state.turns @ prior.decode(state.latents)
    posed = pose_body(body, BodyPose(state.root, joints, state.transl, state.betas))
    assert torch.equal(points.pose(state.root, joints, state.transl, state.betas).points, posed.keypoints_3d())


@pytest.mark.parametrize("joint", [0, 3, 9, 12, 15, 16, 18])
def test_a_turning_joint_moves_points_as_the_levers_say(points, prior, state, joint):
    rotmats = torch.cat([state.root[:, None], prior.decode(state.latents)], 1)
    placed = points.pose(rotmats[:, 0], rotmats[:, 1:], state.transl, state.betas)
    turn = torch.tensor([0.3, 0.5, -0.7])
    above = torch.eye(3) if joint == 0 else placed.turns[:, points.parents[joint]]

    def moved(sign):
        changed = rotmats.clone()
        changed[:, joint] = above.mT @ rotvec_to_rotmat(sign * STEP * turn) @ above @ rotmats[:, joint]
        return points.pose(changed[:, 0], changed[:, 1:], state.transl, state.betas).points

    expected = (moved(1) - moved(-1)) / (2 * STEP)
    lever = points.moments(placed)[:, :, joint]
    assert torch.allclose(torch.linalg.cross(turn.expand_as(lever), lever, dim=-1), expected, atol=5e-4)


@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_shape_moves_points_as_its_slope_says(points, prior, state, number):
    joints, change = prior.decode(state.latents), torch.zeros(10)
    change[number] = 0.01
    moved = [points.pose(state.root, joints, state.transl, state.betas + sign * change).points for sign in (1, -1)]
    slope = points.shape_moves(points.pose(state.root, joints, state.transl, state.betas))[..., number]
    assert torch.allclose((moved[0] - moved[1]) / 0.02, slope, atol=1e-4)


def test_decoding_with_a_slope_decodes_and_slopes(prior, state):
    rotmats, slope = decode_with_slope(prior, state.latents)
    assert torch.equal(rotmats, prior.decode(state.latents))
    for number in (0, 13, 31):
        change = torch.zeros(32)
        change[number] = STEP
        turn = rotmat_to_rotvec(prior.decode(state.latents + change) @ prior.decode(state.latents - change).mT) / (2 * STEP)
        assert torch.allclose(turn, slope[..., number], atol=2e-3)


def test_the_projections_slope_is_autograds(state):
    camera = front_camera(512, 384)[[0] * ROWS]
    points = (state.transl[:, None] + 0.5 * torch.rand(ROWS, 4, 3)).requires_grad_()
    pixels, slope, depth = project_with_slope(points, camera)
    for axis in range(2):
        (expected,) = torch.autograd.grad(pixels[..., axis].sum(), points, retain_graph=True)
        assert torch.allclose(slope[:, :, axis].detach(), expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(pixels, project(points, camera)[0]) and bool((depth > 0).all())


def test_the_gradient_of_all_terms_is_that_of_the_energy(problem, state):
    """Central differences of the energy along each unknown, in double the gradient that the normal equations hold."""
    H, g = problem.system(state)
    assert torch.allclose(H, H.mT) and bool((torch.linalg.eigvalsh(H.double()) > -1e-2).all())
    for number in (*range(6), 9, 30, 40, 55, 75, 100, 101, 105):
        step = torch.zeros(ROWS, H.shape[-1])
        step[:, number] = 3e-3
        slope = (problem.energy(problem.move(state, step)) - problem.energy(problem.move(state, -step))) / 6e-3
        scale = slope.abs().clamp(min=2 * g.abs().amax() / 50)
        assert bool(((2 * g[:, number] - slope).abs() < 0.05 * scale).all()), (number, 2 * g[:, number], slope)


def test_hinges_that_bend_the_wrong_way_cost(points, prior, state):
    bent = torch.eye(3).expand(1, 21, 3, 3).clone()
    still = replace(state[[0]], latents=torch.zeros(1, 32), turns=bent)
    knee = bent.clone()
    knee[:, 3] = rotvec_to_rotmat(torch.tensor([-1.6, 0.0, 0.0]))
    weightless = Weights(latents=0, turns=0, betas=0, hinges=30)
    nothing = Keypoints(torch.rand(1, 18, 2), torch.full((1, 18), 1e-9), "openpose18", 512, 512)
    judge = Problem(points, prior, make_target(nothing, front_camera(512, 512)), weightless)
    assert judge.energy(still)[0] < 0.1 < 5 < judge.energy(replace(still, turns=knee))[0]


def test_the_camera_stage_finds_the_place_again(points, prior, state):
    camera = front_camera(512, 512)[[0] * ROWS]
    placed = points.pose(state.root, prior.decode(state.latents), state.transl, state.betas).points
    pixels, _ = project(placed, camera)
    found = place_before_camera(placed - state.transl[:, None], pixels, torch.ones(ROWS, 18), camera)
    assert torch.allclose(found, state.transl, atol=1e-3)


def test_the_solver_goes_down_a_rosenbrock_valley_in_every_row():
    class Point(Unknowns):
        pass

    def wrap(x):
        return Point(x[:, :, None, None].expand(-1, -1, 3, 3)[:, 0], x, x, x, x)

    def residuals(x):
        return torch.stack([1 - x[:, 0], 10 * (x[:, 1] - x[:, 0] ** 2)], 1)

    def system(p):
        x = p.transl
        J = torch.zeros(len(x), 2, 2)
        J[:, 0, 0], J[:, 1, 0], J[:, 1, 1] = -1, -20 * x[:, 0], 10
        return J.mT @ J, (J.mT @ residuals(x)[..., None])[..., 0]

    start, seen = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 0.0]]), []

    def energy(p):
        seen.append(residuals(p.transl).square().sum(1))
        return seen[-1]

    end, value = minimise(wrap(start), energy, system, lambda p, d: wrap(p.transl + d), 60)
    assert torch.allclose(end.transl, torch.ones(3, 2), atol=1e-3) and bool((value < 1e-6).all() and (value <= seen[0]).all())


def test_a_row_that_cannot_be_solved_stays():
    H, g = torch.stack([torch.eye(2), torch.full((2, 2), torch.nan)]), torch.ones(2, 2)
    step = solve(H, g, torch.zeros(2))
    assert torch.allclose(step[0], -torch.ones(2), atol=1e-4) and step[1].tolist() == [0, 0]


def test_tracks_know_neighbours_across_shuffled_rows():
    tracks = Tracks.of(torch.tensor([2, 0, 1, 0, 1]), torch.tensor([5, 5, 5, 9, 9]))
    assert tracks.before.tolist() == [2, 1, 1, 3, 3] and tracks.after.tolist() == [0, 2, 0, 4, 4] and tracks.several
    values = torch.tensor([[2.0], [0.0], [10.0], [7.0], [9.0]])
    assert tracks.middle(values).flatten().tolist() == [10, 10, 1, 9, 7]
    assert tracks.mean(values).flatten().tolist() == [4, 4, 4, 8, 8]
    assert not Tracks.of(torch.tensor([0, 0]), torch.tensor([0, 0])).several


def test_the_cheapest_way_through_the_frames_is_the_best_of_all(points, prior):
    """Viterbi against every one of the 2^4 ways."""
    frames, starts = 4, 2
    generator = torch.Generator().manual_seed(3)
    root = torch.eye(3).expand(frames * starts, 3, 3)
    state = Unknowns(root, torch.randn(frames * starts, 3, generator=generator), torch.zeros(frames * starts, 32),
                     torch.eye(3).expand(frames * starts, 21, 3, 3), torch.zeros(frames * starts, 10))
    energy = 3000 * torch.rand(frames * starts, generator=generator)
    tracks = Tracks.of(torch.arange(frames), torch.zeros(frames, dtype=torch.int64))
    rows = choose(points, prior, state, energy, starts, tracks, 1.0)

    def cost(ways):
        picked = [2 * frame + way for frame, way in enumerate(ways)]
        jumps = sum(18 * (state.transl[a] - state.transl[b]).square().sum() / 0.05**2 for a, b in zip(picked, picked[1:]))
        return float(energy[picked].sum() + jumps)

    ways = [tuple(number >> bit & 1 for bit in range(frames)) for number in range(16)]
    assert [row - 2 * frame for frame, row in enumerate(rows.tolist())] == list(min(ways, key=cost))
    assert choose(points, prior, state, energy, starts, tracks, 0.0).tolist() == best(energy, starts, 1).tolist()
