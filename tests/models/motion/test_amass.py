import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from contrapposto.models.bodies import pose_body
from contrapposto.models.bodies.body import global_rotations
from contrapposto.models.checks import InputError
from contrapposto.models.motion import load_motion
from contrapposto.models.motion.amass import read_smpl_motion, smpl_to_pose, write_smpl_npz
from contrapposto.models.rotations import rotmat_to_rot6d
from contrapposto.models.types import BodyPose


def rotvec(rotmats):
    return Rotation.from_matrix(rotmats.reshape(-1, 3, 3).numpy()).as_rotvec().reshape(len(rotmats), -1).astype(np.float32)


def same(body, pose, motion, limit=1e-3):
    """Joints agree but for a constant height."""
    ours, theirs = (pose_body(body, p).joints for p in (pose, motion))
    shift = (ours - theirs).mean((0, 1)) * torch.tensor([0.0, 1, 0])
    return (ours - theirs - shift).norm(dim=-1).max() < limit


@pytest.fixture
def smplx(motion):
    return {"global_orient": rotvec(motion.global_orient), "body_pose": rotvec(motion.body_pose), "transl": motion.transl.numpy(),
            "betas": np.zeros((1, 10), np.float32), "fps": np.float64(30)}


@pytest.fixture
def amass(body, motion, smplx):
    """As AMASS has it: +Z up, so written here with scipy, not with the code under test."""
    turn = Rotation.from_euler("X", 90, degrees=True)
    pelvis = body.with_shape(None).joints[0, 0].numpy()
    root = (turn * Rotation.from_rotvec(smplx["global_orient"])).as_rotvec()
    trans = turn.apply(smplx["transl"] + pelvis) - pelvis
    return {"poses": np.concatenate([root, smplx["body_pose"], np.zeros((40, 90))], 1), "trans": trans, "betas": np.zeros(16),
            "mocap_framerate": np.array(120.0), "gender": np.array("neutral"), "dmpls": np.zeros((40, 8))}


@pytest.mark.parametrize("columns", [66, 72, 156, 165])
def test_amass_archives_of_every_width(tmp_path, body, motion, amass, columns):
    poses = np.zeros((40, columns))
    if columns == 165:  # SMPL-X has jaw and eyes between body and hands
        poses[:, :66], poses[:, 66:75] = amass["poses"][:, :66], 0.3
    else:
        poses[:, : min(columns, 66)] = amass["poses"][:, :66]
    np.savez(tmp_path / "a.npz", **(amass | {"poses": poses}))
    pose, report = load_motion(tmp_path / "a.npz", body)
    assert same(body, pose, motion) and pose.fps == 120 and "up was +Z" in report
    assert (pose.hands is not None) == (columns >= 156)
    assert pose.betas is None and "left out" in report  # SMPL's shape means nothing on the open body


def test_notes_that_would_run_code_stay_closed(tmp_path, body, motion, amass):
    np.savez(tmp_path / "a.npz", **amass, markers_latent_vids=np.array({"a": 1}, dtype=object))  # real AMASS files hold such
    assert same(body, load_motion(tmp_path / "a.npz", body)[0], motion)
    np.savez(tmp_path / "b.npz", **(amass | {"poses": np.array([{"a": 1}], dtype=object)}))
    with pytest.raises(InputError, match="could run code"):
        load_motion(tmp_path / "b.npz", body)


@pytest.mark.parametrize("wrap", [
    lambda d: d, lambda d: {"smpl_params_global": d, "K_fullimg": torch.eye(3)}, lambda d: {"global": d, "incam": None},
    lambda d: {key: torch.from_numpy(np.asarray(value)) for key, value in d.items()}, lambda d: [d],
    lambda d: {"root_orient": d["global_orient"], "pose_body": d["body_pose"], "trans": d["transl"]},
])
def test_dictionaries_of_other_packs(body, motion, smplx, wrap):
    pose, _ = smpl_to_pose(wrap(smplx), body)
    assert same(body, pose, motion)


def test_camera_frames_are_turned_upright(body, motion, smplx):
    turn = Rotation.from_euler("X", 180, degrees=True)
    pelvis = body.with_shape(None).joints[0, 0].numpy()
    root = (turn * Rotation.from_rotvec(smplx["global_orient"])).as_rotvec()
    incam = smplx | {"global_orient": root, "transl": turn.apply(smplx["transl"] + pelvis) - pelvis}
    pose, report = smpl_to_pose({"smpl_params_incam": incam}, body)
    assert same(body, pose, motion) and "up was -Y" in report


