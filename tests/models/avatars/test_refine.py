"""Stage 2 of retargeting, and twist bones."""

import numpy as np
import pytest
import torch

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.avatars.pairing import pair
from contrapposto.models.avatars.twist import twist_angle
from contrapposto.models.bodies.body import pose_body
from contrapposto.models.bodies.joints import JOINT_NAMES
from contrapposto.models.checks import InputError
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

UNITY = {"pelvis": "Hips", "spine": "Spine", "chest": "Chest", "neck": "Neck", "head": "Head"} | {
    f"{side}_{role}": side.title() + part for side in ("left", "right") for role, part in (
        ("hip", "UpperLeg"), ("knee", "LowerLeg"), ("ankle", "Foot"), ("foot", "Toes"), ("collar", "Shoulder"), ("shoulder", "UpperArm"),
        ("elbow", "LowerArm"), ("wrist", "Hand"))}  # fmt: skip
SLIM = torch.tensor([[1.5, -1.0, 0.7, 1.2, -0.8, 0.5, 0.0, 0.9, 0.0, -0.6]])


def some_poses(rows=40, spread=0.3, betas=SLIM, fps=None):
    R = rotvec_to_rotmat(spread * torch.randn(rows, 22, 3, generator=torch.Generator().manual_seed(1)))
    return BodyPose(R[:, 0], R[:, 1:], betas=None if betas is None else betas.expand(rows, -1), fps=fps)


OTHER = {f"{side}_{part}": (sign * x, y, z) for side, sign in (("left", 1), ("right", -1)) for part, (x, y, z) in {
    "elbow": (0.46, 1.45, 0), "wrist": (0.80, 1.45, 0), "knee": (0.1, 0.55, 0), "shoulder": (0.16, 1.45, 0)}.items()}  # fmt: skip


@pytest.fixture(scope="module")
def avatar():
    return load_avatar()


@pytest.fixture
def stranger(stick_glb):
    """A person whose arms are longer and whose knees are higher than the body's."""
    return load_avatar(stick_glb(UNITY, OTHER))


def missed(posed):
    """Role -> (B,) metres from the goal, as the report has them."""
    return posed.explain.args[-1]


def test_goals_are_met_on_a_body_of_other_proportions(stranger, body):
    pose = some_poses()
    posed = retarget_pose(pose, body, stranger, refine=True)
    off = missed(posed)
    for role in ("left_wrist", "right_wrist", "left_ankle", "right_ankle"):
        assert float(off[role].mean()) < 0.01 and float(off[role].max()) < 0.06, role
    assert "Refined: distance from the goal" in posed.report


def test_what_is_reported_is_where_the_joints_are(stranger, body):
    """Against plain arithmetic: the wrist lies where the body's does, scaled by leg length about its lowest point."""
    pose = some_poses(12)
    posed, human = retarget_pose(pose, body, stranger, refine=True), pose_body(body, pose)
    plain = retarget_pose(pose, body, stranger)
    number = list(stranger.rig.humanoid).index("left_wrist")

    def leg(at, names):
        i = [names.index(f"left_{part}") for part in ("hip", "knee", "ankle")]
        return (at[0, i[0]] - at[0, i[1]]).norm() + (at[0, i[1]] - at[0, i[2]]).norm()

    ratio = leg(plain.joints, list(stranger.rig.humanoid)) / leg(human.joints, JOINT_NAMES)
    def error(figure):
        span = figure.joints[:, number] - figure.joints[:, list(stranger.rig.humanoid).index("right_wrist")]
        wanted = ratio * (human.joints[:, JOINT_NAMES.index("left_wrist")] - human.joints[:, JOINT_NAMES.index("right_wrist")])
        return float((span - wanted).norm(dim=-1).median())
    assert error(posed) < 0.01 < 0.03 < error(plain)


