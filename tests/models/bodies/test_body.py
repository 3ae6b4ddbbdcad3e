"""The bodies against stock smplx, against slow and clear versions, and against what a body must do."""

import numpy as np
import pytest
import torch

from contrapposto.models.bodies import (
    JOINT_NAMES,
    OPENPOSE18_NAMES,
    PARENTS,
    body,
    global_rotations,
    load_body_model,
    place_on_floor,
    pose_body,
)
from contrapposto.models.bodies.joints import LICENSED_KEYPOINT_VERTICES
from contrapposto.models.checks import InputError
from contrapposto.models.ports import Figure
from contrapposto.models.rotations import rotation_about
from contrapposto.models.types import BodyPose


@pytest.fixture(scope="module")
def model():
    return load_body_model()


@pytest.fixture
def saved(tmp_path, made_up_body):
    def save(name="body.npz", drop=(), **options):
        arrays = {key: value for key, value in made_up_body(**options).items() if key not in drop}
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name, arrays

    return save


def smplx_lbs(arrays, local_rotmats, betas, transl):
    """Vertices and joints by stock smplx from a body file's arrays, in float32."""
    lbs = pytest.importorskip("smplx").lbs.lbs
    tensors = {key: torch.tensor(np.asarray(value, dtype=np.float32)) for key, value in arrays.items() if key not in ("f", "kintree_table")}
    posedirs = tensors.get("posedirs", torch.zeros(1, 3, 9 * (local_rotmats.shape[1] - 1)))
    parents = torch.tensor(arrays["kintree_table"][0].astype(np.int64))
    parents[0] = -1
    vertices, joints = lbs(betas, local_rotmats, tensors["v_template"], tensors["shapedirs"][..., : betas.shape[1]],
                           posedirs.reshape(-1, posedirs.shape[-1]).T, tensors["J_regressor"], parents, tensors["weights"], pose2rot=False)
    return vertices + transl[:, None], joints + transl[:, None]


def test_open_body_equals_stock_smplx_class(model, random_pose):
    smplx = pytest.importorskip("smplx")
    from smplx.utils import Struct

    with np.load(body.bundled(body.OPEN_BODY)) as file:
        arrays = {key: file[key] for key in file.files}
    arrays = {key: value.astype(np.float32) if value.dtype == np.float16 else value for key, value in arrays.items()}
    ids = dict.fromkeys(smplx.vertex_ids.vertex_ids["smplh"], 0)  # smplx appends these vertices to the joints; not compared
    data = Struct(**arrays, posedirs=np.zeros((1, 3, 207), np.float32))
    stock = smplx.SMPL("", data_struct=data, vertex_ids=ids, create_body_pose=False, create_betas=False, batch_size=5)
    pose = random_pose(5)
    out = stock(betas=pose.betas, global_orient=pose.global_orient[:, None], transl=pose.transl, pose2rot=False,
                body_pose=torch.cat([pose.body_pose, torch.eye(3).expand(5, 2, 3, 3)], 1))
    posed = pose_body(model, pose)
    assert (posed.vertices() - out.vertices).abs().max() < 1e-5
    assert (posed.joints - out.joints[:, :24]).abs().max() < 1e-5


@pytest.mark.parametrize("joints", [24, 52, 55])
@pytest.mark.parametrize("betas", [0, 4, 10])
@pytest.mark.parametrize("hands", [True, False])
@pytest.mark.parametrize("with_posedirs", [True, False])
def test_made_up_bodies_equal_smplx_lbs(saved, random_pose, joints, betas, hands, with_posedirs):
    path, arrays = saved(joints=joints, drop=() if with_posedirs else ("posedirs",))
    pose = random_pose(3, betas=betas, hands=hands)
    posed = pose_body(load_body_model(path), pose)
    eye = torch.eye(3).expand(3, 30, 3, 3)
    fingers = pose.hands if hands else eye
    extra = {24: eye[:, :2], 52: fingers, 55: torch.cat([eye[:, :3], fingers], 1)}[joints]
    local = torch.cat([pose.global_orient[:, None], pose.body_pose, extra], 1)
    vertices, rest_joints = smplx_lbs(arrays, local, pose.betas if betas else torch.zeros(3, 1), pose.transl)
    assert (posed.model.posedirs is not None) == with_posedirs
    assert (posed.vertices() - vertices).abs().max() < 1e-5
    assert (posed.joints - rest_joints).abs().max() < 1e-5


def test_rest_pose_is_the_template_and_joints_are_regressed(model):
    betas = torch.randn(3, 10)
    shaped = model.with_shape(betas)
    torch.testing.assert_close(shaped.joints, model.J_regressor @ shaped.v_shaped, atol=5e-6, rtol=0)
    posed = shaped.with_pose(BodyPose.rest(3))
    torch.testing.assert_close(posed.vertices(), shaped.v_shaped, atol=2e-6, rtol=0)
    torch.testing.assert_close(posed.joints, shaped.joints, atol=2e-6, rtol=0)
    torch.testing.assert_close(model.with_shape().v_shaped[0], model.v_template)


