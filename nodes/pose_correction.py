"""Which pictures need correction, the depth that corrects them, and new poses around known ones."""

from __future__ import annotations

import math

import torch
from comfy_api.v0_0_2 import io

from ..models.pose_correction.augment import PRESETS, augment_pose
from ..models.pose_correction.gate import CUT_OFF_CHOICES, THRESHOLD, compose, difficulty, judge, measure_framing
from ..models.pose_correction.occluded_depth import SCALES, occluded_depth, with_scene
from ..models.pose_correction.pictures import picture_of
from ..models.render.camera import match_rows
from ..models.types import BodyPose
from . import convert, host, sockets
from .body_from_image import CATEGORY, prior_input, ready_body, ready_prior
from .sockets import SEED_MAX, declare

CODES = ["sampled", "mean"]
SIZES = {"picture": 1, "latent (an eighth)": 8}


class DifficultyGate(io.ComfyNode):
    """Easy pictures pass, hard ones are replaced by their corrections."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoDifficultyGate",
            display_name="Difficulty Gate",
            category=CATEGORY,
            description="Keeps pictures whose poses are easy and takes the corrected ones of the rest. When all are easy, the second "
            "pass is not run at all.",
            search_aliases=["Diffusion-HPC", "lazy", "switch", "VPoser"],
            inputs=[
                io.Image.Input("image", tooltip="The first pictures."),
                io.Image.Input("corrected", lazy=True, tooltip="The second pass: all pictures again, or only those of Keep Hard Pictures. "
                               "It is run when at least one picture is hard."),
                *_gate_inputs(),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="All pictures, in the order of the first ones."),
                io.Float.Output(display_name="hardest", tooltip="The highest score of all people; 0 without people."),
                io.Int.Output(display_name="hard", tooltip="How many pictures were corrected."),
                io.String.Output(display_name="report", tooltip="State and score of each picture."),
            ],
        )

    @classmethod
    def check_lazy_status(cls, image, body_pose, corrected=None, **settings):
        verdict = _verdict(len(image), body_pose, **settings)
        return ["corrected"] if corrected is None and bool(verdict.correct.any()) else []

    @classmethod
    def execute(cls, image, body_pose, corrected=None, **settings):
        verdict = _verdict(len(image), body_pose, **settings)
        hardest = float(verdict.scores.max()) if len(verdict.scores) else 0.0
        return io.NodeOutput(compose(image, corrected, verdict.correct), hardest, int(verdict.correct.sum()), verdict.report())


class KeepHardPictures(io.ComfyNode):
    """Only the pictures that the gate will replace."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoKeepHardPictures",
            display_name="Keep Hard Pictures",
            category=CATEGORY,
            description="Leaves only the pictures, poses and cameras that need correction, so that the second pass works on no others. "
            "Give Difficulty Gate the same settings.",
            search_aliases=["Diffusion-HPC", "filter", "VPoser"],
            inputs=[
                io.Image.Input("image", tooltip="The first pictures."),
                *_gate_inputs(),
                io.Mask.Input("mask", optional=True, tooltip="1 where something hides the people, 0 elsewhere. One for each picture, or "
                              "one for all; it is filtered too."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The hard pictures; all of them when none is hard."),
                sockets.BodyPose.Output(display_name="body_pose", tooltip="Their people, numbered anew by picture."),
                sockets.BodyCamera.Output(display_name="camera", tooltip="Their cameras; as given when one serves all."),
                io.Mask.Output(display_name="mask", tooltip="1 where something hides the people, 0 elsewhere: these pictures' masks."),
                io.Int.Output(display_name="hard", tooltip="How many pictures are hard."),
            ],
        )

    @classmethod
    def execute(cls, image, body_pose, camera=None, mask=None, **settings):
        verdict = _verdict(len(image), body_pose, camera=camera, **settings)
        mask = convert.mask_to_bhw(mask)
        mask = image.new_zeros(image.shape[:3]) if mask is None else mask
        if not bool(verdict.correct.any()):
            return io.NodeOutput(image, body_pose, camera, mask, 0)
        correct = verdict.correct.cpu()
        picture = picture_of(body_pose, len(image))
        rows = correct[picture].nonzero()[:, 0].to(body_pose.device)
        pose = body_pose[rows]
        new_number = (correct.cumsum(0) - 1)[picture[rows.cpu()]].to(pose.device)
        pose = BodyPose(pose.global_orient, pose.body_pose, pose.transl, pose.betas, pose.hands, new_number, pose.person_index, pose.fps)
        camera = camera if camera is None or len(camera) == 1 else camera[rows.to(camera.R.device)]
        kept = correct.nonzero()[:, 0]
        return io.NodeOutput(image[kept.to(image.device)], pose, camera, mask if len(mask) == 1 else mask[kept.to(mask.device)], len(kept))


