"""The reader of the text_pose data, on a fabricated folder; the real one is checked where it is at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import roma
import text_pose_folder as fake
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.text_to_pose.prompts import mirror_words
from contrapposto.models.training.datasets.text_pose import load_text_pose, mirror_rotvec
from contrapposto.models.training.losses import skeleton_joints

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "text_pose"


@pytest.fixture
def folder(tmp_path):
    return fake.write(tmp_path / "text_pose")


def test_poses_without_the_source_of_unclear_origin(folder):
    data, arrays = load_text_pose(folder), fake.arrays()
    kept = np.flatnonzero(arrays["source"] != 1)
    assert len(data) == 70 and data.file_row.tolist() == kept.tolist() and data.problems == ()
    np.testing.assert_array_equal(data.body_rotvec.numpy(), arrays["pose_aa"][kept, 1:].astype(np.float32))
    np.testing.assert_array_equal(data.root_rotvec.numpy(), arrays["pose_aa"][kept, 0].astype(np.float32))
    assert len(load_text_pose(folder, exclude_sources=())) == 80


def test_splits_and_kinds_of_poses(folder):
    data = load_text_pose(folder)
    assert [len(data.rows(split)) for split in ("train", "val", "test")] == [30, 20, 20]
    assert data.rows("train", authored=False).tolist() == list(range(10))
    assert set(data.rows("val", authored=True).tolist()) == set(range(50, 60))


def test_captions_point_at_the_poses_they_describe(folder):
    data = load_text_pose(folder)
    assert len(data.captions) == 8 and not any("block 3" in caption.text for caption in data.captions)
    for caption, row in zip(data.captions, [r for r in fake.captions() if r["source"] != "DeepMimic"]):
        assert caption.text == row["caption"] and caption.split == row["split"] and caption.kind == row["kind"]
    expected = [i for start, stop in fake.captions()[4]["ranges"] for i in range(start, stop)]
    assert data.file_row[data.captions[3].rows].tolist() == expected
    assert data.file_row[data.captions[-1].rows].tolist() == [5, 6, 7]


def test_rotmats_equal_romas(folder):
    data = load_text_pose(folder)
    rotvec = torch.cat([data.root_rotvec[3:9, None], data.body_rotvec[3:9]], 1)
    torch.testing.assert_close(data.rotmats(slice(3, 9)), roma.rotvec_to_rotmat(rotvec), atol=1e-6, rtol=0)


def test_mirrored_pose_has_mirrored_joints(folder):
    data = load_text_pose(folder)
    rotvec = torch.cat([data.root_rotvec[:, None], data.body_rotvec], 1)
    joints, mirrored = (skeleton_joints(roma.rotvec_to_rotmat(pose), data.parents, data.rest_offsets)
                        for pose in (rotvec, mirror_rotvec(rotvec, data.mirror)))
    torch.testing.assert_close(mirrored, joints[:, data.mirror] * torch.tensor([-1.0, 1, 1]), atol=1e-6, rtol=0)
    assert (mirrored - joints).abs().max() > 0.1
    assert torch.equal(mirror_rotvec(mirror_rotvec(rotvec, data.mirror), data.mirror), rotvec)


@pytest.mark.parametrize("text, other", [
    ("raises the left hand", "raises the right hand"),
    ("Left arm out, RIGHT foot on the left knee.", "Right arm out, LEFT foot on the right knee."),
    ("sits upright, knees at a right angle", "sits upright, knees at a right angle"),
    ("left-handed throw", "right-handed throw"),
])
def test_mirrored_words(text, other):
    assert mirror_words(text) == other and mirror_words(other) == text


def test_broken_poses_are_named_and_left_out(tmp_path):
    changed = {name: fake.arrays()[name] for name in ("pose_aa", "split", "source", "root_height")}
    changed["pose_aa"][2, 5, 1], changed["pose_aa"][7, 3, 0] = np.nan, 9.0
    changed["split"][11], changed["source"][45], changed["root_height"][46] = 7, 200, np.inf
    data = load_text_pose(fake.write(tmp_path / "d", changed))
    assert [(p.file, p.row) for p in data.problems] == [("poses.npz", row) for row in (2, 7, 11, 45, 46)]
    assert "NaN" in data.problems[0].what and "full turn" in data.problems[1].what and "split" in data.problems[2].what
    assert len(data) == 65 and not {2, 7, 11, 45, 46} & set(data.file_row.tolist())
    assert data.file_row[data.captions[0].rows].tolist() == [0, 1, 3, 6, 8]


def test_broken_captions_are_named_and_left_out(tmp_path):
    good = fake.captions()
    changes = [{"caption": "  "}, {"split": "best"}, {"ranges": [[5, 2]]}, {"ranges": [[70, 81]]}, {"ranges": 4}, {"ranges": [["a", "b"]]},
               {"ranges": [[0.5, 2]]}, {"ranges": []}]
    broken = ["{not json", "[1]", "7", '{"caption": "x"}', *(json.dumps({**good[0], **change}) for change in changes)]
    data = load_text_pose(fake.write(tmp_path / "d", lines=[json.dumps(good[0]), *broken, json.dumps(good[1])]))
    assert [caption.text for caption in data.captions] == [good[0]["caption"], good[1]["caption"]]
    assert [(p.file, p.row) for p in data.problems] == [("captions.jsonl", row) for row in range(1, 13)]


@pytest.mark.parametrize("changed, problem", [
    ({"pose_aa": None}, "pose_aa"),
    ({"source_names": None}, "source_names"),
    ({"split": np.zeros(5, np.uint8)}, "split"),
    ({"parents": np.array([object()] * 22)}, "Python objects"),
])
def test_another_layout_is_refused(tmp_path, changed, problem):
    if "pose_aa" in changed:
        fake.write(tmp_path / "d")
        np.savez(tmp_path / "d" / "poses.npz", **{k: v for k, v in fake.arrays().items() if k != "pose_aa"})
    else:
        fake.write(tmp_path / "d", changed)
    with pytest.raises(InputError, match=problem):
        load_text_pose(tmp_path / "d")


def test_missing_files_and_empty_choices_are_named(folder, tmp_path):
    with pytest.raises(InputError, match="no usable pose"):
        load_text_pose(folder, exclude_sources=fake.SOURCES)
    with pytest.raises(InputError, match="data folder"):
        load_text_pose(tmp_path / "nowhere")
    for name in ("poses.npz", "captions.jsonl"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(InputError, match=name):
            load_text_pose(folder)
        (folder / name).write_bytes(content)


@pytest.mark.skipif(not REAL.is_dir(), reason="the text_pose data is not at hand")
def test_the_real_folder_is_whole():
    data = load_text_pose(REAL)
    assert len(data) == 148_555 - 2_713 and data.problems == ()
    assert "DeepMimic" not in {data.source_names[i] for i in data.source.unique()}
    assert len(data.rows("test", authored=False)) == 1874
    for caption in data.captions[::500]:
        assert (data.split[caption.rows] == ("train", "val", "test").index(caption.split)).all()
