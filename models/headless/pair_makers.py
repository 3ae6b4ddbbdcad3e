"""How one line of a plan becomes an image-mesh pair: drawn by our own renderer, or painted by an image model under the body's depth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..assets.search import locate
from ..avatars import load_avatar, retarget_pose
from ..bodies.body import BodyModel, load_body_model, place_on_floor, pose_body
from ..bodies.pose_file import load_poses
from ..checks import InputError, check_choice, check_range
from ..compose.backdrop import studio_backdrop
from ..compose.paste_back import paste_back
from ..compose.shadow import floor_shadow
from ..motion.openpose import read_keypoints
from ..pose_correction.augment import augment_pose
from ..pose_correction.depth_to_image import DEPTH_CHANNELS, PRESETS
from ..pose_correction.fit import fit_body
from ..pose_correction.gate import difficulty, measure_framing
from ..pose_correction.pairs import ImageMeshPairs, make_pairs
from ..pose_prior.vposer import load_pose_prior
from ..render.camera import frame_figure
from ..render.engine import render_figure
from ..text_to_pose import load_text_to_pose, sample_poses
from ..types import BodyPose, Camera
from .correction import body_depth, paint_again
from .pictures import read_picture
from .plan import Sample

PITCHES = (math.radians(-5), math.radians(20))  # of the cameras around the body, from just below to above
SHADOW = 0.45
BATCH = 4


@dataclass(frozen=True)
class Recipe:
    """Everything besides the plan that decides what is made. Plain values, so that it can be hashed, stored and sent to workers.

    Args:
        maker: "render" draws the figure in a studio; "paint" has an image model paint the body's depth.
        size: pixels of the pictures' side.
        figure: "avatar" or "body": what "render" shows.
        avatar, body, weights, prior: files, or None for the bundled ones.
        shape: standard deviation of the shape coefficients, drawn anew for each sample; 0 keeps the mean shape.
        vertices: keep the posed vertices.
        model: folder of the depth-to-image model, for "paint".
        preset, strength, steps, guidance: of the second pass; strength counts where a real picture guides.
    """

    maker: str = "render"
    size: int = 512
    figure: str = "avatar"
    avatar: str | None = None
    body: str | None = None
    weights: str | None = None
    prior: str | None = None
    shape: float = 0.7
    vertices: bool = False
    model: str | None = None
    preset: str = "paper"
    strength: float = 0.7
    steps: int = 50
    guidance: float = 7.5

    def __post_init__(self):
        check_choice("maker", self.maker, ("render", "paint"))
        check_choice("figure", self.figure, ("avatar", "body"))
        check_choice("preset", self.preset, tuple(PRESETS))
        check_range("size", self.size, 64, 4096, "pixels")
        check_range("shape", self.shape, 0.0, 3.0)
        if self.maker == "paint" and not self.model:
            raise InputError("--model", self.model, "is needed by the maker 'paint'",
                             "Give the folder of Stable Diffusion 2 depth in diffusers' layout, or choose the maker 'render'.")


@dataclass(frozen=True)
class Bodies:
    """Where the body of a sample comes from: its pose file, its key points, or its prompt.

    Args:
        text_to_pose, body, prior: from their loaders, on one device.
        size: pixels of the pictures' side, where no picture gives it.
        shape: standard deviation of the shape coefficients.
        poses: pose files read so far.
    """

    text_to_pose: object
    body: BodyModel
    prior: object
    size: int = 512
    shape: float = 0.7
    poses: dict = field(default_factory=dict)

    def of(self, sample: Sample, width, height) -> tuple[BodyPose, Camera | None]:
        """One row; the camera is None unless the body was fitted to a picture.

        Raises:
            InputError: a file cannot be used, or nobody can be fitted.
        """
        camera = None
        if sample.pose is not None:
            pose = self._stored(sample)
        elif sample.keypoints is not None:
            pose, camera = self._fitted(sample, width, height)
        else:
            pose = sample_poses(self.text_to_pose, sample.prompt, seed=sample.seed, body=self.body)
        pose = pose.to(self.body.device)
        if pose.betas is None and self.shape:
            generator = torch.Generator().manual_seed(sample.seed)
            betas = self.shape * torch.randn(1, min(10, self.body.shapedirs.shape[-1]), generator=generator)
            pose = replace(pose, betas=betas.to(pose.transl))
        if sample.augment:
            pose = augment_pose(self.prior, pose, sample.augment, seed=sample.seed)
        return (pose if camera is not None else place_on_floor(self.body, pose)), camera

    def _stored(self, sample):
        if sample.pose not in self.poses:
            self.poses[sample.pose] = load_poses(sample.pose)[0]
        stored = self.poses[sample.pose]
        if sample.row >= len(stored):
            raise InputError("row", sample.row, f"is not in {sample.pose.name}, which has {len(stored)} rows", "Correct the plan.")
        return stored[sample.row]

    def _fitted(self, sample, width, height):
        """The person that shows most of itself."""
        keypoints = read_keypoints(sample.keypoints, width, height)[0]
        if (keypoints.width, keypoints.height) != (width, height):
            keypoints = _scaled(keypoints, width, height)
        result = fit_body(keypoints[[int(keypoints.scores.sum(1).argmax())]], self.body, self.prior)
        if not bool(result.fitted.all()):
            raise InputError("key points", sample.keypoints.name, "show too little of a person", "Leave the picture out.")
        return result.pose, result.camera


@dataclass(frozen=True)
class RenderMaker:
    """Draws the figure in a plain studio: pairs without any image model.

    Args:
        bodies: Bodies.
        avatar: Avatar, or None to draw the body itself.
        recipe: Recipe.
    """

    bodies: Bodies
    avatar: object | None
    recipe: Recipe
    batch = BATCH

    def make(self, samples: list[Sample]) -> list[ImageMeshPairs | str]:
        """See ``generate.PairMaker``."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample):
        size, body = self.recipe.size, self.bodies.body
        pose, _ = self.bodies.of(sample, size, size)
        if self.avatar is None:
            figure, shading = pose_body(body, pose), "gray"
        else:
            figure, shading = retarget_pose(pose, body, self.avatar), "avatar"
        camera = frame_figure(figure, size, size, **_view(sample.seed))
        drawn = render_figure(figure, camera, shading)
        picture = paste_back(studio_backdrop(camera) * (1 - SHADOW * floor_shadow(figure, camera)[..., None]), drawn)
        about = _about(sample, self.recipe, self.bodies, pose)
        return make_pairs(picture, pose, camera, body, drawn.alpha, about, self.recipe.vertices, figure)