def test_root_rotation_is_rigid_about_the_pelvis(model):
    turn, transl = rotation_about("y", 1.0), torch.tensor([[1.0, 2.0, 3.0]])
    pose = BodyPose(turn[None], torch.eye(3).expand(1, 21, 3, 3), transl)
    pelvis = model.with_shape().joints[:, 0]
    expected = (model.v_template - pelvis) @ turn.T + pelvis + transl
    torch.testing.assert_close(pose_body(model, pose).vertices()[0], expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(pose_body(model, pose).joints[:, 0], pelvis + transl)


def test_global_rotations_are_products_along_the_skeleton(random_pose, model):
    pose = random_pose(2)
    world, local = global_rotations(pose), body.local_rotations(pose)
    for joint in range(24):
        expected, ancestor = local[:, joint], PARENTS[joint]
        while ancestor >= 0:
            expected, ancestor = local[:, ancestor] @ expected, PARENTS[ancestor]
        torch.testing.assert_close(world[:, joint], expected)
    torch.testing.assert_close(pose_body(model, pose).T_world_joint[..., :3, :3], world)


def test_rows_and_chunks_do_not_change_the_result(model, random_pose, monkeypatch):
    posed = pose_body(model, random_pose(7))
    whole, sizes, skin = posed.vertices(), [], body.skin
    monkeypatch.setattr(body, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(body, "skin", lambda *args: sizes.append(args[3].shape[0]) or skin(*args))
    torch.testing.assert_close(posed.vertices(), whole, atol=2e-6, rtol=0)
    assert sizes == [3, 3, 1], "memory must not grow with the number of rows"
    torch.testing.assert_close(posed.mesh(slice(2, 7)).vertices, whole[2:7], atol=2e-6, rtol=0)
    torch.testing.assert_close(posed.vertices(slice(None, None, 2)), whole[::2], atol=2e-6, rtol=0)
    ids = torch.tensor([5, 13000, 5])
    torch.testing.assert_close(posed.vertices(ids=ids), whole[:, ids], atol=2e-6, rtol=0)
    assert posed.vertices(slice(0, 0)).shape == (0, 13492, 3)


def test_posedirs_follow_chosen_vertices(saved, random_pose):
    posed = pose_body(load_body_model(saved()[0]), random_pose(2))
    ids = torch.tensor([7, 299, 0])
    torch.testing.assert_close(posed.vertices(ids=ids), posed.vertices()[:, ids], atol=2e-6, rtol=0)


def test_figure_and_its_keypoints(model):
    posed = pose_body(model, BodyPose.rest(2))
    assert isinstance(posed, Figure) and len(posed) == 2 and posed.mesh(slice(0, 1)).faces.shape == (26972, 3)
    points = dict(zip(OPENPOSE18_NAMES, posed.keypoints_3d()[0]))
    face = posed.vertices()[0, posed.vertices()[0, :, 1] > points["neck"][1] + 0.05]
    assert points["left_shoulder"][0] > 0.1 and points["right_ankle"][0] < -0.05
    assert points["nose"][2] == face[:, 2].max(), "the nose is in front"
    assert points["neck"][1] < points["nose"][1] < points["left_eye"][1]
    assert points["left_ear"][0] > points["left_eye"][0] > 0 > points["right_eye"][0] > points["right_ear"][0]
    torch.testing.assert_close(points["left_wrist"], posed.joints[0, JOINT_NAMES.index("left_wrist")])


def test_points_that_a_body_does_not_name_are_nan(saved, random_pose):
    points = pose_body(load_body_model(saved()[0]), random_pose(1)).keypoints_3d()[0]
    missing = {name for name, point in zip(OPENPOSE18_NAMES, points) if point.isnan().any()}
    assert missing == {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}


def test_licensed_keypoint_vertices_are_those_of_smplx():
    ids = pytest.importorskip("smplx").vertex_ids.vertex_ids
    short = {"nose": "nose", "right_eye": "reye", "left_eye": "leye", "right_ear": "rear", "left_ear": "lear"}
    for side in ("left", "right"):
        short |= {f"{side}_{part}": side[0].upper() + name for part, name in
                  (("big_toe", "BigToe"), ("small_toe", "SmallToe"), ("heel", "Heel"))}
    for vertices, topology in ((6890, "smplh"), (10475, "smplx")):
        assert LICENSED_KEYPOINT_VERTICES[vertices] == {name: ids[topology][key] for name, key in short.items()}


def test_place_on_floor_touches_the_floor_and_moves_nothing_else(model, random_pose):
    pose = random_pose(3)
    placed = place_on_floor(model, pose, floor=0.25)
    lowest = pose_body(model, placed).vertices()[..., 1].amin(1)
    torch.testing.assert_close(lowest, torch.full((3,), 0.25), atol=2e-6, rtol=0)
    assert torch.equal(placed.transl[:, [0, 2]], pose.transl[:, [0, 2]]) and torch.equal(placed.body_pose, pose.body_pose)


def test_gradients_equal_central_differences_even_when_loaded_in_inference_mode(saved, random_pose):
    path, _ = saved()
    with torch.inference_mode():
        model = load_body_model(path)
        pose_body(model, random_pose(1)).vertices()
    pose, direction = random_pose(2), torch.randn(2, 10)

    def total(betas):
        posed = pose_body(model, BodyPose(pose.global_orient, pose.body_pose, pose.transl, betas))
        return (posed.vertices() ** 2).sum() + (posed.joints ** 3).sum()

    betas = pose.betas.clone().requires_grad_()
    slope = (torch.autograd.grad(total(betas), betas)[0] * direction).sum()
    step = 0.05
    numeric = (total(pose.betas + step * direction) - total(pose.betas - step * direction)) / (2 * step)
    torch.testing.assert_close(slope, numeric, rtol=1e-2, atol=1e-2)


def test_bad_shapes_are_refused(model):
    with pytest.raises(InputError, match="more than the 10 shape coefficients"):
        model.with_shape(torch.zeros(1, 11))
    with pytest.raises(InputError, match="do not fit 3 poses"):
        model.with_shape(torch.zeros(2, 10)).with_pose(BodyPose.rest(3))
    with pytest.raises(InputError, match="betas"):
        model.with_shape(torch.zeros(10))
