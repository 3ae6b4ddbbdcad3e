"""Dancing Avatar's frame loop: poses become a video, one frame after the other, and a run that was stopped goes on where it was."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import uuid4

import folder_paths
import torch
from comfy_api.v0_0_2 import io

from ..models.checks import check_range
from ..models.dancing_avatar.background import Brush, Sampling
from ..models.dancing_avatar.frame_cache import FrameCache
from ..models.dancing_avatar.frame_loop import POSE, FrameSources, LoopSettings, check_loop, paint_frames
from ..models.dancing_avatar.previous_frame import GUIDE, Guidance
from ..models.headless.video_file import check_video_path, write_video
from . import convert, dancing_avatar, host, provenance, sampling
from .sockets import declare

IMAGES, VIDEO_FILE = "images", "video file"
CACHE_FOLDER = "contrapposto_frames"
GIGABYTE = 10**9
UPSTREAM = ("model", "positive", "negative", "vae", "pose_control_net", "previous_frame_control_net")


class DancingAvatarFrameLoop(io.ComfyNode):
    """Poses become a video, frame after frame."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoDancingAvatarFrameLoop",
            display_name="Dancing Avatar Frame Loop",
            category=dancing_avatar.CATEGORY,
            description="Paints a person into a still background, frame after frame: each frame follows its pose and the frame before. "
            "Outside the grown masks every frame is the plate, exactly. Finished frames are kept in the output folder, so a run that "
            "was interrupted goes on where it was, and an edit paints only what it changes.",
            search_aliases=["video", "animate", "pose to video", "TemporalNet", "autoregressive"],
            inputs=[
                io.Model.Input("model", tooltip="An inpainting model, or any text-to-image model. LoRAs go in front of it."),
                io.Conditioning.Input("positive", tooltip="The person in the scene. It is encoded once for all frames."),
                io.Conditioning.Input("negative", tooltip="What the frames shall not show."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Image.Input("pose_maps", tooltip="One pose map per frame, for example from Render Pose Map. They set size and length."),
                io.Image.Input("plate", optional=True, tooltip="The background without the person, from Background Plate: one picture, "
                               "or one per frame. Without plate and masks every frame is painted whole."),
                io.Mask.Input("masks", optional=True, tooltip="1 where the person is, 0 elsewhere: one row per frame, for example from "
                              "Render Avatar or Render Gray Body. A frame whose mask is empty is the plate."),
                io.ControlNet.Input("pose_control_net", optional=True, tooltip="ControlNet that reads the pose maps."),
                io.ControlNet.Input("previous_frame_control_net", optional=True, tooltip="ControlNet that reads the frame before: "
                                    "TemporalNet, TemporalNet2 (needs motion), or one trained with this pack."),
                io.Image.Input("anchor", optional=True, tooltip="A picture of the person that guides frame 0 and every re-anchored frame. "
                               "Not connected: frame 0 itself."),
                io.Image.Input("motion", optional=True, tooltip=dancing_avatar.MOTION_TIP),
                *dancing_avatar.sampler_inputs("Seed of the noise, the same for all frames."),
                dancing_avatar.strength_input("pose_strength", 1.0, "the pose is followed"),
                dancing_avatar.strength_input("previous_frame_strength", 0.7, "the frame before guides the next"),
                declare(io.Float.Input, "previous_frame_end", default=1.0, min=0.0, max=1.0, step=0.01, advanced=True,
                        tooltip="Share of the steps after which the frame before stops guiding (0 to 1). "
                        "TemporalNet2's author stops at 0.4."),
                *dancing_avatar.reanchor_inputs(),
                *dancing_avatar.growth_inputs(16, 8, "for hair and clothes around the body"),
                io.Combo.Input("output", options=[IMAGES, VIDEO_FILE], default=IMAGES,
                               tooltip="images: all frames at once, in memory. video file: frames go to a file one by one, for long "
                               "videos; the image output is then the last frame."),
                io.Float.Input("fps", default=24.0, min=0.1, max=240.0, step=0.1, tooltip="Frames per second of the video (0.1 to 240)."),
                declare(io.Float.Input, "cache_gb", default=4.0, min=0.0, max=10000.0, step=0.5, advanced=True,
                        tooltip=f"Most disk space for finished frames in output/{CACHE_FOLDER}, gigabytes (0 to 10000); those used "
                        "longest ago are dropped. 0 keeps none."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames; with a video file only the last one."),
                io.Video.Output(display_name="video", tooltip="For Save Video."),
                io.String.Output(display_name="report", tooltip="How many frames were painted, and how many were found in the cache."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    def execute(cls, model, positive, negative, vae, pose_maps, seed, steps, cfg, sampler_name, scheduler, pose_strength,
                previous_frame_strength, previous_frame_end=1.0, reanchor_every=0, colour_hold=0.0, mask_dilation=16, feather=8,
                output=IMAGES, fps=24.0, cache_gb=4.0, plate=None, masks=None, pose_control_net=None, previous_frame_control_net=None,
                anchor=None, motion=None):
        check_range("fps", fps, 0.1, 240.0, "frames per second")
        controls = {POSE: sampling.Control(pose_control_net, pose_strength),
                    GUIDE: sampling.Control(previous_frame_control_net, previous_frame_strength, 0.0, previous_frame_end)}
        hosted = sampling.HostedDiffusion(model, vae, sampler_name, scheduler, controls)
        rgb = {name: None if given is None else convert.image_to_rgb(given)
               for name, given in (("pose_maps", pose_maps), ("plate", plate), ("anchor", anchor), ("motion", motion))}
        sources = FrameSources(**rgb, masks=convert.mask_to_bhw(masks))
        settings = LoopSettings(Sampling(seed, steps, cfg), Brush(mask_dilation, feather), Guidance(reanchor_every, colour_hold))
        check_loop(hosted, sources)
        identity = provenance.upstream_digest(cls.hidden, UPSTREAM, positive, negative, sampler_name, scheduler, pose_strength,
                                              previous_frame_strength, previous_frame_end)
        cache = open_cache(cache_gb) if identity else None
        show = host.PictureProgress()
        frames = shown(paint_frames(hosted, positive, negative, sources, settings, cache, identity or "", show.step), show, tally := [])
        images, video = to_file(frames, fps) if output == VIDEO_FILE else to_images(frames, sources, fps)
        return io.NodeOutput(images, video, report(tally, cache))


def open_cache(gigabytes):
    """The cache of finished frames in the output folder, or None."""
    return FrameCache(Path(folder_paths.get_output_directory()) / CACHE_FOLDER, int(gigabytes * GIGABYTE)) if gigabytes else None


def shown(frames, show, tally):
    """Hands frames on, shows each on the node, and notes in ``tally`` whether it was kept."""
    for frame in frames:
        show.picture(frame.picture)
        tally.append(frame.kept)
        yield frame.picture


def to_images(frames, sources, fps):
    """All frames as (IMAGE, VIDEO). The batch is made once and filled, so no frame lies in memory twice."""
    images = torch.empty(sources.pose_maps.shape, dtype=torch.float32)
    for index, frame in enumerate(frames):
        images[index] = frame
    images = host.to_intermediate(images)
    return images, host.video_of_images(images, fps)


def to_file(frames, fps):
    """The frames written one by one: (the last one as IMAGE, a VIDEO that lies in ComfyUI's temp folder)."""
    path = check_video_path(Path(folder_paths.get_temp_directory()) / f"contrapposto_{uuid4().hex[:12]}.mp4", "output")
    last = []

    def noted():
        for frame in frames:
            last[:] = [frame]
            yield frame

    write_video(path, noted(), fps, name="output")
    return host.to_intermediate(last[0][None]), host.video_of_file(path)


def report(tally, cache):
    """What was painted and what was found, as a sentence."""
    text = f"{len(tally)} frames: {tally.count(False)} painted, {tally.count(True)} from the cache."
    if cache is not None and cache.damaged:
        text += f" Damaged in the cache and painted anew: {', '.join(cache.damaged)}."
        logging.warning(text)
    return text
