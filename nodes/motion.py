"""Motion files in and out, editing, and the bridge to ComfyUI core's own 3D rig nodes."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.v0_0_2 import io

from ..models.assets.files import file_sha256
from ..models.bodies.body import load_body_model, place_on_floor
from ..models.checks import InputError
from ..models.motion import edit, load_motion, save_motion
from ..models.motion.amass import smpl_to_pose
from ..models.motion.core_rig import core_pose_to_body, pose_to_core_rig
from ..models.motion.floor import stand_on_floor
from ..models.motion.load import SUFFIXES
from ..models.motion.save import FORMATS
from . import host, sockets
from .sockets import declare

SmplParams = io.Custom("SMPL_PARAMS")  # motion capture packs: a dictionary in SMPL's names
HyMotionData = io.Custom("HYMOTION_DATA")  # HY-Motion packs
MhrPoseData = io.Custom("MHR_POSE_DATA")  # core's SAM 3D Body
KimodoPoseData = io.Custom("KIMODO_POSE_DATA")  # core's rig bus, see models/motion/core_rig.py

BY_PATH = "(take the path below)"
FLOORS = ["keep", "whole motion", "each frame"]
LIST_LIMIT = 1000


class LoadMotion(io.ComfyNode):
    """A motion file, or another pack's motion -> poses over time."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadMotion",
            display_name="Load Motion",
            category="contrapposto/motion",
            description="Reads motion of one person: BVH and FBX of any humanoid skeleton, AMASS and SMPL archives, "
            "HumanML3D joints, or the output of motion capture nodes.",
            search_aliases=["BVH", "FBX", "Mixamo", "AMASS", "mocap", "motion capture", "animation"],
            inputs=[
                sockets.with_upload_button(
                    io.Combo.Input(
                        "motion_file",
                        options=_motion_files(),
                        tooltip=f"A file in ComfyUI/input: {', '.join(SUFFIXES)}. Or take the path below.",
                    ),
                    SUFFIXES,
                ),
                io.String.Input(
                    "path",
                    default="",
                    tooltip="Full path of a motion file, for example from another node. "
                    f"Used when motion_file is {BY_PATH!r}.",
                ),
                io.MultiType.Input(
                    "pose_data",
                    types=[SmplParams, HyMotionData, MhrPoseData],
                    optional=True,
                    tooltip="Motion of another node: SMPL_PARAMS, HYMOTION_DATA, or MHR_POSE_DATA (approximate: "
                    "only its joint positions are used). When connected, file and path are unused.",
                ),
                sockets.body_model_input("The body that will play the motion; its size sets the steps."),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip="One row per frame."),
                io.Float.Output(display_name="fps", tooltip="Frames per second."),
                io.Int.Output(display_name="frames", tooltip="Number of frames."),
                io.String.Output(display_name="report", tooltip="Which bones were found, and what was guessed."),
            ],
        )

    @classmethod
    def validate_inputs(cls, motion_file):
        chosen = None if motion_file in (None, BY_PATH) else host.input_file(motion_file)
        if motion_file in (None, BY_PATH) or chosen is not None and chosen.is_file():
            return True
        return str(
            InputError("motion_file", motion_file, "was not found", "Put it into ComfyUI/input, or take the path.")
        )

    @classmethod
    def fingerprint_inputs(cls, motion_file, path):
        source = _source(motion_file, path)
        return file_sha256(source) if source is not None and source.is_file() else "missing"

    @classmethod
    def execute(cls, motion_file, path, pose_data=None, body_model=None):
        body = body_model or load_body_model()
        if pose_data is not None:
            pose, report = _from_pose_data(pose_data, body)
        else:
            source = _source(motion_file, path)
            if source is None:
                raise InputError("path", path, "names no file", "Choose a motion file, or give the full path of one.")
            pose, report = load_motion(source, body)
        return io.NodeOutput(host.to_intermediate(pose), float(pose.fps or 0), len(pose), report)


