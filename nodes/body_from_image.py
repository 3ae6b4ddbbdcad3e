"""A body from a picture, three ways: key points, core's SAM 3D Body, files of mesh recovery tools."""

from __future__ import annotations

import math
from pathlib import Path

import folder_paths
from comfy_api.v0_0_2 import io

from ..models.assets.files import file_sha256
from ..models.bodies.body import load_body_model
from ..models.checks import InputError
from ..models.motion.openpose import pose_keypoint_to_keypoints
from ..models.pose_correction.fit import fit_body
from ..models.pose_correction.fit_tracks import track_people
from ..models.pose_correction.hmr_files import SUFFIXES, load_body_file
from ..models.pose_correction.mhr import sam3d_to_body
from ..models.pose_prior.vposer import load_pose_prior
from . import host, sockets
from .sockets import declare

MhrPoseData = io.Custom("MHR_POSE_DATA")  # core's SAM 3D Body
BY_PATH = "(take the path below)"
LIST_LIMIT = 1000
CATEGORY = "contrapposto/pose correction"
POSE_TOOLTIP = "One row per person; knows the picture and the person that each row belongs to."
CAMERA_TOOLTIP = "One camera per row. People of one picture share its place and lens."


def prior_input(purpose):
    """Returns the optional pose prior socket; ``purpose`` begins the tooltip."""
    return sockets.PosePrior.Input("pose_prior", optional=True, tooltip=f"{purpose} Not connected: the bundled open prior.")


def ready_prior(pose_prior):
    """Returns the connected prior, or the bundled one, on the compute device."""
    return load_pose_prior(device=host.compute_device()) if pose_prior is None else pose_prior.ready()


def ready_body(body_model):
    """Returns the connected body, or the bundled one, on the compute device."""
    return (body_model or load_body_model()).to(host.compute_device())


class FitBody(io.ComfyNode):
    """Key points -> bodies before a camera."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoFitBody",
            display_name="Fit Body to Keypoints",
            category=CATEGORY,
            description="Finds the 3D body behind each person's 2D points (OpenPose, DWPose, SDPose), with its place before the camera. "
            "Works without downloads.",
            search_aliases=["SMPLify", "HMR", "human mesh recovery", "2D to 3D", "DWPose"],
            inputs=[
                sockets.PoseKeypoint.Input("pose_keypoint", tooltip="From a pose detector: 18 or 25 points for each person."),
                io.Float.Input("field_of_view", default=60.0, min=5.0, max=150.0, step=1.0,
                               tooltip="Vertical opening angle of the picture's lens, degrees (5 to 150). Unused with a camera."),
                io.Float.Input("keypoint_error", default=1.0, min=0.2, max=10.0, step=0.1,
                               tooltip="How far points may be off, percent of the person's size (0.2 to 10). More trusts the prior more."),
                io.Float.Input("smooth", default=0.0, min=0.0, max=100.0, step=0.1,
                               tooltip="0: each picture alone. Above (to 100): they are a film and people move smoothly; 1 is gentle."),
                io.Boolean.Input("fit_shape", default=True, tooltip="Fit the body's proportions too: one shape for each person."),
                prior_input("What poses are likely."),
                sockets.body_model_input("The body to fit."),
                sockets.BodyCamera.Input("camera", optional=True, tooltip="A known camera, one or one per person. Not connected: it stands "
                                         "at the origin with the opening angle above."),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip=POSE_TOOLTIP),
                sockets.BodyCamera.Output(display_name="camera", tooltip=CAMERA_TOOLTIP),
                io.String.Output(display_name="report", tooltip="For each person how far the points are off, and who was left out."),
            ],
        )

    @classmethod
    def execute(cls, pose_keypoint, field_of_view, keypoint_error, smooth, fit_shape, pose_prior=None, body_model=None, camera=None):
        keypoints, frame, person = pose_keypoint_to_keypoints(pose_keypoint)
        if smooth > 0:
            person = track_people(keypoints, frame)
        result = fit_body(keypoints, ready_body(body_model), ready_prior(pose_prior), camera, frame, person, math.radians(field_of_view),
                          smooth, keypoint_error / 100, fit_shape, host.progress())
        kept = result.only_fitted()
        return io.NodeOutput(host.to_intermediate(kept.pose), host.to_intermediate(kept.camera), _fit_report(result, frame, person))


class BodyFromSam3d(io.ComfyNode):
    """Core's SAM 3D Body -> our body."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoBodyFromSam3d",
            display_name="Body from SAM 3D",
            category=CATEGORY,
            description="Takes over the people that ComfyUI's own SAM 3D Body found: their poses on our body, before the same camera. "
            "Needs a ComfyUI that has these nodes.",
            search_aliases=["SAM3DBody", "MHR", "HMR", "human mesh recovery"],
            inputs=[
                MhrPoseData.Input("pose_data", tooltip="From SAM3DBody Predict."),
                prior_input("What poses are likely: it decides what core's points leave open."),
                sockets.body_model_input("The body to pose."),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip=POSE_TOOLTIP),
                sockets.BodyCamera.Output(display_name="camera", tooltip=CAMERA_TOOLTIP),
                io.String.Output(display_name="report", tooltip="How many people, and how far our points lie from core's."),
            ],
        )

    @classmethod
    def execute(cls, pose_data, pose_prior=None, body_model=None):
        pose, camera, report = sam3d_to_body(pose_data, ready_body(body_model), ready_prior(pose_prior))
        return io.NodeOutput(host.to_intermediate(pose), host.to_intermediate(camera), report)