def test_bones_keep_their_lengths_and_hands_their_turn(avatar, body):
    pose = some_poses(8)
    plain, fine = (retarget_pose(pose, body, avatar, refine=refine) for refine in (False, True))
    of = {role: i for i, role in enumerate(avatar.rig.humanoid)}
    for a, b in (("left_shoulder", "left_elbow"), ("right_elbow", "right_wrist"), ("left_hip", "left_knee"), ("right_knee", "right_ankle")):
        lengths = [(figure.joints[:, of[b]] - figure.joints[:, of[a]]).norm(dim=-1) for figure in (plain, fine)]
        assert torch.allclose(*lengths, atol=1e-4)
    for role in ("left_wrist", "right_ankle"):
        assert torch.allclose(plain.T_driver[:, of[role], :, :3], fine.T_driver[:, of[role], :, :3], atol=1e-5)


def test_the_same_proportions_need_no_refining(avatar, body):
    pose = some_poses(10, betas=None)
    plain, fine = (retarget_pose(pose, body, avatar, match_height=False, refine=refine) for refine in (False, True))
    assert (plain.joints - fine.joints).norm(dim=-1).mean() < 0.03


def test_the_lowest_point_stays_on_the_floor(avatar, body):
    pose = some_poses(6)
    ours = retarget_pose(pose, body, avatar, refine=True).mesh(slice(0, 6)).vertices[..., 1].amin(1)
    assert (ours - pose_body(body, pose).vertices()[..., 1].amin(1)).abs().max() < 8e-3


