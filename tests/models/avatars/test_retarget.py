"""Retargeting: the same character under other rest poses, bone frames, names and sizes must end in the same place."""

import re

import numpy as np
import pytest
import torch

from contrapposto.models.assets.registry import DEFAULT_AVATAR, bundled
from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.avatars.gltf_writer import write_glb
from contrapposto.models.avatars.rig import HANDS
from contrapposto.models.bodies.body import pose_body
from contrapposto.models.bodies.joints import BODY_JOINTS, JOINT_NAMES, PARENTS
from contrapposto.models.ports import Figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

MIXAMO = (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2", "LeftToeBase",
    "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm", "LeftForeArm", "RightForeArm", "LeftHand",
    "RightHand",
)  # fmt: skip
PHALANGES = {"Proximal": "1", "Intermediate": "2", "Distal": "3"}
SCALE = 1.3


def random_pose(rows=6, spread=0.5, betas=None):
    generator = torch.Generator().manual_seed(3)
    R = rotvec_to_rotmat(spread * torch.randn(rows, 22, 3, generator=generator))
    return BodyPose(R[:, 0], R[:, 1:], transl=torch.randn(rows, 3, generator=generator), betas=betas)


def a_pose():
    """Arms 50 degrees down, elbows bent by 35: rotmats (22, 3, 3), turned in degrees about the body's axes."""
    angles = np.zeros((BODY_JOINTS, 3))
    for name, turn in (("left_shoulder", (0, 0, -50)), ("left_elbow", (0, -35, 0))):
        angles[JOINT_NAMES.index(name)] = turn
        angles[JOINT_NAMES.index(name.replace("left", "right"))] = [-angle for angle in turn]
    return rotvec_to_rotmat(torch.tensor(np.radians(angles), dtype=torch.float32)).double().numpy()


def mixamo_name(name):
    """VRM's name of a finger bone -> Mixamo's; other names stay."""
    match = re.fullmatch(r"(left|right)(Thumb|Index|Middle|Ring|Little)(Proximal|Intermediate|Distal)", name)
    if match is None:
        return name
    side, finger, phalanx = match.groups()
    return f"mixamorig:{side.title()}Hand{finger.replace('Little', 'Pinky')}{PHALANGES[phalanx]}"


def write_in_a_pose(path):
    """The default avatar, re-posed by plain loops, with random bone frames, Mixamo names and another size."""
    scene = read_gltf(bundled(DEFAULT_AVATAR))
    local, joints = a_pose(), scene.world[:BODY_JOINTS, :3, 3]
    rotation, position = [local[0]], [joints[0]]
    for j in range(1, BODY_JOINTS):
        rotation.append(rotation[PARENTS[j]] @ local[j])
        position.append(position[PARENTS[j]] + rotation[PARENTS[j]] @ (joints[j] - joints[PARENTS[j]]))
    carrier = []  # fingers, ears and eyes go with the joint that they hang on
    for j, parent in enumerate(scene.parents):
        carrier.append(j if j < BODY_JOINTS else carrier[parent] if parent >= 0 else 0)
    generator = np.random.default_rng(5)
    world = np.tile(np.eye(4), (len(scene.names), 1, 1))
    for j, driver in enumerate(carrier):
        world[j, :3, :3] = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        world[j, :3, :3] *= np.sign(np.linalg.det(world[j, :3, :3]))
        world[j, :3, 3] = SCALE * (position[driver] + rotation[driver] @ (scene.world[j, :3, 3] - joints[driver]))
    for part in scene.parts:
        posed = np.zeros_like(part.vertices)
        for k in range(part.joints.shape[1]):
            for j, driver in enumerate(carrier):
                mine = part.joints[:, k] == j
                moved = (part.vertices[mine] - joints[driver]) @ rotation[driver].T + position[driver]
                posed[mine] += part.weights[mine, k : k + 1] * moved
        part.vertices, part.normals = SCALE * posed, None
        part.binds = {j: np.linalg.inv(world[j]) for j in part.binds}
    scene.world = world
    scene.local = np.stack([T if p < 0 else np.linalg.inv(world[p]) @ T for T, p in zip(world, scene.parents)])
    scene.names = [f"mixamorig:{name}" for name in MIXAMO] + [mixamo_name(name) for name in scene.names[BODY_JOINTS:]]
    write_glb(path, scene)


@pytest.fixture(scope="module")
def default_avatar():
    return load_avatar()


@pytest.fixture(scope="module")
def in_a_pose(tmp_path_factory):
    path = tmp_path_factory.mktemp("avatars") / "a_pose.glb"
    write_in_a_pose(path)
    return load_avatar(path)


def test_a_posed_avatar_is_a_figure(default_avatar, body):
    posed = retarget_pose(random_pose(), body, default_avatar)
    mesh = posed.mesh(slice(1, 4))
    assert isinstance(posed, Figure) and len(posed) == 6 and posed.keypoints_3d().shape == (6, 18, 3)
    assert mesh.vertices.shape == (3, len(default_avatar.vertices), 3) and torch.isfinite(mesh.vertices).all()
    assert torch.allclose(mesh.normals.norm(dim=-1), torch.ones(()), atol=1e-4)
    assert torch.equal(posed.mesh(slice(2, 3)).vertices[0], mesh.vertices[1])


