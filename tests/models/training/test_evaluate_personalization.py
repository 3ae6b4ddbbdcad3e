import json

import numpy as np
import pytest
import torch
from PIL import Image

from contrapposto.__main__ import main
from contrapposto.models.checks import InputError
from contrapposto.models.metrics.avatar_fidelity import exact_pixel_share, hallucination_rate, invented_body, mean_similarity
from contrapposto.models.types import Keypoints

SIZE = 100


def square(left, top, side, size=SIZE):
    mask = torch.zeros(size, size)
    mask[top : top + side, left : left + side] = 1
    return mask


class People:
    """A segmenter and a detector that find what they were told."""

    def __init__(self, masks=(), points=()):
        self.masks, self.points = masks, points

    def person_masks(self, image):
        return torch.stack(list(self.masks)) if len(self.masks) else torch.zeros(0, SIZE, SIZE)

    def people(self, image):
        rows = torch.tensor(self.points, dtype=torch.float32).reshape(-1, 3, 2)
        return Keypoints(rows, torch.ones(rows.shape[:2]), "openpose18", SIZE, SIZE)


def test_exact_pixels_are_counted_to_the_last_bit():
    alpha = square(10, 10, 20)[None]
    rgb = torch.rand(1, SIZE, SIZE, 3)
    scene = rgb.clone()
    assert exact_pixel_share(scene, rgb, alpha) == 1
    scene[0, 10:15] = (scene[0, 10:15] + 2 / 255) % 1
    assert exact_pixel_share(scene, rgb, alpha).item() == pytest.approx(0.75)
    scene[0, :10] = 0  # outside the avatar nothing counts
    assert exact_pixel_share(scene, rgb, alpha).item() == pytest.approx(0.75)
    assert exact_pixel_share(scene, rgb, torch.zeros(1, SIZE, SIZE)).isnan()


def test_the_avatar_itself_is_no_invention():
    alpha, scene = square(30, 30, 30), torch.rand(SIZE, SIZE, 3)
    found = invented_body(scene, alpha, People(points=[[40, 40], [50, 50], [45, 58]]), People([alpha]))
    assert found == {"person_outside": 0, "extra_people": 0, "extra_limbs": 0}


def test_extra_limbs_and_people_are_told_apart():
    alpha, scene = square(30, 30, 30), torch.rand(SIZE, SIZE, 3)
    limb = invented_body(scene, alpha, People(points=[[40, 40], [50, 50], [80, 40]]))
    assert limb == {"extra_limbs": 1, "extra_people": 0}
    person = invented_body(scene, alpha, People(points=[[[40, 40], [50, 50], [45, 45]], [[80, 80], [85, 85], [90, 90]]]))
    assert person == {"extra_limbs": 0, "extra_people": 1}
    masked = invented_body(scene, alpha, segmenter=People([alpha, square(70, 70, 20)]))
    assert masked["extra_people"] == 1 and masked["person_outside"] == pytest.approx(0.04)
    assert invented_body(scene, alpha, segmenter=People())["person_outside"] == 0


def test_rate_and_similarity():
    assert hallucination_rate([{"extra_people": 1}, {"extra_limbs": 0}, {"person_outside": 0.5}, {"person_outside": 0.001}]) == 0.5

    class Length:
        def similarity(self, images, texts):
            return torch.tensor([len(text) / 10 for text in texts])

    assert mean_similarity(torch.rand(2, 4, 4, 3), ["ab", "abcd"], Length()) == pytest.approx(0.3)


def test_mistakes():
    with pytest.raises(InputError, match="both missing"):
        invented_body(torch.rand(SIZE, SIZE, 3), square(1, 1, 2))
    with pytest.raises(InputError, match="too few"):
        hallucination_rate([])
    with pytest.raises(InputError, match="do not match"):
        mean_similarity(torch.rand(2, 4, 4, 3), ["one"], None)
    with pytest.raises(InputError, match="avatar"):
        exact_pixel_share(torch.rand(1, 4, 4, 3), torch.rand(1, 5, 4, 3), torch.rand(1, 4, 4))


@pytest.fixture
def folder(tmp_path):
    """Two prompts, two systems; "ours" keeps the avatar, the baseline repaints a fifth of it and shows a second person."""
    def save(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.asarray(pixels) * 255).round().astype(np.uint8)).save(path)

    lines, alpha = [], square(30, 30, 30)
    for name in ("a", "b"):
        rgb = torch.rand(SIZE, SIZE, 3)
        kept = torch.where(alpha[..., None] > 0, rgb, torch.rand(SIZE, SIZE, 3))
        spoilt = kept.clone()
        spoilt[30:36, 30:60] = (spoilt[30:36, 30:60] + 0.5) % 1
        save(tmp_path / "avatars" / f"{name}.png", torch.cat([rgb, alpha[..., None]], -1))
        save(tmp_path / "ours" / f"{name}.png", kept)
        save(tmp_path / "baseline" / f"{name}.png", spoilt)
        save(tmp_path / "people" / "ours" / f"{name}_0.png", alpha)
        save(tmp_path / "people" / "baseline" / f"{name}_0.png", square(70, 70, 20))
        lines.append(json.dumps({"name": name, "text": f"sentence <{name}>"}))
    points = {"people": [{"pose_keypoints_2d": [45, 45, 1] * 17 + [90, 10, 1]}]}
    (tmp_path / "keypoints" / "ours").mkdir(parents=True)
    (tmp_path / "keypoints" / "ours" / "a.json").write_text(json.dumps(points))
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_command_scores_systems_and_writes_blind_pages(folder, capsys):
    assert main(["evaluate", "personalization", str(folder), "--systems", "baseline", "ours", "--out", str(folder / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    scores = json.loads((folder / "out" / "scores.json").read_text())
    assert told["scores"] == scores
    assert scores["ours"]["exact pixels"] == 1 and scores["baseline"]["exact pixels"] == pytest.approx(0.8)
    assert scores["baseline"]["hallucination rate"] == 1 and scores["ours"]["hallucination rate"] == 0.5
    assert scores["ours"]["extra limbs"] == 1 and scores["baseline"]["extra people"] == 1
    page = (folder / "out" / "avatar_baseline_ours.html").read_text()
    assert "keeps the person" in page and page.count("data:image/jpeg") == 4
    assert (folder / "out" / "text_baseline_ours.html").exists()


@pytest.mark.parametrize("spoil, said", [
    (lambda f: (f / "ours" / "b.png").unlink(), "b.png"), (lambda f: (f / "prompts.jsonl").unlink(), "prompts.jsonl"),
    (lambda f: (f / "prompts.jsonl").write_text("{}"), "line 1"), (lambda f: (f / "prompts.jsonl").write_text(""), "is empty"),
    (lambda f: (f / "ours" / "a.png").write_bytes(b"x"), "cannot be read"),
    (lambda f: (f / "keypoints" / "ours" / "a.json").write_text("[]"), "OpenPose JSON"),
])
def test_unusable_folders_end_with_one_error_and_no_scores(folder, spoil, said, capsys):
    spoil(folder)
    assert main(["evaluate", "personalization", str(folder), "--out", str(folder / "out")]) == 2
    assert said in capsys.readouterr().err and not (folder / "out" / "scores.json").exists()
