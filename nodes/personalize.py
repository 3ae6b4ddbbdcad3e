"""The avatar inside a scene: what the image model is told about it, and its own pixels back at the end."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.compose.contact import darken, visible_shadow
from ..models.compose.harmonise import harmonise
from ..models.compose.paste_back import paste_back
from ..models.personalization.conditioning import AvatarEncoding
from ..models.personalization.patch import load_patch
from . import convert, host, sockets, unet_patches
from .sockets import declare

CATEGORY = "contrapposto/personalization"
LINEAR = "linear light"
DISPLAY = "display values"


class EncodeAvatar(io.ComfyNode):
    """The avatar as an image model sees it."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoEncodeAvatar",
            display_name="Encode Avatar",
            category=CATEGORY,
            description="Prepares the rendered avatar and its gray body for an image model. Personalize Conditioning has the VAE "
            "encode what the model reads; that does not depend on the prompt, so it happens once for all prompts.",
            search_aliases=["personalize", "outpaint", "PAS"],
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the image model."),
                sockets.BodyRender.Input("avatar", tooltip="From Render Avatar or Compose Avatars."),
                sockets.BodyRender.Input(
                    "gray_body", tooltip="From Render Gray Body or Compose Avatars: same pose, same camera."
                ),
                io.Float.Input(
                    "downsample_rate",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much texture the model does not get to see (0 to 1): 0 all of it, 1 one pixel of 8 x 8. "
                    "Higher lets the scene's style differ from the avatar's. The pasted avatar stays sharp.",
                ),
            ],
            outputs=[
                sockets.Personalization.Output(
                    display_name="personalization", tooltip="For Personalize Conditioning. One entry per row."
                )
            ],
        )

    @classmethod
    def execute(cls, vae, avatar, gray_body, downsample_rate):
        cell = vae.spacial_compression_encode()
        encode = lambda pictures: host.to_intermediate(vae.encode(pictures))
        return io.NodeOutput(AvatarEncoding(avatar, gray_body, encode, downsample_rate, cell))


class LoadPersonalizationPatch(io.ComfyNode):
    """A base model becomes a personalized one."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadPersonalizationPatch",
            display_name="Load Personalization Patch",
            category=CATEGORY,
            description="Turns the base model of a patch into a model that reads the avatar, its gray body and the "
            "downsample rate. Train one with `make train-personalization`.",
            search_aliases=["PAS", "personalize model"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The base model that the patch was trained on, or a relative of it. LoRAs may come before or after."
                ),
                io.Combo.Input(
                    "file",
                    options=host.file_choices("personalization"),
                    tooltip="A .safetensors patch in ComfyUI/models/personalization.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of what was learnt is added (0 to 1). 0 gives the unchanged model.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For Personalize Conditioning.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return host.explain_missing("personalization", file)

    @classmethod
    def fingerprint_inputs(cls, file, **_):
        return host.choice_fingerprint("personalization", file)

    @classmethod
    def execute(cls, model, file, strength):
        patch = load_patch(host.choice_to_source("personalization", file))
        return io.NodeOutput(unet_patches.apply_patch(model, patch, strength))


class PersonalizeConditioning(io.ComfyNode):
    """The avatar goes into both conditionings."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPersonalizeConditioning",
            display_name="Personalize Conditioning",
            category=CATEGORY,
            description="Lets an image model paint the scene around the avatar. An inpainting model is told what is "
            "there, a personalized one also reads the gray body, any other model is led by the noise mask; add a depth or "
            "pose ControlNet from our own renders to it.",
            search_aliases=["inpaint conditioning", "outpaint", "PAS"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Any image model: inpainting, text to image of any family, or personalized by Load Personalization Patch.",
                ),
                io.Conditioning.Input("positive", tooltip="What the scene shows."),
                io.Conditioning.Input("negative", tooltip="What it shall not show."),
                sockets.Personalization.Input("personalization", tooltip="From Encode Avatar, with the model's own VAE."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="positive", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For KSampler."),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="For KSampler at denoise 1: the avatar, with a noise mask that is 1 where the scene is painted.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, positive, negative, personalization):
        personalization = personalization.read(gray=unet_patches.is_personalized(model))
        outputs = unet_patches.personalize(model, positive, negative, personalization)
        mask = personalization.change_mask[:, None]
        return io.NodeOutput(*outputs, {"samples": personalization.avatar_latents, "noise_mask": mask})


class PasteAvatarBack(io.ComfyNode):
    """The avatar's own pixels over a picture."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPasteAvatarBack",
            display_name="Paste Avatar Back",
            category=CATEGORY,
            description="Lays the rendered avatar over a picture. Where it is solid its pixels are kept exactly, "
            "outside it the picture's are.",
            search_aliases=["composite", "overlay"],
            inputs=[
                io.Image.Input(
                    "image", tooltip="The background, of the render's size. One picture for all rows, or one per row."
                ),
                sockets.BodyRender.Input("body_render", tooltip="From Render Avatar, Render Gray Body or Compose Avatars."),
                declare(
                    io.Combo.Input,
                    "blending",
                    optional=True,
                    options=[LINEAR, DISPLAY],
                    default=LINEAR,
                    advanced=True,
                    tooltip="How the soft outline mixes. linear light: as light does, without dark fringes. "
                    "display values: as most programs do.",
                ),
                declare(
                    io.Boolean.Input,
                    "clean_edges",
                    optional=True,
                    default=False,
                    advanced=True,
                    tooltip="On: the outline takes its colour from the solid pixels beside it, which removes the fringe of another "
                    "background. Our own renders need it only after scaling. Solid pixels never change.",
                ),
                declare(
                    io.Float.Input,
                    "harmonise",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="How far the picture's light and colour move towards the avatar's (0 to 1). 0 is off. "
                    "The avatar's solid pixels never change.",
                ),
                declare(
                    io.Float.Input,
                    "contact_shadow",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Darkness of a soft shadow on the floor below the avatar (0 to 1). 0 is off. "
                    "It needs a camera that sees the floor from above.",
                ),
                io.Mask.Input(
                    "occluder",
                    optional=True,
                    tooltip="1 where something of the picture is in front of the avatar, 0 elsewhere.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The picture with the avatar in it.")],
        )

    @classmethod
    def execute(
        cls, image, body_render, blending=LINEAR, clean_edges=False, harmonise=0.0, contact_shadow=0.0, occluder=None
    ):
        picture, render = convert.image_to_rgb(image), body_render.to(image.device)
        picture = tone_to_avatar(picture, render, harmonise)
        picture = ground_avatar(picture, render, contact_shadow)
        pasted = paste_back(
            picture,
            render,
            convert.mask_to_bhw(occluder),
            linear_light=blending == LINEAR,
            clean_edges=clean_edges,
        )
        return io.NodeOutput(host.to_intermediate(pasted))


def tone_to_avatar(picture, render, strength):
    """Returns the picture with its tone moved towards the avatar's; at 0 the same picture."""
    return harmonise(picture, render, strength) if strength else picture


def ground_avatar(picture, render, darkness):
    """Returns the picture with the avatar's shadow on its floor; at 0 the same picture."""
    return darken(picture, visible_shadow(render), darkness) if darkness else picture
