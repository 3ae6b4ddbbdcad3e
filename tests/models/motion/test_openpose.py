import json

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.motion.openpose import keypoints_to_pose_keypoint, pose_keypoint_to_keypoints, read_keypoints, write_keypoints
from contrapposto.models.types import Keypoints


def frame(people, width=640, height=480):
    return {"canvas_width": width, "canvas_height": height, "people": [{"pose_keypoints_2d": p, "face_keypoints_2d": None} for p in people]}


def person(x=100.0, points=18):
    return [number for i in range(points) for number in (x + i, 50.0 + i, 0.9)]


def test_round_trip_with_two_people_and_an_empty_picture(tmp_path):
    frames = [frame([person(), person(200)]), frame([]), frame([person(300)])]
    keypoints, frame_index, person_index = pose_keypoint_to_keypoints(frames)
    assert frame_index.tolist() == [0, 0, 2] and person_index.tolist() == [0, 1, 0]
    assert keypoints.keypoints_2d[1, 3].tolist() == [203, 53] and (keypoints.width, keypoints.height) == (640, 480)
    write_keypoints(tmp_path / "a.json", keypoints, frame_index)
    again, frames_again, _ = read_keypoints(tmp_path / "a.json")
    assert torch.equal(again.keypoints_2d, keypoints.keypoints_2d) and frames_again.tolist() == [0, 0, 2]
    assert json.loads((tmp_path / "a.json").read_text())[1]["people"] == []


def test_body_25_loses_mid_hip_and_feet():
    keypoints, _, _ = pose_keypoint_to_keypoints(frame([person(points=25)]))
    assert keypoints.keypoints_2d[0, :, 0].tolist() == [100.0 + i for i in range(19) if i != 8]


def test_parts_of_the_picture_become_pixels():
    numbers = [n for i in range(18) for n in (i / 18, 0.5, 1.0)]
    keypoints, _, _ = pose_keypoint_to_keypoints([frame([numbers])])
    assert keypoints.keypoints_2d[0, 9].tolist() == [320, 240]


def test_missing_points_are_zeros_in_the_file():
    keypoints = Keypoints(torch.full((1, 18, 2), 7.0), torch.zeros(1, 18), "openpose18", 64, 64)
    assert set(keypoints_to_pose_keypoint(keypoints)[0]["people"][0]["pose_keypoints_2d"]) == {0.0}


@pytest.mark.parametrize("frames, message", [
    ([], "list of"), ("x", "list of"), ([3], "dictionary"), ([frame([])], "shows nobody"), ([frame([[1, 2]])], "18 or 25 points"),
    ([frame([person()], width=0)], "canvas_width 0"), ([{"people": []}], "canvas_width None"),
    ([frame([person()]), frame([person()], 99)], "different sizes"),
    ([frame([[float("nan")] * 54])], "finite"), ([frame([["x"] * 54])], "finite"), ([frame([None])], "18 or 25"),
    ([{"people": 3}], "list of people"),
])
def test_each_defect_is_named(frames, message):
    with pytest.raises(InputError, match=message):
        pose_keypoint_to_keypoints(frames)


def test_files_that_are_no_json(tmp_path):
    for content in ("{", "[" * 100_000, "NaN", "\x00"):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError):
            read_keypoints(tmp_path / "a.json")
