"""Whom a pose moves: body models, and avatars with a skeleton of their own."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.avatars import load_avatar, retarget_pose
from ..models.bodies.body import load_body_model
from . import host, sockets
from .sockets import declare


class LoadBodyModel(io.ComfyNode):
    """An SMPL-format body, bundled or from models/body_models, models/smpl and models/smplx."""

    BUNDLED = "open body"

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadBodyModel",
            display_name="Load Body Model",
            category="contrapposto/avatar",
            description="Loads the unclothed body that poses are defined on: the bundled open body, "
            "or SMPL / SMPL-X files you have a licence for.",
            search_aliases=["SMPL", "SMPL-X"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.file_choices("body_models", cls.BUNDLED),
                    tooltip="The bundled body, or an SMPL .npz/.pkl or SMPL-X .npz in ComfyUI/models/body_models, "
                    "models/smpl or models/smplx. Code hidden in a .pkl never runs.",
                ),
            ],
            outputs=[sockets.BodyModel.Output(display_name="body_model", tooltip="The body, in its mean shape.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return host.explain_missing("body_models", file, cls.BUNDLED)

    @classmethod
    def fingerprint_inputs(cls, file):
        return host.choice_fingerprint("body_models", file)

    @classmethod
    def execute(cls, file):
        return io.NodeOutput(host.to_intermediate(load_body_model(host.choice_to_source("body_models", file))))


class LoadAvatar(io.ComfyNode):
    """A character with a skeleton, bundled or from models/avatars."""

    BUNDLED = "default avatar"

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadAvatar",
            display_name="Load Avatar",
            category="contrapposto/avatar",
            description="Loads a textured character with a skeleton. The bundled one is free to use for anything.",
            search_aliases=["character", "GLB", "VRM", "rig"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.file_choices("avatars", cls.BUNDLED),
                    tooltip="The bundled character, or a rigged file in ComfyUI/models/avatars.",
                ),
            ],
            outputs=[sockets.Avatar.Output(display_name="avatar", tooltip="The character in its rest pose.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return host.explain_missing("avatars", file, cls.BUNDLED)

    @classmethod
    def fingerprint_inputs(cls, file):
        return host.choice_fingerprint("avatars", file)

    @classmethod
    def execute(cls, file):
        return io.NodeOutput(load_avatar(host.choice_to_source("avatars", file)))


class RetargetPose(io.ComfyNode):
    """Poses of the body model -> poses of an avatar."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoRetargetPose",
            display_name="Retarget Pose",
            category="contrapposto/avatar",
            description="Moves an avatar's skeleton the way the body moves, whatever its proportions and rest pose.",
            search_aliases=["pose avatar", "apply pose", "animate"],
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="One posed avatar per row."),
                sockets.Avatar.Input("avatar", tooltip="From Load Avatar."),
                sockets.body_model_input(
                    "The body that the poses belong to; its size sets how far the avatar travels."
                ),
            ],
            outputs=[
                sockets.PosedAvatar.Output(display_name="posed_avatar", tooltip="The character, one row per pose."),
                io.String.Output(
                    display_name="report", tooltip="Which bones were found, and how well the pose could be copied."
                ),
            ],
        )

    @classmethod
    def execute(cls, body_pose, avatar, body_model=None):
        posed = retarget_pose(body_pose, body_model or load_body_model(), avatar)
        return io.NodeOutput(posed, posed.report)
