"""Posing by hand: the editor's node. Its 3D view lives in the browser, see web_src/."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.bodies.body import load_body_model, place_on_floor
from ..models.bodies.pose_edits import edit_pose, parse_pose_edits, relaxed_pose
from ..models.checks import InputError
from . import browser, sockets
from .sockets import declare

CANDIDATES_MAX = 10_000


class EditPose(io.ComfyNode):
    """A pose -> the same pose as somebody bent it by hand."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoEditPose",
            display_name="Pose Editor",
            category="contrapposto/pose",
            description="Pose a body or your avatar by hand: drag hands, feet, elbows, knees, hips and head, turn single joints, mirror. "
            "Joints that you touch stay as you left them; the others follow the connected pose. Run once to see a connected pose.",
            search_aliases=["manual pose", "posing", "IK", "3D pose editor", "mannequin"],
            is_output_node=True,
            inputs=[
                _edits_input(),
                io.Int.Input(
                    "candidate",
                    default=1,
                    min=1,
                    max=CANDIDATES_MAX,
                    tooltip="Which row of body_pose to edit, counted from 1. One pose comes out.",
                ),
                sockets.BodyPose.Input(
                    "body_pose", optional=True, tooltip="The pose to start from. Not connected: somebody who stands."
                ),
                sockets.Avatar.Input("avatar", optional=True, tooltip="Who is shown in the editor. Not connected: the gray body."),
            ],
            outputs=[sockets.BodyPose.Output(display_name="body_pose", tooltip="The edited pose, one row.")],
        )

    @classmethod
    def validate_inputs(cls, edits):
        try:
            parse_pose_edits(edits or "")
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, edits, candidate, body_pose=None, avatar=None):
        parsed, body = parse_pose_edits(edits), load_body_model()
        if body_pose is None:
            body_pose, candidate = place_on_floor(body, relaxed_pose()), 1
        if candidate > len(body_pose):
            raise InputError("candidate", candidate, f"is more than the {len(body_pose)} connected poses",
                             f"Choose 1 to {len(body_pose)}.")
        device = body_pose.device
        body = body.to(device)
        edited = edit_pose(body_pose[[candidate - 1]], parsed, body)
        return io.NodeOutput(edited, ui=browser.pose_message(body_pose.to("cpu"), body.to("cpu"), avatar))


def _edits_input():
    """A text whose widget is our editor. Without our part of the page, over the API, it is a text like any other."""
    text = io.String.Input(
        "edits",
        default="",
        socketless=True,
        tooltip="What you changed, as JSON: joints by name with rotvecs in radians, and the place in metres. Empty changes nothing.",
    )
    text.widget_type = "CONTRAPPOSTO_POSE_EDITS"
    return text