def test_hands_are_moved_out_of_the_trunk(avatar, body):
    """Arms turned so far inwards that both hands are inside the belly."""
    pose = BodyPose.rest(1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pose.body_pose[0, JOINT_NAMES.index(f"{side}_shoulder") - 1] = rotvec_to_rotmat(torch.tensor([0.0, 0.0, -1.2 * sign]))
        pose.body_pose[0, JOINT_NAMES.index(f"{side}_elbow") - 1] = rotvec_to_rotmat(torch.tensor([0.0, 0.0, -1.9 * sign]))
    capsules = pair(avatar, body).reach(avatar).capsules

    def depth(refine):
        posed = retarget_pose(pose, body, avatar, refine=refine)
        of = pair(avatar, body).of
        a, b = posed.joints[0, of["pelvis"]], posed.joints[0, of["neck"]]
        T = posed.T_driver[0, [of["left_wrist"], of["right_wrist"]], :, :3]
        hands = posed.joints[0, [of["left_wrist"], of["right_wrist"]]] + (T @ capsules.hands[..., None])[..., 0]
        share = ((hands - a) @ (b - a) / ((b - a) @ (b - a))).clamp(0, 1)
        return posed.scale * capsules.radius[0] - (hands - a - share[:, None] * (b - a)).norm(dim=-1)

    assert depth(False).min() > 0.03 and depth(True).max() < 0.005


def test_hands_are_moved_out_of_the_head(avatar, body):
    """An arm raised and bent so that the hand is inside the skull."""
    pose = BodyPose.rest(1)
    for role, turn in (("left_shoulder", (0.0, 0.0, 0.75)), ("left_elbow", (0.0, 0.0, 2.35))):
        pose.body_pose[0, JOINT_NAMES.index(role) - 1] = rotvec_to_rotmat(torch.tensor(turn))
    capsules, of = pair(avatar, body).reach(avatar).capsules, pair(avatar, body).of
    assert capsules.start[-1] == of["head"] and 0.05 < capsules.radius[-1] < 0.12

    def depth(refine):
        posed = retarget_pose(pose, body, avatar, match_height=False, refine=refine)
        T = posed.T_driver[0, :, :, :3]
        hand = posed.joints[0, of["left_wrist"]] + T[of["left_wrist"]] @ capsules.hands[0]
        head = posed.joints[0, of["head"]]
        way = T[of["head"]] @ capsules.tip[-1]
        share = ((hand - head) @ way / (way @ way)).clamp(0, 1)
        return float(capsules.radius[-1] - (hand - head - share * way).norm())

    assert depth(False) > 0.015 and depth(True) < 0.005


def test_smoothing_evens_out_corrections(avatar, body):
    pose = some_poses(60, fps=30.0)
    def jerk(smooth):
        D = retarget_pose(pose, body, avatar, refine=True, smooth=smooth).T_driver[..., :3]
        D = D @ retarget_pose(pose, body, avatar).T_driver[..., :3].mT
        return float((D[2:] - 2 * D[1:-1] + D[:-2]).norm())
    assert jerk(0.9) < 0.9 * jerk(0.0)
    with pytest.raises(InputError, match="smooth"):
        retarget_pose(pose, body, avatar, refine=True, smooth=2.0)


def test_no_rows_and_one_row(avatar, body):
    pose = some_poses(3)
    assert len(retarget_pose(pose[:0], body, avatar, refine=True)) == 0
    one, all_rows = (retarget_pose(p, body, avatar, refine=True).joints for p in (pose[1:2], pose))
    assert torch.allclose(one[0], all_rows[1], atol=1e-4)  # still poses do not touch one another


@pytest.mark.parametrize("name", ["human-male", "human-zombie", "robot"])
def test_real_characters(real_avatars, body, name):
    posed = retarget_pose(some_poses(100, betas=None), body, load_avatar(real_avatars / f"{name}.glb"), refine=True)
    assert posed.joints.isfinite().all()
    if name != "robot":  # whose arms are too short for most goals
        assert max(float(off.mean()) for role, off in missed(posed).items() if role != "head") < 0.01


def with_twist_bones(document):
    number = {node["name"]: i for i, node in enumerate(document["nodes"])}
    skin = document["skins"][0]
    for limb, offset, name in (("LeftLowerArm", 0.125, "lowerarm_twist_01_l"), ("LeftUpperArm", 0.0, "upperarm_twist_01_l")):
        document["nodes"].append({"name": name, "translation": [offset, 0, 0]})
        document["nodes"][number[limb]].setdefault("children", []).append(len(document["nodes"]) - 1)
        skin["joints"][skin["joints"].index(number["Spine" if "lower" in name else "Chest"])] = len(document["nodes"]) - 1


def test_twist_bones_take_their_share(stick_glb, body):
    """A hand turned by 80 degrees about its forearm turns the bone in the forearm's middle by 40; the upper arm's gives its turn back."""
    avatar = load_avatar(stick_glb(UNITY, edit=with_twist_bones))
    assert avatar.rig.names[avatar.rig.humanoid["left_elbow_twist1"]] == "lowerarm_twist_01_l"
    assert avatar.rig.names[avatar.rig.humanoid["left_shoulder_twist1"]] == "upperarm_twist_01_l"
    pose, turn = BodyPose.rest(1), np.radians(80)
    for role in ("left_wrist", "left_shoulder"):
        axis = body.with_shape(None).joints[0]
        along = axis[JOINT_NAMES.index("left_wrist")] - axis[JOINT_NAMES.index("left_elbow")]
        along = along if role == "left_wrist" else axis[JOINT_NAMES.index("left_elbow")] - axis[JOINT_NAMES.index("left_shoulder")]
        pose.body_pose[0, JOINT_NAMES.index(role) - 1] = rotvec_to_rotmat(turn * along / along.norm())
    both = pair(avatar, body)
    posed = retarget_pose(pose, body, avatar)
    R = posed.T_driver[0, :, :, :3] / posed.scale @ both.A.mT

    def angle(role, other):
        axis = posed.joints[0, both.of["left_elbow"]] - posed.joints[0, both.of["left_shoulder"]]
        return float(torch.rad2deg(twist_angle(R[both.of[role]] @ R[both.of[other]].T, axis / axis.norm())))

    assert angle("left_elbow_twist1", "left_elbow") == pytest.approx(40, abs=2)
    assert angle("left_shoulder_twist1", "left_shoulder") == pytest.approx(-80, abs=2)
    assert "2 twist bones" in posed.report


def test_bones_beside_a_limb_are_no_twist_bones(stick_glb):
    def edit(document):
        with_twist_bones(document)
        document["nodes"][-2]["translation"] = [0.1, 0.2, 0]  # off the forearm's axis
        document["nodes"][-1]["name"] = "muscle"

    assert not [role for role in load_avatar(stick_glb(UNITY, edit=edit)).rig.humanoid if "twist" in role]
