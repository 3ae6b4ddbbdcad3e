"""Which candidate fits the sentence best: a small text-pose scorer, or CLIP on rendered pictures as in PAS (section 3.3).

The scorer has two towers that meet in one unit sphere, trained with a symmetric contrastive loss (Radford et al. 2021): token states of
the text encoder with learned attention pooling on one side, rotations and landmarks of the pose on the other. Its hard negatives are
mirror images and other arms on the same stance, so it looks at sides and arms rather than at the stance alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..assets.files import config_of, read_safetensors, write_safetensors
from ..assets.registry import bundled
from ..bodies.balance import off_balance
from ..bodies.body import BodyModel, place_on_floor
from ..bodies.posture import POINT_NAMES, measure_posture, remove_heading
from ..checks import InputError, check_shape
from ..rotations import rotmat_to_rot6d
from ..types import BodyPose
from .prompts import check_prompt
from .text_encoder import MINILM, TextStates, load_minilm

OPEN_POSE_SCORER = "open_pose_scorer.safetensors"
FORMAT = "contrapposto pose scorer 1"
FALL, FALL_MAX = 0.3, 0.4  # score lost per metre that a pose is off balance, and the metres after which nothing more is lost
POSE_FEATURES = 22 * 6 + 3 * len(POINT_NAMES)


@dataclass(frozen=True)
class ScorerConfig:
    """Sizes of the scorer.

    Args:
        text_dim: width of the text encoder's states.
        text_width, heads, queries: of the text tower: one transformer layer, then ``queries`` learned attention pools.
        pose_width: of the pose tower's hidden layers.
        embed_dim: of the common space.
    """

    text_dim: int = 384
    text_width: int = 160
    heads: int = 4
    queries: int = 4
    pose_width: int = 512
    embed_dim: int = 128


class PoseScorer(nn.Module):
    """Text and pose towers. ``config`` and ``about`` say what the weights are."""

    def __init__(self, config: ScorerConfig, about: dict | None = None):
        super().__init__()
        self.config, self.about = config, about or {}
        width = config.text_width
        self.text_norm, self.text_in = nn.LayerNorm(config.text_dim), nn.Linear(config.text_dim, width)
        self.positions = nn.Parameter(torch.randn(77, width) * 0.02)
        self.layer = nn.TransformerEncoderLayer(width, config.heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.queries = nn.Parameter(torch.randn(config.queries, width) * width**-0.5)
        self.text_out = nn.Sequential(nn.LayerNorm(config.queries * width), nn.Linear(config.queries * width, 2 * width), nn.GELU(),
                                      nn.Linear(2 * width, config.embed_dim))
        self.register_buffer("pose_mean", torch.zeros(POSE_FEATURES))
        self.register_buffer("pose_std", torch.ones(POSE_FEATURES))
        hidden = config.pose_width
        self.pose_tower = nn.Sequential(nn.Linear(POSE_FEATURES, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
                                        nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, config.embed_dim))
        self.log_scale = nn.Parameter(torch.tensor(2.7))  # logarithm of the inverse temperature

    @cached_property
    def encoder(self):
        """The bundled text encoder on the scorer's device, read at the first use."""
        return load_minilm(device=self.pose_mean.device)

    def embed_states(self, states: TextStates) -> Tensor:
        """Text states of B sentences to unit vectors ``(B, D)``."""
        tokens, mask = states.tokens[:, :77].to(self.positions.dtype), states.mask[:, :77]
        x = self.text_in(self.text_norm(tokens)) + self.positions[: tokens.shape[1]]
        x = self.layer(x, src_key_padding_mask=~mask)
        weights = (x @ self.queries.T).masked_fill(~mask[..., None], -torch.inf).softmax(1)
        return F.normalize(self.text_out((weights.transpose(1, 2) @ x).flatten(1)).float(), dim=-1)

    def embed_features(self, features: Tensor) -> Tensor:
        """Pose features ``(B, F)`` of :func:`pose_features` to unit vectors ``(B, D)``."""
        features = (features - self.pose_mean) / self.pose_std
        return F.normalize(self.pose_tower(features.to(self.positions.dtype)).float(), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts) -> Tensor:
        """Sentences to unit vectors ``(B, D)``."""
        return torch.cat([self.embed_states(self.encoder(texts[i : i + 64])) for i in range(0, len(texts), 64)])

    @torch.no_grad()
    def embed_poses(self, pose: BodyPose) -> Tensor:
        """Poses to unit vectors ``(B, D)``; heading, place and body shape do not matter."""
        return self.embed_features(pose_features(pose.like(self.pose_mean.float())))


