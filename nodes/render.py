"""A camera for bodies and avatars, and the pictures it takes."""

from __future__ import annotations

import math

from comfy_api.v0_0_2 import io

from ..models.compose.backdrop import studio_backdrop
from ..models.compose.shadow import floor_shadow
from ..models.motion.openpose import keypoints_to_pose_keypoint
from ..models.render.camera import VIEWS, frame_figure
from ..models.render.depth import depth_to_image
from ..models.render.engine import ENGINES, render_figure
from ..models.render.pose_map import draw_pose_map, project_keypoints
from ..models.render.shade import LIGHTS, scaled_lights
from . import convert, host, sockets
from .sockets import declare

CUSTOM_VIEW = "custom"
MASK_TOOLTIP = "1 where the figure is, 0 elsewhere, soft on its outline."


class FrameBody(io.ComfyNode):
    """A camera that sees the whole figure."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoFrameBody",
            display_name="Frame Body",
            category="contrapposto/render",
            description="Places a camera so that the whole figure is in the picture, whatever the pose.",
            search_aliases=["camera", "fit view"],
            inputs=[
                sockets.figure_input(),
                *sockets.size_inputs("Picture"),
                io.Combo.Input(
                    "view",
                    options=[*VIEWS, CUSTOM_VIEW],
                    default="three-quarter",
                    tooltip="Where the camera stands. custom takes yaw and pitch.",
                ),
                declare(
                    io.Float.Input,
                    "yaw",
                    default=0.0,
                    min=-180.0,
                    max=180.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Custom view: walk around the figure, degrees (-180 to 180). "
                    "0 sees its front, 90 its left side. Unused in other views.",
                ),
                declare(
                    io.Float.Input,
                    "pitch",
                    default=0.0,
                    min=-90.0,
                    max=90.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Custom view: raise the camera, degrees (-90 to 90). "
                    "Above 0 looks down on the figure. Unused in other views.",
                ),
                declare(
                    io.Float.Input,
                    "field_of_view",
                    default=30.0,
                    min=5.0,
                    max=120.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Vertical opening angle, degrees (5 to 120). Small is like a long lens: flatter.",
                ),
                declare(
                    io.Float.Input,
                    "margin",
                    default=0.08,
                    min=0.0,
                    max=0.45,
                    step=0.01,
                    advanced=True,
                    tooltip="Free border on each side, as a part of the picture (0 to 0.45).",
                ),
                declare(
                    io.Boolean.Input,
                    "one_camera",
                    default=False,
                    advanced=True,
                    tooltip="On: one camera for all rows, as a film needs. Off: each row is framed on its own.",
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The picture the figure will be pasted on. It sets the size; width and height are unused.",
                ),
                sockets.body_model_input("The body that poses are drawn with; unused for an avatar."),
                sockets.Load3DCamera.Input(
                    "camera_info",
                    optional=True,
                    tooltip="The view of a ComfyUI 3D node: the figure is seen from the same direction. "
                    "Its distance is fitted to the figure. When connected, view, yaw and pitch are unused.",
                ),
            ],
            outputs=[sockets.BodyCamera.Output(display_name="camera", tooltip="One camera per row.")],
        )

    @classmethod
    def execute(
        cls,
        figure,
        width,
        height,
        view,
        yaw,
        pitch,
        field_of_view,
        margin,
        one_camera,
        background=None,
        body_model=None,
        camera_info=None,
    ):
        if background is not None:
            height, width = background.shape[1:3]
        angles = {"yaw": math.radians(yaw), "pitch": math.radians(pitch)} if view == CUSTOM_VIEW else {"view": view}
        if camera_info is not None:
            angles, field_of_view = convert.camera_info_to_view(camera_info, field_of_view)
        camera = frame_figure(
            convert.figure_on(host.compute_device(), figure, body_model),
            width,
            height,
            **angles,
            fov=math.radians(field_of_view),
            margin=margin,
            shared=one_camera,
        )
        return io.NodeOutput(host.to_intermediate(camera))


class RenderGrayBody(io.ComfyNode):
    """The figure as a plain gray body."""

    @classmethod
    def define_schema(cls):
        return _render_schema(
            "RenderGrayBody",
            "Render Gray Body",
            "Draws the plain gray body: the pose and shape without any look, as guidance for image models.",
            [
                sockets.figure_input(),
                sockets.camera_input(),
                sockets.body_model_input("The body that poses are drawn with."),
            ],
        )

    @classmethod
    def execute(cls, figure, camera, engine, body_model=None):
        return _render_output(_draw(figure, camera, "gray", engine, body_model))


class RenderAvatar(io.ComfyNode):
    """The avatar in its own colours."""

    @classmethod
    def define_schema(cls):
        return _render_schema(
            "RenderAvatar",
            "Render Avatar",
            "Draws the posed avatar in its own colours, with a soft outline.",
            [
                sockets.PosedAvatar.Input("posed_avatar", tooltip="From Retarget Pose. One picture per row."),
                sockets.camera_input(),
                declare(
                    io.Combo.Input,
                    "lights",
                    options=list(LIGHTS),
                    default="studio",
                    optional=True,
                    advanced=True,
                    tooltip="studio: key, fill and rim light. soft: hardly any shadow. dramatic: one hard side light.",
                ),
                _intensity("key", "the main light"),
                _intensity("fill", "all other light: from the other side, the sky and the ground"),
                _intensity("rim", "the light on the outline"),
            ],
        )

    @classmethod
    def execute(cls, posed_avatar, camera, engine, lights="studio", key=1.0, fill=1.0, rim=1.0):
        return _render_output(_draw(posed_avatar, camera, "avatar", engine, lights=scaled_lights(lights, key, fill, rim)))


class RenderDepth(io.ComfyNode):
    """The figure's depth as a gray picture."""

    @classmethod
    def define_schema(cls):
        return _render_schema(
            "RenderDepth",
            "Render Depth",
            "Draws how near each point is: white is nearest, black is nothing, as depth ControlNets expect. "
            "The body_render output keeps the depth in metres.",
            [
                sockets.figure_input(),
                sockets.camera_input(),
                declare(
                    io.Combo.Input,
                    "mode",
                    options=["inverse", "linear"],
                    default="inverse",
                    advanced=True,
                    tooltip="inverse: brightness follows 1 / distance, as depth ControlNets were trained. "
                    "linear: brightness falls evenly with distance.",
                ),
                declare(
                    io.Boolean.Input,
                    "one_range",
                    default=False,
                    advanced=True,
                    tooltip="On: one scale from near to far for all rows, so that a film does not flicker. "
                    "Off: each row uses its own.",
                ),
                sockets.body_model_input("The body that poses are drawn with."),
            ],
        )

    @classmethod
    def execute(cls, figure, camera, mode, one_range, engine, body_model=None):
        render = _draw(figure, camera, "gray", engine, body_model)
        image = depth_to_image(render.depth, mode, shared=one_range)
        return io.NodeOutput(image, render.alpha, render, ui=convert.preview_image(image))


