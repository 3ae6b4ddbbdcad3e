"""SAM 3D Body's people on our body: made from a posed body of ours in core's 70 points, they come back."""

import numpy as np
import pytest
import torch
from seen_bodies import aligned_error

from contrapposto.models.bodies import JOINT_NAMES, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.motion.core_rig import MHR_POINTS
from contrapposto.models.pose_correction.mhr import sam3d_to_body
from contrapposto.models.render.camera import project, world_to_camera

OTHERS = {"nose": 0, "left_eye": 1, "right_eye": 2, "left_ear": 3, "right_ear": 4}
OPENPOSE_FACE = {"nose": 0, "right_eye": 14, "left_eye": 15, "right_ear": 16, "left_ear": 17}


@pytest.fixture(scope="module")
def people(views, body):
    """MHR_POSE_DATA of three pictures with two, none and two people, 1.2 times as large as ours."""
    posed = pose_body(body, views.pose[:4])
    joints, points = (1.2 * world_to_camera(p, views.camera[:4]) for p in (posed.joints, posed.keypoints_3d()))
    mhr = torch.zeros(4, 70, 3)
    for name, index in MHR_POINTS.items():
        mhr[:, index] = joints[:, JOINT_NAMES.index(name)]
    for name, index in OTHERS.items():
        mhr[:, index] = points[:, OPENPOSE_FACE[name]]
    for side, toes in (("left", (15, 16)), ("right", (18, 19))):
        mhr[:, toes] = joints[:, None, JOINT_NAMES.index(f"{side}_foot")]
    mhr[:, 69] = joints[:, JOINT_NAMES.index("neck")]
    place = torch.tensor([0.1, 0.2, 0.3])
    rows = [{"pred_keypoints_3d": (row - place).numpy(), "pred_cam_t": place.numpy(), "focal_length": np.float32(focal)}
            for row, focal in zip(mhr, views.camera.fx)]
    return {"frames": [rows[:2], [], rows[2:]], "image_size": (512, 512)}


def test_people_come_back_where_core_saw_them(people, views, body, prior):
    pose, camera, report = sam3d_to_body(people, body, prior)
    assert pose.frame_index.tolist() == [0, 0, 2, 2] and pose.person_index.tolist() == [0, 1, 0, 1]
    posed = pose_body(body, pose)
    assert (1000 * aligned_error(posed.joints[:, :22], views.joints[:4])).max() < 45
    pixels, depth = project(posed.keypoints_3d(), camera)
    assert (pixels - views.keypoints.keypoints_2d[:4]).norm(dim=-1).mean() < 4 and bool((depth > 0).all())
    assert "4 bodies in 3 pictures" in report


@pytest.mark.parametrize("change, said", [
    (lambda d: {**d, "frames": [[], []]}, "show nobody"),
    (lambda d: {**d, "frames": "x"}, "holds no frames"),
    (lambda d: {"frames": d["frames"]}, "pictures' size"),
    (lambda d: {**d, "frames": [[{"pred_keypoints_3d": np.zeros((70, 3))}]]}, "without key points, place"),
    (lambda d: {**d, "frames": [[{**d["frames"][0][0], "pred_keypoints_3d": np.zeros((18, 3))}]]}, "not 70 .*key points"),
    (lambda d: {**d, "frames": [[{**d["frames"][0][0], "focal_length": 0.0}]]}, "focal length"),
])
def test_other_data_is_named(people, body, prior, change, said):
    with pytest.raises(InputError, match=said):
        sam3d_to_body(change(people), body, prior)
