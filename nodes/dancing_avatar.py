"""Dancing Avatar's single steps: a plate without anybody, and the frame before as a guide. The loop is in frame_loop.py."""

from __future__ import annotations

import comfy.samplers
from comfy_api.v0_0_2 import io

from ..models.checks import InputError
from ..models.dancing_avatar.background import Brush, Sampling, paint_plate
from ..models.dancing_avatar.previous_frame import Guidance, guide_picture, hold_colours
from . import convert, host, sampling, sockets
from .sockets import declare

CATEGORY = "contrapposto/dancing avatar"
CONTROL_MAX = 10.0
MOTION_TIP = (
    "Pictures of the motion, one per frame, for a ControlNet that reads optical flow: gray bodies, or a template video."
)


def sampler_inputs(seed_tooltip):
    """The inputs of a sampler, with the paper's values."""
    samplers, schedulers = comfy.samplers.KSampler.SAMPLERS, comfy.samplers.KSampler.SCHEDULERS
    return [
        sockets.seed_input(seed_tooltip),
        io.Int.Input("steps", default=25, min=1, max=1000, tooltip="Sampling steps (1 to 1000)."),
        io.Float.Input("cfg", default=7.5, min=0.0, max=100.0, step=0.1, tooltip="How strictly the text is followed (0 to 100)."),
        io.Combo.Input("sampler_name", options=samplers, default="dpmpp_2m", tooltip="As in KSampler. The paper's is of this kind."),
        io.Combo.Input("scheduler", options=schedulers, default="karras", tooltip="As in KSampler."),
    ]


def growth_inputs(dilation, feather, why):
    """The inputs of a Brush."""
    return [
        io.Int.Input("mask_dilation", default=dilation, min=0, max=256, tooltip=f"Pixels by which the mask grows (0 to 256), {why}."),
        declare(io.Int.Input, "feather", default=feather, min=0, max=256, advanced=True,
                tooltip="Width of the soft edge, pixels (0 to 256). It lies inside the grown mask."),
    ]


def strength_input(name, default, what):
    """The factor of a ControlNet."""
    return io.Float.Input(name, default=default, min=0.0, max=CONTROL_MAX, step=0.05,
                          tooltip=f"How strongly {what} (0 to {CONTROL_MAX:.0f}). 0 leaves the ControlNet out.")


def reanchor_inputs():
    """The inputs of a Guidance."""
    return [
        io.Int.Input("reanchor_every", default=0, min=0, max=100000,
                     tooltip="Every so many frames the anchor guides instead of the frame before, which cuts accumulated errors "
                     "(0 to 100000). 0 never, 1 always."),
        io.Float.Input("colour_hold", default=0.0, min=0.0, max=1.0, step=0.05,
                       tooltip="How far the person's colours in the guide go back to those of the first frame, so that they do not "
                       "drift (0 to 1). 0 is off."),
    ]