class RenderPoseMap(io.ComfyNode):
    """The figure's skeleton in OpenPose colours."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoRenderPoseMap",
            display_name="Render Pose Map",
            category="contrapposto/render",
            description="Draws the 18 OpenPose points and limbs in the standard colours, for pose ControlNets.",
            search_aliases=["openpose", "skeleton", "stick figure"],
            is_output_node=True,
            inputs=[
                sockets.figure_input(),
                sockets.camera_input(),
                declare(
                    io.Boolean.Input,
                    "hide_far_face",
                    default=True,
                    advanced=True,
                    tooltip="On: eyes, ears and nose that the head itself hides are left out, as a detector would. "
                    "Off: all points are drawn.",
                ),
                sockets.body_model_input("The body that poses are drawn with."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The map on black."),
                *_mask_and_render(),
                sockets.PoseKeypoint.Output(
                    display_name="pose_keypoint", tooltip="The points in pixels, one entry per picture."
                ),
            ],
        )

    @classmethod
    def execute(cls, figure, camera, hide_far_face, body_model=None):
        device = host.compute_device()
        figure, camera = convert.figure_on(device, figure, body_model), camera.to(device)
        render = render_figure(figure, camera, on_row=host.progress())
        keypoints = project_keypoints(figure, camera, render.depth if hide_far_face else None)
        image, render = host.to_intermediate(draw_pose_map(keypoints)), host.to_intermediate(render)
        people = keypoints_to_pose_keypoint(keypoints)
        return io.NodeOutput(image, render.alpha, render, people, ui=convert.preview_image(image))


class RenderStudio(io.ComfyNode):
    """An empty photo studio seen by the camera, with the figure's shadow on its floor."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoRenderStudio",
            display_name="Render Studio",
            category="contrapposto/render",
            description="Draws a plain photo studio for the figure to stand in, with the figure's soft shadow on "
            "the floor: a background for Paste Avatar Back when you have none.",
            search_aliases=["background", "backdrop", "shadow"],
            inputs=[
                sockets.figure_input(),
                sockets.camera_input(),
                io.Float.Input(
                    "shadow",
                    default=0.45,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How dark the shadow is: 0 is none, 1 is black (0 to 1).",
                ),
                sockets.body_model_input("The body that poses are drawn with."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The empty studio with the shadow in it.")],
        )

    @classmethod
    def execute(cls, figure, camera, shadow, body_model=None):
        device = host.compute_device()
        figure, camera = convert.figure_on(device, figure, body_model), camera.to(device)
        image = studio_backdrop(camera) * (1 - shadow * floor_shadow(figure, camera)[..., None])
        return io.NodeOutput(host.to_intermediate(image))


def _render_schema(verb, display_name, description, inputs):
    """Returns the schema that the three rendering nodes share."""
    engine = declare(
        io.Combo.Input,
        "engine",
        options=list(ENGINES),
        default="torch",
        advanced=True,
        tooltip="torch runs everywhere. pyrender is a reference that needs an OpenGL driver and its own packages.",
    )
    return declare(
        io.Schema,
        node_id=f"Contrapposto{verb}",
        display_name=display_name,
        category="contrapposto/render",
        description=description,
        search_aliases=["render body", "SMPL render"],
        is_output_node=True,  # so that it shows its preview without a Preview Image node behind it
        inputs=[*inputs, engine],
        outputs=[
            io.Image.Output(display_name="image", tooltip="The picture; black where nothing is."),
            *_mask_and_render(),
        ],
    )


def _mask_and_render():
    """The outputs that follow the picture in every rendering node."""
    told = "Colours, mask, depth in metres and camera, for Paste Avatar Back."
    return [
        io.Mask.Output(display_name="mask", tooltip=MASK_TOOLTIP),
        sockets.BodyRender.Output(display_name="body_render", tooltip=told),
    ]


def _intensity(name, what):
    return declare(io.Float.Input, name, default=1.0, min=0.0, max=4.0, step=0.05, optional=True, advanced=True,
                   tooltip=f"How strong {what} is (0 to 4); 1 leaves the preset as it is.")


def _draw(figure, camera, shading, engine, body_model=None, lights=None):
    """Returns the Render of a figure socket, made on the compute device and kept on the intermediate device."""
    device = host.compute_device()
    figure = convert.figure_on(device, figure, body_model)
    return host.to_intermediate(
        render_figure(figure, camera.to(device), shading, engine=engine, lights=lights, on_row=host.progress())
    )


def _render_output(render):
    """Returns a render node's output: picture, mask, render, with a preview on the node."""
    return io.NodeOutput(render.rgb, render.alpha, render, ui=convert.preview_render(render))
