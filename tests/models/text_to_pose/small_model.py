"""A small random text-to-pose model and stand-ins for what it goes with."""

from types import SimpleNamespace

import torch

from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.text_to_pose.model import save_text_to_pose
from contrapposto.models.text_to_pose.network import NetworkConfig, PoseTransformer
from contrapposto.models.text_to_pose.text_encoder import MINILM, TextStates

DIM = 16


def write_model(path, representation="rot6d", encoder=MINILM, prior=None):
    torch.manual_seed(0)
    network = PoseTransformer(NetworkConfig(representation, DIM, width=16, layers=1, heads=2))
    size = network.config.pose_dim
    config = {"text_encoder": {"id": encoder, "dim": DIM}, "pose_prior": prior,
              "sampling": {"sampler": "dpmpp_2m", "steps": 3, "guidance": 2.0}}
    save_text_to_pose(path, network, torch.linspace(-0.5, 0.5, size), torch.full((size,), 0.3), config)
    return network


def encode(texts, encoder=MINILM):
    """Text states that depend on each text alone."""
    pooled = torch.stack([torch.randn(DIM, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts])
    counts = torch.tensor([1 + len(text) % 5 for text in texts])
    mask = torch.arange(int(counts.max())) < counts[:, None]
    return TextStates(pooled[:, None] * mask[..., None], mask, pooled, encoder)


def same(a, b):
    return torch.allclose(a.body_pose, b.body_pose, atol=1e-5) and torch.allclose(a.global_orient, b.global_orient, atol=1e-5)


def fake_prior():
    """A prior whose latents are the first 32 numbers, and which regularises to the rest pose."""
    return SimpleNamespace(
        sha256="abc", decode=lambda latents: rotvec_to_rotmat(latents[:, :3])[:, None].expand(-1, 21, 3, 3),
        encode=lambda pose: SimpleNamespace(mean=pose.flatten(1)[:, :32]),
        regularise=lambda pose, strength: torch.eye(3).expand_as(pose) if strength == 1 else pose)
