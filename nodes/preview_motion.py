"""Motion played in the node, before anything is rendered."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.avatars.retarget import retarget_pose
from ..models.bodies.body import load_body_model, pose_body
from ..models.checks import InputError
from ..models.motion.gltf_animation import write_animated_glb
from . import browser, sockets
from .sockets import declare

FRAMES_MAX = 3000  # beyond, a browser would load for long


class PreviewMotion(io.ComfyNode):
    """Poses over time -> a 3D view to play and scrub."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPreviewMotion",
            display_name="Preview Motion",
            category="contrapposto/motion",
            description="Plays a motion in 3D inside the node, on the gray body or on your avatar. Drag the bar to any frame.",
            search_aliases=["play motion", "animation viewer", "scrub"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip=f"The motion, one row per frame, at most {FRAMES_MAX}; single poses work too."),
                sockets.Avatar.Input("avatar", optional=True, tooltip="Who dances. Not connected: the gray body."),
                io.Float.Input(
                    "fps", default=0.0, min=0.0, max=240.0, tooltip="Frames per second (1 to 240). 0 takes the motion's own, or 30."
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, body_pose, fps, avatar=None):
        if not 1 <= len(body_pose) <= FRAMES_MAX:
            raise InputError("body_pose", f"{len(body_pose)} rows", f"are not 1 to {FRAMES_MAX} frames", "Trim it with Edit Motion.")
        if 0 < fps < 1:
            raise InputError("fps", fps, "is less than one frame per second", "Give 1 to 240, or 0 for the motion's own.")
        poses, body = body_pose.to("cpu"), load_body_model()
        rate = fps or body_pose.fps or 30.0
        figure = pose_body(body, poses) if avatar is None else retarget_pose(poses, body, avatar)
        who = (body.v_template,) if avatar is None else (avatar.vertices, avatar.weights)
        path = browser.temp_file("motion", ".glb", poses.global_orient, poses.body_pose, poses.transl, *who)
        write_animated_glb(path, figure, rate)
        return io.NodeOutput(ui=browser.message({"file": browser.address(path), "frames": len(poses), "fps": rate}))
