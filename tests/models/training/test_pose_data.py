"""Data sets that users build: authored poses, captioned motions, AMASS with HumanML3D's texts, pseudo-poses of pictures."""

import importlib.util
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, place_on_floor
from contrapposto.models.bodies.joints import JOINT_NAMES
from contrapposto.models.bodies.posture import measure_posture
from contrapposto.models.checks import InputError
from contrapposto.models.motion.save import save_motion
from contrapposto.models.rotations import rotation_about, rotmat_to_rotvec
from contrapposto.models.training.datasets.authored_captions import AuthoredGroup, author_group, authored_rows, draw_group, write_captions
from contrapposto.models.training.datasets.authored_poses import FLESH, author_poses, library, lowest_point, place_joints
from contrapposto.models.training.datasets.captions import CaptionSource, load_groups
from contrapposto.models.training.datasets.captured import read_humanml3d, read_motion_folder
from contrapposto.models.training.datasets.image_poses import alone, read_image_poses
from contrapposto.models.training.datasets.pose_rows import PoseRows, write_text_pose
from contrapposto.models.training.datasets.sentences import parse_caption, sub_sentences
from contrapposto.models.training.datasets.text_pose import load_text_pose
from contrapposto.models.types import BodyPose

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "build_text_pose.py"


def posed(rotmats):
    return BodyPose(rotmats[:, 0], rotmats[:, 1:])


def arms_up(frames, side="left"):
    """A motion of ten frames a second in which one arm goes from the T-pose up to the sky."""
    pose = BodyPose.rest(frames)
    body_pose, sign = pose.body_pose.clone(), 1 if side == "left" else -1
    turn = torch.linspace(0, 1.5, frames) * sign
    body_pose[:, JOINT_NAMES.index(f"{side}_shoulder") - 1] = rotation_about("z", turn)
    pose = replace(pose, body_pose=body_pose, fps=10.0, frame_index=torch.arange(frames))
    return place_on_floor(load_body_model(), pose)


def highest_left_hand(text, poses):
    return measure_posture(poses).height("left_hand")


# --- authored ---


def test_authored_arms_are_where_their_words_say():
    for side, other in (("left", "right"), ("right", "left")):
        entry = library()["arms"]["overhead"]["arm"]
        down = library()["arms"]["down"]["arm"]
        arms = (entry, down) if side == "left" else (down, entry)
        group = AuthoredGroup("stand", arms, samples=20)
        for mirrored, raised in ((False, side), (True, other)):
            shown = measure_posture(posed(author_group(replace(group, mirrored=mirrored), 3)[0]))
            lowered = "left" if raised == "right" else "right"
            assert (shown.height(f"{raised}_hand") > shown.height("head_top")).all()
            assert (shown.height(f"{lowered}_hand") < shown.height("pelvis")).all()


def test_reaching_hands_arrive():
    stance, hips = library()["stances"]["stand"], library()["arms"]["hip"]["arm"]
    rotmats, _ = author_poses(stance, (hips, hips), 50, torch.Generator().manual_seed(0))
    shown = measure_posture(posed(rotmats))
    for side in ("left", "right"):
        assert shown.distance(f"{side}_wrist", f"{side}_hip").median() < 0.2 and (shown.bend(f"{side}_elbow") > 40).all()


@pytest.mark.parametrize("name", ["plank", "all_fours", "down_dog"])
def test_hands_and_feet_meet_the_floor_together(name):
    stance = library()["stances"][name]
    rotmats, height = author_poses(stance, stance["arms"], 12, torch.Generator().manual_seed(1))
    places = place_joints(rotmats)[1][..., 1] + height[:, None] - FLESH
    first, second = ([JOINT_NAMES.index(joint) for joint in stance["contact"][group]] for group in ("first", "second"))
    assert (places[:, first].amin(1) - places[:, second].amin(1)).abs().median() < 0.03


def test_every_stance_stands_on_the_floor_or_above_it():
    for name, stance in library()["stances"].items():
        arms = stance.get("arms") or stance["neutral"][0]["arms"]
        rotmats, height = author_poses(stance, arms, 2, torch.Generator().manual_seed(2))
        gap = height + lowest_point(rotmats)
        assert rotmats.isfinite().all() and (torch.linalg.det(rotmats) - 1).abs().max() < 1e-3, name
        assert (gap > -1e-5).all() and (gap > 0.02).all() == ("air" in stance), name


def test_captions_of_a_mirrored_group_name_the_other_side():
    drawn = (draw_group(random.Random(seed)) for seed in range(200))
    group = replace(next(group for group in drawn if group.modifiers and group.modifiers[0].part == "ARM"), mirrored=False)
    told = write_captions(group, random.Random(0), 6)
    turned = write_captions(replace(group, mirrored=True), random.Random(0), 6)
    swap = {"left": "right", "right": "left"}
    assert turned == [re.sub(r"\b(left|right)\b", lambda found: swap[found[0]], text) for text in told]
    assert replace(group, mirrored=True).names()[0]["side"] == swap[group.names()[0]["side"]]
    assert group.split(1) == replace(group, mirrored=True).split(2)


