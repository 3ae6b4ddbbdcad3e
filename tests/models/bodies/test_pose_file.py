from dataclasses import replace

import numpy as np
import pytest
import torch

from contrapposto.models.bodies import load_poses, save_poses
from contrapposto.models.checks import InputError
from contrapposto.models.types import BodyPose


def test_round_trip_keeps_everything(tmp_path, random_pose):
    pose = random_pose(6, hands=True)
    pose = replace(pose, frame_index=torch.arange(6), person_index=torch.tensor([0, 0, 0, 1, 1, 1]), fps=24.0)
    save_poses(tmp_path / "p.npz", pose, ["sitting", "ünïcode 倒立"], 3)
    read, prompts = load_poses(tmp_path / "p.npz")
    assert prompts == ["sitting"] * 3 + ["ünïcode 倒立"] * 3 and read.fps == 24.0
    for name in BodyPose._per_row:
        torch.testing.assert_close(getattr(read, name), getattr(pose, name), atol=2e-6, rtol=0)


def test_layout_of_the_file(tmp_path, random_pose):
    pose = random_pose(6, betas=0)
    save_poses(tmp_path / "p.npz", pose, ["a", "b", "c"])
    with np.load(tmp_path / "p.npz", allow_pickle=False) as file:
        shapes = {key: file[key].shape for key in file.files}
        first = file["global_orient"][1, 0]
    assert shapes == {"global_orient": (3, 2, 3), "body_pose": (3, 2, 63), "transl": (3, 2, 3), "prompts": (3,), "frame_index": (3, 2),
                      "person_index": (3, 2)}
    scipy = pytest.importorskip("scipy.spatial.transform")
    np.testing.assert_allclose(scipy.Rotation.from_rotvec(first).as_matrix(), pose.global_orient[2], atol=2e-6)


def test_only_the_three_arrays_are_needed(tmp_path):
    np.savez(tmp_path / "p.npz", global_orient=np.zeros((1, 2, 3)), body_pose=np.zeros((1, 2, 63)), transl=np.ones((1, 2, 3)))
    pose, prompts = load_poses(tmp_path / "p.npz")
    assert prompts == ["", ""] and pose.betas is None and torch.equal(pose.transl, torch.ones(2, 3))
    assert torch.equal(pose.body_pose, torch.eye(3).expand(2, 21, 3, 3))


GOOD = {"global_orient": np.zeros((2, 3, 3)), "body_pose": np.zeros((2, 3, 63)), "transl": np.zeros((2, 3, 3)),
        "prompts": np.array(["a", "b"])}


@pytest.mark.parametrize("change, message", [
    ({"transl": None}, "has no transl"), ({"body_pose": np.zeros((2, 3, 69))}, "body_pose of shape"),
    ({"body_pose": np.zeros((6, 63))}, "body_pose of shape"), ({"global_orient": np.zeros(3)}, "global_orient of shape"),
    ({"transl": np.full((2, 3, 3), np.nan)}, "huge numbers in transl"), ({"body_pose": np.full((2, 3, 63), np.inf)}, "NaN, infinity"),
    ({"betas": np.zeros((3, 2, 10))}, "betas of shape"), ({"hands": np.zeros((2, 3, 45))}, "hands of shape"),
    ({"frame_index": np.zeros(6)}, "frame_index of shape"), ({"prompts": np.array(["a"])}, "prompts of shape"),
    ({"prompts": np.array([1, 2])}, "prompts"), ({"transl": np.full((2, 3, 3), "x")}, "no numbers in transl"),
    ({key: np.zeros((0, 3, *value.shape[2:])) for key, value in GOOD.items() if value.ndim == 3}, "of shape"),
    ({"fps": np.zeros(2)}, "fps"), ({"fps": np.float64("nan")}, "fps"),
])
def test_bad_files_are_refused(tmp_path, change, message):
    np.savez(tmp_path / "p.npz", **{key: value for key, value in {**GOOD, **change}.items() if value is not None})
    with pytest.raises(InputError, match=message):
        load_poses(tmp_path / "p.npz")


def test_missing_damaged_and_pickled_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_poses(tmp_path / "p.npz")
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="pose file"):
        load_poses(tmp_path / "p.npz")
    np.savez(tmp_path / "p.npz", **{**GOOD, "prompts": np.array([{}, {}], dtype=object)})
    with pytest.raises(InputError, match="could run code"):
        load_poses(tmp_path / "p.npz")


def test_rows_must_divide_and_a_failure_leaves_the_old_file(tmp_path, random_pose, monkeypatch):
    path = tmp_path / "p.npz"
    save_poses(path, random_pose(2), ["a"])
    before = path.read_bytes()
    for prompts, count in ((["a", "b", "c"], None), ([], None), (["a", "b"], 3), (["a"], 0)):
        with pytest.raises(InputError, match="prompts times"):
            save_poses(path, random_pose(4), prompts, count)

    def full_disk(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(InputError, match="No space left"):
        save_poses(path, random_pose(4), ["a"])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
