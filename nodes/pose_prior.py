"""Poses from numbers, and through a prior."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.v0_0_2 import io

from ..models.bodies.body import load_body_model, place_on_floor
from ..models.checks import InputError
from ..models.pose_prior.vposer import load_pose_prior
from ..models.types import BodyPose
from . import host, sockets
from .sockets import declare


class LoadPosePrior(io.ComfyNode):
    """A VPoser-style prior, bundled or from models/pose_priors and models/vposer."""

    BUNDLED = "open pose prior"

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadPosePrior",
            display_name="Load Pose Prior",
            category="contrapposto/pose",
            description="Loads a network that knows which body poses are natural: the bundled open one, "
            "or a VPoser you have a licence for.",
            search_aliases=["VPoser", "human body prior"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.file_choices("pose_priors", cls.BUNDLED),
                    tooltip="The bundled prior, or a VPoser v1 / V02_05 / our own file "
                    "(.ckpt, .pt, .safetensors) in ComfyUI/models/pose_priors or models/vposer.",
                ),
            ],
            outputs=[sockets.PosePrior.Output(display_name="pose_prior", tooltip="The prior, for the VPoser nodes.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return host.explain_missing("pose_priors", file, cls.BUNDLED)

    @classmethod
    def fingerprint_inputs(cls, file):
        return host.choice_fingerprint("pose_priors", file)

    @classmethod
    def execute(cls, file):
        prior = load_pose_prior(host.choice_to_source("pose_priors", file))
        return io.NodeOutput(host.HostedNetwork(prior, prior))


class VPoserDecode(io.ComfyNode):
    """Pose latents -> poses; without latents, random natural poses."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoDecodeVPoser",
            display_name="VPoser Decode",
            category="contrapposto/pose",
            description="Turns latent codes into poses. Without codes it draws random natural poses from the prior.",
            search_aliases=["random pose", "pose latent"],
            inputs=[
                sockets.PosePrior.Input("pose_prior", tooltip="From Load Pose Prior."),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=256,
                    tooltip="How many random poses (1 to 256). Unused with latents.",
                ),
                sockets.seed_input("The same seed gives the same random poses. Unused with latents."),
                sockets.PoseLatents.Input(
                    "pose_latents",
                    optional=True,
                    tooltip="Codes from VPoser Encode. Not connected: drawn from a normal distribution.",
                ),
                sockets.BodyPose.Input(
                    "placement",
                    optional=True,
                    tooltip="Facing direction, place and body shape come from these poses, row by row or from one row. "
                    "Not connected: upright, on the floor, facing the viewer.",
                ),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip="Poses of the body model, one row per code.")
            ],
        )

    @classmethod
    def execute(cls, pose_prior, count, seed, pose_latents=None, placement=None):
        prior = pose_prior.ready()
        if pose_latents is None:
            pose_latents = torch.randn(count, prior.latent_size, generator=torch.Generator().manual_seed(seed))
        body_pose = prior.decode(pose_latents.to(pose_prior.device))
        return io.NodeOutput(host.to_intermediate(_placed(body_pose, placement)))


class VPoserEncode(io.ComfyNode):
    """Poses -> pose latents."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoEncodeVPoser",
            display_name="VPoser Encode",
            category="contrapposto/pose",
            description="Turns poses into 32 numbers each. Facing direction and place are not part of the code.",
            search_aliases=["pose latent"],
            inputs=[
                sockets.PosePrior.Input("pose_prior", tooltip="From Load Pose Prior."),
                sockets.BodyPose.Input("body_pose", tooltip="The poses to encode, one code per row."),
                io.Boolean.Input(
                    "sample",
                    default=False,
                    label_on="random variation",
                    label_off="mean",
                    tooltip="Off: the mean code, the nearest pose. On: a random one around it.",
                ),
                sockets.seed_input("The same seed gives the same variation. Unused when sampling is off."),
            ],
            outputs=[
                sockets.PoseLatents.Output(display_name="pose_latents", tooltip="One code of 32 numbers per row.")
            ],
        )

    @classmethod
    def execute(cls, pose_prior, body_pose, sample, seed):
        latents = pose_prior.ready().encode(body_pose.body_pose.to(pose_prior.device))
        # Noise from the CPU, so that a seed means the same on every device.
        code = latents.sample(torch.Generator().manual_seed(seed)) if sample else latents.mean
        return io.NodeOutput(host.to_intermediate(code))


class RegularisePose(io.ComfyNode):
    """Poses -> nearby natural poses."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoRegularisePose",
            display_name="Regularise Pose",
            category="contrapposto/pose",
            description="Pulls poses towards what the prior finds natural, by encoding and decoding them. "
            "Facing direction and place stay.",
            search_aliases=["fix pose", "natural pose"],
            inputs=[
                sockets.PosePrior.Input("pose_prior", tooltip="From Load Pose Prior."),
                sockets.BodyPose.Input("body_pose", tooltip="The poses to pull."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 leaves the poses, 1 takes the prior's version, between turns joints part of the way.",
                ),
            ],
            outputs=[sockets.BodyPose.Output(display_name="body_pose", tooltip="The pulled poses, row by row.")],
        )

    @classmethod
    def execute(cls, pose_prior, body_pose, strength):
        joints = pose_prior.ready().regularise(body_pose.body_pose.to(pose_prior.device), strength)
        return io.NodeOutput(replace(body_pose, body_pose=joints.to(body_pose.device)))


def _placed(body_pose, placement):
    """Returns BodyPose rows with joints ``body_pose`` (B, 21, 3, 3), the rest from ``placement``."""
    rows = len(body_pose)
    if placement is None:
        return place_on_floor(
            load_body_model(device=body_pose.device),
            replace(BodyPose.rest(rows, body_pose.device), body_pose=body_pose),
        )
    if len(placement) not in (1, rows):
        raise InputError("placement", len(placement), f"rows do not fit {rows} poses", f"Give 1 row or {rows} rows.")
    return replace(placement.to(body_pose.device)[[i % len(placement) for i in range(rows)]], body_pose=body_pose)
