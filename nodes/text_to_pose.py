"""Poses from words."""

from __future__ import annotations

import logging

from comfy_api.v0_0_2 import io

from ..models.bodies.body import load_body_model
from ..models.bodies.repair import repair as repair_poses
from ..models.text_to_pose import load_text_to_pose, sample_poses
from ..models.text_to_pose.control import KEEP_CHOICES, parse_redraw, parts_to_joints
from ..models.text_to_pose.diffusion import T
from ..models.text_to_pose.sampling import MAX_COUNT
from ..models.text_to_pose.text_encoder import MINILM
from . import host, sockets
from .sockets import declare

NOTHING = "none"


class LoadTextToPose(io.ComfyNode):
    """A text-to-pose model, bundled or from models/text_to_pose."""

    BUNDLED = "open text-to-pose"

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadTextToPose",
            display_name="Load Text-to-Pose",
            category="contrapposto/pose",
            description="Loads a network that turns a sentence into 3D body poses. The bundled one needs no download.",
            search_aliases=["pose generator", "text to motion", "SMPL"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.file_choices("text_to_pose", cls.BUNDLED),
                    tooltip="The bundled model, or a .safetensors file in ComfyUI/models/text_to_pose. "
                    "A file knows the text encoder it was trained with and refuses any other.",
                ),
            ],
            outputs=[
                sockets.TextToPoseModel.Output(display_name="text_to_pose", tooltip="The network, for Text to Pose.")
            ],
        )

    @classmethod
    def validate_inputs(cls, file):
        return host.explain_missing("text_to_pose", file, cls.BUNDLED)

    @classmethod
    def fingerprint_inputs(cls, file):
        return host.choice_fingerprint("text_to_pose", file)

    @classmethod
    def execute(cls, file):
        source = host.choice_to_source("text_to_pose", file)
        model = load_text_to_pose(source, device=host.compute_device(), operations=host.OPERATIONS)
        encoders = [model.encoder.network] if model.config["text_encoder"]["id"] == MINILM else []
        return io.NodeOutput(host.HostedNetwork(model, model.network, *encoders))


class TextToPose(io.ComfyNode):
    """A sentence -> pose candidates."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoTextToPose",
            display_name="Text to Pose",
            category="contrapposto/pose",
            description="Draws 3D poses that match a sentence. The people stand, sit or lie on the floor (y = 0).",
            search_aliases=["prompt to pose", "generate pose"],
            inputs=[
                sockets.TextToPoseModel.Input("text_to_pose", tooltip="From Load Text-to-Pose."),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="a person doing a handstand",
                    tooltip="What the body does, in English; looks and places have no effect on a pose.",
                ),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=MAX_COUNT,
                    tooltip="How many candidates to draw in one batch (1 to 256). Each is a row.",
                ),
                sockets.seed_input("The same seed, text and settings give the same poses."),
                declare(
                    io.Int.Input,
                    "steps",
                    default=0,
                    min=0,
                    max=T,
                    advanced=True,
                    tooltip="Denoising steps (1 to 1000). 0 takes the model's own number.",
                ),
                declare(
                    io.Float.Input,
                    "guidance",
                    default=-1.0,
                    min=-1.0,
                    max=20.0,
                    step=0.1,
                    advanced=True,
                    tooltip="How closely to follow the text: 1 is plain sampling, higher is closer and less varied. "
                    "Below 0 takes the model's own value.",
                ),
                declare(
                    io.Float.Input,
                    "regularise",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="How far the bundled pose prior pulls each pose towards natural ones (0 to 1); 0 is off.",
                ),
                declare(
                    io.String.Input,
                    "negative",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="What the body should not do. Works when guidance is above 1.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Text encoder, only for a model that was trained with this CLIP. "
                    "Not connected: the bundled encoder.",
                ),
                *_control_inputs(),
            ],
            outputs=[
                sockets.BodyPose.Output(
                    display_name="body_pose", tooltip="Poses of the body model, one row per candidate."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        text_to_pose,
        text,
        count,
        seed,
        steps,
        guidance,
        regularise,
        negative="",
        clip=None,
        start_pose=None,
        strength=0.75,
        keep_parts=NOTHING,
        redraw="",
        repair=False,  # prompts written before this input was there keep their poses; a new node has it on
    ):
        seeds = parse_redraw(redraw, seed, count) if redraw.strip() else None
        states = negative_states = None
        if clip is not None:
            states = host.clip_text_states(clip, text)
            negative_states = host.clip_text_states(clip, negative) if negative.strip() else None
        poses = sample_poses(
            text_to_pose.ready(),
            text,
            count=count,
            seed=seed,
            steps=steps or None,
            guidance=guidance if guidance >= 0 else None,
            negative=negative,
            text_states=states,
            negative_states=negative_states,
            regularise=regularise,
            on_step=host.progress(),
            seeds=seeds,
            start_pose=start_pose,
            strength=strength,
            keep=keep_parts,
        )
        if not repair or (start_pose is not None and strength == 0):
            return io.NodeOutput(host.to_intermediate(poses))
        poses, done = repair_poses(poses, load_body_model(device=poses.device), parts_to_joints(keep_parts))
        logging.getLogger(__name__).info("Text to Pose: %s", done)
        return io.NodeOutput(host.to_intermediate(poses))


def _control_inputs():
    """Returns the inputs of Text to Pose that start from a pose, keep parts of it, or redraw single candidates."""
    return [
        sockets.BodyPose.Input(
            "start_pose",
            optional=True,
            tooltip="A pose to start from: 1 row, or one per candidate. Its place, heading, shape and hands stay. "
            "Not connected: every pose is new.",
        ),
        declare(
            io.Float.Input,
            "strength",
            default=0.75,
            min=0.0,
            max=1.0,
            step=0.05,
            optional=True,
            tooltip="How far to leave start_pose: 0 returns it as it is, 1 draws everything anew but the kept parts. "
            "Unused without start_pose.",
        ),
        io.Combo.Input(
            "keep_parts",
            options=[NOTHING, *KEEP_CHOICES],
            default=NOTHING,
            optional=True,
            tooltip="Parts of start_pose that stay exactly, joint by joint, while the rest is drawn to fit them. "
            "root is how the whole body faces and leans.",
        ),
        declare(
            io.String.Input,
            "redraw",
            default="",
            optional=True,
            advanced=True,
            tooltip="Candidates to draw anew with a seed of their own, for example 3=99, 5=12. Counted from 1; "
            "the others stay as they are.",
        ),
        io.Boolean.Input(
            "repair",
            default=True,
            optional=True,
            tooltip="Turns limbs out of the body, joints back into their range, and hands that reach below the seat up to the floor. "
            "Other poses and kept parts stay exactly as drawn.",
        ),
    ]
