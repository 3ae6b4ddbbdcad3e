"""The avatar inside a scene."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.compose.paste_back import paste_back
from . import convert, host, sockets
from .sockets import declare


class PasteAvatarBack(io.ComfyNode):
    """The avatar's own pixels over a picture."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPasteAvatarBack",
            display_name="Paste Avatar Back",
            category="contrapposto/personalization",
            description="Lays the rendered avatar over a picture. Where it is solid its pixels are kept exactly, "
            "outside it the picture's are.",
            search_aliases=["composite", "overlay"],
            inputs=[
                io.Image.Input(
                    "image", tooltip="The background, of the render's size. One picture for all rows, or one per row."
                ),
                sockets.BodyRender.Input("body_render", tooltip="From Render Avatar or Render Gray Body."),
                io.Mask.Input(
                    "occluder",
                    optional=True,
                    tooltip="1 where something of the picture is in front of the avatar, 0 elsewhere.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The picture with the avatar in it.")],
        )

    @classmethod
    def execute(cls, image, body_render, occluder=None):
        render = body_render.to(image.device)
        pasted = paste_back(convert.image_to_rgb(image), render, convert.mask_to_bhw(occluder))
        return io.NodeOutput(host.to_intermediate(pasted))
