"""Measures: videos of a person, and sets of poses."""

from __future__ import annotations

import json

import torch
from comfy_api.v0_0_2 import io

from ..models.bodies.body import load_body_model
from ..models.checks import InputError
from ..models.metrics import pose_report, video_report
from ..models.metrics.video import evaluate_video
from ..models.motion.openpose import pose_keypoint_to_keypoints
from . import convert, host, sockets
from .sockets import declare

CATEGORY = "contrapposto/motion"


class EvaluateVideo(io.ComfyNode):
    """Frames -> the thirteen metrics of Dancing Avatar."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoEvaluateVideo",
            display_name="Evaluate Video",
            category=CATEGORY,
            description="Measures a video of a person: the quality of frame, body and background, how well pose and text are met, and how "
            "steady everything is. What cannot be measured is left out and says why.",
            search_aliases=["metrics", "NIQE", "BRISQUE", "CLIP score", "temporal consistency"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The frames, for example from Get Video Components."),
                io.Float.Input("fps", default=24.0, min=0.1, max=240.0, step=0.1, tooltip="Frames per second (0.1 to 240), for the plot."),
                io.Int.Input("quality_every", default=1, min=1, max=1000,
                             tooltip="NIQE and BRISQUE look at every so many frames (1 to 1000). They are what takes long."),
                io.Mask.Input("masks", optional=True, tooltip="1 where the person is, 0 elsewhere: one row per frame, or one for all. "
                              "Needed for body and background."),
                io.String.Input("text", default="", multiline=True, optional=True,
                                tooltip="The prompt of the video, compared with each frame. Needs clip and clip_vision."),
                io.Clip.Input("clip", optional=True, tooltip="Text half of a CLIP with its projection, from Load CLIP."),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="Picture half of the same CLIP, such as ViT-L/14."),
                sockets.PoseKeypoint.Input("given_pose", optional=True, tooltip="The key points that were asked for, one person per frame, "
                                           "for example from Render Pose Map."),
                sockets.PoseKeypoint.Input("found_pose", optional=True, tooltip="The key points that a detector finds in the frames."),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="Means and ranges, and how they were measured, as Markdown."),
                io.String.Output(display_name="json", tooltip="Everything, also per frame."),
                io.Image.Output(display_name="plot", tooltip="Each metric over time."),
            ],
        )

    @classmethod
    def execute(cls, images, fps, quality_every, masks=None, text="", clip=None, clip_vision=None, given_pose=None, found_pose=None):
        frames = convert.image_to_rgb(images)
        embed, wanted_text, name = None, None, ""
        if clip_vision is not None:
            embed = lambda pictures: clip_vision.encode_image(pictures)["image_embeds"]
            name = type(clip_vision.model).__name__
            if text.strip() and clip is not None:
                wanted_text, seen = host.clip_embeddings(clip, clip_vision, text, frames[:1])
                name = f"{name}, {seen.shape[-1]} numbers per picture"
        scores = evaluate_video(frames, convert.mask_to_bhw(masks), _people(given_pose, len(frames), "given_pose"),
                                _people(found_pose, len(frames), "found_pose"), embed, wanted_text, name, quality_every, host.progress())
        table, plot = video_report.as_table(scores), video_report.as_picture(scores, fps)[None]
        return io.NodeOutput(table, video_report.as_json(scores), host.to_intermediate(plot), ui=convert.preview_image(plot))


class EvaluatePoses(io.ComfyNode):
    """Poses -> how plausible, how varied, how far from a reference."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoEvaluatePoses",
            display_name="Evaluate Poses",
            category=CATEGORY,
            description="Measures poses or a motion: plausibility of joints and of the stand on the floor, variety, and the distance from "
            "reference poses.",
            search_aliases=["metrics", "FPD", "Frechet pose distance", "plausibility"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="The poses to measure."),
                sockets.BodyPose.Input("reference", optional=True, tooltip="Poses to compare with; distributions need at least 200 on both "
                                       "sides."),
                sockets.PosePrior.Input("pose_prior", optional=True, tooltip="For the Frechet pose distance of its codes."),
                sockets.body_model_input("The body that plausibility is measured on."),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="The measures as Markdown."),
                io.String.Output(display_name="json", tooltip="The same as JSON."),
            ],
        )

    @classmethod
    def execute(cls, body_pose, reference=None, pose_prior=None, body_model=None):
        prior = None if pose_prior is None else pose_prior.ready()
        device = body_pose.device if prior is None else pose_prior.device
        with torch.no_grad():
            measures = pose_report.evaluate_poses(body_pose.to(device), (body_model or load_body_model()).to(device), reference, prior)
        table = pose_report.as_table(measures)
        return io.NodeOutput(table, json.dumps(measures, indent=1), ui={"text": (table,)})


def _people(pose_keypoint, frames, name):
    """One person per frame as Keypoints: the first of each, and nothing where nobody is; None without key points."""
    if pose_keypoint is None:
        return None
    keypoints, frame, _ = pose_keypoint_to_keypoints(pose_keypoint, name=name)
    if len(pose_keypoint) not in (1, frames) and not isinstance(pose_keypoint, dict):
        raise InputError(name, f"{len(pose_keypoint)} pictures", f"do not fit {frames} frames", "Detect the poses in these frames.")
    rows = {number: row for row, number in reversed(list(enumerate(frame.tolist())))}
    picked = keypoints[[rows.get(number, 0) for number in range(frames)]]
    there = torch.tensor([number in rows for number in range(frames)])
    return type(picked)(picked.keypoints_2d, picked.scores * there[:, None].to(picked.scores), picked.order, picked.width, picked.height)