class EditMotion(io.ComfyNode):
    """Motion -> motion, in a fixed order of steps."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoEditMotion",
            display_name="Edit Motion",
            category="contrapposto/motion",
            description="Changes a motion, or makes one from still poses. Steps run in the order of the inputs; "
            "at its default value a step does nothing.",
            search_aliases=["blend poses", "in-between", "loop", "trim", "smooth", "retime", "interpolate"],
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="A motion, or key poses such as two texts' answers."),
                _number("between", 0.0, 60.0, "Make a motion through the rows: seconds from one key pose to the next, "
                        "gently starting and stopping (0 to 60). 0: the rows are a motion already."),
                _number("hold", 0.0, 60.0, "Seconds for which each key pose is held (0 to 60). Unused without between."),
                io.Int.Input("start", default=0, min=-100000, max=100000,
                             tooltip="First frame to keep (-100000 to 100000); below 0 counts from the end."),
                io.Int.Input("end", default=0, min=-100000, max=100000,
                             tooltip="Frame to stop before (-100000 to 100000); 0 keeps all, below 0 counts from the end."),
                sockets.BodyPose.Input("then", optional=True, tooltip="A second motion, played after the first; "
                                       "it goes on where and as the first ends."),
                io.Int.Input("blend", default=10, min=0, max=1000,
                             tooltip="Frames over which the first motion passes into the second (0 to 1000)."),
                io.Float.Input("speed", default=1.0, min=0.05, max=20.0, step=0.05,
                               tooltip="How many times as fast to play (0.05 to 20), at the same frame rate."),
                _number("fps", 0.0, 240.0, "New frame rate, frames per second (1 to 240). 0 keeps the motion's own."),
                _number("smooth", 0.0, 2.0, "Smooth over so many seconds (0 to 2). 0.05 takes jitter away, "
                        "0.3 makes everything soft."),
                io.Boolean.Input("mirror", default=False, tooltip="Exchange left and right."),
                io.Int.Input("loop", default=0, min=0, max=1000,
                             tooltip="Let the end pass into the start over so many frames, in place (0 to 1000). 0: no loop."),
                io.Combo.Input("floor", options=FLOORS, default="keep",
                               tooltip="keep: heights stay. whole motion: one height, jumps stay jumps. "
                               "each frame: the lowest point always touches the floor."),
                sockets.body_model_input("The body whose feet touch the floor."),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip="One row per frame."),
                io.Float.Output(display_name="fps", tooltip="Frames per second."),
                io.Int.Output(display_name="frames", tooltip="Number of frames."),
            ],
        )

    @classmethod
    def execute(cls, body_pose, between, hold, start, end, blend, speed, fps, smooth, mirror, loop, floor,
                then=None, body_model=None):
        pose = body_pose
        if between > 0:
            pose = edit.between(pose, between, fps or pose.fps or edit.DEFAULT_FPS, hold=hold)
        if (start, end) != (0, 0):
            pose = edit.trim(pose, start, end)
        if then is not None:
            pose = edit.concatenate(pose, then, min(blend, len(pose), len(then)))
        if speed != 1:
            pose = edit.change_speed(pose, speed)
        if fps:
            pose = edit.resample(pose, fps)
        if smooth:
            pose = edit.smooth(pose, smooth)
        if mirror:
            pose = edit.mirror(pose)
        if loop:
            pose = edit.loop(pose, loop)
        pose = _floored(pose, floor, body_model)
        return io.NodeOutput(host.to_intermediate(pose), float(pose.fps or 0), len(pose))


class SaveMotion(io.ComfyNode):
    """Motion -> a file in ComfyUI's output folder."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoSaveMotion",
            display_name="Save Motion",
            category="contrapposto/motion",
            description="Writes a motion for other programs: an animated GLB of the avatar or the bare body, "
            "BVH, or SMPL archives.",
            search_aliases=["export", "GLB", "BVH", "npz", "animation"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="One row per frame."),
                io.String.Input("filename_prefix", default="motion/contrapposto",
                                tooltip="Folder and beginning of the file's name, inside ComfyUI's output folder."),
                io.Combo.Input("format", options=list(FORMATS), default=next(iter(FORMATS)),
                               tooltip="GLB plays in any 3D viewer; BVH and NPZ hold the motion without a mesh."),
                sockets.PosedAvatar.Input("posed_avatar", optional=True,
                                          tooltip="From Retarget Pose of the same rows: a GLB then shows the avatar."),
                sockets.body_model_input("The body that the poses are for."),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="Full path of the written file."),
                sockets.File3DGlb.Output(display_name="model_3d", tooltip="The GLB for Preview 3D; stops what follows for other formats."),
                io.String.Output(display_name="model_file", tooltip="The file's path inside the output folder, for an older Preview 3D."),
            ],
        )

    @classmethod
    def execute(cls, body_pose, filename_prefix, format, posed_avatar=None, body_model=None):
        if posed_avatar is not None and len(posed_avatar) != len(body_pose):
            raise InputError("posed_avatar", f"{len(posed_avatar)} rows", f"do not fit {len(body_pose)} poses",
                             "Retarget the same poses that you save.")
        with host.new_output_file(filename_prefix, FORMATS[format]) as path:
            save_motion(path, body_pose, body_model or load_body_model(), posed_avatar, format)
        if path.suffix == ".glb":
            solid, inside = host.core_file_3d(path), host.inside_output(path)
        else:
            solid = inside = host.blocked(f"Save Motion wrote {path.name}, which is no GLB. Choose another format there.")
        return io.NodeOutput(str(path), solid, inside, ui={"text": (str(path),)})