class BackgroundPlate(io.ComfyNode):
    """The character is painted out of its background."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoBackgroundPlate",
            display_name="Background Plate",
            category=CATEGORY,
            description="Paints a person out of a picture, which leaves the background that every frame of a video stands on. "
            "Outside the grown mask the picture is kept exactly.",
            search_aliases=["remove person", "clean plate", "inpaint background"],
            inputs=[
                io.Model.Input("model", tooltip="An inpainting model, or any text-to-image model."),
                io.Conditioning.Input("positive", tooltip="The background alone; do not name a person."),
                io.Conditioning.Input("negative", tooltip="What shall not be there, for example: person, people, shadow."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Image.Input("image", tooltip="The person on the background; its first row is used."),
                io.Mask.Input("mask", tooltip="1 where the person is, 0 elsewhere: from any segmenter, or from Render Avatar."),
                *sampler_inputs("Seed of the noise."),
                *growth_inputs(24, 16, "for hair, clothes and the shadow at the feet"),
            ],
            outputs=[io.Image.Output(display_name="plate", tooltip="The background without the person.")],
        )

    @classmethod
    def execute(cls, model, positive, negative, vae, image, mask, seed, steps, cfg, sampler_name, scheduler, mask_dilation, feather=16):
        hosted = sampling.HostedDiffusion(model, vae, sampler_name, scheduler)
        picture, person = convert.image_to_rgb(image)[:1], convert.mask_to_bhw(mask)[:1]
        plate = paint_plate(hosted, positive, negative, picture, person, Sampling(seed, steps, cfg), Brush(mask_dilation, feather),
                            host.progress())
        return io.NodeOutput(host.to_intermediate(plate), ui=convert.preview_image(plate))


class PreviousFrameGuide(io.ComfyNode):
    """The frame before goes into both conditionings."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPreviousFrameGuide",
            display_name="Previous Frame Guide",
            category=CATEGORY,
            description="Lets the frame before guide the next one through a ControlNet, one frame per run: for loops made of "
            "ComfyUI's own nodes, such as Start Loop and End Loop. Dancing Avatar Frame Loop does the same by itself.",
            search_aliases=["TemporalNet", "temporal consistency", "autoregressive"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the frame shows."),
                io.Conditioning.Input("negative", tooltip="What it shall not show."),
                io.ControlNet.Input("control_net", tooltip="TemporalNet, TemporalNet2 (six channels), or one trained with this pack."),
                io.Image.Input("previous_frame", tooltip="The frame before; unused for frame 0. In a loop: the value carried along."),
                io.Int.Input("frame_index", default=0, min=0, max=10_000_000, tooltip="Number of this frame, from 0 (0 to 10000000)."),
                strength_input("strength", 0.7, "the guide acts"),
                declare(io.Float.Input, "start_percent", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True,
                        tooltip="Share of the steps after which it begins to act (0 to 1)."),
                declare(io.Float.Input, "end_percent", default=1.0, min=0.0, max=1.0, step=0.01, advanced=True,
                        tooltip="Share of the steps after which it stops (0 to 1). TemporalNet2's author stops at 0.4."),
                *reanchor_inputs(),
                io.Image.Input("anchor", optional=True, tooltip="A finished frame, usually the first: it guides frame 0 and every "
                               "re-anchored one, and sets the colours to hold."),
                io.Mask.Input("masks", optional=True, tooltip="1 where the person is, 0 elsewhere; one row per frame, or one for all. "
                              "For colour_hold."),
                io.Image.Input("motion", optional=True, tooltip=MOTION_TIP),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For KSampler."),
            ],
        )

    @classmethod
    def execute(cls, positive, negative, control_net, previous_frame, frame_index, strength, start_percent=0.0, end_percent=1.0,
                reanchor_every=0, colour_hold=0.0, anchor=None, masks=None, motion=None):
        from_anchor = Guidance(reanchor_every, colour_hold).from_anchor(frame_index)
        guide = anchor if from_anchor else previous_frame
        if guide is None or strength == 0:
            return io.NodeOutput(positive, negative)
        guide, before = convert.image_to_rgb(guide)[:1], 0 if from_anchor else frame_index - 1
        if colour_hold and not from_anchor:
            guide = cls.held(guide, before, anchor, convert.mask_to_bhw(masks), colour_hold)
        pair = (None, None) if motion is None else (_row("motion", motion, before), _row("motion", motion, frame_index))
        hint = guide_picture(guide, sampling.hint_channels(control_net), *pair)
        control = sampling.Control(control_net, strength, start_percent, end_percent)
        return io.NodeOutput(*sampling.apply_control(positive, negative, control, hint))

    @staticmethod
    def held(guide, before, anchor, masks, strength):
        """The guide with the anchor's colours inside the person."""
        for name, given in (("anchor", anchor), ("masks", masks)):
            if given is None:
                raise InputError(name, None, "is needed to hold colours", "Connect it, or set colour_hold to 0.")
        return hold_colours(guide, _row("masks", masks, before), convert.image_to_rgb(anchor)[:1], _row("masks", masks, 0), strength)


def _row(name, given, index):
    """The row (1, ...) of a frame."""
    if len(given) == 1:
        index = 0
    if index >= len(given):
        raise InputError(name, len(given), f"rows have none for frame {index}", "Give one row per frame.")
    return given[index : index + 1]
