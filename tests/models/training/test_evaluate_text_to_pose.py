"""The scoreboard on fabricated poses and systems whose scores are known beforehand."""

import json
from argparse import Namespace
from dataclasses import replace

import pytest
import text_pose_folder as fake
import torch

from contrapposto.__main__ import main
from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.checks import InputError
from contrapposto.models.metrics.probes import load_probes
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose.ranking import PoseScorer, ScorerConfig
from contrapposto.models.text_to_pose.text_encoder import TextStates
from contrapposto.models.training import evaluate_text_to_pose as board
from contrapposto.models.training.baselines import RandomPoses, Real, captions_of, data_poses
from contrapposto.models.training.datasets.captions import CaptionedPoses
from contrapposto.models.training.datasets.text_pose import Caption, TextPoseData
from contrapposto.models.training.scoreboard import as_markdown, draw_plot, write_scoreboard
from contrapposto.models.training.side_by_side import write_side_by_side
from contrapposto.models.types import BodyPose

CAPTIONS = 420
SMALL = board.Size(captions=200, candidates=2, varied=8, sided=10, scenes=4)


@pytest.fixture(scope="module")
def data():
    """Each caption has three poses with one arm up: the left for "left", the right for "right"."""
    generator = torch.Generator().manual_seed(0)
    rotvec = 0.1 * torch.randn(3 * CAPTIONS, 22, 3, generator=generator)
    side = torch.arange(3 * CAPTIONS) // 3 % 2
    rotvec[:, 16, 2] += torch.where(side == 0, 1.3, -1.3)
    rotvec[:, 17, 2] += torch.where(side == 0, 1.3, -1.3)
    texts = [f"person {i} raises the {('left', 'right')[i % 2]} arm" for i in range(CAPTIONS)]
    captions = tuple(Caption(text, torch.arange(3 * i, 3 * i + 3), "test", "combo", "authored") for i, text in enumerate(texts))
    zeros = torch.zeros(3 * CAPTIONS, dtype=torch.int64)
    return TextPoseData(rotvec[:, 0], rotvec[:, 1:], zeros.float(), zeros, zeros, zeros - 1, torch.arange(3 * CAPTIONS), ("authored",),
                        captions, (), tuple(fake.PARENTS), torch.tensor(fake.MIRROR), torch.zeros(22, 3))


@pytest.fixture(scope="module")
def judges():
    scorer = PoseScorer(ScorerConfig(text_width=32, pose_width=32, embed_dim=16)).eval()
    scorer.encoder = lambda texts: TextStates(torch.randn(len(texts), 4, 384), torch.ones(len(texts), 4, dtype=torch.bool),
                                              torch.randn(len(texts), 384), "minilm-l6-v2")
    return board.Judges(Prior(), scorer, load_body_model())


class Prior:
    """A prior whose code is the rotation of the two hips."""

    def encode(self, body_pose):
        return Namespace(mean=body_pose[:, :2].flatten(1))


def rest(captions, count, seed):
    return BodyPose.rest(len(captions) * count)


def mirrored_real(data):
    def answer(captions, count, seed):
        return Real(data)([CaptionedPoses(c.text, c.rows, not c.mirrored) for c in captions], count, seed)
    return answer


def test_real_poses_score_best_and_constant_ones_worst(data, judges):
    scores = board.score_captions({"real": Real(data), "rest": rest}, data, "test", "combo", judges, SMALL)
    assert scores["real"]["n"] == scores["rest"]["n"] == 200
    assert scores["real"]["fpd_joints"] < 0.05 * scores["rest"]["fpd_joints"]
    assert scores["real"]["fpd_prior"] < 0.1 * scores["rest"]["fpd_prior"]
    assert scores["rest"]["multimodality_m"] == 0 < scores["real"]["multimodality_m"]
    assert scores["rest"]["implausible"] == 0 and "r1_of_32" in scores["real"] and "r1_of_256" not in scores["real"]


def test_reference_poses_are_others_than_the_asked_ones(data):
    asked, reference = board.paired_captions(data, "test", "combo", SMALL)
    assert len(asked) == len(reference) == 200 and not {int(row) for c in asked for row in c.rows} & set(reference.tolist())


def test_too_few_captions_are_refused(data, judges):
    with pytest.raises(InputError, match="clip captions 0 are too few"):
        board.score_captions({}, data, "test", "clip", judges, SMALL)


def test_sides(data):
    systems = {"real": Real(data), "wrong": mirrored_real(data), "random": RandomPoses(data)}
    scores = board.score_sides(systems, data, "test", SMALL)
    assert scores["real"] == {"pairs": 10, "right": 1.0} and scores["wrong"]["right"] == 0
    assert 0.2 < scores["random"]["right"] < 0.8


def test_probe_table_of_known_poses():
    probes = [probe for probe in load_probes() if "letter T" in probe.text or "rollercoaster" in probe.text]
    rotvec = torch.zeros(4, 22, 3)
    rotvec[[1, 2], 16, 2], rotvec[[1, 2], 17, 2] = 1.3, -1.3  # both arms up in the two middle rows
    rotmats = rotvec_to_rotmat(rotvec)
    table = board.probe_table(probes, BodyPose(rotmats[:, 0], rotmats[:, 1:]))
    expected = {"rollercoaster": [0.0, 1.0], "letter T": [0.0, 1.0]}  # rows 0, 1 answer the first probe, rows 2, 3 the second
    assert table.tolist() == [next(v for k, v in expected.items() if k in probe.text) for probe in probes]


