"""Whom a pose moves: body models, and avatars with a skeleton of their own."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import torch
from comfy_api.v0_0_2 import io

from ..models.avatars import load_avatar, retarget_pose
from ..models.avatars.bone_map import EXAMPLE
from ..models.bodies.body import load_body_model
from ..models.checks import InputError
from ..models.motion.gltf_animation import write_animated_glb
from ..models.render.camera import VIEWS, frame_figure
from ..models.render.engine import render_figure
from ..models.render.pose_map import draw_skeleton, project_keypoints
from . import convert, host, sockets
from .sockets import declare

FROM_INPUT = " [input]"  # ComfyUI's own way of naming a file in its input folder
AVATAR_SUFFIXES = (".glb", ".gltf", ".vrm", ".fbx")
AVATAR_COMPANIONS = (".bin", ".png", ".jpg", ".jpeg", ".webp", ".tga", ".bones.json")  # buffers, textures, bone maps beside a file
LIST_LIMIT = 1000
MIX = 0.5  # how much of the body shows through in a comparison
BODY_LINES, AVATAR_LINES = (0.1, 0.75, 1.0), (1.0, 0.55, 0.05)  # sRGB


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
            search_aliases=["character", "GLB", "VRM", "FBX", "Mixamo", "rig"],
            inputs=[
                sockets.with_upload_button(
                    io.Combo.Input(
                        "file",
                        options=cls._choices(),
                        tooltip="The bundled character, or a rigged .glb, .vrm, .gltf or .fbx in ComfyUI/models/avatars or "
                        "ComfyUI/input. .fbx needs the package ufbx.",
                    ),
                    AVATAR_SUFFIXES,
                    AVATAR_COMPANIONS,
                    FROM_INPUT,
                ),
                declare(
                    io.String.Input,
                    "bone_map",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip=f"Which bone plays which joint, where the file's names mislead; JSON such as {EXAMPLE}. "
                    "Empty: <avatar>.bones.json beside the file, if there is one.",
                ),
            ],
            outputs=[sockets.Avatar.Output(display_name="avatar", tooltip="The character in its rest pose.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return True if file in cls._choices() else host.explain_missing("avatars", file, cls.BUNDLED)

    @classmethod
    def fingerprint_inputs(cls, file, bone_map=""):
        path = _input_file(file)
        own = host.choice_fingerprint("avatars", file) if path is None else f"{path.stat().st_mtime_ns}" if path.is_file() else "missing"
        return f"{own} {bone_map}"

    @classmethod
    def execute(cls, file, bone_map=""):
        source = _input_file(file) or host.choice_to_source("avatars", file)
        return io.NodeOutput(load_avatar(source, bone_map=bone_map.strip() or None))

    @classmethod
    def _choices(cls):
        folder = Path(folder_paths.get_input_directory())
        found = (path for path in folder.rglob("*") if path.suffix.lower() in AVATAR_SUFFIXES) if folder.is_dir() else ()
        names = sorted(path.relative_to(folder).as_posix() for path, _ in zip(found, range(LIST_LIMIT)))
        return [*host.file_choices("avatars", cls.BUNDLED), *(name + FROM_INPUT for name in names)]


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
                io.Boolean.Input(
                    "refine",
                    default=False,
                    optional=True,
                    tooltip="On: hands, feet and head are put where the body's are, though the avatar has other proportions, "
                    "and hands are kept out of its body. Off: every bone just points where the body's does.",
                ),
                declare(
                    io.Float.Input,
                    "smooth",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="How much refining is evened out from frame to frame of a motion (0 to 1).",
                ),
                declare(
                    io.Boolean.Input,
                    "match_height",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="On: the avatar gets the body's height. Off: it keeps the size in its file, metres.",
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
    def execute(cls, body_pose, avatar, body_model=None, refine=False, smooth=0.5, match_height=True):
        posed = retarget_pose(body_pose, body_model or load_body_model(), avatar, match_height, refine, smooth)
        return io.NodeOutput(posed, posed.report)


class CompareRetarget(io.ComfyNode):
    """The body and the avatar in one picture."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoCompareRetarget",
            display_name="Compare Retarget",
            category="contrapposto/avatar",
            description="Draws the gray body through the avatar, and both skeletons: blue the body's, orange the avatar's. "
            "So you see how well the pose was copied.",
            search_aliases=["overlay", "check retargeting"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="The poses that were retargeted."),
                sockets.PosedAvatar.Input("posed_avatar", tooltip="From Retarget Pose, of the same rows."),
                io.Int.Input("size", default=512, min=16, max=4096, step=8, tooltip="Side of the picture, pixels (16 to 4096)."),
                io.Combo.Input("view", options=list(VIEWS), default="front", tooltip="Where the camera stands."),
                sockets.body_model_input("The body that the poses belong to."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="One picture per row.")],
        )

    @classmethod
    def execute(cls, body_pose, posed_avatar, size, view, body_model=None):
        if len(body_pose) != len(posed_avatar):
            raise InputError("posed_avatar", f"{len(posed_avatar)} rows", f"do not fit {len(body_pose)} poses", "Retarget these poses.")
        device, report = host.compute_device(), host.progress()
        body, avatar = convert.figure_on(device, body_pose, body_model), posed_avatar.to(device)
        camera = frame_figure(avatar, size, size, view, margin=0.15)
        ours, theirs = (render_figure(figure, camera, shading, on_row=report) for figure, shading in ((avatar, "avatar"), (body, "gray")))
        image = ours.rgb * ours.alpha[..., None]
        share = MIX * theirs.alpha[..., None]
        image = torch.lerp(image, theirs.rgb, share.expand_as(image))
        for figure, color in ((body, BODY_LINES), (avatar, AVATAR_LINES)):
            image = draw_skeleton(image, project_keypoints(figure, camera), color)
        image = host.to_intermediate(image)
        return io.NodeOutput(image, ui=convert.preview_image(image))


