"""Files of mesh recovery tools, fabricated in their layouts: the body lands where the tool's camera saw it."""

import math
import pickle

import numpy as np
import pytest
import torch

from contrapposto.models.bodies import pose_body
from contrapposto.models.bodies.pose_file import save_poses
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction.hmr_files import load_body_file
from contrapposto.models.render.camera import project
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

UPRIGHT = np.array([math.pi, 0, 0], np.float32)  # an upright body in camera axes, facing the camera


def thetas(count):
    values = np.zeros((count, 72), np.float32)
    values[:, :3] = UPRIGHT
    values[:, 3 + 15 * 3 + 2] = 0.7  # left shoulder
    return values


def seen(pose, camera, body):
    """Pixels of pelvis, head and left hand."""
    return project(pose_body(body, pose).joints[:, [0, 15, 22]], camera)[0]


def romp(count=2):
    places = np.array([[0.0, 0.2, 4.0], [1.0, 0.2, 5.0]], np.float32)[:count]
    return {"smpl_thetas": thetas(count), "smpl_betas": np.zeros((count, 11), np.float32), "cam_trans": places,
            "cam": np.ones((count, 3), np.float32)}


def check_romp(pose, camera, body):
    pelvis = body.with_shape(None).joints[0, 0].numpy()
    for row, place in enumerate(romp()["cam_trans"]):
        x, y, z = pelvis + place  # SMPL keeps the pelvis' rest place; the tool's axes are the camera's
        expected = (256 + 443.4 * x / z, 256 + 443.4 * y / z)
        pixels = seen(pose, camera, body)[row]
        assert torch.allclose(pixels[0], torch.tensor(expected, dtype=torch.float32), atol=0.5)
        assert pixels[1, 1] < pixels[0, 1] and pixels[2, 0] > pixels[0, 0]  # head up, left hand on the picture's right
    assert pose.frame_index.tolist() == [0, 0] and pose.person_index.tolist() == [0, 1]


@pytest.mark.parametrize("wrapped", [False, True])
def test_romp_archives(tmp_path, body, wrapped):
    content = {"results": np.array(romp(), dtype=object)} if wrapped else romp()
    np.savez(tmp_path / "a.npz", **content)
    pose, camera, report = load_body_file(tmp_path / "a.npz", body, 512, 512)
    check_romp(pose, camera, body)
    assert "2 bodies in 1 pictures of 512 x 512" in report and "left out" in report and pose.betas is None


def test_romp_films_name_their_pictures(tmp_path, body):
    frames = {f"{number:06}.jpg": romp() for number in range(3)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(frames))
    pose, _, _ = load_body_file(tmp_path / "a.pkl", body)
    assert pose.frame_index.tolist() == [0, 0, 1, 1, 2, 2] and pose.person_index.tolist() == [0, 1] * 3


def test_shapes_are_kept_when_asked_for(tmp_path, body):
    np.savez(tmp_path / "a.npz", **(romp() | {"smpl_betas": np.full((2, 11), 0.5, np.float32)}))
    pose, _, _ = load_body_file(tmp_path / "a.npz", body, keep_shape=True)
    assert pose.betas.shape == (2, 10) and bool((pose.betas == 0.5).all())


def test_hmr2_outputs_bring_their_lens(tmp_path, body):
    rotmats = rotvec_to_rotmat(torch.from_numpy(thetas(1)).reshape(1, 24, 3))
    params = {"global_orient": rotmats[:, :1].numpy(), "body_pose": rotmats[:, 1:].numpy(), "betas": np.zeros((1, 10), np.float32)}
    content = {"pred_smpl_params": params, "pred_cam_t_full": np.array([[0.3, -0.1, 20.0]], np.float32),
               "scaled_focal_length": np.float32(8000.0), "img_size": np.array([[800, 600]])}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    pose, camera, _ = load_body_file(tmp_path / "a.pkl", body)
    assert (camera.width, camera.height, float(camera.fx[0])) == (800, 600, 8000.0)
    x, y, z = body.with_shape(None).joints[0, 0] + torch.tensor([0.3, -0.1, 20.0])
    assert torch.allclose(seen(pose, camera, body)[0, 0], torch.stack([400 + 8000 * x / z, 300 + 8000 * y / z]), atol=0.5)


