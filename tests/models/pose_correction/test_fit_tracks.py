"""People keep their numbers although detectors list them in another order in every picture."""

import torch

from contrapposto.models.pose_correction.fit_tracks import track_people
from contrapposto.models.types import Keypoints


def rows(*places):
    body = 50 * torch.rand(18, 2, generator=torch.Generator().manual_seed(0))
    points = torch.stack([body + torch.tensor([x, 0.0]) for x in places])
    return Keypoints(points, torch.ones(len(places), 18), "openpose18", 512, 512)


def test_people_who_change_places_in_the_list():
    keypoints = rows(100.0, 300.0, 305.0, 104.0, 108.0, 310.0)
    assert track_people(keypoints, torch.tensor([0, 0, 1, 1, 2, 2])).tolist() == [0, 1, 1, 0, 0, 1]


def test_who_comes_and_goes():
    keypoints = rows(100.0, 300.0, 101.0, 102.0, 302.0)
    assert track_people(keypoints, torch.tensor([0, 1, 1, 2, 2])).tolist() == [0, 1, 0, 0, 1]


def test_far_away_or_long_ago_is_somebody_else():
    assert track_people(rows(100.0, 300.0), torch.tensor([0, 1])).tolist() == [0, 1]
    assert track_people(rows(100.0, 100.0), torch.tensor([0, 40])).tolist() == [0, 1]


def test_nothing_in_common_is_somebody_else():
    keypoints = rows(100.0, 100.0)
    keypoints.scores[0, :9], keypoints.scores[1, 9:] = 0, 0
    assert track_people(keypoints, torch.tensor([0, 1])).tolist() == [0, 1]