def test_rotation_matrices_and_24_joints(body, motion):
    joints = torch.cat([motion.body_pose, torch.eye(3).expand(40, 2, 3, 3)], 1)
    pose, _ = smpl_to_pose({"global_orient": motion.global_orient[:, None], "body_pose": joints, "transl": motion.transl}, body)
    assert same(body, pose, motion)


@pytest.mark.parametrize("columns_first", [False, True])
def test_hymotion_data_in_both_orders_of_six_numbers(body, motion, columns_first):
    rotmats = torch.cat([motion.global_orient[:, None], motion.body_pose], 1)
    rot6d = rotmat_to_rot6d(rotmats)
    if columns_first:
        rot6d = torch.cat([rotmats[..., 0], rotmats[..., 1]], -1)
    data = SimpleNamespace(output_dict={"rot6d": rot6d[None], "transl": motion.transl[None], "root_rotations_mat": rotmats[None, :, 0]})
    pose, _ = smpl_to_pose(data, body)
    assert same(body, pose, motion)


def test_phalp_tracks_take_the_longest_person(body, motion):
    def person(row):
        return {"global_orient": motion.global_orient[row][None].numpy(), "betas": np.zeros(10),
                "body_pose": torch.cat([motion.body_pose[row], torch.eye(3).expand(2, 3, 3)]).numpy()}
    frames = {}
    for row in range(40):  # person 8 is always there, person 3 in every second picture
        frames[f"{row:06d}.jpg"] = {"tid": [3, 8], "smpl": [person(0), person(row)]} if row % 2 else {"tid": [8], "smpl": [person(row)]}
    pose, _ = smpl_to_pose(frames, body)
    assert torch.allclose(global_rotations(pose), global_rotations(motion), atol=1e-5)


@pytest.mark.parametrize("layout", ["smplx", "amass"])
def test_written_archives_come_back(tmp_path, body, motion, layout):
    write_smpl_npz(tmp_path / "a.npz", motion, body, layout)
    pose, _ = read_smpl_motion(tmp_path / "a.npz", body)
    assert same(body, pose, motion, 1e-5) and pose.fps == 30
    names = set(np.load(tmp_path / "a.npz").files)
    assert names >= ({"poses", "trans", "betas", "gender", "mocap_framerate"} if layout == "amass" else {"global_orient", "transl", "fps"})


def test_the_written_amass_archive_is_amass(tmp_path, body, motion, amass):
    write_smpl_npz(tmp_path / "a.npz", motion, body, "amass")
    written = np.load(tmp_path / "a.npz")
    assert written["poses"].shape == (40, 156) and np.allclose(written["trans"], amass["trans"], atol=1e-5)
    theirs, ours = (Rotation.from_rotvec(p[:, :3]) for p in (amass["poses"], written["poses"]))
    assert (theirs.inv() * ours).magnitude().max() < 1e-4


def test_pickles_and_torch_files_never_run(tmp_path, body, motion, smplx):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)
    for name, save in (("a.pkl", lambda f: f.write_bytes(pickle.dumps({"poses": Evil()}))), ("a.pt", lambda f: torch.save(Evil(), f))):
        save(tmp_path / name)
        with pytest.raises(InputError):
            load_motion(tmp_path / name, body)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(smplx))
    torch.save({"smpl_params_global": {k: torch.from_numpy(np.asarray(v)) for k, v in smplx.items()}}, tmp_path / "good.pt")
    for name in ("good.pkl", "good.pt"):
        assert same(body, load_motion(tmp_path / name, body)[0], motion)


@pytest.mark.parametrize("change, message", [
    ({"body_pose": None}, "no SMPL motion"), ({"body_pose": np.zeros((40, 30))}, "body_pose and global_orient"),
    ({"body_pose": np.full((40, 63), np.nan)}, "NaN"), ({"transl": np.zeros((39, 3))}, "40 poses but places"),
    ({"betas": np.zeros((7, 10))}, "7 body shapes"), ({"fps": 0}, "frame rate of 0"), ({"body_pose": np.array(["x"])}, "no numbers"),
    ({"global_orient": np.zeros((0, 3)), "body_pose": np.zeros((0, 63))}, "shape"),
])
def test_each_defect_is_named(body, smplx, change, message):
    with pytest.raises(InputError, match=message):
        smpl_to_pose(smplx | change, body)


def test_things_that_hold_no_motion(tmp_path, body):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 cut short")
    for name, message in (("a.npz", "holds no motion"), ("b.npz", "not a readable")):
        with pytest.raises(InputError, match=message):
            load_motion(tmp_path / name, body)
    for value in (None, 3, [], "x", {}):
        with pytest.raises(InputError, match="motion file"):
            smpl_to_pose(value, body)
    with pytest.raises(InputError, match="layout"):
        write_smpl_npz(tmp_path / "c.npz", BodyPose.rest(1), body, "fbx")
