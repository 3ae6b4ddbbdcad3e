"""A figure for the browser: its GLB read by another library, driven by the numbers beside it, stands as `retarget_pose` puts it."""

import numpy as np
import pygltflib
import pytest
import torch

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies.body import global_rotations, load_body_model, pose_body
from contrapposto.models.motion.editor_figure import write_editor_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose


@pytest.mark.parametrize("who", ["body", "avatar"])
def test_bones_driven_as_told_meet_the_joints_of_python(tmp_path, who):
    body = load_body_model()
    avatar = load_avatar() if who == "avatar" else None
    drive = write_editor_figure(tmp_path / "figure.glb", body, avatar)
    pose = BodyPose(rotvec_to_rotmat(torch.randn(1, 3) * 0.5), rotvec_to_rotmat(torch.randn(1, 21, 3) * 0.4))
    posed = retarget_pose(pose, body, avatar) if avatar else pose_body(body, pose)

    file = pygltflib.GLTF2().load(str(tmp_path / "figure.glb"))
    bones = file.skins[0].joints
    above = {child: parent for parent, node in enumerate(file.nodes) for child in node.children or []}
    turns = global_rotations(pose)[0][drive["source"]].numpy() @ np.array(drive["align"]).reshape(-1, 3, 3)
    joints = np.zeros((len(bones), 3))
    for i, bone in enumerate(bones):
        if bone in above:
            parent = bones.index(above[bone])
            joints[i] = joints[parent] + turns[parent] @ file.nodes[bone].translation
    assert len(drive["source"]) == len(bones)
    wanted = (posed.joints[0] - posed.joints[0, :1]).numpy()
    assert np.abs(joints - wanted).max() < 2e-3
