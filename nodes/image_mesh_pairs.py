"""Pictures and the bodies in them, as training data."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.bodies.body import load_body_model
from ..models.pose_correction.meshes import FORMATS, write_mesh
from ..models.pose_correction.pairs import make_pairs
from ..models.pose_correction.pictures import picture_of
from ..models.pose_correction.shards import ShardWriter, read_shard
from ..models.pose_correction.spin_export import export_spin
from . import convert, host, sockets
from .sockets import declare

NO_MESHES = "none"


class SaveImageMeshPairs(io.ComfyNode):
    """Pictures with the bodies in them -> a WebDataset shard."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoSaveImageMeshPairs",
            display_name="Save Image-Mesh Pairs",
            category="contrapposto/pose correction",
            description="Writes pictures and the bodies in them as one WebDataset shard (.tar) in ComfyUI's output folder: training data "
            "for body estimators. A shard appears only when it is whole.",
            search_aliases=["dataset", "WebDataset", "SPIN", "training data", "PLY"],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The pictures, of the camera's size."),
                sockets.BodyPose.Input("body_pose", tooltip="The bodies: one row for each picture, or as Fit Body to Keypoints makes."),
                sockets.camera_input(),
                io.String.Input("filename_prefix", default="pairs/shard",
                                tooltip="Folder and beginning of the file's name, inside ComfyUI's output folder."),
                io.String.Input("prompt", default="", multiline=True, tooltip="The text that the pictures were made from, for the record."),
                io.Int.Input("image_seed", default=0, min=0, max=2**64 - 1,
                             tooltip="The seed that the pictures were made with, for the record (0 to 2^64 - 1)."),
                io.Boolean.Input("vertices", default=False,
                                 tooltip="On: keep the posed vertices too (160 kB a row). Off: the mesh is made again from the pose."),
                io.Combo.Input("meshes", options=[NO_MESHES, *FORMATS], default=NO_MESHES,
                               tooltip="Also write each body as a mesh file into a folder beside the shard."),
                io.Boolean.Input("spin_layout", default=False,
                                 tooltip="On: also write 224 x 224 crops and an .npz in the layout of SPIN beside the shard."),
                io.Mask.Input("mask", optional=True, tooltip="1 where the person is, 0 elsewhere. Not connected: the body's silhouette."),
                sockets.body_model_input("The body that the poses are for."),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Full path of the shard.")],
        )

    @classmethod
    def execute(cls, image, body_pose, camera, filename_prefix, prompt, image_seed, vertices, meshes, spin_layout, mask=None,
                body_model=None):
        picture = picture_of(body_pose, len(image))
        body = (body_model or load_body_model()).to(image.device)
        pairs = make_pairs(convert.image_to_rgb(image)[picture], body_pose.to(image.device), camera, body,
                           _masks(mask, picture, len(image)), {"prompt": prompt, "seed": image_seed}, vertices or meshes != NO_MESHES)
        with host.new_output_file(filename_prefix, ".tar") as path:
            _write(path, pairs, meshes, spin_layout)
        return io.NodeOutput(str(path), ui={"text": (str(path),)})


def _write(path, pairs, meshes, spin_layout):
    """Writes the shard and what was asked for beside it."""
    report = host.progress()
    with ShardWriter(path) as shard:
        for row in range(len(pairs)):
            shard.add(pairs[row])
            report(row + 1, len(pairs))
    if meshes != NO_MESHES:
        for sample, vertices in zip(shard.ids, pairs.vertices):
            write_mesh(path.with_name(f"{path.stem}meshes") / f"{sample}.{meshes}", vertices, pairs.faces)
    if spin_layout:
        export_spin(read_shard(path), path.with_name(f"{path.stem}spin"), crops=True)


def _masks(mask, picture, pictures):
    """One mask for each row, from one for each row, one for each picture, or one for all."""
    mask = convert.mask_to_bhw(mask)
    if mask is None or len(mask) == len(picture):
        return mask
    return mask[picture] if len(mask) == pictures else mask.expand(len(picture), -1, -1) if len(mask) == 1 else mask