class AvatarTo3D(io.ComfyNode):
    """A posed avatar as ComfyUI's own 3D types."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoAvatarTo3D",
            display_name="Avatar to 3D",
            category="contrapposto/avatar",
            description="Hands a posed avatar to ComfyUI's 3D nodes: a mesh, and a GLB file that Preview 3D shows. Several rows "
            "become an animation.",
            search_aliases=["GLB", "MESH", "Preview 3D", "export"],
            inputs=[
                sockets.PosedAvatar.Input("posed_avatar", tooltip="From Retarget Pose. Rows are the frames of the GLB."),
                io.Float.Input("fps", default=30.0, min=1.0, max=240.0, tooltip="Frames per second of the GLB (1 to 240)."),
                io.String.Input("filename_prefix", default="3d/avatar",
                                tooltip="Folder and beginning of the file's name, inside ComfyUI's output folder."),
            ],
            outputs=[
                sockets.Mesh.Output(display_name="mesh", tooltip="One mesh per row, world frame, metres, without textures."),
                sockets.File3DGlb.Output(display_name="model_3d", tooltip="For Preview 3D and other nodes that take a GLB."),
                io.String.Output(display_name="model_file", tooltip="The GLB's path inside the output folder, for an older Preview 3D."),
            ],
        )

    @classmethod
    def execute(cls, posed_avatar, fps, filename_prefix):
        with host.new_output_file(filename_prefix, ".glb") as path:
            write_animated_glb(path, posed_avatar, fps, path.stem)
        return io.NodeOutput(convert.figure_to_mesh(posed_avatar), host.core_file_3d(path), host.inside_output(path))


def _input_file(choice):
    """The file that a choice from ComfyUI's input folder means; None for other choices."""
    if not choice or not choice.endswith(FROM_INPUT):
        return None
    chosen = host.input_file(choice.removesuffix(FROM_INPUT))
    if chosen is None:
        raise InputError("file", choice, "lies outside ComfyUI/input", "Choose a file from the list.")
    return chosen
