"""Canvases: several avatars, a photograph's floor, things in front, and pictures larger than a model can paint."""

from __future__ import annotations

import math

from comfy_api.v0_0_2 import io

from ..models.compose import canvas
from ..models.compose.ground import ground_camera, standing_places
from ..models.compose.occluder import occluder_from_depth
from ..models.compose.window import crop_picture, crop_render, find_window
from ..models.compose.window import stitch as stitch_window
from . import convert, host, sockets
from .sockets import declare

CATEGORY = "contrapposto/personalization"


class GroundCamera(io.ComfyNode):
    """A camera that agrees with a photograph."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoGroundCamera",
            display_name="Ground Camera",
            category="contrapposto/render",
            description="Sees the figure as the camera of a photograph would, so that its feet meet the floor at the place "
            "you choose and its size fits.",
            search_aliases=["horizon", "floor", "perspective match"],
            inputs=[
                sockets.figure_input(),
                io.Image.Input("background", tooltip="The photograph. It sets the size."),
                io.Float.Input(
                    "horizon",
                    default=0.4,
                    min=-2.0,
                    max=3.0,
                    step=0.01,
                    tooltip="Row of the horizon, the eye level of whoever took the photograph: 0 top, 1 bottom (-2 to 3).",
                ),
                io.Float.Input(
                    "feet_x",
                    default=0.5,
                    min=-0.5,
                    max=1.5,
                    step=0.01,
                    tooltip="Where the feet stand: 0 left, 1 right (-0.5 to 1.5).",
                ),
                io.Float.Input(
                    "feet_y",
                    default=0.9,
                    min=-0.5,
                    max=2.0,
                    step=0.01,
                    tooltip="Where the feet stand: 0 top, 1 bottom (-0.5 to 2). It must be below the horizon.",
                ),
                io.Float.Input(
                    "camera_height",
                    default=1.6,
                    min=0.05,
                    max=100.0,
                    step=0.05,
                    tooltip="Height of the photograph's camera above the floor, metres (0.05 to 100). "
                    "A lower camera makes the figure larger.",
                ),
                declare(
                    io.Float.Input,
                    "yaw",
                    default=20.0,
                    min=-180.0,
                    max=180.0,
                    step=1.0,
                    tooltip="Turn the figure: degrees (-180 to 180). 0 shows its front, 90 its left side.",
                ),
                declare(
                    io.Float.Input,
                    "field_of_view",
                    default=40.0,
                    min=5.0,
                    max=120.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Vertical opening angle of the photograph, degrees (5 to 120). A phone has about 50.",
                ),
                sockets.body_model_input("The body that poses are drawn with; unused for an avatar."),
            ],
            outputs=[sockets.BodyCamera.Output(display_name="camera", tooltip="One camera per row.")],
        )

    @classmethod
    def execute(
        cls, figure, background, horizon, feet_x, feet_y, camera_height, yaw, field_of_view=40.0, body_model=None
    ):
        height, width = background.shape[1:3]
        feet = standing_places(convert.figure_on(host.compute_device(), figure, body_model))
        camera = ground_camera(
            feet,
            width,
            height,
            horizon,
            feet_x,
            feet_y,
            camera_height,
            math.radians(yaw),
            math.radians(field_of_view),
        )
        return io.NodeOutput(host.to_intermediate(camera))


class ComposeAvatars(io.ComfyNode):
    """An avatar joins a canvas."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoComposeAvatars",
            display_name="Compose Avatars",
            category=CATEGORY,
            description="Places an avatar on a canvas: where it stands, how large, how turned. Chain several for several "
            "avatars; the nearer hides the farther, pixel by pixel.",
            search_aliases=["place avatar", "multiple characters", "layers"],
            is_output_node=True,
            inputs=[
                sockets.BodyRender.Input("avatar", tooltip="From Render Avatar."),
                sockets.BodyRender.Input("gray_body", tooltip="From Render Gray Body: same pose, same camera."),
                *sockets.size_inputs("Canvas", "Unused when onto_avatar is connected."),
                io.Float.Input(
                    "x",
                    default=0.5,
                    min=-1.0,
                    max=2.0,
                    step=0.01,
                    tooltip="Where the avatar stands: 0 left edge, 1 right edge (-1 to 2). Its lowest point is put there.",
                ),
                io.Float.Input(
                    "y", default=0.95, min=-1.0, max=2.0, step=0.01, tooltip="Where it stands: 0 top, 1 bottom (-1 to 2)."
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=0.01,
                    max=20.0,
                    step=0.01,
                    tooltip="Size (0.01 to 20). 1 keeps every pixel as it is. Larger counts as nearer.",
                ),
                io.Float.Input(
                    "rotation",
                    default=0.0,
                    min=-360.0,
                    max=360.0,
                    step=1.0,
                    tooltip="Turn in the picture plane, degrees counter-clockwise about the standing point (-360 to 360).",
                ),
                sockets.BodyRender.Input(
                    "onto_avatar", optional=True, tooltip="The avatar output of the Compose Avatars node before this one."
                ),
                sockets.BodyRender.Input(
                    "onto_gray_body", optional=True, tooltip="The gray_body output of the Compose Avatars node before this one."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The avatars on black."),
                io.Mask.Output(display_name="mask", tooltip="1 where an avatar is, 0 elsewhere, soft on the outline."),
                sockets.BodyRender.Output(display_name="avatar", tooltip="All avatars so far."),
                sockets.BodyRender.Output(display_name="gray_body", tooltip="Their gray bodies."),
            ],
        )

    @classmethod
    def execute(
        cls, avatar, gray_body, width, height, x, y, scale, rotation, onto_avatar=None, onto_gray_body=None
    ):
        placement = canvas.Placement(x, y, scale, math.radians(rotation))
        under = [render.to(avatar.rgb.device) for render in (onto_avatar, onto_gray_body) if render is not None]
        avatar, gray = canvas.place_pair(avatar, gray_body, placement, width, height, *under)
        return io.NodeOutput(avatar.rgb, avatar.alpha, avatar, gray, ui=convert.preview_render(avatar))