class OccludedBodyDepth(io.ComfyNode):
    """Bodies before a camera -> the depth map of the second pass."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoOccludedBodyDepth",
            display_name="Occluded Body Depth",
            category=CATEGORY,
            description="Draws the depth of all people of a picture as depth-to-image models read it: near is bright, the background "
            "black, and what stands before the people is cut out.",
            search_aliases=["depth map", "Diffusion-HPC", "depth2img"],
            inputs=[
                sockets.figure_input(),
                sockets.camera_input(),
                io.Combo.Input("scale", options=list(SCALES), default=SCALES[0],
                               tooltip="relative: brightness follows the true distance. fixed span: the people of each picture use one "
                               "range of brightness, however flat they are."),
                io.Combo.Input("size", options=list(SIZES), default="picture",
                               tooltip="picture: the camera's size. latent: an eighth of it, the size at which the network reads the map."),
                io.Float.Input("scene_share", default=0.0, min=0.0, max=1.0, step=0.05,
                               tooltip="How much of scene_depth stays around the people (0 to 1); 0 leaves it black, as the paper."),
                io.Mask.Input("occluders", optional=True,
                              tooltip="1 where another object stands before the people, 0 elsewhere. One per picture, or one for all."),
                io.Image.Input("scene_depth", optional=True, tooltip="Depth map of the whole picture, near is bright (as Depth Anything "
                               "draws it). It is stretched to agree with the people."),
                io.Image.Input("image", optional=True, tooltip="The pictures; their number is that of the maps, so that pictures without "
                               "people get a black one."),
                sockets.body_model_input("The body that poses are drawn with."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="One map per picture: nearest white, background black."),
                io.Mask.Output(display_name="mask", tooltip="1 where a body can be seen, 0 elsewhere."),
            ],
        )

    @classmethod
    def execute(cls, figure, camera, scale, size, scene_share, occluders=None, scene_depth=None, image=None, body_model=None):
        pictures = None if image is None else len(image)
        picture = picture_of(figure, pictures) if isinstance(figure, BodyPose) else torch.arange(len(figure))
        posed, report = convert.figure_on(host.compute_device(), figure, body_model), host.progress()
        occluders, drawn = convert.mask_to_bhw(occluders), {"scale": scale, "shrink": SIZES[size], "on_row": report}
        people = occluded_depth(posed, camera, picture, pictures, occluders, **drawn)
        level = people
        if scene_depth is not None and scene_share > 0:
            level = with_scene(people, convert.image_to_rgb(scene_depth).mean(-1), scene_share)
        image = level[..., None].expand(*level.shape, 3).contiguous()
        return io.NodeOutput(host.to_intermediate(image), host.to_intermediate((people > 0).float()), ui=convert.preview_image(image))


class AugmentPose(io.ComfyNode):
    """Poses -> variations of them."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoAugmentPose",
            display_name="Augment Pose",
            category=CATEGORY,
            description="Draws variations of poses around the given ones, in the latent space of a pose prior.",
            search_aliases=["data augmentation", "VPoser", "jitter", "Diffusion-HPC"],
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="The poses to vary; their places stay."),
                io.Combo.Input("preset", options=list(PRESETS), default="paper",
                               tooltip="paper: the code times 1 + s e, e between 0 and 1. released: what the authors' code does with SPIN "
                               "and with BEV; it also turns the body and changes its shape."),
                io.Float.Input("scale", default=0.05, min=0.0, max=10.0, step=0.01,
                               tooltip="s of the paper preset (0 to 10); the released presets bring their own."),
                io.Int.Input("count", default=1, min=1, max=4096,
                             tooltip="Variations of each pose (1 to 4096): the whole batch, again and again."),
                sockets.seed_input("The same seed and poses give the same variations."),
                declare(io.Float.Input, "root_jitter", default=-1.0, min=-1.0, max=180.0, step=1.0, advanced=True,
                        tooltip="Random turn of the whole body, degrees about each axis (0 to 180). Below 0 takes the preset's."),
                declare(io.Float.Input, "shape_jitter", default=-1.0, min=-1.0, max=10.0, step=0.05, advanced=True,
                        tooltip="Random change of the shape coefficients, as a part of them (0 to 10). Below 0 takes the preset's."),
                declare(io.Combo.Input, "code", options=CODES, default="sampled", advanced=True,
                        tooltip="sampled: start from a code drawn around the pose, as the paper. mean: start from the pose's own code."),
                prior_input("In whose latent space to vary."),
                sockets.BodyCamera.Input("camera", optional=True, tooltip="The poses' cameras; they are repeated with them."),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip="All poses varied once, then all again."),
                sockets.BodyCamera.Output(display_name="camera", tooltip="A camera for each pose, or the one that serves all."),
            ],
        )

    @classmethod
    def execute(cls, body_pose, preset, scale, count, seed, root_jitter, shape_jitter, code, pose_prior=None, camera=None):
        prior = ready_prior(pose_prior)
        pose = augment_pose(prior, body_pose.to(host.compute_device()), scale, preset, seed, count,
                            None if root_jitter < 0 else math.radians(root_jitter), None if shape_jitter < 0 else shape_jitter,
                            code == "sampled")
        if camera is not None and len(camera) > 1:
            camera = match_rows(camera, len(body_pose))[list(range(len(body_pose))) * count]
        return io.NodeOutput(host.to_intermediate(pose), camera)


