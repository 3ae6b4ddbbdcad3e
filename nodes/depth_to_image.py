"""The second pass of pose correction: a picture's latents, painted again under the guidance of its body's depth."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.checks import InputError
from ..models.pose_correction.depth_to_image import (
    DEPTH_CHANNELS,
    NEGATIVE,
    PRESETS,
    check_pictures,
    depth_channel,
    freshen_person,
    ksampler_settings,
)
from . import convert, host, sockets
from .sampling import Control, apply_control, check_control_net, check_picture_model
from .sockets import declare
from .unet_patches import channels_beside, with_values

DEPTH_KEY = "contrapposto_depth_channel"  # conditioning key that our concat_cond reads


class DepthToImageConditioning(io.ComfyNode):
    """A depth-to-image model or a depth ControlNet is told about the body."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoDepthToImage",
            display_name="Depth-to-Image Conditioning",
            category="contrapposto/pose correction",
            description="Prepares the second pass of pose correction: KSampler starts from the first picture and is led by the depth "
            "of its body. Takes Stable Diffusion 2 depth checkpoints, or any model with a depth ControlNet.",
            search_aliases=["depth2img", "SD2 depth", "Diffusion-HPC", "depth ControlNet"],
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 2 depth checkpoint, or any model if control_net is connected."),
                io.Conditioning.Input("positive", tooltip="What the picture shows: the first picture's text."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Image.Input("image", tooltip="The first picture. Its sides must be multiples of the VAE's cell, 8 pixels as a rule."),
                io.Image.Input("depth", tooltip="From Occluded Body Depth: near is bright. One map for all pictures, or one for each."),
                io.Float.Input("strength", default=0.7, min=0.01, max=1.0, step=0.01,
                               tooltip="How much is painted anew (above 0 to 1): 0.7 as in Diffusion-HPC, 1 keeps nothing of the picture."),
                io.Int.Input("steps", default=50, min=1, max=1000,
                             tooltip="Steps of the whole schedule (1 to 1000). strength x steps of them are run."),
                io.Combo.Input("preset", options=list(PRESETS), default="paper",
                               tooltip="paper: start from the picture's latents. released: as the authors' demo, start from plain noise "
                               "where the person is; needs the person mask."),
                sockets.seed_input("Of the plain noise where the person is; the sampler has its own."),
                io.Conditioning.Input("negative", optional=True, tooltip="What the picture shall not show. Not connected: connect clip."),
                io.Clip.Input("clip", optional=True, tooltip=f"Without a negative, it encodes the authors' own: {NEGATIVE!r}."),
                io.Mask.Input("person", optional=True, tooltip="1 where the person is, 0 elsewhere. For the released preset."),
                io.ControlNet.Input("control_net", optional=True, tooltip="A depth ControlNet for the model, of any family."),
                declare(io.Float.Input, "control_strength", optional=True, default=1.0, min=0.0, max=10.0, step=0.05, advanced=True,
                        tooltip="How strongly the ControlNet acts (0 to 10)."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="positive", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For KSampler."),
                io.Latent.Output(display_name="latent", tooltip="For KSampler: the first picture."),
                io.Int.Output(display_name="steps", tooltip="For KSampler's steps."),
                io.Float.Output(display_name="denoise", tooltip="For KSampler's denoise: with these steps it runs the chosen strength."),
            ],
        )

    @classmethod
    def execute(cls, model, positive, vae, image, depth, strength, steps, preset, seed=0, negative=None, clip=None, person=None,
                control_net=None, control_strength=1.0):
        image, person = convert.image_to_rgb(image), convert.mask_to_bhw(person)
        nearness = convert.image_to_rgb(depth).mean(-1)
        reads_depth = _check_model(model, control_net)
        _check_texts(negative, clip, preset, person)
        check_pictures(image, nearness, person, vae.spacial_compression_encode())
        negative = host.encode_text(clip, NEGATIVE) if negative is None else negative
        latents = vae.encode(image)
        if PRESETS[preset].fresh_person:
            latents = freshen_person(latents, person, model.model.process_latent_out, seed)
        if control_net is not None:
            positive, negative = apply_control(positive, negative, Control(control_net, control_strength), depth, vae)
        if reads_depth:
            channel = {DEPTH_KEY: depth_channel(nearness, latents.shape[-2:])}
            model, positive, negative = read_depth_in(model), with_values(positive, channel), with_values(negative, channel)
        return io.NodeOutput(model, positive, negative, {"samples": latents}, *ksampler_settings(steps, strength))


def read_depth_in(model):
    """Returns a clone of a depth-to-image MODEL whose network gets the depth of the conditioning beside its latents."""
    clone = model.clone()
    clone.add_object_patch("concat_cond", _read_depth)
    return clone


def _read_depth(**given):
    """Stands in for ``BaseModel.concat_cond``, which takes a UNet of five channels for an inpainting model."""
    if given.get(DEPTH_KEY) is None:
        raise InputError("conditioning", "of a depth-to-image model", "does not hold the depth",
                         "Send both positive and negative through Depth-to-Image Conditioning.")
    return channels_beside(given[DEPTH_KEY], given)


def _check_model(model, control_net):
    """Whether the network itself reads depth.

    Raises:
        InputError: it does not, and there is no ControlNet either.
    """
    check_picture_model(model)
    if control_net is not None:
        check_control_net("control_net", control_net, model)
    is_unet = hasattr(model.model.diffusion_model, "input_blocks")
    channels = model.model.model_config.unet_config.get("in_channels") if is_unet else None
    if channels == DEPTH_CHANNELS:
        return True
    if control_net is None:
        told = f"{type(model.model).__name__}, {channels} input channels" if is_unet else type(model.model).__name__
        raise InputError("model", told, "does not read depth",
                         "Load a Stable Diffusion 2 depth checkpoint (512-depth-ema), or connect a depth ControlNet of its family.")
    return False


def _check_texts(negative, clip, preset, person):
    if negative is None and clip is None:
        raise InputError("negative", None, "is not connected, and neither is clip", "Connect one of the two.")
    if PRESETS[preset].fresh_person and person is None:
        raise InputError("person", None, f"is needed by the preset {preset!r}", "Connect the person's mask, or choose the preset 'paper'.")
