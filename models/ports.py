"""Protocols: what a room needs from somebody it does not know."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from .types import Keypoints, Mesh


@runtime_checkable
class Figure(Protocol):
    """Anything with a posed body that can be drawn: a posed SMPL-format body, a posed avatar."""

    @property
    def device(self): ...

    def __len__(self) -> int:
        """Number of rows: candidates, frames or people."""

    def mesh(self, rows: slice) -> Mesh:
        """The skinned meshes of some rows, world frame, metres. Made on demand, so a long motion never lies in memory whole."""

    def keypoints_3d(self) -> Tensor:
        """(B, 18, 3) OpenPose-18 points in the world, metres; NaN where the figure has no such point."""


@runtime_checkable
class ImageDiffusion(Protocol):
    """A latent image model that a whole job drives by itself, such as diffusers'. Latents are as they leave the VAE, not scaled."""

    @property
    def input_channels(self) -> int:
        """Channels that the network reads: its own 4 latents, and those that ``sample`` has to give beside them."""

    @property
    def cell(self) -> int:
        """Pixels per latent, along each side."""

    @property
    def hint_channels(self) -> dict[str, int]:
        """{name: channels of the picture it reads} of the ControlNets that came with the model."""

    def empty_latents(self, height, width) -> Tensor:
        """(1, C, h, w) zeros: what a picture of that many pixels starts from when nothing of it is known."""

    def encode(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) pictures 0..1 -> (B, C, h, w) latents, the same every time."""

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) latents -> (B, H, W, 3) pictures 0..1."""

    def encode_text(self, texts: list[str]) -> Tensor:
        """Sentences -> (B, T, D) states for cross-attention."""

    def scale(self, latents: Tensor) -> Tensor:
        """Latents of the VAE -> those that the network works on."""

    def sample(self, positive, negative, latents, change_mask=None, beside=None, seed=0, steps=25, guidance=7.5, on_step=None,
               hints=None, strength=1.0) -> Tensor:
        """Latents (B, C, h, w) painted where ``change_mask`` (B, h, w) is 1; ``beside`` (B, E, h, w) are the extra channels.

        ``positive`` and ``negative`` are what ``encode_text`` gives, or the text as the model's own host has encoded it. ``hints`` are
        {name: (B, H, W, C) picture} for the model's ControlNets; one that is not named is left out. Below 1, ``strength`` is the share of
        the schedule that is run, starting from the noised latents.
        """


@runtime_checkable
class Segmenter(Protocol):
    """Finds people in pictures."""

    def person_masks(self, image: Tensor) -> Tensor:
        """One picture (H, W, 3) 0..1 -> (N, H, W), 1 where a person is; one mask per person, N may be 0."""


@runtime_checkable
class HumanParser(Protocol):
    """Tells clothes, hair and face apart."""

    def classes(self, image: Tensor) -> Tensor:
        """One picture (H, W, 3) 0..1 -> (H, W) int64, the 18 classes of the ATR data set as segformer_b2_clothes numbers them."""


@runtime_checkable
class PoseDetector(Protocol):
    """Finds body points in pictures."""

    def people(self, image: Tensor) -> Keypoints:
        """One picture (H, W, 3) 0..1 -> Keypoints in OpenPose-18 order, one row per person."""


@runtime_checkable
class ImageTextSimilarity(Protocol):
    """A CLIP: one space for pictures and sentences."""

    def similarity(self, images: Tensor, texts: list[str]) -> Tensor:
        """(B, H, W, 3) pictures and B sentences -> (B,) cosines."""
