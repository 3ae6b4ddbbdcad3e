"""Scores scenes around avatars, several systems side by side (PAS, section 4.2, table 3).

A folder::

    prompts.jsonl               {"name": ..., "text": ...} per line
    avatars/NAME.png            the avatar as it was rendered, RGBA with straight alpha, of the scenes' size
    SYSTEM/NAME.png             the scene; one folder per system, for example baseline, fine-tuned, ours
    people/SYSTEM/NAME_*.png    optional: person masks of the scene, one file per person, from any segmenter
    keypoints/SYSTEM/NAME.json  optional: OpenPose JSON of the scene, from any detector
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..assets.files import atomic_write, parse_json, read_text
from ..checks import InputError
from ..metrics.avatar_fidelity import exact_pixel_share, hallucination_rate, invented_body, mean_similarity
from ..types import Keypoints
from .side_by_side import as_address, write_page

POINTS = 18
QUESTIONS = {"text": "Which picture fits the sentence better?", "avatar": "Which picture keeps the person's looks better?"}


@dataclass(frozen=True)
class SceneSet:
    """The scenes of an evaluation folder.

    Args:
        folder: where they are.
        texts: {name: sentence}.
        systems: names of the systems.
    """

    folder: Path
    texts: dict[str, str]
    systems: tuple[str, ...]


def open_scenes(folder, systems) -> SceneSet:
    """Checks that every scene and avatar is there.

    Raises:
        InputError: something is missing; the message names the first such file.
    """
    folder = Path(folder)
    listing = folder / "prompts.jsonl"
    if not listing.is_file():
        raise InputError("scenes folder", folder, "has no prompts.jsonl", "See models/training/evaluate_personalization.py for the layout.")
    texts = {}
    for number, line in enumerate(filter(None, read_text(listing, "prompts").splitlines()), 1):
        try:
            entry = parse_json(line)
            texts[str(entry["name"])] = str(entry["text"])
        except (ValueError, KeyError, TypeError):
            raise InputError("prompts.jsonl", f"line {number}", "has no name and text", "Write one JSON object per line.") from None
    if not texts or not systems:
        raise InputError("scenes folder", folder, "holds nothing to compare", "Give at least one prompt and one system.")
    for place in ("avatars", *systems):
        for name in texts:
            if not (folder / place / f"{name}.png").is_file():
                raise InputError("scene", folder / place / f"{name}.png", "does not exist", "Make a picture for every prompt and system.")
    return SceneSet(folder, texts, tuple(systems))


def evaluate_scenes(scenes: SceneSet, clip=None, on_row=None) -> dict[str, dict[str, float]]:
    """Scores of each system.

    Args:
        scenes: from ``open_scenes``.
        clip: ports.ImageTextSimilarity for ``clipsim``, or None.
        on_row: called with (done, total).

    Returns:
        {system: {"exact pixels", and where the files are there: "hallucination rate", "extra people", "extra limbs", "person outside";
        "clipsim" with a CLIP}}.
    """
    scores, done, total = {}, 0, len(scenes.systems) * len(scenes.texts)
    for system in scenes.systems:
        shares, invented, similarities = [], [], []
        for name, text in scenes.texts.items():
            scene, (rgb, alpha) = _read(scenes.folder / system / f"{name}.png", 3), _read_avatar(scenes, name)
            shares.append(exact_pixel_share(scene[None], rgb[None], alpha[None]).item())
            ports = _ports(scenes, system, name, scene)
            if any(ports):
                invented.append(invented_body(scene, alpha, *ports))
            if clip is not None:
                similarities.append(mean_similarity(scene[None], [text], clip))
            done += 1
            if on_row:
                on_row(done, total)
        scores[system] = {"exact pixels": _mean(shares)} | _summary(invented) | ({"clipsim": _mean(similarities)} if similarities else {})
    return scores


def write_report(scenes: SceneSet, scores, folder, seed=0):
    """Writes scores.json and, for each pair of systems that ends with the last one, two blind preference pages.

    Returns:
        The paths written.
    """
    folder = Path(folder)
    paths = [folder / "scores.json"]
    with atomic_write(paths[0], "--out") as part:
        part.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    pictures = {system: [as_address(_read(scenes.folder / system / f"{name}.png", 3)) for name in scenes.texts]
                for system in scenes.systems}
    last = scenes.systems[-1]
    for other in scenes.systems[:-1]:
        for kind, question in QUESTIONS.items():
            path = folder / f"{kind}_{other}_{last}.html"
            paths.append(write_page(path, list(scenes.texts.values()), {other: pictures[other], last: pictures[last]}, seed, question))
    return paths


def as_table(scores) -> str:
    """The scores as a Markdown table, one row per system."""
    columns = sorted({name for row in scores.values() for name in row})
    lines = ["| system | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for system, row in scores.items():
        lines.append(f"| {system} | " + " | ".join(f"{row[name]:.4f}" if name in row else "–" for name in columns) + " |")
    return "\n".join(lines)


class SavedPeople:
    """``ports.Segmenter`` and ``ports.PoseDetector`` over files that another program wrote for one scene."""

    def __init__(self, masks=(), keypoints=None):
        self.masks, self.keypoints = list(masks), keypoints

    def person_masks(self, image: Tensor) -> Tensor:
        masks = [_read(path, 1)[..., 0] for path in self.masks]
        return torch.stack(masks) if masks else image.new_zeros(0, *image.shape[:2])

    def people(self, image: Tensor) -> Keypoints:
        height, width = image.shape[:2]
        try:
            people = json.loads(self.keypoints.read_text(encoding="utf-8"))["people"]
            rows = torch.tensor([person["pose_keypoints_2d"] for person in people], dtype=torch.float32).reshape(-1, POINTS, 3)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError("keypoints", self.keypoints, f"are no OpenPose JSON of 18 points ({error})", "Detect them again.") from None
        return Keypoints(rows[..., :2], rows[..., 2], "openpose18", width, height)


def load_clip(folder, device="cpu"):
    """A CLIP from a folder in transformers' layout, as ports.ImageTextSimilarity.

    Raises:
        InputError: it cannot be loaded.
    """
    try:
        from transformers import CLIPModel, CLIPProcessor

        model = CLIPModel.from_pretrained(folder, local_files_only=True).to(device).eval()
        processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
    except (ImportError, OSError, ValueError) as error:
        raise InputError("--clip", folder, f"cannot be loaded ({error})", "Give a folder with a CLIP; install transformers.") from None
    return _Clip(model, processor)


class _Clip:
    def __init__(self, model, processor):
        self.model, self.processor = model, processor

    @torch.no_grad()
    def similarity(self, images, texts):
        given = self.processor(text=texts, images=[image.permute(2, 0, 1) for image in images], return_tensors="pt", padding=True,
                               truncation=True, do_rescale=False).to(self.model.device)
        out = self.model(**given)
        return torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds)


def _ports(scenes, system, name, scene):
    """(detector or None, segmenter or None) from the files of one scene."""
    masks = scenes.folder / "people" / system
    points = scenes.folder / "keypoints" / system / f"{name}.json"
    segmenter = SavedPeople(sorted(masks.glob(f"{name}_*.png"))) if masks.is_dir() else None
    return (SavedPeople(keypoints=points) if points.is_file() else None), segmenter


def _summary(invented):
    if not invented:
        return {}
    names = {"extra_people": "extra people", "extra_limbs": "extra limbs", "person_outside": "person outside"}
    found = {label: _mean([row[name] for row in invented if name in row]) for name, label in names.items()
             if any(name in row for row in invented)}
    return {"hallucination rate": hallucination_rate(invented)} | found


def _mean(values):
    return sum(values) / len(values)


def _read(path, channels) -> Tensor:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]), dtype=np.float32) / 255
    except (OSError, UnidentifiedImageError) as error:
        raise InputError("picture", path, f"cannot be read ({error})", "Save it again as PNG.") from None
    return torch.from_numpy(pixels).reshape(*pixels.shape[:2], channels)


def _read_avatar(scenes, name):
    rgba = _read(scenes.folder / "avatars" / f"{name}.png", 4)
    return rgba[..., :3], rgba[..., 3]