def _gate_inputs():
    """What decides about a picture."""
    return [
        sockets.BodyPose.Input("body_pose", tooltip="The people of the pictures, for example from Fit Body to Keypoints."),
        io.Float.Input("threshold", default=THRESHOLD, min=0.0, max=10000.0, step=1.0,
                       tooltip="A picture is hard when somebody's score is above (0 to 10000). The score is the squared length of the "
                       "pose's code; 30 as in the paper."),
        io.Combo.Input("code", options=CODES, default="sampled",
                       tooltip="sampled: the score of a code drawn around the pose, as the paper. mean: of the pose's own code; steadier "
                       "and lower."),
        io.Int.Input("draw", default=0, min=0, max=SEED_MAX, tooltip="Which random draw sampled takes. Another can tip a close case."),
        io.Combo.Input("cut_off", options=list(CUT_OFF_CHOICES), default=CUT_OFF_CHOICES[0],
                       tooltip="Pictures in which a hard person is cut off or very close: pass through leaves them alone, correct treats "
                       "them like others. Needs the camera."),
        sockets.BodyCamera.Input("camera", optional=True, tooltip="The people's cameras. Not connected: nobody counts as cut off."),
        prior_input("Whose codes are measured; another prior needs another threshold."),
        sockets.body_model_input("The body that tells who is cut off."),
    ]


def _verdict(pictures, body_pose, threshold, code, draw, cut_off, camera=None, pose_prior=None, body_model=None):
    device = host.compute_device()
    pose = body_pose.to(device)
    scores = difficulty(ready_prior(pose_prior), pose, draw, code == "sampled")
    cut = None if camera is None else measure_framing(pose, camera, ready_body(body_model)).cut_off()
    return judge(scores, picture_of(body_pose, pictures), pictures, threshold, cut, cut_off)