class CropCanvas(io.ComfyNode):
    """The window of a large canvas that a model paints."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoCropCanvas",
            display_name="Crop Canvas",
            category=CATEGORY,
            description="Cuts the window around the avatars out of a large canvas, at the size an image model paints well. "
            "Stitch Canvas puts the result back; Paste Avatar Back then adds the avatar at full resolution.",
            search_aliases=["crop and stitch", "large canvas", "outpaint"],
            inputs=[
                sockets.BodyRender.Input("avatar", tooltip="At the canvas' size."),
                sockets.BodyRender.Input("gray_body", tooltip="At the canvas' size."),
                io.Int.Input(
                    "side",
                    default=512,
                    min=64,
                    max=4096,
                    step=8,
                    tooltip="The model's resolution, pixels (64 to 4096): 512 for SD1.5, 1024 for SDXL and Flux.",
                ),
                io.Float.Input(
                    "margin",
                    default=10.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Free border around the avatars as a part of their larger side (0 to 10). "
                    "10 takes the whole canvas, for a scene painted from nothing.",
                ),
                io.Image.Input("canvas", optional=True, tooltip="A picture that is there already, at the canvas' size."),
            ],
            outputs=[
                sockets.BodyRender.Output(display_name="avatar", tooltip="For Encode Avatar."),
                sockets.BodyRender.Output(display_name="gray_body", tooltip="For Encode Avatar."),
                sockets.CanvasWindow.Output(display_name="window", tooltip="For Stitch Canvas."),
                io.Image.Output(display_name="image", tooltip="The canvas in the window, mid-gray without one."),
            ],
        )

    @classmethod
    def execute(cls, avatar, gray_body, side, margin, canvas=None):
        return io.NodeOutput(*crop(avatar, gray_body, side, margin, canvas))


class StitchCanvas(io.ComfyNode):
    """The painted window back onto the canvas."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoStitchCanvas",
            display_name="Stitch Canvas",
            category=CATEGORY,
            description="Grows the painted window to its true size and blends it into the canvas.",
            search_aliases=["crop and stitch", "large canvas"],
            inputs=[
                io.Image.Input("image", tooltip="What the model painted, at the window's size."),
                sockets.CanvasWindow.Input("window", tooltip="From Crop Canvas."),
                io.Float.Input(
                    "feather",
                    default=0.1,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="Soft border as a part of the window's smaller side (0 to 0.5). The canvas' own edges stay hard.",
                ),
                io.Image.Input(
                    "canvas", optional=True, tooltip="The picture around the window. Not needed when the window is all of it."
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The canvas at its full size.")],
        )

    @classmethod
    def execute(cls, image, window, feather, canvas=None):
        return io.NodeOutput(host.to_intermediate(stitch(image, window, feather, canvas)))


class OccluderFromDepth(io.ComfyNode):
    """What stands before the avatar."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoOccluderFromDepth",
            display_name="Occluder from Depth",
            category=CATEGORY,
            description="Marks everything of a picture that is nearer than the floor under the avatar's feet, so that tables, "
            "leaves and people in front cover the avatar.",
            search_aliases=["in front of", "occlusion mask"],
            inputs=[
                io.Image.Input(
                    "depth",
                    tooltip="A depth estimate of the picture without the avatar, near is white, for example from Depth Anything.",
                ),
                sockets.BodyRender.Input("body_render", tooltip="The avatar as it will be pasted."),
                io.Float.Input(
                    "softness",
                    default=0.03,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much nearer something must be to count as in front (0 to 1).",
                ),
            ],
            outputs=[io.Mask.Output(display_name="occluder", tooltip="1 where something is in front of the avatar, 0 elsewhere.")],
        )

    @classmethod
    def execute(cls, depth, body_render, softness):
        return io.NodeOutput(occluder_from_depth(depth[..., :3].mean(-1), body_render, softness))


def crop(avatar, gray_body, side, margin, picture):
    """Returns (avatar, gray body, window, picture) in the window."""
    window = find_window(avatar.alpha, side, margin)
    width, height = window.painted
    shown = avatar.rgb.new_full((1, height, width, 3), 0.5) if picture is None else crop_picture(picture[..., :3], window)
    return crop_render(avatar, window), crop_render(gray_body, window), window, shown


def stitch(image, window, feather, picture):
    """Returns the canvas with the painted window in it."""
    whole = None if picture is None else convert.image_to_rgb(picture)
    return stitch_window(convert.image_to_rgb(image), window, whole, feather)