def test_phalp_tracks_keep_their_numbers(tmp_path, body):
    rotmats = rotvec_to_rotmat(torch.from_numpy(thetas(1)).reshape(24, 3)).numpy()
    person = {"global_orient": rotmats[:1], "body_pose": rotmats[1:], "betas": np.zeros(10, np.float32)}
    frame = {"smpl": [person, person], "camera": [np.array([0.0, 0.0, 30.0])] * 2, "tid": [4, 9], "size": [np.array([480, 640])] * 2}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"f1": {**frame, "time": 0}, "f2": {**frame, "time": 1}}))
    pose, camera, _ = load_body_file(tmp_path / "a.pkl", body)
    assert pose.person_index.tolist() == [4, 9, 4, 9] and pose.frame_index.tolist() == [0, 0, 1, 1] and camera.width == 640


def test_spin_crops_land_where_their_weak_perspective_says(tmp_path, body):
    """A point (X, Y) near the body lands at the crop's centre + side / 2 * s * (X + tx, Y + ty)."""
    entry = {"thetas": thetas(1), "betas": np.zeros((1, 10), np.float32), "cam": np.array([[0.9, 0.1, 0.2]], np.float32),
             "center": np.array([[200.0, 300.0]]), "scale": np.array([1.5])}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"picture.png": entry}))
    pose, camera, _ = load_body_file(tmp_path / "a.pkl", body, 512, 512)
    pelvis = body.with_shape(None).joints[0, 0]
    expected = torch.tensor([200.0, 300.0]) + 150 * 0.9 * (pelvis[:2] + torch.tensor([0.1, 0.2]))
    assert torch.allclose(seen(pose, camera, body)[0, 0], expected, atol=1.0)


def test_spin_training_sets_have_no_camera_but_bodies(tmp_path, body):
    np.savez(tmp_path / "a.npz", imgname=np.array(["a.png", "b.png"]), pose=thetas(2), shape=np.zeros((2, 10)),
             center=np.zeros((2, 2)), scale=np.ones(2))
    pose, camera, report = load_body_file(tmp_path / "a.npz", body, 320, 240)
    assert "no camera" in report and pose.frame_index.tolist() == [0, 1] and camera.width == 320


def test_our_own_poses_are_framed(tmp_path, body):
    save_poses(tmp_path / "a.npz", BodyPose.rest(2))
    pose, camera, _ = load_body_file(tmp_path / "a.npz", body, 256, 256)
    pixels = seen(pose, camera, body)
    assert len(pose) == 2 and bool(((pixels > 0) & (pixels < 256)).all())


class Bomb:
    def __reduce__(self):
        return print, ("boom",)


@pytest.mark.parametrize("content, said", [
    (pickle.dumps({"smpl_thetas": Bomb()}), "could run code"),
    (pickle.dumps({"thetas": thetas(1)})[:-40], "is damaged"),
    (pickle.dumps({"nothing": 1}), "holds no bodies"),
    (pickle.dumps([1, 2]), "instead of named entries"),
    (pickle.dumps({"thetas": np.full((1, 72), np.nan)}), "NaN"),
    (pickle.dumps({"thetas": np.zeros((1, 70))}), "not rows of 72"),
    (pickle.dumps({"thetas": thetas(1), "cam": np.zeros((1, 3))}), "not both positive"),
    (b"\x78\x9cjoblib", "joblib"),
])
def test_what_cannot_be_read_is_named(tmp_path, body, capsys, content, said):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_body_file(tmp_path / "a.pkl", body)
    assert capsys.readouterr().out == ""


def test_code_in_an_archive_never_runs(tmp_path, body, capsys):
    np.savez(tmp_path / "a.npz", results=np.array({"smpl_thetas": Bomb()}, dtype=object))
    with pytest.raises(InputError, match="could run code"):
        load_body_file(tmp_path / "a.npz", body)
    assert capsys.readouterr().out == ""
