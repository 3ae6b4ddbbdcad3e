"""The body's parts in DensePose's colours, for the pose guider of Parts2Whole."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.render.part_map import render_part_map
from . import convert, host, sockets
from .sockets import declare


class RenderPartMap(io.ComfyNode):
    """The body in DensePose's colours."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoRenderPartMap",
            display_name="Render Part Map",
            category="contrapposto/render",
            description="Draws which part of the body is where, in DensePose's numbering (red V, green U, blue part / 255), as the pose "
            "picture of Parts2Whole.",
            search_aliases=["densepose", "IUV", "body segmentation"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="One picture per row."),
                sockets.camera_input(),
                sockets.body_model_input("The body that poses are drawn with."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The map on black. Not antialiased: its blue is a part's number."),
                io.Mask.Output(display_name="mask", tooltip="1 where the body is, 0 elsewhere."),
            ],
        )

    @classmethod
    def execute(cls, body_pose, camera, body_model=None):
        device = host.compute_device()
        image, mask = render_part_map(convert.figure_on(device, body_pose, body_model), camera.to(device))
        image = host.to_intermediate(image)
        return io.NodeOutput(image, host.to_intermediate(mask), ui=convert.preview_image(image))