def slot_roles(avatar):
    """The role of the driver of each slot."""
    roles = list(avatar.rig.humanoid)
    return [roles[driver] for driver in avatar.slot_driver.tolist()]


def is_hand(role):
    return role in HANDS or role.endswith("wrist")


def test_rest_pose_stays_as_it_rests(default_avatar, body):
    posed = retarget_pose(BodyPose.rest(), body, default_avatar, match_height=False)
    moved = posed.mesh(slice(0, 1)).vertices[0] - default_avatar.rest
    distance = (moved - moved.mean(0)).norm(dim=1)
    hands = default_avatar.weights[:, [is_hand(role) for role in slot_roles(default_avatar)]].sum(1) > 0
    assert distance[~hands].max() < 2e-3  # the avatar is cut from this body: only numerical alignment is left
    assert distance[hands].max() < 0.015  # hands are levelled: the palms of this body at rest are five degrees off


def test_avatar_joints_follow_the_body(default_avatar, body):
    pose = random_pose()
    posed, human = retarget_pose(pose, body, default_avatar, match_height=False), pose_body(body, pose)
    roles = list(default_avatar.rig.humanoid)
    shared = [role for role in roles if role in JOINT_NAMES]
    assert len(shared) == BODY_JOINTS
    ours = posed.joints[:, [roles.index(role) for role in shared]] - posed.joints[:, :1]
    theirs = human.joints[:, [JOINT_NAMES.index(role) for role in shared]] - human.joints[:, :1]
    assert (ours - theirs).norm(dim=-1).max() < 5e-3


def test_a_pose_and_random_bone_frames_change_nothing(default_avatar, in_a_pose, body):
    pose = random_pose()
    first = retarget_pose(pose, body, default_avatar, match_height=False)
    second = retarget_pose(pose, body, in_a_pose, match_height=False)
    a, b = first.mesh(slice(0, 6)).vertices, second.mesh(slice(0, 6)).vertices / SCALE
    a, b = a - first.joints[:, :1], b - second.joints[:, :1] / SCALE
    distance = (a - b).norm(dim=-1)
    rigid = default_avatar.weights.amax(1) > 0.9999  # blended skin, posed twice, is another skin; bones and rigid parts must agree
    assert rigid.sum() > 5000 and distance[:, rigid].max() < 1e-3
    assert distance.mean() < 1.5e-3


def test_heights_match_unless_told_otherwise(in_a_pose, default_avatar, body):
    pose = BodyPose.rest()
    stature = float(body.v_template[:, 1].max() - body.v_template[:, 1].min())
    fitted = retarget_pose(pose, body, default_avatar).mesh(slice(0, 1)).vertices[0, :, 1]
    assert float(fitted.max() - fitted.min()) == pytest.approx(stature, rel=0.01)
    own = retarget_pose(pose, body, in_a_pose, match_height=False).mesh(slice(0, 1)).vertices[0, :, 1]
    assert float(own.max() - own.min()) == pytest.approx(SCALE * default_avatar.height, rel=0.01)


@pytest.mark.parametrize("match_height", [True, False])
def test_avatar_stands_where_the_body_stands(in_a_pose, body, match_height):
    pose = random_pose()
    ours = retarget_pose(pose, body, in_a_pose, match_height).mesh(slice(0, 6)).vertices[..., 1].amin(1)
    theirs = pose_body(body, pose).vertices()[..., 1].amin(1)
    assert (ours - theirs).abs().max() < 8e-3


def test_skinning_equals_a_slow_loop(default_avatar, body):
    posed = retarget_pose(random_pose(2), body, default_avatar)
    fast = posed.mesh(slice(0, 2)).vertices
    rows = torch.randperm(len(default_avatar.vertices))[:200].tolist()
    for row in range(2):
        for v in rows:
            point = torch.cat([default_avatar.vertices[v], torch.ones(1)])
            total = torch.zeros(3)
            for slot, weight in enumerate(default_avatar.weights[v]):
                rest = default_avatar.T_rest_slot[slot] @ point
                total += weight * (posed.T_driver[row, default_avatar.slot_driver[slot]] @ rest)
            assert torch.allclose(fast[row, v], total, atol=2e-6)


def test_sparse_skinning_equals_dense(default_avatar, body):
    from contrapposto.models.avatars.skinning import skin_dense, slot_maps

    posed = retarget_pose(random_pose(3), body, default_avatar)
    maps = slot_maps(posed.T_driver, default_avatar.slot_driver, default_avatar.T_rest_slot)
    positions = torch.nn.functional.pad(default_avatar.vertices, (0, 1), value=1.0)
    for skinner, points, width in zip(default_avatar.skinners, (positions, default_avatar.normals), (4, 3)):
        assert torch.allclose(skinner(maps[..., :width]), skin_dense(default_avatar.weights, points, maps[..., :width]), atol=2e-6)