def test_the_authored_part_trains_as_the_shipped_one_does(tmp_path):
    spec = importlib.util.spec_from_file_location("build_text_pose", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(["--out", str(tmp_path / "data"), "--combinations", "90", "--samples", "3", "--plain", "0"])
    data = load_text_pose(tmp_path / "data")
    assert not data.problems and data.authored.all() and len(data) == 270
    groups, problems = load_groups(tmp_path / "data", data, "train")
    assert not problems and {group.stance for group in groups} <= set(library()["stances"])
    source = CaptionSource(data, tmp_path / "data")
    assert {"natural", "gesture", "stance", "combo", "described"} <= set(source.sources) and len(source.pool("x", 50)) == 50
    trained = {c.text.lower() for c in data.captions if c.split == "train"}
    assert not trained & {c.text.lower() for c in data.captions if c.split == "test" and c.kind == "combo"}


def test_the_same_seed_authors_the_same_poses():
    first, second = (list(authored_rows(3, 2, seed=5, plain=0)) for _ in range(2))
    assert all(torch.equal(a.rotmats, b.rotmats) and a.captions == b.captions for a, b in zip(first, second))


# --- motions ---


@pytest.mark.parametrize("text, parts", [
    ("a man walks forward, then turns and sits down", ["a man walks forward", "a man turns", "a man sits down"]),
    ("a person raises both arms.", ["a person raises both arms"]),
    ("A person stands with hands and arms relaxed", ["A person stands with hands and arms relaxed"]),
    ("someone kneels; someone prays and then gets up", ["someone kneels", "someone prays", "someone gets up"]),
    ("jumping jacks", ["jumping jacks"]),
])
def test_long_captions_are_cut_into_what_happens(text, parts):
    assert sub_sentences(text) == parts


def test_caption_lines():
    assert parse_caption("he sits#he/PRON sit/VERB#1.5#3").start == 1.5 and parse_caption("he sits#1#2").end == 2
    whole = parse_caption("he sits#tokens#0.0#0.0")
    assert (whole.start, whole.end) == (0.0, None)
    for broken in ("#1#2", "he sits#one", "he sits#1#two"):
        with pytest.raises(ValueError):
            parse_caption(broken)


def test_captioned_bvh_files(tmp_path):
    folder, problems = tmp_path / "clips", []
    folder.mkdir()
    for name in ("rise", "silent", "late"):
        save_motion(folder / f"{name}.bvh", arms_up(30), load_body_model())
    (folder / "rise.txt").write_text("a person raises the left arm\nthe hand is high#2.0#2.5\n#broken\n")
    (folder / "late.txt").write_text("a person waits#9#12\n")
    (folder / "broken.bvh").write_text("HIERARCHY nothing")
    (folder / "captions.jsonl").write_text('{"name": "broken.bvh", "caption": "x y"}\n{"name": "rise"}\n')
    (part,) = read_motion_folder(folder, highest_left_hand, problems)
    assert part.name == "rise" and [text for text, _ in part.captions] == ["a person raises the left arm", "the hand is high"]
    told = {problem.file: problem.what for problem in problems}
    assert set(told) == {"rise.txt", "captions.jsonl", "silent.bvh", "late.bvh", "broken.bvh"}
    assert told["silent.bvh"] == "has no caption" and "outside its length" in told["late.bvh"]
    wanted, found = arms_up(30), posed(part.rotmats)
    first = list(dict(part.captions)["a person raises the left arm"])
    assert len(first) == 10
    assert measure_posture(found[first]).height("left_hand").min() > measure_posture(wanted).height("left_hand")[15]
    assert len(dict(part.captions)["the hand is high"]) == 6
    assert (part.root_height - 0.9).abs().max() < 0.15


def test_amass_with_humanml3d_texts(tmp_path):
    amass, texts, problems = tmp_path / "amass", tmp_path / "HumanML3D", []
    (amass / "KIT" / "3").mkdir(parents=True)
    (texts / "texts").mkdir(parents=True)
    motion = arms_up(40)
    rotvec = rotmat_to_rotvec(torch.cat([(rotation_about("x", torch.tensor(torch.pi / 2)) @ motion.global_orient)[:, None],
                                         motion.body_pose], 1)).flatten(1).numpy()
    np.savez(amass / "KIT" / "3" / "lift_poses.npz", poses=np.pad(rotvec, ((0, 0), (0, 90))), trans=np.zeros((40, 3)) + [0, 0, 0.9],
             betas=np.zeros(16), mocap_framerate=10.0)
    (texts / "index.csv").write_text("source_path,start_frame,end_frame,new_name\n./pose_data/KIT/3/lift_poses.npy,20,80,000001.npy\n"
                                     "./pose_data/CMU/01/gone_poses.npy,0,50,000002.npy\n")
    (texts / "texts" / "000001.txt").write_text("a man lifts his left arm, then stands still#a/DET man/NOUN#0.0#0.0\n")
    (texts / "test.txt").write_text("000001\n")
    (part,) = read_humanml3d(amass, texts, highest_left_hand, problems)
    assert part.split == "test" and part.source == "HumanML3D"
    assert part.captions == (("a man lifts his left arm", (0,)), ("a man stands still", (1,)))  # the best frame of each half
    heights = measure_posture(posed(part.rotmats)).height("left_hand")
    wanted = measure_posture(motion).height("left_hand")
    torch.testing.assert_close(heights, wanted[[24, 39]], atol=0.02, rtol=0)
    assert [(problem.row, "is not there" in problem.what) for problem in problems] == [(1, True)]
    with pytest.raises(InputError, match="lacks index.csv"):
        list(read_humanml3d(amass, amass, highest_left_hand, []))


# --- pictures ---


def test_pseudo_poses_of_pictures(tmp_path):
    folder, problems = tmp_path / "pictures", []
    folder.mkdir()
    poses = arms_up(6)[[5, 0, 0, 5, 5, 5]]
    camera = rotation_about("x", torch.tensor(torch.pi)) @ poses.global_orient  # camera axes: +y down
    body_pose = rotmat_to_rotvec(poses.body_pose).flatten(1).numpy()
    body_pose[4, 0] = np.nan
    np.savez(tmp_path / "hmr.npz", image=np.array(["a.jpg", "b.jpg", "b.jpg", "c.png", "d.png", "e.png"]),
             global_orient=rotmat_to_rotvec(camera).numpy(), body_pose=body_pose, score=np.array([0.9, 0.9, 0.8, 0.9, 0.9, 0.9]),
             people=np.array([1, 2, 2, 1, 1, 1]))
    for name in ("a", "b", "d"):
        (folder / f"{name}.txt").write_text(f"somebody in picture {name}\n")
    (folder / "captions.jsonl").write_text(json.dumps({"name": "c.png", "caption": "one arm up"}) + "\n")
    parts = list(read_image_poses(folder, tmp_path / "hmr.npz", problems))
    assert [(part.name, part.captions[0][0]) for part in parts] == [("a", "somebody in picture a"), ("c", "one arm up")]
    torch.testing.assert_close(parts[0].rotmats[0, 0], torch.eye(3), atol=1e-4, rtol=0)
    assert measure_posture(posed(parts[0].rotmats)).height("left_hand") > 1.6
    assert {(problem.row, problem.what) for problem in problems} == {(4, "holds NaN or infinite numbers"), (5, "e has no text")}
    write_text_pose(tmp_path / "data", parts)
    data = load_text_pose(tmp_path / "data")
    assert len(data) == 2 and not data.authored.any() and data.root_height.min() > 0.8


def test_pictures_of_several_people_are_left_out():
    assert alone(["a", "b", "b", "c"]) == [0, 3]
    assert alone(["a", "b", "b", "c"], score=[0.9, 0.9, 0.1, 0.2]) == [0, 1]
    assert alone(["a", "b", "c"], people=[1, 3, 0]) == [0]


# --- the folder ---


def test_what_is_written_is_what_is_read(tmp_path):
    rotmats = torch.cat([arms_up(4).global_orient[:, None], arms_up(4).body_pose], 1)
    turned = rotmats.clone()
    turned[:, 0] = rotation_about("y", torch.tensor(1.0)) @ turned[:, 0]
    broken = rotmats.clone()
    broken[1] = torch.nan
    parts = [PoseRows("one", "mine", turned, (("a text", (0, 1, 3)),), "train"), PoseRows("two", "mine", broken, (("b", (0,)),), "val"),
             PoseRows("three", "other", rotmats, (("c", (2,)),), "test")]
    poses, captions, problems = write_text_pose(tmp_path / "data", parts)
    data = load_text_pose(tmp_path / "data")
    assert (poses, captions, len(problems), len(data)) == (8, 2, 1, 8) and data.source_names == ("mine", "other")
    torch.testing.assert_close(data.rotmats(slice(0, 4)), rotmats, atol=2e-3, rtol=0)  # the heading is gone; float16
    assert np.load(tmp_path / "data" / "poses.npz")["root_yaw"][0] == pytest.approx(1.0, abs=1e-3)
    assert data.captions[0].rows.tolist() == [0, 1, 3] and data.captions[1].rows.tolist() == [6]
    with pytest.raises(InputError, match="holds a data set already"):
        write_text_pose(tmp_path / "data", parts)
    with pytest.raises(InputError, match="would hold no poses"):
        write_text_pose(tmp_path / "empty", [])
