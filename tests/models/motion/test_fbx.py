"""FBX animations written by the test, with a known answer."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fabricate import random_rotations
from test_skeleton_to_body import check_same_motion, degrees

from contrapposto.models.avatars.gltf import GltfScene
from contrapposto.models.bodies import JOINT_NAMES
from contrapposto.models.bodies.body import global_rotations
from contrapposto.models.bodies.joints import PARENTS
from contrapposto.models.checks import InputError
from contrapposto.models.motion import load_motion

sys.path.insert(0, str(Path(__file__).parents[1] / "avatars"))
from fabricate_fbx import write_fbx  # noqa: E402

pytest.importorskip("ufbx")


def skeleton(body, motion, frames):
    """The body's joints at rest as a scene of bones with the given frames, and {bone: turns in its own frame}."""
    rest = body.with_shape(None).joints[0, :22].double().numpy()
    world = np.tile(np.eye(4), (22, 1, 1))
    world[:, :3, :3], world[:, :3, 3] = frames, rest
    local = torch.cat([motion.global_orient[:, None], motion.body_pose], 1).double().numpy()
    turns = np.einsum("jki,tjkl,jlm->tjim", frames, local, frames)
    names = [name.title().replace("_", "") for name in JOINT_NAMES[:22]]
    scene = GltfScene(names, np.array(PARENTS[:22]), list(range(22)), world, world, [], [], {})
    return scene, {node: turns[:, node] for node in range(22)}


@pytest.mark.parametrize("how", [{"up": "y", "fps": 24}, {"up": "z", "centimetres": 100.0, "prerotate": False, "timed": False}])
@pytest.mark.parametrize("aligned", [True, False])
def test_a_motion_comes_back(body, motion, tmp_path, how, aligned):
    motion = replace(motion, transl=torch.zeros_like(motion.transl), fps=float(how.get("fps", 30)))
    frames = np.tile(np.eye(3), (22, 1, 1)) if aligned else random_rotations(22).double().numpy()
    scene, turns = skeleton(body, motion, frames)
    pose, report = load_motion(write_fbx(tmp_path / "walk.fbx", scene, motion=turns, **how), body)
    check_same_motion(body, pose, motion)
    assert degrees(global_rotations(pose), global_rotations(motion)).max() < 0.2
    assert pose.fps == pytest.approx(motion.fps, rel=1e-3) and "metres" in report


def test_a_file_without_animation(body, motion, tmp_path):
    scene, _ = skeleton(body, motion, np.tile(np.eye(3), (22, 1, 1)))
    with pytest.raises(InputError, match="holds no animation"):
        load_motion(write_fbx(tmp_path / "still.fbx", scene), body)
