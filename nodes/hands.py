"""Fingers, for avatars that have bones for them."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.bodies.hands import AS_IS, AUTO, HAND_NAMES, set_hands
from . import sockets
from .sockets import declare

CHOICES = [AUTO, AS_IS, *HAND_NAMES]


class SetHands(io.ComfyNode):
    """Poses -> the same poses with fists, open hands, pointing fingers."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoSetHands",
            display_name="Set Hands",
            category="contrapposto/pose",
            description="Gives each hand a shape: by choice, or read from the sentence. "
            "It shows on avatars with finger bones and on SMPL-X bodies; others have stiff hands.",
            search_aliases=["fingers", "fist", "thumbs up", "hand gesture"],
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="The poses; all rows get the same hands."),
                io.Combo.Input(
                    "left", options=CHOICES, default=AUTO, tooltip="The person's own left hand. " + _CHOICES_TOOLTIP
                ),
                io.Combo.Input(
                    "right", options=CHOICES, default=AUTO, tooltip="The person's own right hand. " + _CHOICES_TOOLTIP
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="The sentence that auto reads, in English; best the same as in Text to Pose. "
                    "A hand that it does not tell of is relaxed.",
                ),
            ],
            outputs=[sockets.BodyPose.Output(display_name="body_pose", tooltip="The poses with these hands, row by row.")],
        )

    @classmethod
    def execute(cls, body_pose, left, right, text=""):
        return io.NodeOutput(set_hands(body_pose, left, right, text))


_CHOICES_TOOLTIP = "auto reads it from text, as is leaves the fingers of body_pose."