def test_the_bodys_shape_does_not_change_the_avatar(default_avatar, body):
    betas = 2 * torch.randn(6, 10)
    plain, shaped = random_pose(), random_pose(betas=betas)
    a = retarget_pose(plain, body, default_avatar).mesh(slice(0, 6)).vertices
    b = retarget_pose(shaped, body, default_avatar).mesh(slice(0, 6)).vertices
    shift = b - a
    assert (shift - shift.mean(1, keepdim=True)).abs().max() < 1e-4
    one = retarget_pose(BodyPose(plain.global_orient, plain.body_pose, plain.transl, betas[:1].expand(6, -1)), body, default_avatar)
    assert len(one) == 6


def test_steps_scale_with_the_leg(in_a_pose, body):
    pose = BodyPose.rest(2)
    pose.transl[1] = torch.tensor([2.0, 0.0, 0.0])
    steps = retarget_pose(pose, body, in_a_pose, match_height=False).joints[:, 0]
    assert float(steps[1, 0] - steps[0, 0]) == pytest.approx(2 * SCALE, rel=0.02)


def test_keypoints_follow_the_bodys(default_avatar, body):
    pose = random_pose()
    ours = retarget_pose(pose, body, default_avatar, match_height=False).keypoints_3d()
    theirs = pose_body(body, pose).keypoints_3d()
    ours, theirs = ours - ours[:, 8:9], theirs - theirs[:, 8:9]
    assert torch.isfinite(ours).all() and (ours - theirs).norm(dim=-1).max() < 0.03


def test_face_points_without_face_bones_come_from_the_head(in_a_pose, default_avatar, body):
    from dataclasses import replace

    blind = replace(default_avatar, rig=replace(default_avatar.rig, face={}))
    pose = random_pose()
    guessed, known = (retarget_pose(pose, body, avatar).keypoints_3d() for avatar in (blind, default_avatar))
    assert (guessed - known).norm(dim=-1).max() < 0.06


def test_missing_head_gives_nan(default_avatar, body):
    from dataclasses import replace

    headless = replace(default_avatar.rig, humanoid={role: node for role, node in default_avatar.rig.humanoid.items() if role != "head"})
    posed = retarget_pose(random_pose(), body, default_avatar)
    cut = replace(posed, avatar=replace(default_avatar, rig=headless), joints=posed.joints[:, : len(headless.humanoid)])
    points = cut.keypoints_3d()
    assert torch.isnan(points[:, [0, 14, 15, 16, 17]]).all() and torch.isfinite(points[:, 1:14]).all()


def test_report_names_bones_and_errors(in_a_pose, body):
    report = retarget_pose(random_pose(), body, in_a_pose).report
    assert "22 of 22 body joints" in report and "mixamorig:LeftForeArm" in report and "deg" in report and "mm" in report


def test_no_pose_at_all(default_avatar, body):
    posed = retarget_pose(random_pose()[:0], body, default_avatar)
    assert len(posed) == 0 and len(posed.mesh(slice(0, 0))) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees(default_avatar, body):
    pose = random_pose()
    here, there = (retarget_pose(p, body, default_avatar).mesh(slice(0, 6)).vertices for p in (pose, pose.to("cuda")))
    assert there.is_cuda and torch.allclose(here, there.cpu(), atol=1e-4)


@pytest.mark.parametrize("name", ["human-male", "human-zombie", "robot"])
def test_real_characters_keep_their_limbs(real_avatars, body, name):
    """Bones point where the body's do, hands stay on forearms, palms face as the body's do."""
    avatar = load_avatar(real_avatars / f"{name}.glb")
    pose = random_pose(20)
    posed, human = retarget_pose(pose, body, avatar), pose_body(body, pose)
    ours, theirs = dict(zip(avatar.rig.humanoid, posed.joints.unbind(1))), dict(zip(JOINT_NAMES, human.joints.unbind(1)))
    for side in ("left", "right"):
        for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            mine, other = ours[f"{side}_{b}"] - ours[f"{side}_{a}"], theirs[f"{side}_{b}"] - theirs[f"{side}_{a}"]
            assert torch.nn.functional.cosine_similarity(mine, other, dim=-1).min() > 0.9999
            rest = np.linalg.norm(avatar.rig.position(f"{side}_{b}") - avatar.rig.position(f"{side}_{a}"))
            assert torch.allclose(mine.norm(dim=-1), torch.tensor(posed.scale * rest, dtype=torch.float32), rtol=1e-3)


def test_finger_rotations_move_fingers_only(real_avatars, body):
    avatar = load_avatar(real_avatars / "human-male.glb")
    pose = random_pose(2)
    curl = rotvec_to_rotmat(torch.tensor([0.0, 0.0, -0.8])).expand(2, 30, 3, 3)
    bent = BodyPose(pose.global_orient, pose.body_pose, pose.transl, hands=curl)
    a, b = retarget_pose(pose, body, avatar), retarget_pose(bent, body, avatar)
    moved = dict(zip(avatar.rig.humanoid, (a.joints - b.joints).sub((a.joints - b.joints)[:, :1]).norm(dim=-1).amax(0)))
    assert moved["left_index3"] > 0.01 and moved["right_thumb3"] > 0.01 and moved["left_wrist"] < 1e-5
