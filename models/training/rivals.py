"""Rivals for the scorer: poses that a text-to-pose model makes for sentences of the action bank, some right and some wrong.

The conditions of an action tell which is which. They are the poses that ranking has to tell apart, so the scorer learns on them directly.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies.conditions import all_hold
from ..bodies.joints import mirror_pose
from ..bodies.posture import measure_posture
from ..text_to_pose.diffusion import candidate_noise
from ..text_to_pose.prompts import mirror_words
from ..text_to_pose.ranking import pose_features
from ..text_to_pose.sampling import sample_vectors
from .datasets.captions import CaptionedPoses, fill
from .datasets.verbs import as_gerund, as_verb

_AT_ONCE = 64  # sentences that are sampled together


@dataclass(frozen=True)
class Rivals:
    """Sentences with right and wrong poses of one model.

    Args:
        captions: S sentences, each with its rows of the data.
        features: (S, C, F) pose features of C candidates.
        right: (S, C) bool, which meet the conditions; every sentence has a wrong one.
    """

    captions: list
    features: Tensor
    right: Tensor


def find_rivals(model, actions, candidates=8, guidance=1.5, steps=6, seed=0) -> Rivals:
    """Samples a model on every phrase of the actions that have conditions and keeps those where some candidate is wrong.

    Args:
        model: TextToPose.
        actions: with rows, see :mod:`datasets.actions`.
        guidance: lower than for use, so that there is more to tell apart.
    """
    rng, asked = random.Random(seed), []
    for action in actions:
        if action.conditions and len(action.parts) == 1:
            for phrase in action.parts[0]:
                text = fill(phrase.rstrip("+") + (" with the {s} hand" if phrase.endswith("+") and rng.random() < 0.5 else ""), "left", rng)
                text = as_gerund(text) if rng.random() < 0.4 else as_verb(text) or text.replace("~", "")
                mirrored = rng.random() < 0.5
                asked.append((CaptionedPoses(mirror_words(text) if mirrored else text, action.rows, mirrored), action.conditions))
    asked.sort(key=lambda item: len(item[0].text))
    noise, kept = candidate_noise(seed, candidates, model.mean.shape[0]).to(model.device), []
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        with torch.no_grad():
            x = sample_vectors(model, model.encoder([caption.text for caption, _ in part]), None, noise, steps, guidance, "dpmpp_2m")
            pose = model.decode(x.flatten(0, 1)).to("cpu")
        features = pose_features(pose).unflatten(0, (len(part), candidates))
        for i, (caption, conditions) in enumerate(part):
            right = meets(caption, conditions, pose[i * candidates : (i + 1) * candidates])
            if not right.all():
                kept.append((caption, features[i], right))
    captions, features, right = zip(*kept) if kept else ((), (torch.empty(0),), (torch.empty(0),))
    return Rivals(list(captions), torch.stack(features), torch.stack(right))


def meets(caption, conditions, pose) -> Tensor:
    """(C,) bool, which poses meet conditions that are said of the left, or of the right if the caption is mirrored; without a side in the
    words either will do."""
    shown, turned = (all_hold(conditions, measure_posture(p)) for p in (pose, mirror_pose(pose)))
    if mirror_words(caption.text) == caption.text:
        return shown | turned
    return turned if caption.mirrored else shown
