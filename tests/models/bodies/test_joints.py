import torch

from contrapposto.models.bodies import (
    JOINT_NAMES,
    MIRROR,
    OPENPOSE18_LIMBS,
    OPENPOSE18_NAMES,
    PARENTS,
    load_body_model,
    mirror_pose,
    pose_body,
)
from contrapposto.models.bodies.joints import OPENPOSE18_MIRROR


def test_orders_are_complete_and_mirrored():
    assert len(JOINT_NAMES) == len(PARENTS) == len(MIRROR) == 24 and len(OPENPOSE18_NAMES) == len(set(OPENPOSE18_NAMES)) == 18
    assert [MIRROR[MIRROR[joint]] for joint in range(24)] == list(range(24))
    assert all(MIRROR[PARENTS[joint]] == PARENTS[MIRROR[joint]] for joint in range(1, 24))
    other = {name: JOINT_NAMES[MIRROR[joint]] for joint, name in enumerate(JOINT_NAMES)}
    assert other["left_knee"] == "right_knee" and other["neck"] == "neck"


def test_limbs_form_one_tree_over_all_points():
    assert len(OPENPOSE18_LIMBS) == 17
    reached = {OPENPOSE18_NAMES.index("neck")}
    for start, end in OPENPOSE18_LIMBS:
        assert start in reached, "painted from the neck outwards"
        reached.add(end)
    assert reached == set(range(18))


def test_mirroring_twice_gives_the_pose_back(random_pose):
    pose = random_pose(3, hands=True)
    twice = mirror_pose(mirror_pose(pose))
    for name in ("global_orient", "body_pose", "transl", "hands"):
        torch.testing.assert_close(getattr(twice, name), getattr(pose, name))


def test_mirrored_pose_gives_mirrored_mesh(random_pose):
    from scipy.spatial import cKDTree

    model, flip = load_body_model(), torch.tensor([-1.0, 1.0, 1.0])
    other_side = cKDTree((model.v_template * flip).numpy()).query(model.v_template.numpy())[1]
    pose = random_pose(2)
    posed, mirrored = pose_body(model, pose), pose_body(model, mirror_pose(pose))
    torch.testing.assert_close(mirrored.vertices(), posed.vertices()[:, other_side] * flip, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.joints, posed.joints[:, list(MIRROR)] * flip, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.keypoints_3d(), posed.keypoints_3d()[:, list(OPENPOSE18_MIRROR)] * flip, atol=1e-5, rtol=0)
