"""Image-mesh pairs: a picture and the body in it, as rows in memory and as the files of one sample (Weng et al. 2023, section 3.3).

The story: ``make_pairs`` poses the body, projects its points and draws its silhouette -> ``sample_files`` turns one row into the bytes of a
png, an npz and a json -> ``shards.ShardWriter`` puts them into a tar. ``read_sample`` is the way back.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..assets.files import parse_json, read_npz
from ..bodies.body import BodyModel, pose_body
from ..checks import InputError, check_shape
from ..render.camera import match_rows, project
from ..render.engine import render_figure
from ..render.pose_map import project_keypoints
from ..rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ..types import BodyPose, Camera, Keypoints

VERSION = 1
PARTS = ("png", "npz", "json")
_ROTATIONS = {"global_orient": 3, "body_pose": 63, "hands": 90}  # stored as rotvecs, radians
_CAMERA = ("fx", "fy", "cx", "cy", "R", "t")


@dataclass(frozen=True)
class ImageMeshPairs:
    """Pictures and the bodies in them.

    Args:
        images: (B, H, W, 3) sRGB 0..1.
        masks: (B, H, W) 0..1, 1 where the person is.
        pose: B rows, world frame.
        camera: B rows, of the pictures' size.
        joints_3d: (B, J, 3) metres, world.
        joints_2d: (B, J, 2) pixels.
        keypoints: B rows in OpenPose-18 order.
        keypoints_3d: (B, 18, 3) metres, world; NaN where the body has no such point.
        vertices: (B, V, 3) metres, world, or None.
        faces: (F, 3) of the vertices, or None.
        about: one dict of plain JSON values per row: prompt, seed, body and whatever else made the row.
    """

    images: Tensor
    masks: Tensor
    pose: BodyPose
    camera: Camera
    joints_3d: Tensor
    joints_2d: Tensor
    keypoints: Keypoints
    keypoints_3d: Tensor
    vertices: Tensor | None
    faces: Tensor | None
    about: tuple[dict, ...]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        rows = [rows] if isinstance(rows, int) else rows
        tensors = {name: getattr(self, name)[rows] for name in ("images", "masks", "joints_3d", "joints_2d", "keypoints_3d")}
        picked = self.about[rows] if isinstance(rows, slice) else tuple(self.about[row] for row in rows)
        return replace(self, **tensors, pose=self.pose[rows], camera=self.camera[rows], keypoints=self.keypoints[rows],
                       vertices=None if self.vertices is None else self.vertices[rows], about=picked)


def make_pairs(images: Tensor, pose: BodyPose, camera: Camera, body: BodyModel, masks: Tensor | None = None, about=None,
               vertices=False, figure=None) -> ImageMeshPairs:
    """Puts pictures and the bodies in them together.

    Args:
        images: (B, H, W, 3) sRGB 0..1.
        pose: B rows.
        camera: B rows or one, of the pictures' size.
        body: the body that the poses are for.
        masks: (B, H, W), 1 where the person is; None draws the body's silhouette.
        about: one dict for each row, or one for all, of plain JSON values; None is empty.
        vertices: keep the posed vertices too; without them the body file is needed to make the mesh again.
        figure: ports.Figure that the pictures show when it is not the body itself, such as an avatar: key points and silhouette are its.

    Raises:
        InputError: sizes or numbers of rows do not fit, or something is NaN.
    """
    sizes = check_shape("images", images, "B H W 3")
    _check_rows(images, pose, camera, masks)
    for name, value in (("images", images), ("body pose", pose.body_pose), ("root", pose.global_orient), ("place", pose.transl)):
        if not bool(torch.isfinite(value).all()):
            raise InputError(name, tuple(value.shape), "holds NaN or infinite numbers", "Leave out the broken rows.")
    posed = pose_body(body, pose)
    shown = posed if figure is None else figure
    camera = match_rows(camera, len(pose)).to(posed.device)
    if masks is None:
        masks = render_figure(shown, camera).alpha
    about = about if isinstance(about, (list, tuple)) else [about or {}] * sizes["B"]
    made = {"body": {"name": body.name, "kind": body.kind, "licence": body.licence}}
    mesh = posed.mesh(slice(0, len(posed))) if vertices else None
    return ImageMeshPairs(
        images, masks, pose, camera, posed.joints, project(posed.joints, camera)[0], project_keypoints(shown, camera),
        shown.keypoints_3d(), mesh.vertices if mesh else None, mesh.faces if mesh else None, tuple({**made, **row} for row in about))


def _check_rows(images, pose, camera, masks):
    rows, height, width = images.shape[:3]
    if rows == 0 or len(pose) != rows:
        raise InputError("body poses", f"{len(pose)} rows", f"do not fit {rows} pictures",
                         "Give one pose for each picture, and at least one.")
    if (camera.width, camera.height) != (width, height):
        raise InputError("camera", f"{camera.width} x {camera.height}", f"does not fit pictures of {width} x {height}",
                         "Frame the body in the pictures' size, or scale the pictures to the camera's.")
    if masks is not None and tuple(masks.shape) != (rows, height, width):
        raise InputError("mask", tuple(masks.shape), f"does not fit {rows} pictures of {width} x {height}",
                         "Give one mask for each picture, of its size, or none.")


def sample_files(pairs: ImageMeshPairs, row=0, sample_id=None, place=0) -> tuple[str, dict[str, bytes]]:
    """The files of one row: the same row gives the same bytes everywhere.

    Args:
        sample_id: letters, digits, "-" and "_"; None takes it from content and place.
        place: number of the sample in its shard, so that equal rows get ids of their own.

    Returns:
        (id, {"png": ..., "npz": ..., "json": ...}).

    Raises:
        InputError: an id with other characters.
    """
    png, npz = encode_png(pairs.images[row]), encode_npz(row_arrays(pairs, row))
    hashes = {"png": hashlib.sha256(png).hexdigest(), "npz": hashlib.sha256(npz).hexdigest()}
    sample_id = sample_id or hashlib.sha256(f"{hashes['png']} {hashes['npz']} {place}".encode()).hexdigest()[:16]
    if not sample_id.replace("-", "").replace("_", "").isalnum() or not sample_id.isascii():
        raise InputError("sample id", sample_id, "holds other characters than letters, digits, - and _", "Choose another id.")
    told = {"id": sample_id, "version": VERSION, **pairs.about[row], "sha256": hashes}
    return sample_id, {"png": png, "npz": npz, "json": json.dumps(told, sort_keys=True, ensure_ascii=False).encode()}


def row_arrays(pairs: ImageMeshPairs, row) -> dict[str, np.ndarray]:
    """What the npz of one row holds; rotations as rotvecs, the mask as bytes 0..255."""
    pose, camera, keypoints = pairs.pose[row], pairs.camera[row], pairs.keypoints[row]
    arrays = {"global_orient": rotmat_to_rotvec(pose.global_orient)[0], "body_pose": rotmat_to_rotvec(pose.body_pose)[0].flatten(),
              "transl": pose.transl[0]}
    if pose.betas is not None:
        arrays["betas"] = pose.betas[0]
    if pose.hands is not None:
        arrays["hands"] = rotmat_to_rotvec(pose.hands)[0].flatten()
    arrays |= {name: getattr(camera, name)[0] for name in _CAMERA}
    arrays |= {"joints_3d": pairs.joints_3d[row], "joints_2d": pairs.joints_2d[row], "keypoints_3d": pairs.keypoints_3d[row],
               "keypoints_2d": torch.cat([keypoints.keypoints_2d[0], keypoints.scores[0, :, None]], -1)}
    if pairs.vertices is not None:
        arrays |= {"vertices": pairs.vertices[row], "faces": pairs.faces}
    numbers = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
    numbers = {name: value.astype(np.int32 if name == "faces" else np.float32) for name, value in numbers.items()}
    mask = pairs.masks[row].detach().clamp(0, 1).mul(255).add(0.5).to(torch.uint8).cpu().numpy()
    return numbers | {"mask": mask, "size": np.array([camera.width, camera.height], np.int32)}


def encode_png(image: Tensor) -> bytes:
    """(H, W, 3) 0..1 to the bytes of an 8-bit PNG."""
    from PIL import Image

    pixels = image.detach().clamp(0, 1).mul(255).add(0.5).to(torch.uint8).cpu().numpy()
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG", compress_level=1)  # the default level takes six times as long for a tenth of the size
    return packed.getvalue()


def encode_npz(arrays) -> bytes:
    """Arrays to the bytes of a compressed npz; its zip entries carry no time of their own."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


