"""The dancing avatar without an image model: a motion becomes a film of the user's own character."""

from __future__ import annotations

import math

import torch
from comfy_api.v0_0_2 import io

from ..models.checks import check_range
from ..models.dancing_avatar.avatar_video import film
from ..models.dancing_avatar.shot import MOVES, photo_shot, studio_shot
from ..models.render.camera import VIEWS
from ..models.render.engine import ENGINES
from ..models.render.shade import LIGHTS
from . import convert, dancing_avatar, host, sockets
from .frame_loop import IMAGES, VIDEO_FILE, to_file
from .sockets import declare

NEAREST = 0.0


class AvatarVideo(io.ComfyNode):
    """A posed avatar with one row per frame -> a film."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoAvatarVideo",
            display_name="Avatar Video",
            category=dancing_avatar.CATEGORY,
            description="Films an avatar in motion over a picture, or in a plain studio, with its shadow on the floor. No image model "
            "is needed, and the avatar's own pixels are in every frame.",
            search_aliases=["dance", "film", "animate avatar", "motion video", "zero shot"],
            is_output_node=True,
            inputs=[
                sockets.PosedAvatar.Input("posed_avatar", tooltip="From Retarget Pose: one row per frame."),
                io.Image.Input("background", optional=True, tooltip="Picture to dance in, which sets the size; or one picture per frame. "
                               "Not connected: a plain studio."),
                *sockets.size_inputs("Studio", "A background brings its own."),
                io.Combo.Input("view", options=list(VIEWS), default="three-quarter",
                               tooltip="Where the studio's camera stands. Unused with a background."),
                io.Combo.Input("camera_move", options=list(MOVES), default="still",
                               tooltip="Studio: still shows the whole stage, follow goes along and shows the avatar larger. "
                               "Over a background the camera stands still."),
                io.Float.Input("yaw", default=0.0, min=-180.0, max=180.0, step=1.0,
                               tooltip="Background: turn the whole motion, degrees (-180 to 180). 90 shows its left side."),
                io.Float.Input("horizon", default=0.4, min=-2.0, max=3.0, step=0.01,
                               tooltip="Background: row of the horizon, the eye level of whoever took it: 0 top, 1 bottom (-2 to 3)."),
                io.Float.Input("feet_x", default=0.5, min=-0.5, max=1.5, step=0.01,
                               tooltip="Background: the middle of the motion's way over the floor: 0 left, 1 right (-0.5 to 1.5)."),
                io.Float.Input("feet_y", default=NEAREST, min=0.0, max=2.0, step=0.01,
                               tooltip="Background: the same, 0 top to 1 bottom (0 to 2), below the horizon. "
                               "0 finds the nearest place at which the whole motion is in the picture."),
                io.Float.Input("camera_height", default=1.6, min=0.05, max=100.0, step=0.05,
                               tooltip="Background: height of its photographer's camera above the floor, metres (0.05 to 100)."),
                declare(io.Float.Input, "field_of_view", default=40.0, min=5.0, max=120.0, step=1.0, advanced=True, optional=True,
                        tooltip="Vertical opening angle of the camera, degrees (5 to 120)."),
                declare(io.Float.Input, "margin", default=0.06, min=0.0, max=0.45, step=0.01, advanced=True, optional=True,
                        tooltip="Free border where the camera or the place is found for you, as a part of the picture (0 to 0.45)."),
                io.Float.Input("shadow", default=1.0, min=0.0, max=1.0, step=0.05,
                               tooltip="Darkness of the shadow on the floor (0 to 1). 0 leaves it away."),
                declare(io.Combo.Input, "lights", options=list(LIGHTS), default="studio", advanced=True, optional=True,
                        tooltip="Light on the avatar. studio: key, fill and rim. soft: hardly any shading. dramatic: one hard side light."),
                declare(io.Boolean.Input, "settle_feet", default=True, advanced=True, optional=True,
                        tooltip="On: the slow drift of recorded feet above or below the floor is taken out; jumps stay jumps. "
                        "Off: heights stay as they are."),
                io.Combo.Input("output", options=[IMAGES, VIDEO_FILE], default=IMAGES,
                               tooltip="images: all frames at once, in memory. video file: frames go to a file one by one, for long "
                               "films; images and masks are then the last frame."),
                io.Float.Input("fps", default=30.0, min=0.1, max=240.0, step=0.1,
                               tooltip="Frames per second (0.1 to 240), from Load Motion or Edit Motion."),
                declare(io.Combo.Input, "engine", options=list(ENGINES), default="torch", advanced=True, optional=True,
                        tooltip="torch runs everywhere. pyrender is a reference that needs an OpenGL driver and its own packages."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames; with a video file only the last one."),
                io.Mask.Output(display_name="masks", tooltip="1 where the avatar is, 0 elsewhere, soft on its outline. One row per image."),
                io.Video.Output(display_name="video", tooltip="For Save Video."),
                sockets.BodyCamera.Output(display_name="camera", tooltip="One camera per frame, for pose maps and depth of the same film."),
            ],
        )

    @classmethod
    def execute(cls, posed_avatar, width, height, view, camera_move, yaw, horizon, feet_x, feet_y, camera_height, shadow, output, fps,
                field_of_view=40.0, margin=0.06, lights="studio", settle_feet=True, engine="torch", background=None):
        check_range("fps", fps, 0.1, 240.0, "frames per second")
        avatar, fov = posed_avatar.to(host.compute_device()), math.radians(field_of_view)
        common = {"fov": fov, "margin": margin, "settle": settle_feet, "fps": fps}
        if background is None:
            shot = studio_shot(avatar, width, height, view=view, move=camera_move, **common)
        else:
            background = convert.image_to_rgb(background)
            place = None if feet_y == NEAREST else feet_y
            shot = photo_shot(avatar, background.shape[2], background.shape[1], horizon, feet_x, place, camera_height, math.radians(yaw),
                              **common)
        pieces = film(shot, background, shadow, engine, lights, on_row=host.progress())
        images, masks, video = _to_file(pieces, fps) if output == VIDEO_FILE else _to_images(pieces, shot, fps)
        return io.NodeOutput(images, masks, video, host.to_intermediate(shot.world_camera()), ui=convert.preview_image(images))


def _to_images(pieces, shot, fps):
    """All frames: (IMAGE, MASK, VIDEO). Both batches are made once and filled, so no frame lies in memory twice."""
    size = (len(shot), shot.camera.height, shot.camera.width)
    images, masks, done = host.to_intermediate(torch.empty(*size, 3)), host.to_intermediate(torch.empty(size)), 0
    for frames, render in pieces:
        images[done : done + len(frames)], masks[done : done + len(frames)] = frames, render.alpha
        done += len(frames)
    return images, masks, host.video_of_images(images, fps)


def _to_file(pieces, fps):
    """The frames written one by one: (the last IMAGE, its MASK, a VIDEO in ComfyUI's temp folder)."""
    last = []

    def frames():
        for pictures, render in pieces:
            last[:] = [render.alpha[-1:]]
            yield from pictures

    image, video = to_file(frames(), fps)
    return image, host.to_intermediate(last[0]), video