class LoadBodyPose(io.ComfyNode):
    """A file of a mesh recovery tool -> bodies before a camera."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadBodyPose",
            display_name="Load Body Pose",
            category=CATEGORY,
            description="Reads bodies that mesh recovery tools wrote (ROMP, BEV, 4D-Humans, PHALP, SPIN) or that this pack saved, with "
            "their cameras. Code hidden in a file never runs.",
            search_aliases=["HMR", "ROMP", "BEV", "4D-Humans", "SPIN", "npz", "pkl"],
            inputs=[
                io.Combo.Input("body_file", options=_body_files(),
                               tooltip=f"A file in ComfyUI/input: {', '.join(SUFFIXES)}. Or take the path below."),
                io.String.Input("path", default="", tooltip=f"Full path of a file. Used when body_file is {BY_PATH!r}."),
                io.Int.Input("width", default=512, min=16, max=16384,
                             tooltip="Width of the pictures in pixels (16 to 16384), where the file does not tell it."),
                io.Int.Input("height", default=512, min=16, max=16384,
                             tooltip="Height of the pictures in pixels (16 to 16384), where the file does not tell it."),
                io.Image.Input("image", optional=True, tooltip="The pictures; they set the size, and width and height are unused."),
                sockets.body_model_input("The body that will show the poses. The file's own body shapes are kept on a licensed body only."),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip=POSE_TOOLTIP),
                sockets.BodyCamera.Output(display_name="camera", tooltip=CAMERA_TOOLTIP),
                io.String.Output(display_name="report", tooltip="What was found, and what the file does not tell."),
            ],
        )

    @classmethod
    def validate_inputs(cls, body_file):
        chosen = None if body_file in (None, BY_PATH) else host.input_file(body_file)
        if body_file in (None, BY_PATH) or chosen is not None and chosen.is_file():
            return True
        return str(InputError("body_file", body_file, "was not found", "Put it into ComfyUI/input, or take the path."))

    @classmethod
    def fingerprint_inputs(cls, body_file, path):
        source = _source(body_file, path)
        return file_sha256(source) if source is not None and source.is_file() else "missing"

    @classmethod
    def execute(cls, body_file, path, width, height, image=None, body_model=None):
        source = _source(body_file, path)
        if source is None:
            raise InputError("path", path, "names no file", "Choose a file, or give the full path of one.")
        if image is not None:
            height, width = image.shape[1:3]
        pose, camera, report = load_body_file(source, body_model or load_body_model(), width, height, body_model is not None)
        return io.NodeOutput(host.to_intermediate(pose), host.to_intermediate(camera), report)


def _fit_report(result, frame, person):
    lines = [f"{int(result.fitted.sum())} of {len(result.fitted)} people fitted."]
    for row, (fitted, error) in enumerate(zip(result.fitted.tolist(), result.residual.tolist())):
        said = f"points off by {error:.1f} pixels" if fitted else "left out: too few points, or no trunk"
        lines.append(f"picture {int(frame[row])}, person {int(person[row])}: {said}")
    return "\n".join(lines)


def _body_files():
    """Entries of the drop-down: by path, then the files in ComfyUI's input folder."""
    folder = Path(folder_paths.get_input_directory())
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()) if folder.is_dir() else ()
    return [BY_PATH, *sorted(path.relative_to(folder).as_posix() for path, _ in zip(found, range(LIST_LIMIT)))]


def _source(body_file, path):
    """The file to read: None when nothing was chosen. Names from the list never leave the input folder."""
    if body_file in (None, BY_PATH):
        return Path(path.strip().strip('"')) if path and path.strip() else None
    chosen = host.input_file(body_file)
    if chosen is None:
        raise InputError("body_file", body_file, "lies outside ComfyUI/input", "Give its full path in path instead.")
    return chosen
