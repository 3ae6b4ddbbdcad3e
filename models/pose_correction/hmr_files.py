"""Bodies that mesh recovery tools have written, with their cameras: .npz, .pkl and .pt, read without running anything they contain.

The layouts are in `hmr_layouts`. These tools work in camera axes (+x right, +y down, +z forward), where an upright body is upside down;
here the world is +Y up. Our own pose files, and the pairs with their cameras, are read too.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import torch

from ..assets.checkpoints import read_checkpoint
from ..assets.files import check_file
from ..assets.restricted_pickle import read_pickle_tree
from ..bodies.body import BodyModel, pose_body
from ..bodies.pose_file import load_poses
from ..checks import InputError, numbers_of
from ..render.camera import check_size, frame_figure, view_rotation
from ..rotations import rotvec_to_rotmat
from ..types import BodyPose, Camera
from .hmr_layouts import CROP, CROP_FOCAL, NAME, REMEDY, ROMP_FOCAL, find_people

SUFFIXES = (".npz", ".pkl", ".pt", ".pth")
MAX_BYTES = 1 << 30
MAX_PEOPLE = 100_000
_OWN_CAMERA = ("fx", "fy", "cx", "cy", "R", "t")


def load_body_file(path, body: BodyModel, width=512, height=512, keep_shape=False) -> tuple[BodyPose, Camera, str]:
    """Reads bodies and their cameras.

    Args:
        path: .npz, .pkl, .pt or .pth.
        body: the body that will show them; its pelvis places them.
        width, height: size of the pictures in pixels, where the file does not tell it.
        keep_shape: keep the betas; True when they were made for ``body``.

    Returns:
        (pose, camera, report): one row per person, ``frame_index`` and ``person_index`` set; people of one picture share the camera's place
        and lens. Files without cameras get one that frames each body.

    Raises:
        InputError: the file is missing, damaged, hides code, or holds no bodies.
    """
    check_size(width, height)
    path = check_file(NAME, Path(path), SUFFIXES)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(NAME, path, "is larger than 1 GB", "Split it.")
    tree = _read(path)
    if "prompts" in tree and path.suffix.lower() == ".npz":
        pose, _ = load_poses(path)
        return _framed(pose, body, width, height, f"{path.name}: {len(pose)} poses of ours; the camera frames each.")
    try:
        return _bodies(tree, path, body, width, height, keep_shape)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RuntimeError) as error:  # a tree holds anything
        raise InputError(NAME, path, f"holds bodies that cannot be read ({type(error).__name__}: {str(error)[:80]})", REMEDY) from None


def _bodies(tree, path, body, width, height, keep_shape):
    if {"global_orient", "body_pose", *_OWN_CAMERA} <= set(tree):
        return _own_pair(tree, path)
    people = find_people(tree)
    if not people:
        raise InputError(NAME, path, f"holds no bodies we know (its entries: {', '.join(map(str, list(tree)[:8]))})", REMEDY)
    if len(people) > MAX_PEOPLE:
        raise InputError(NAME, path, f"holds {len(people)} bodies", f"Split it into files of at most {MAX_PEOPLE}.")
    return _assemble(people, body, width, height, keep_shape, path.name)


def _assemble(people, body, width, height, keep_shape, name):
    sizes = {person.size for person in people if person.size} or {(width, height)}
    if len(sizes) > 1:
        raise InputError(NAME, name, f"has pictures of {len(sizes)} sizes", "Split it so that each file has pictures of one size.")
    width, height = sizes.pop()
    check_size(width, height)
    stack = {key: torch.stack([getattr(person, key) for person in people]) for key in ("root", "joints")}
    shaped = keep_shape and all(person.betas is not None for person in people)
    betas = torch.stack([person.betas for person in people])[:, : body.shapedirs.shape[-1]] if shaped else None
    flip = view_rotation()  # its own inverse
    pose = BodyPose(flip @ stack["root"], stack["joints"], betas=betas, frame_index=torch.tensor([p.frame for p in people]),
                    person_index=torch.tensor([p.person for p in people]))
    report = f"{name}: {len(people)} bodies in {len({p.frame for p in people})} pictures of {width} x {height}"
    lenses = [_lens(person, width, height) for person in people]
    if any(lens is None for lens in lenses):
        return _framed(pose, body, width, height, report + "; it tells no camera, so each body is framed.")
    places = torch.stack([place for place, _ in lenses])
    focal = torch.tensor([focal for _, focal in lenses])
    pelvis = body.with_shape(betas).joints[:, 0].cpu()
    transl = (flip @ (pelvis + places)[..., None])[..., 0] - pelvis
    pose = BodyPose(pose.global_orient, pose.body_pose, transl, betas, None, pose.frame_index, pose.person_index)
    rows = torch.ones(len(people))
    camera = Camera(focal, focal.clone(), rows * width / 2, rows * height / 2, flip.expand(len(people), 3, 3), torch.zeros(len(people), 3),
                    width, height)
    shape = "" if keep_shape or people[0].betas is None else " Body shapes belong to SMPL and were left out."
    return pose, camera, f"{report}, with cameras.{shape}"


def _lens(person, width, height):
    """(place (3,), focal length in pixels) of a person, or None without a camera."""
    longer = max(width, height)
    if person.place is not None:
        focal = ROMP_FOCAL if person.focal is None else person.focal
        return person.place, float(focal if focal > 20 else focal * longer)
    if person.weak is None:
        return None
    scale, x, y, centre_x, centre_y, side = person.weak
    if not scale > 0 or side <= 0:
        raise InputError(NAME, (scale, side), "are a camera scale and a crop that are not both positive", "Recover the body again.")
    whole = math.isnan(side)
    side, centre_x, centre_y = (longer, width / 2, height / 2) if whole else (side, centre_x, centre_y)
    focal = CROP_FOCAL * side / CROP
    depth = 2 * focal / (side * scale)
    aside = ((centre_x - width / 2) * depth / focal, (centre_y - height / 2) * depth / focal)
    return torch.tensor([x + aside[0], y + aside[1], depth]), focal


def _framed(pose, body, width, height, report):
    camera = frame_figure(pose_body(body, pose), width, height).to("cpu")
    return pose, camera, report


def _own_pair(tree, path):
    """One of our own pairs."""
    value = {key: torch.as_tensor(numbers_of(NAME, tree[key], key, REMEDY)) for key in ("global_orient", "body_pose", *_OWN_CAMERA)}
    size = np.asarray(tree.get("size", (512, 512))).astype(int).ravel()
    check_size(int(size[0]), int(size[1]))
    transl = torch.as_tensor(numbers_of(NAME, tree.get("transl", np.zeros(3)), "transl", REMEDY)).reshape(1, 3)
    betas = torch.as_tensor(numbers_of(NAME, tree["betas"], "betas", REMEDY)).reshape(1, -1) if "betas" in tree else None
    root, joints = (rotvec_to_rotmat(value[key].reshape(1, -1, 3)) for key in ("global_orient", "body_pose"))
    pose = BodyPose(root[:, 0], joints, transl, betas)
    camera = Camera(*(value[key].reshape(1) for key in _OWN_CAMERA[:4]), value["R"].reshape(1, 3, 3), value["t"].reshape(1, 3),
                    int(size[0]), int(size[1]))
    return pose, camera, f"{path.name}: one body with its camera."


def _read(path) -> dict:
    """The file's content as dicts, lists and numpy arrays."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path)
    if suffix == ".pkl":
        data = path.read_bytes()
        if data[:1] in (b"\x78", b"\x1f", b"\xfd", b"B") or b"joblib" in data[:4096]:
            raise InputError(NAME, path, "was written by joblib, whose files cannot be read without running them",
                             "Load it where it was made and save it with numpy.savez or pickle.dump.")
        tree = read_pickle_tree(data, NAME, path)
    else:
        tree = read_checkpoint(path, NAME, "Save it as .npz.")
    if not isinstance(tree, dict):
        raise InputError(NAME, path, f"holds a {type(tree).__name__} instead of named entries", REMEDY)
    return tree


def _read_npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise InputError(NAME, path, "unpacks to more than 1 GB", "Split it.")
            return {entry.removesuffix(".npy"): _read_array(archive.read(entry), path) for entry in archive.namelist()}
    except InputError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise InputError(NAME, path, f"is not a readable .npz ({type(error).__name__}: {error})", "Copy the file again.") from None


def _read_array(data, path):
    """A numpy array; one of objects is a pickle behind the header, read as data only."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if not header(stream)[2].hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    tree = read_pickle_tree(data[stream.tell() :], NAME, path)
    return tree[0] if isinstance(tree, list) and len(tree) == 1 else tree