@dataclass(frozen=True)
class StoredPair:
    """One pair as it was read.

    Args:
        id: of the sample.
        image: (H, W, 3) uint8 sRGB.
        mask: (H, W) uint8, 255 where the person is.
        pose, camera, keypoints: one row each.
        joints_3d, joints_2d: (J, 3) metres, world, and (J, 2) pixels.
        keypoints_3d: (18, 3) metres, world.
        vertices, faces: (V, 3) and (F, 3), or None.
        about: the json.
    """

    id: str
    image: Tensor
    mask: Tensor
    pose: BodyPose
    camera: Camera
    keypoints: Keypoints
    joints_3d: Tensor
    joints_2d: Tensor
    keypoints_3d: Tensor
    vertices: Tensor | None
    faces: Tensor | None
    about: dict


def read_sample(files: dict[str, bytes], where="sample") -> StoredPair:
    """Reads one sample from the bytes of its three files; nothing is unpickled.

    Raises:
        InputError: a file lacks or is damaged.
    """
    missing = [part for part in PARTS if part not in files]
    if missing:
        raise InputError("sample", where, f"has no {', '.join(missing)}", "Make the shard again.")
    try:
        from PIL import Image

        about = parse_json(files["json"])
        if not isinstance(about, dict) or not isinstance(about.get("id"), str):
            raise ValueError("its json names no sample")
        arrays = {name: torch.from_numpy(array) for name, array in read_npz(files["npz"], "sample", where=where).items()}
        with Image.open(io.BytesIO(files["png"])) as picture:
            image = torch.from_numpy(np.array(picture.convert("RGB")))
        return _stored(about, arrays, image)
    except InputError:
        raise
    except Exception as error:  # a damaged file can fail in many ways
        raise InputError("sample", where, f"is damaged ({type(error).__name__}: {error})", "Make the shard again.") from None


def _stored(about, arrays, image):
    width, height = arrays["size"].tolist()
    rotmats = {name: rotvec_to_rotmat(arrays[name].view(1, -1, 3)) for name in _ROTATIONS if name in arrays}
    pose = BodyPose(rotmats["global_orient"][:, 0], rotmats["body_pose"], arrays["transl"][None],
                    arrays["betas"][None] if "betas" in arrays else None, rotmats.get("hands"))
    camera = Camera(**{name: arrays[name][None] for name in _CAMERA}, width=width, height=height)
    points = arrays["keypoints_2d"][None]
    keypoints = Keypoints(points[..., :2], points[..., 2], "openpose18", width, height)
    return StoredPair(about["id"], image, arrays["mask"], pose, camera, keypoints, arrays["joints_3d"], arrays["joints_2d"],
                      arrays["keypoints_3d"], arrays.get("vertices"), arrays.get("faces"), about)