def test_probe_scores_add_up(judges):
    scores = board.score_probes(rest, judges, SMALL)
    assert scores["n"] == len(load_probes()) == sum(family["n"] for family in scores["families"].values())
    assert scores["single"] == scores["any"] == scores["ranked"] and 0 < scores["single"] < 0.05  # a T-pose is right for a few
    total = sum(family["n"] * family["single"] for family in scores["families"].values())
    assert total / scores["n"] == pytest.approx(scores["single"])


class Fewer:
    """A CLIP that likes dark pictures."""

    def similarity(self, images, texts):
        assert images.shape[1:] == (224, 224, 3) and len(texts) == len(images)
        return 1 - images.mean((1, 2, 3))


def test_clipsim_is_the_mean_over_one_picture_per_sentence(judges):
    poses = BodyPose.rest(2)
    judged = replace(judges, clip=Fewer())
    both, one = (board.clipsim(["a", "b"][:n], poses[:n], judged) for n in (2, 1))
    assert 0 < one < 1 and both == pytest.approx(one)
    report = fabricated_report()
    assert "CLIPSIM" not in as_markdown(report)
    for scores in report["probes"].values():
        scores["clipsim"] = 0.321
    assert "| model | 0.500 | 0.700 | 0.600 | 0.040 | 0.321 |" in as_markdown(report)


def test_scenes_measure_the_change(data):
    def by_scene(captions, count, seed):
        rotvec = torch.zeros(len(captions), 22, 3)
        rotvec[["beach" in caption.text for caption in captions], 16, 2] = 1.0
        return BodyPose(rotvec_to_rotmat(rotvec[:, 0]), rotvec_to_rotmat(rotvec[:, 1:]))

    moved = board.score_scenes(by_scene, data, "test", SMALL)
    assert moved["in front of the Swiss Alps"]["median_m"] == 0 and moved["at the beach"]["median_m"] > 0.02


def test_captions_per_text_and_per_pose(data):
    assert len({c.text for c in captions_of(data, "test", "combo", 50, 0)}) == 50
    single = captions_of(data, "test", "combo", 500, 0, one_per_text=False)
    assert len(single) == 500 and len({c.rows.item() for c in single}) == 500


def test_real_answers_with_the_captions_poses(data):
    poses = Real(data)([CaptionedPoses("", torch.tensor([4])), CaptionedPoses("", torch.tensor([6, 7]))], 2, 0)
    assert torch.equal(poses.body_pose[0], data_poses(data, torch.tensor([4])).body_pose[0]) and len(poses) == 4
    assert not torch.equal(poses.body_pose[2], poses.body_pose[3])


def fabricated_report():
    family = {"n": 3, "single": 0.5, "any": 0.7, "ranked": 0.6}
    repaired = {"single": 0.48, "implausible": 0.01}
    probe = {**family, "implausible": 0.04, "repaired": repaired, "families": {"side-naming": family, "sport": family}}
    names = ("real", "model", "retrieval, one", "random", "unconditional")
    row = {"n": 200, "fpd_prior": 2.0, "fpd_joints": 0.5, "r1_of_32": 0.9, "multimodality_m": 0.1, "implausible": 0.02}
    report = {"provenance": {"weights": "w 1"}, "captions": {part: dict.fromkeys(names, row) for part in ("authored", "captured")},
              "sides": {name: {"pairs": 5, "right": 0.9} for name in names[:4]}, "probes": dict.fromkeys(names[1:], probe),
              "scenes": {"at the beach": {"n": 4, "median_m": 0.01, "p90_m": 0.02}}}
    return {**report, "goals": board.goals(report)}


def test_goals_need_every_baseline_beaten():
    goals = {goal["goal"]: goal for goal in fabricated_report()["goals"]}
    assert not goals["probes, single sample"]["met"] and goals["joint change by a scene, metres"]["met"]
    assert goals["the same, repaired as by default"]["met"] and not goals["implausible samples (probes)"]["met"]
    assert goals["probes lost by the repair, single sample"]["value"] == pytest.approx(0.02)
    assert goals["FPD in joints / unconditional"]["value"] == 1 and not goals["FPD in joints / unconditional"]["met"]


def test_files_of_the_scoreboard(tmp_path):
    report = fabricated_report()
    paths = write_scoreboard(report, tmp_path, plot=False)
    assert json.loads(paths[0].read_text()) == report
    text = paths[1].read_text()
    assert text == as_markdown(report) and "| side-naming | 3 | 0.50 |" in text and "–" in text


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    with Image.open(draw_plot(fabricated_report(), tmp_path / "scores.png")) as picture:
        assert picture.size[0] > 800


def test_blind_page_hides_the_names_and_cannot_be_broken_by_a_sentence(tmp_path):
    page = write_side_by_side(tmp_path / "page.html", ["a </script><b>trick"] * 2, {"ours": BodyPose.rest(2), "theirs": BodyPose.rest(2)},
                              load_body_model(), size=48).read_text()
    assert page.count("data:image/jpeg;base64,") == 4 and page.count("</script>") == 1
    assert page.count("ours") == 1  # only in the list that the tally uses
    assert json.loads(page.split("names = ")[1].split(", votes")[0]) == ["ours", "theirs"]


@pytest.mark.parametrize("arguments, message", [
    (["--data", "no/such/folder"], "does not exist"), (["--captions", "100"], "at least 200"), (["--split", "dev"], "train, val, test"),
])
def test_command_refuses_bad_input_before_any_work(capsys, tmp_path, arguments, message):
    assert main(["evaluate", "text-to-pose", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