@dataclass(frozen=True)
class PaintMaker:
    """Has a depth-to-image model paint the body's depth: from noise (T), or from a real picture (T + R).

    Args:
        bodies: Bodies.
        model: ports.ImageDiffusion that reads depth.
        recipe: Recipe.
    """

    bodies: Bodies
    model: object
    recipe: Recipe
    batch = BATCH

    def make(self, samples: list[Sample]) -> list[ImageMeshPairs | str]:
        """See ``generate.PairMaker``."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample):
        first = self._guide(sample)
        height, width = first.shape[1:3]
        pose, camera = self.bodies.of(sample, width, height)
        body = self.bodies.body
        camera = frame_figure(pose_body(body, pose), width, height, **_view(sample.seed)) if camera is None else camera
        if bool(measure_framing(pose, camera, body).cut_off()[0]):
            return "the body is cut off, or too close"
        settings = replace(PRESETS[self.recipe.preset], strength=self.recipe.strength if sample.image else 1.0, steps=self.recipe.steps,
                           guidance=self.recipe.guidance)
        pose = replace(pose, frame_index=torch.zeros_like(pose.frame_index))
        depth = body_depth(body, pose, camera, [0])
        reads_depth = self.model.input_channels == DEPTH_CHANNELS
        picture = paint_again(self.model, first.to(depth), depth, [sample.prompt], settings, sample.seed, None, reads_depth)
        return make_pairs(picture, pose, camera, body, None, _about(sample, self.recipe, self.bodies, pose), self.recipe.vertices)

    def _guide(self, sample) -> Tensor:
        """The real picture, cut to whole latent cells, or a gray one that no trace is left of."""
        if sample.image is None:
            return torch.full((1, self.recipe.size, self.recipe.size, 3), 0.5)
        picture, cell = read_picture(sample.image), self.model.cell
        return picture[:, : picture.shape[1] // cell * cell, : picture.shape[2] // cell * cell]


def load_maker(recipe: Recipe, device="cpu"):
    """The maker of a recipe, with its models loaded.

    Raises:
        InputError: a file cannot be used.
    """
    body = load_body_model(locate("body_models", recipe.body), device)
    bodies = Bodies(load_text_to_pose(locate("text_to_pose", recipe.weights), device), body,
                    load_pose_prior(locate("pose_priors", recipe.prior)).to(device), recipe.size, recipe.shape)
    if recipe.maker == "render":
        return RenderMaker(bodies, load_avatar(locate("avatars", recipe.avatar)) if recipe.figure == "avatar" else None, recipe)
    from .diffusers_backend import load_diffusers_model

    return PaintMaker(bodies, load_diffusers_model(Path(recipe.model), device), recipe)


def _view(seed):
    """A camera direction drawn for a sample: any side, a little from below to well from above."""
    yaw, pitch = torch.rand(2, generator=torch.Generator().manual_seed(seed)).tolist()
    return {"yaw": 2 * math.pi * yaw, "pitch": PITCHES[0] + pitch * (PITCHES[1] - PITCHES[0])}


def _about(sample, recipe, bodies, pose):
    told = {"prompt": sample.prompt, "seed": sample.seed, "maker": recipe.maker, "augment": sample.augment,
            "difficulty": round(float(difficulty(bodies.prior, pose, sample.seed)[0]), 3)}
    return told | {name: getattr(sample, name).name for name in ("pose", "image", "keypoints") if getattr(sample, name)}


def _scaled(keypoints, width, height):
    factor = keypoints.keypoints_2d.new_tensor([width / keypoints.width, height / keypoints.height])
    return replace(keypoints, keypoints_2d=keypoints.keypoints_2d * factor, width=width, height=height)