class ToCoreRig(io.ComfyNode):
    """Motion -> the rig bus of ComfyUI core's 3D nodes."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoToCoreRig",
            display_name="To Core Rig",
            category="contrapposto/motion",
            description="Hands a motion to ComfyUI's own SAM3D Body nodes, which draw it and build GLB and BVH files. "
            "Needs a ComfyUI that has these nodes.",
            search_aliases=["KIMODO_POSE_DATA", "SAM3DBody", "kimodo"],
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="One row per frame, one person."),
                io.Int.Input("width", default=768, min=16, max=16384, step=8,
                             tooltip="Width of the picture that core will draw, pixels (16 to 16384)."),
                io.Int.Input("height", default=768, min=16, max=16384, step=8,
                             tooltip="Height of the picture that core will draw, pixels (16 to 16384)."),
                sockets.body_model_input("The body that core will show."),
            ],
            outputs=[KimodoPoseData.Output(display_name="pose_data", tooltip="For SAM3DBody Render and Build Pose File.")],
        )

    @classmethod
    def execute(cls, body_pose, width, height, body_model=None):
        return io.NodeOutput(pose_to_core_rig(body_pose, body_model or load_body_model(), width, height))


def _number(name, least, most, tooltip):
    return io.Float.Input(name, default=least, min=least, max=most, step=0.05, tooltip=tooltip)


def _motion_files():
    """Entries of the drop-down: by path, then the motion files in ComfyUI's input folder."""
    folder = Path(folder_paths.get_input_directory())
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()) if folder.is_dir() else ()
    return [BY_PATH, *sorted(path.relative_to(folder).as_posix() for path, _ in zip(found, range(LIST_LIMIT)))]


def _source(motion_file, path):
    """The file to read: None when nothing was chosen. Names from the list never leave the input folder."""
    if motion_file in (None, BY_PATH):
        return Path(path.strip().strip('"')) if path and path.strip() else None
    chosen = host.input_file(motion_file)
    if chosen is None:
        raise InputError("motion_file", motion_file, "lies outside ComfyUI/input", "Give its full path in path instead.")
    return chosen


def _from_pose_data(data, body):
    if isinstance(data, dict) and "frames" in data:
        return core_pose_to_body(data, body)
    return smpl_to_pose(data, body, keep_shape=False)


def _floored(pose, floor, body_model):
    if floor == "keep":
        return pose
    body = (body_model or load_body_model()).to(pose.device)
    return place_on_floor(body, pose) if floor == "each frame" else stand_on_floor(pose, body)[0]
