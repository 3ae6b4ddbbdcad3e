"""The command line as users meet it: results in files, one clear error for each mistake, nothing half-written."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.bodies.hands import hand_rotmats
from contrapposto.models.bodies.plausibility import implausibility, is_plausible
from contrapposto.models.bodies.pose_file import load_poses
from contrapposto.models.checks import InputError
from contrapposto.models.headless.cli import main


def call(capsys, *arguments):
    """Runs a command and returns (exit code, stdout, stderr)."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    assert main(["pose", "a person raises both arms", "--count", "2", "--seed", "3", "--steps", "4", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def background(tmp_path_factory):
    path = tmp_path_factory.mktemp("background") / "park.png"
    pixels = np.random.default_rng(0).integers(0, 255, (96, 144, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_pose_file_layout(poses):
    with np.load(poses) as file:
        assert file["global_orient"].shape == (1, 2, 3) and file["body_pose"].shape == (1, 2, 63) and file["transl"].shape == (1, 2, 3)
        assert file["prompts"].tolist() == ["a person raises both arms"]


def test_same_seed_same_poses_and_another_seed_others(capsys, poses, tmp_path):
    for seed in (3, 4):
        call(capsys, "pose", "a person raises both arms", "--count", 2, "--seed", seed, "--steps", 4, "--out", tmp_path / f"{seed}.npz")
    first, same, other = (np.load(path)["body_pose"] for path in (poses, tmp_path / "3.npz", tmp_path / "4.npz"))
    assert np.array_equal(first, same) and not np.allclose(first, other)


def test_prompts_from_a_file(capsys, tmp_path):
    (tmp_path / "prompts.txt").write_text("a person sits\n\na person jumps\n", encoding="utf-8")
    code, out, _ = call(capsys, "pose", "--prompts", tmp_path / "prompts.txt", "--count", 3, "--steps", 2,
                        "--out", tmp_path / "p.npz", "--json")
    assert code == 0 and json.loads(out)["count"] == 3
    assert np.load(tmp_path / "p.npz")["body_pose"].shape == (2, 3, 63)


def test_poses_are_repaired_and_told_and_hands_follow_each_sentence(capsys, tmp_path):
    (tmp_path / "prompts.txt").write_text("a person hugs the knees, sitting on the floor\na boxer\n", encoding="utf-8")
    given = ["pose", "--prompts", tmp_path / "prompts.txt", "--count", 8, "--steps", 3, "--json", "--out"]
    told = json.loads(call(capsys, *given, tmp_path / "mended.npz")[1])
    drawn = json.loads(call(capsys, *given, tmp_path / "drawn.npz", "--as-drawn")[1])
    assert told["plausibility"].startswith("16 poses, ") and "plausibility" not in drawn
    mended, drawn = load_poses(tmp_path / "mended.npz")[0], load_poses(tmp_path / "drawn.npz")[0]
    body = load_body_model()
    assert is_plausible(implausibility(mended, body)).all() and not is_plausible(implausibility(drawn, body)).all()
    fist = hand_rotmats("fist", "left")
    torch.testing.assert_close(mended.hands[8:, :15], fist.expand(8, -1, -1, -1), atol=1e-4, rtol=0)
    assert (mended.hands[:8, :15] - fist).abs().amax() > 0.3


def test_the_best_are_kept_in_order(capsys, tmp_path):
    (tmp_path / "prompts.txt").write_text("a person sits\na person jumps\n", encoding="utf-8")
    given = ["pose", "--prompts", tmp_path / "prompts.txt", "--count", 4, "--steps", 3, "--json"]
    call(capsys, *given, "--out", tmp_path / "all.npz")
    code, out, _ = call(capsys, *given, "--best", 2, "--out", tmp_path / "best.npz")
    told = json.loads(out)
    assert code == 0 and told["count"] == 2 and all(first >= second for first, second in told["scores"])
    drawn, kept = (np.load(tmp_path / name)["body_pose"] for name in ("all.npz", "best.npz"))
    assert kept.shape == (2, 2, 63)
    for candidates, best in zip(drawn, kept):
        rows = [int(np.abs(candidates - one).max(1).argmin()) for one in best]
        assert len(set(rows)) == 2 and np.allclose(candidates[rows], best, atol=1e-6)


def test_render_every_kind(capsys, poses, tmp_path):
    code, out, _ = call(capsys, "render", poses, "--what", "gray", "avatar", "depth", "pose_map", "--size", "96x128", "--out", tmp_path)
    assert code == 0 and len(out.split()) == 8
    for what, mode in (("gray", "RGBA"), ("avatar", "RGBA"), ("depth", "RGB"), ("pose_map", "RGB")):
        picture = Image.open(tmp_path / f"0001_{what}.png")
        assert picture.size == (96, 128) and picture.mode == mode
        assert np.asarray(picture).std() > 10


def test_scene_takes_the_background_and_keeps_its_pixels(capsys, background, tmp_path):
    code, out, _ = call(capsys, "scene", "a person kneels", "--background", background, "--steps", 4, "--out", tmp_path)
    assert code == 0
    assert sorted(os.listdir(tmp_path)) == ["avatar.png", "depth.png", "gray_body.png", "pose.npz", "pose_map.png", "scene.png"]
    avatar, scene, behind = (np.asarray(Image.open(path)) for path in (tmp_path / "avatar.png", tmp_path / "scene.png", background))
    assert scene.shape == (96, 144, 3)
    opaque, clear = avatar[..., 3] == 255, avatar[..., 3] == 0
    assert opaque.sum() > 200 and np.array_equal(scene[opaque], avatar[opaque][:, :3]) and np.array_equal(scene[clear], behind[clear])
    assert Image.open(tmp_path / "scene.png").text["prompt"] == "a person kneels"


def test_doctor_says_what_works(capsys):
    code, out, _ = call(capsys, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == 0 and checks["self-test"]["ok"] and checks["torch"]["ok"]
    assert str(os.path.expanduser("~")) not in json.dumps(checks["torch"])


BAD = [
    (("pose", "", "--out", "p.npz"), "empty"),
    (("pose", "   ", "--out", "p.npz"), "empty"),
    (("pose", "jump " * 2000, "--out", "p.npz"), "character"),
    (("pose", "人がジャンプする", "--out", "p.npz"), "English"),
    (("pose", "a person sits", "--count", "0", "--out", "p.npz"), "count"),
    (("pose", "a person sits", "--count", "10000", "--out", "p.npz"), "count"),
    (("pose", "a person sits", "--count", "3", "--best", "4", "--out", "p.npz"), "--best"),
    (("pose", "a person sits", "--steps", "0", "--out", "p.npz"), "steps"),
    (("pose", "a person sits", "--guidance", "nan", "--out", "p.npz"), "guidance"),
    (("pose", "a person sits", "--seed", "-1", "--out", "p.npz"), "seed"),
    (("pose", "a person sits", "--out", "poses.txt"), "--out"),
    (("pose", "a person sits", "--out", "file/p.npz"), "cannot be written"),
    (("pose", "a person sits", "--prompts", "x.txt", "--out", "p.npz"), "TEXT"),
    (("pose", "--prompts", "missing.txt", "--out", "p.npz"), "does not exist"),
    (("pose", "a person sits", "--weights", "file", "--out", "p.npz"), "file"),
    (("pose", "a person sits", "--body", "missing.npz", "--out", "p.npz"), "missing.npz"),
    (("pose", "a person sits", "--device", "abacus", "--out", "p.npz"), "--device"),
    (("render", "missing.npz", "--out", "d"), "does not exist"),
    (("render", "file", "--out", "d"), "file"),
    (("render", "POSES", "--what", "xray", "--out", "d"), "xray"),
    (("render", "POSES", "--size", "0", "--out", "d"), "--size"),
    (("render", "POSES", "--size=-5x4", "--out", "d"), "--size"),
    (("render", "POSES", "--size", "huge", "--out", "d"), "--size"),
    (("render", "POSES", "--engine", "crayon", "--out", "d"), "crayon"),
    (("render", "POSES", "--view", "inside", "--out", "d"), "inside"),
    (("render", "POSES", "--what", "avatar", "--avatar", "file.glb", "--out", "d"), "file.glb"),
    (("scene", "a person sits", "--background", "file", "--out", "d"), "file"),
    (("scene", "a person sits", "--background", "broken.png", "--out", "d"), "broken.png"),
]


@pytest.mark.parametrize("arguments, told", BAD, ids=[" ".join(a)[:60] for a, _ in BAD])
def test_bad_input_gives_one_error_and_no_file(capsys, tmp_path, monkeypatch, poses, arguments, told):
    monkeypatch.chdir(tmp_path)
    for name in ("file", "file.glb", "broken.png"):
        (tmp_path / name).write_bytes(b"\x89PNG not really")
    before = sorted(os.listdir(tmp_path))
    code, out, err = call(capsys, *[str(poses) if argument == "POSES" else argument for argument in arguments])
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and told in err
    left = [name for name in sorted(os.listdir(tmp_path)) if name not in before]
    assert all(os.path.isdir(name) and not os.listdir(name) for name in left)


def test_error_as_json(capsys, tmp_path):
    code, out, _ = call(capsys, "pose", "", "--out", tmp_path / "p.npz", "--json")
    assert code == 2 and set(json.loads(out)["error"]) == {"input", "value", "problem", "remedy"}


def test_progress_bar_only_on_a_terminal():
    import io

    from contrapposto.models.headless.progress import Progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown, hidden = Terminal(), io.StringIO()
    for stream in (shown, hidden):
        bar = Progress(stream=stream)
        bar.start -= 10  # as if it had been running for a while
        bar("sampling", 5, 10)
        bar.close()
    assert "5/10" in shown.getvalue() and hidden.getvalue() == ""


def test_picture_round_trip(tmp_path):
    from contrapposto.models.headless.pictures import read_picture, write_png

    pixels = torch.randint(0, 256, (8, 9, 3)).float() / 255
    write_png(tmp_path / "a.png", pixels, metadata={"prompt": "größe"})
    torch.testing.assert_close(read_picture(tmp_path / "a.png")[0], pixels)
    write_png(tmp_path / "b.png", pixels, torch.zeros(8, 9))
    assert float(read_picture(tmp_path / "b.png").min()) == 1.0  # clear pixels read as white


def test_a_small_file_of_a_huge_picture_is_refused(tmp_path):
    from PIL import Image

    from contrapposto.models.headless.pictures import read_picture

    Image.new("1", (10_000, 5_001)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match="10000 x 5001 pixels"):
        read_picture(tmp_path / "huge.png")
