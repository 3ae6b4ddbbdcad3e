"""Lines of a plan become pairs: drawn by our renderer, or painted by an image model of random weights."""

import json
import sys
from pathlib import Path

import pytest
import torch

from contrapposto.models.avatars import load_avatar
from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.bodies.pose_file import save_poses
from contrapposto.models.checks import InputError
from contrapposto.models.headless.difficulty_report import report_difficulty
from contrapposto.models.headless.pair_makers import Bodies, PaintMaker, Recipe, RenderMaker
from contrapposto.models.headless.pictures import write_png
from contrapposto.models.headless.plan import Sample
from contrapposto.models.motion.openpose import write_keypoints
from contrapposto.models.pose_correction.shards import ShardWriter, read_shard
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.engine import render_figure
from contrapposto.models.render.pose_map import project_keypoints
from contrapposto.models.text_to_pose import load_text_to_pose
from contrapposto.models.types import BodyPose

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_diffusion import tiny_model

SIDE = 96


@pytest.fixture(scope="module")
def bodies():
    return Bodies(load_text_to_pose(), load_body_model(), load_pose_prior(), SIDE, 0.7)


@pytest.fixture(scope="module")
def pose_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    save_poses(path, BodyPose.rest(2), ["", ""])
    return path


def sample(number=1, **more):
    return Sample(f"{number:016}", "a person jumps", number, **more)


def test_avatar_pairs_show_the_avatar_and_keep_its_points(bodies, tmp_path):
    maker = RenderMaker(bodies, load_avatar(), Recipe(size=SIDE))
    made = maker.make([sample(1), sample(2), sample(1)])
    assert torch.equal(made[0].images, made[2].images), "what a sample gives depends on it alone"
    assert not torch.equal(made[0].images, made[1].images)
    for pair in made[:2]:
        assert pair.about[0]["difficulty"] > 0 and pair.about[0]["maker"] == "render"
        seen = pair.keypoints.scores[0] > 0
        x, y = pair.keypoints.keypoints_2d[0, seen].long().clamp(0, SIDE - 1).unbind(-1)
        assert (pair.masks[0, y, x] > 0.5).float().mean() > 0.8
    with ShardWriter(tmp_path / "000000.tar") as shard:
        shard.add(made[0], ["a"])
        shard.add(made[1], ["b"])
    paths, scores = report_difficulty(tmp_path, tmp_path / "report", (0.0, 1.0), 1)
    assert scores["count"] == 2 and scores["quantiles"]["0.0"] <= scores["quantiles"]["1.0"] and all(path.is_file() for path in paths)
    assert json.loads(paths[1].read_text()) == scores


def test_stored_poses_augmented(bodies, pose_file):
    maker = RenderMaker(bodies, None, Recipe(size=SIDE, figure="body"))
    plain, moved = maker.make([sample(3, pose=pose_file, row=1), sample(3, pose=pose_file, row=1, augment=1.0)])
    assert torch.allclose(plain.pose.body_pose, torch.eye(3).expand(1, 21, 3, 3)) and plain.pose.betas is not None
    assert (moved.pose.body_pose - plain.pose.body_pose).abs().max() > 0.1
    with pytest.raises(InputError, match="has 2 rows"):
        maker.make([sample(pose=pose_file, row=2)])


def test_painted_pairs_lie_on_the_real_picture(bodies, tmp_path):
    """A guide with key points: the fitted body lies where the person is; without a guide the body is framed anew."""
    body, pose = bodies.body, BodyPose.rest()
    figure = pose_body(body, pose)
    camera = frame_figure(figure, 104, SIDE, margin=0.15)
    drawn = render_figure(figure, camera)
    write_png(tmp_path / "real.png", drawn.rgb[0])
    write_keypoints(tmp_path / "real.json", project_keypoints(figure, camera))
    maker = PaintMaker(bodies, tiny_model(5), Recipe(maker="paint", model="tiny", size=SIDE, steps=2, strength=0.5, guidance=1.5))
    guided, free = maker.make([sample(4, image=tmp_path / "real.png", keypoints=tmp_path / "real.json"), sample(4)])
    overlap = ((guided.masks[0] > 0.5) & (drawn.alpha[0] > 0.5)).sum() / ((guided.masks[0] > 0.5) | (drawn.alpha[0] > 0.5)).sum()
    assert guided.images.shape == (1, SIDE, 104, 3) and overlap > 0.6
    assert guided.about[0]["image"] == "real.png" and free.images.shape == (1, SIDE, SIDE, 3)


def test_recipes_are_checked():
    for wrong in ({"maker": "draw"}, {"figure": "robot"}, {"size": 10}, {"preset": "mine"}, {"maker": "paint"}):
        with pytest.raises(InputError, match=next(iter(wrong)) if wrong != {"maker": "paint"} else "--model"):
            Recipe(**wrong)


def test_commands_from_plan_to_export(tmp_path, capsys):
    from contrapposto.__main__ import main

    plan, pairs = tmp_path / "plan.jsonl", tmp_path / "pairs"
    assert main(["plan", "--list", "smart", "--out", str(plan)]) == 0
    plan.write_text("".join(plan.read_text().splitlines(True)[:2]))
    arguments = ["pairs", str(plan), "--out", str(pairs), "--workers", "local", "--size", "64", "--figure", "body", "--device", "cpu"]
    assert main(arguments) == 0 and "2 pairs and 0 rejects" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0 and json.loads(capsys.readouterr().out)["skipped"] == 1
    assert main([*arguments[:-4], "--device", "cpu"]) == 2 and "another plan, recipe" in capsys.readouterr().err
    assert main(["pairs-export", str(pairs), "--crops", "--out", str(tmp_path / "spin")]) == 0
    assert main(["pairs-export", str(pairs), "--meshes", "ply", "--out", str(tmp_path / "meshes")]) == 0
    assert len(list((tmp_path / "meshes").glob("*.ply"))) == 2 and (tmp_path / "spin" / "pairs.npz").is_file()
    assert main(["pairs-report", str(pairs), "--out", str(tmp_path / "report")]) == 0
    assert len(list(read_shard(pairs / "000000.tar", verify=True))) == 2


@pytest.mark.parametrize("arguments, said", [
    (["plan", "--out", "plan.jsonl"], "--prompts"), (["plan", "--list", "nowhere", "--out", "plan.jsonl"], "smart"),
    (["plan", "--list", "smart", "--count", "0", "--out", "plan.jsonl"], "--count"), (["pairs", "gone.jsonl", "--out", "x"], "gone.jsonl"),
    (["pairs-export", ".", "--out", "x"], "finished shard"),
    (["plan", "--list", "smart", "--guides", ".", "--out", "p.jsonl"], "key points"),
])
def test_mistakes_on_the_command_line(arguments, said, tmp_path, monkeypatch, capsys):
    from contrapposto.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2 and said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