def pose_features(pose: BodyPose) -> Tensor:
    """(B, F) what the pose tower sees: 6D of all joints, heading removed, and the landmarks of the reference skeleton, metres."""
    rotmats = torch.cat([remove_heading(pose.global_orient)[:, None], pose.body_pose], 1)
    return torch.cat([rotmat_to_rot6d(rotmats).flatten(1), measure_posture(pose).points.flatten(1)], 1)


def load_pose_scorer(source=None, device="cpu") -> PoseScorer:
    """Reads scorer weights.

    Args:
        source: path of a file; None takes the bundled weights.

    Raises:
        InputError: the file is missing, damaged, of another kind, or made for another text encoder.
    """
    path = bundled(OPEN_POSE_SCORER) if source is None else Path(source)
    tensors, about = read_safetensors(path, "pose scorer file", device)
    if about.get("format") != FORMAT:
        raise InputError("pose scorer file", path, "does not hold a pose scorer of this pack", "Choose another file.")
    try:
        encoder = about["text_encoder"]["id"]
        if encoder != MINILM:
            raise InputError("pose scorer file", path, f"was made for the text encoder {encoder!r:.40}", "Choose another file.")
        sizes = config_of(ScorerConfig, about["network"], tensors, lambda c: c.pose_width * (c.pose_width + c.embed_dim)
                          + c.text_width * (c.text_dim + c.queries * c.text_width))
        scorer = PoseScorer(sizes, about).to(device)
        scorer.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except InputError:
        raise
    except (KeyError, TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError("pose scorer file", path, f"has another layout ({str(error)[:120]})",
                         "Choose a file of this version of the pack.") from None
    return scorer.eval().requires_grad_(False)


def save_pose_scorer(path, scorer: PoseScorer, about: dict):
    """Writes weights (float16; the statistics stay float32) with what they say about themselves."""
    tensors = {name: tensor if name.startswith("pose_m") or name.startswith("pose_s") else tensor.half()
               for name, tensor in scorer.state_dict().items()}
    write_safetensors(path, tensors, {**about, "format": FORMAT, "network": asdict(scorer.config)})


def rank_poses(scorer: PoseScorer, texts, poses: BodyPose, body: BodyModel | None = None) -> tuple[Tensor, Tensor]:
    """Orders candidates by how well they fit their sentence.

    Args:
        texts: one sentence, or P sentences.
        poses: P * C rows, the C candidates of each sentence together, as ``sample_poses`` returns them.
        body: on which it is seen whether a pose, put on the floor, would fall over; such poses lose a little. None: it does not matter.

    Returns:
        (order (P, C) int64 candidate numbers, best first; scores (P, C) of each candidate in the order of ``poses``: the cosine, less
        what is lost for balance).

    Raises:
        InputError: a sentence cannot be used, or the rows cannot be shared out among the sentences.
    """
    texts = [check_prompt(text) for text in ([texts] if isinstance(texts, str) else texts)]
    if not texts or not len(poses) or len(poses) % len(texts):
        raise InputError("poses", len(poses), f"cannot be shared out among {len(texts)} sentences",
                         "Give the same number of candidates for every sentence.")
    candidates = scorer.embed_poses(poses).unflatten(0, (len(texts), -1))
    scores = (candidates @ scorer.embed_texts(texts)[..., None])[..., 0]
    if body is not None:
        metres = off_balance(place_on_floor(body, poses.to(body.device)), body).to(scores.device).view_as(scores)
        scores = scores - FALL * metres.clamp(max=FALL_MAX)
    return _ordered(scores)


def rank_by_clip(image_embeds: Tensor, text_embeds: Tensor) -> tuple[Tensor, Tensor]:
    """Orders rendered candidates by CLIP similarity, as PAS does (section 3.3).

    Args:
        image_embeds: (P * C, D) projected image embeddings, the C pictures of each sentence together.
        text_embeds: (P, D) projected text embeddings of the same CLIP.

    Returns:
        as :func:`rank_poses`.

    Raises:
        InputError: the shapes do not fit.
    """
    sizes = check_shape("text_embeds", text_embeds, "P D")
    rows = check_shape("image_embeds", image_embeds, "N D", D=sizes["D"])["N"]
    if not sizes["P"] or not rows or rows % sizes["P"]:
        raise InputError("image_embeds", rows, f"rows cannot be shared out among {sizes['P']} sentences", "Give C pictures per sentence.")
    images = F.normalize(image_embeds.float(), dim=-1).unflatten(0, (sizes["P"], -1))
    return _ordered((images @ F.normalize(text_embeds.float(), dim=-1)[..., None])[..., 0])


def _ordered(scores):
    return scores.sort(dim=-1, descending=True, stable=True).indices, scores
