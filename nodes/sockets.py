"""Our socket types, and one way of declaring nodes that old and new ComfyUI both accept."""

from __future__ import annotations

import inspect

from comfy_api.v0_0_2 import io

BodyPose = io.Custom("BODY_POSE")  # models.types.BodyPose
BodyModel = io.Custom("BODY_MODEL")  # models.bodies.BodyModel
PosePrior = io.Custom("POSE_PRIOR")  # host.HostedNetwork around a pose prior
PoseLatents = io.Custom("POSE_LATENTS")  # (B, 32) float tensor
TextToPoseModel = io.Custom("TEXT_TO_POSE")  # host.HostedNetwork around a text-to-pose model
Avatar = io.Custom("AVATAR")  # models.avatars.Avatar
PosedAvatar = io.Custom("POSED_AVATAR")  # models.avatars.PosedAvatar
BodyCamera = io.Custom("BODY_CAMERA")  # models.types.Camera
BodyRender = io.Custom("BODY_RENDER")  # models.types.Render
Personalization = io.Custom("PERSONALIZATION")  # models.personalization.conditioning.AvatarEncoding
CanvasWindow = io.Custom("CANVAS_WINDOW")  # models.compose.window.Window
PartsToWhole = io.Custom("PARTS2WHOLE")  # nodes.parts_loading.LoadedParts
ReferenceParts = io.Custom("REFERENCE_PARTS")  # tuple of models.parts_to_whole.parts.Reference
PoseKeypoint = io.Custom("POSE_KEYPOINT")  # list of OpenPose dicts, one per picture, shared with other packs

Mesh = io.Custom("MESH")  # ComfyUI's own
File3DGlb = io.Custom("FILE_3D_GLB")  # ComfyUI's own where it has one (0.33); a path elsewhere
Load3DCamera = io.Custom("LOAD3D_CAMERA")  # ComfyUI's own: the view of its 3D nodes

SEED_MAX = 2**64 - 1  # as everywhere in ComfyUI
SIZE_MAX = 8192  # pixels

# Options that came after 0.3.76. They only decorate, so an older ComfyUI may do without.
NEWER_OPTIONS = {"advanced", "search_aliases"}


def declare(kind, *args, **options):
    """Returns ``kind(*args, **options)`` for a schema or an input, without newer options that this ComfyUI lacks."""
    known = inspect.signature(kind).parameters
    return kind(*args, **{name: value for name, value in options.items() if name in known or name not in NEWER_OPTIONS})


def with_upload_button(drop_down, accept, companions=(), suffix=""):
    """Returns a file drop-down that gets an upload button in the browser (web/js/upload_file.js).

    Args:
        accept: suffixes of the files that can be chosen. companions: suffixes of files that may come along, such as textures.
        suffix: what the drop-down appends to the names of files in ComfyUI's input folder.
    """
    upload = {"accept": list(accept), "with": list(companions), "suffix": suffix}
    drop_down.extra_dict = {**drop_down.extra_dict, "contrapposto_upload": upload}  # 0.3.76 has no argument for it
    return drop_down


def seed_input(tooltip):
    """Returns the seed, with ComfyUI's choice of what it does after each run."""
    return io.Int.Input("seed", default=0, min=0, max=SEED_MAX, control_after_generate=True, tooltip=tooltip)


def size_inputs(what, note=""):
    """Returns the width and height in pixels of ``what``; ``note`` finishes both tooltips."""
    return [
        io.Int.Input(side, default=768, min=16, max=SIZE_MAX, step=8,
                     tooltip=f"{what} {side} in pixels (16 to {SIZE_MAX}). {note}".rstrip())
        for side in ("width", "height")
    ]


def figure_input():
    """Returns the socket of the nodes that draw either a body or an avatar."""
    return io.MultiType.Input(
        "figure",
        types=[BodyPose, PosedAvatar],
        tooltip="What to draw: poses (drawn as the body model) or a posed avatar. One picture per row.",
    )


def body_model_input(purpose):
    """Returns the optional body model socket; ``purpose`` finishes the tooltip."""
    return BodyModel.Input("body_model", optional=True, tooltip=f"{purpose} Not connected: the bundled open body.")


def camera_input():
    """Returns the camera socket of the render nodes."""
    return BodyCamera.Input(
        "camera",
        tooltip="From Frame Body. One camera for all rows, or one per row. It also holds the picture's size in pixels.",
    )
