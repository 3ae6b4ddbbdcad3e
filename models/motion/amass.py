"""SMPL motions as other programs keep them: AMASS and SMPL-X archives, motion capture from video, dictionaries of other node packs.

Their names (``poses``, ``trans``, ``root_orient``, ``pose_body`` ...) are translated here and appear nowhere else. What is read:

* AMASS: ``poses`` (T, 66, 72, 156 or 165), ``trans``, ``betas``, ``mocap_framerate`` or ``mocap_frame_rate``; +Z up;
* smplx names: ``global_orient``, ``body_pose`` (21 or 23 joints), ``transl``, ``betas``, hands; rotation vectors or matrices;
* GVHMR and the SMPL_PARAMS socket: such names under ``smpl_params_global`` / ``global``, else ``smpl_params_incam`` / ``incam``;
* 4D-Humans / PHALP tracks: frame -> {"smpl": [...], "tid": [...]}; the HYMOTION_DATA socket: ``rot6d``, ``transl``.

Pickled code is never run: archives are read without objects, .pkl files through the bodies room's restricted reader, .pt files with
torch's weights-only reader.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..assets.checkpoints import read_checkpoint
from ..assets.files import atomic_write, check_file, read_npz
from ..assets.restricted_pickle import read_pickle
from ..bodies.body import BodyModel
from ..checks import InputError, check_choice, numbers_of
from ..rotations import rot6d_to_rotmat, rotmat_to_rotvec, rotvec_to_rotmat
from ..types import BodyPose
from .bvh import FPS_RANGE, NAME
from .floor import check_rows, stand_on_floor

DEFAULT_FPS = 30.0
MAX_FRAMES = 200_000
_NAMES = {
    "poses": ("poses", "fullpose"),
    "global_orient": ("global_orient", "root_orient"),
    "body_pose": ("body_pose", "pose_body"),
    "hands": ("pose_hand",),
    "left_hand": ("left_hand_pose",),
    "right_hand": ("right_hand_pose",),
    "transl": ("transl", "trans"),
    "betas": ("betas", "shape"),
    "fps": ("mocap_framerate", "mocap_frame_rate", "fps", "framerate"),
    "rot6d": ("rot6d",),
    "root_rotmat": ("root_rotations_mat",),
}
_NESTED = ("smpl_params_global", "global", "smpl_params_incam", "incam", "smpl_params")
ALL_NAMES = tuple(name for names in _NAMES.values() for name in names)
_REMEDY = "Give an AMASS or SMPL-X .npz, or the output of a motion capture node."
LAYOUTS = ("smplx", "amass")
# File axes -> ours, by where the pelvis' own up direction points on average
_TURNS = {"+Y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)), "-Y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)), "+Z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
          "-Z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)), "+X": ((0, -1, 0), (1, 0, 0), (0, 0, 1)), "-X": ((0, 1, 0), (-1, 0, 0), (0, 0, 1))}


def read_smpl_motion(path, body: BodyModel, keep_shape=True) -> tuple[BodyPose, str]:
    """Reads a .npz, .pkl or .pt file of an SMPL-format motion. See `smpl_to_pose`.

    Raises:
        InputError: the file is missing, damaged, hides code, or holds no motion.
    """
    path = check_file(NAME, path, (".npz", ".pkl", ".pt", ".pth"))
    readers = {".npz": lambda: read_npz(path, NAME, ALL_NAMES), ".pkl": lambda: read_pickle(path, ALL_NAMES, NAME)}
    read = readers.get(path.suffix.lower(), lambda: read_checkpoint(path, NAME, "Save it as .npz."))
    return smpl_to_pose(read(), body, keep_shape, path.name)


def smpl_to_pose(content, body: BodyModel, keep_shape=True, name="motion data") -> tuple[BodyPose, str]:
    """Turns named arrays, a dictionary from another node pack, or a HYMOTION_DATA object into poses.

    Args:
        content: a dict of arrays or tensors, nested as listed at the top of this file, or an object with ``output_dict``.
        body: the body that will play it; gives the pelvis for turning the axes, and the height of the feet.
        keep_shape: keep ``betas``; False when they belong to another body than ``body``.
        name: for messages.

    Returns:
        (pose, report): rows with ``fps`` and ``frame_index``, +Y up, standing on the floor; people one after another.

    Raises:
        InputError: nothing of use was found, or its shapes and numbers do not fit.
    """
    raw = _find_arrays(content, name)
    pose, notes = _rows(raw, name)
    pose = pose if keep_shape else replace(pose, betas=None)
    pose = replace(pose, betas=None if pose.betas is None else pose.betas[:, : body.shapedirs.shape[-1]])
    pose, up = _y_up(pose.to(body.device), body, raw)
    pose, rise = stand_on_floor(pose, body)
    lines = [f"{name}: {len(pose)} frames at {pose.fps:.4g} fps{notes}.", f"Axes: up was {up}. Moved {rise:+.3f} m in height."]
    if "betas" in raw and not keep_shape:
        lines.append("Its body shape belongs to another body model and was left out.")
    return pose, "\n".join(lines)


def write_smpl_npz(path, pose: BodyPose, body: BodyModel, layout="smplx"):
    """Writes a motion for other programs.

    Args:
        path: the .npz to write.
        pose: T rows.
        body: the body the poses are for; its pelvis matters when the axes are turned.
        layout: "smplx" writes global_orient, body_pose, left_hand_pose, right_hand_pose, transl, betas, fps, +Y up;
            "amass" writes poses (T, 156), trans, betas, gender, mocap_framerate, +Z up. Rotation vectors, radians.

    Raises:
        InputError: the layout is unknown or the file cannot be written.
    """
    check_choice("layout", layout, LAYOUTS)
    check_rows(pose)
    pose = pose.to(body.device)
    betas = pose.transl.new_zeros(len(pose), 10) if pose.betas is None else pose.betas
    hands = torch.eye(3, device=pose.device).expand(len(pose), 30, 3, 3) if pose.hands is None else pose.hands
    fps = np.float64(pose.fps or DEFAULT_FPS)
    if layout == "amass":
        pose = _turned(pose, pose.transl.new_tensor(_TURNS["+Z"]).T, body)
    parts = (pose.global_orient, pose.body_pose, hands)
    root, joints, fingers = (rotmat_to_rotvec(part).detach().cpu().flatten(1).numpy() for part in parts)
    transl, betas = pose.transl.detach().cpu().numpy(), betas.detach().cpu().numpy()
    if layout == "amass":
        arrays = {"poses": np.concatenate([root, joints, fingers], 1), "trans": transl, "betas": betas[0], "gender": np.str_("neutral"),
                  "mocap_framerate": fps}
    else:
        arrays = {"global_orient": root, "body_pose": joints, "left_hand_pose": fingers[:, :45], "right_hand_pose": fingers[:, 45:],
                  "transl": transl, "betas": betas, "fps": fps}
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)


def _error(name, problem):
    return InputError(NAME, name, problem, _REMEDY)


def _find_arrays(content, name):
    """Our names -> float64 or string arrays, from whatever was given."""
    content = getattr(content, "output_dict", content)
    if isinstance(content, (list, tuple)) and content:
        content = content[0]
    if not isinstance(content, dict):
        raise _error(name, f"is a {type(content).__name__} instead of named arrays")
    try:
        track = _phalp(content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:  # anything may stand in such a dictionary
        raise _error(name, f"holds tracks that cannot be read ({type(error).__name__})") from None
    nested = next((content[key] for key in _NESTED if isinstance(content.get(key), dict)), None)
    rates = {key: content[key] for key in _NAMES["fps"] if key in content}
    content = track or ({**rates, **nested} if nested else content)
    found = {}
    for ours, theirs in _NAMES.items():
        key = next((key for key in theirs if content.get(key) is not None), None)
        if key is not None:
            found[ours] = _array(content[key], key, name)
    if "poses" not in found and "rot6d" not in found and not {"global_orient", "body_pose"} <= set(found):
        raise _error(name, f"holds no SMPL motion (its entries: {', '.join(map(str, list(content)[:8])) or 'none'})")
    return found | {"of_amass": "poses" in found}


def _array(value, key, name):
    return torch.from_numpy(numbers_of(NAME, value, f"{key} of {name}", _REMEDY))


def _phalp(content):
    """The longest track of a PHALP result, stacked; None if the content is something else."""
    frames = [entry for _, entry in sorted(content.items(), key=lambda item: str(item[0])) if isinstance(entry, dict) and "smpl" in entry]
    people = [(entry.get("tid", range(len(entry["smpl"])))[i], person) for entry in frames for i, person in enumerate(entry["smpl"])]
    if not people:
        return None
    tracks = [track for track, _ in people]
    chosen = [person for track, person in people if track == max(set(tracks), key=tracks.count)]
    return {key: np.stack([np.asarray(person[key]).reshape(shape) for person in chosen])
            for key, shape in (("global_orient", (3, 3)), ("body_pose", (-1, 3, 3)), ("betas", (-1,)))}


def _rows(raw, name):
    """(BodyPose in the file's axes, notes for the report)."""
    root, joints, hands = _rotations(raw, name)
    count = len(root)
    if not 1 <= count <= MAX_FRAMES:
        raise _error(name, f"has {count} frames")
    transl, betas = raw.get("transl", torch.zeros(count, 3)), raw.get("betas")
    if transl.numel() != 3 * count:
        raise _error(name, f"has {count} poses but places of shape {tuple(transl.shape)}")
    transl = transl.reshape(count, 3)
    fps = float(raw["fps"].flatten()[0]) if "fps" in raw and raw["fps"].numel() else None
    if fps is not None and not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise _error(name, f"has a frame rate of {fps:g}")
    if betas is not None and betas.numel():
        betas = betas.reshape(-1, betas.shape[-1]) if betas.ndim else betas.reshape(1, 1)
        if len(betas) not in (1, count):
            raise _error(name, f"has {count} poses but {len(betas)} body shapes")
        betas = betas.expand(count, -1).clone()
    else:
        betas = None
    pose = BodyPose(root, joints, transl, betas, hands, torch.arange(count), fps=fps or DEFAULT_FPS)
    return pose, "" if fps else f" (the file names no rate; {DEFAULT_FPS:g} is assumed)"


def _rotations(raw, name):
    """(T, 3, 3) root, (T, 21, 3, 3) joints, (T, 30, 3, 3) fingers or None."""
    if "rot6d" in raw:
        rotmats = _from_rot6d(raw, name)
        return rotmats[:, 0], rotmats[:, 1:22], rotmats[:, 22:52] if rotmats.shape[1] >= 52 else None
    if "poses" in raw:
        rotmats = _rotmats(raw["poses"], "poses", name)
        joints = rotmats.shape[1]
        if joints not in (22, 24, 52, 55):
            raise _error(name, f"has poses of {joints} joints instead of 22, 24, 52 or 55")
        return rotmats[:, 0], rotmats[:, 1:22], rotmats[:, -30:] if joints >= 52 else None
    root = _rotmats(raw["global_orient"], "global_orient", name)[:, 0]
    joints = _rotmats(raw["body_pose"], "body_pose", name)
    if joints.shape[1] < 21 or len(joints) != len(root):
        shapes = [tuple(raw[key].shape) for key in ("body_pose", "global_orient")]
        raise _error(name, f"has body_pose and global_orient of shapes {shapes[0]} and {shapes[1]}")
    hands = [_rotmats(raw[key], key, name) for key in ("hands", "left_hand", "right_hand") if key in raw]
    hands = torch.cat(hands, 1) if hands and all(len(hand) == len(root) for hand in hands) else None
    return root, joints[:, :21], hands if hands is not None and hands.shape[:2] == (len(root), 30) else None


def _rotmats(values, key, name):
    """Rotation vectors (T, 3 N), (T, N, 3) or matrices (T, N, 3, 3), in any of these nestings -> (T, N, 3, 3)."""
    if values.numel() == 0:
        raise _error(name, f"has {key} of shape {tuple(values.shape)}")
    if values.ndim >= 3 and values.shape[-2:] == (3, 3):
        if values.ndim in (3, 4):
            square = values.reshape(len(values), -1, 3, 3)
            if (square @ square.transpose(-1, -2) - torch.eye(3)).abs().max() < 1e-2:
                return square
    if values.ndim < 1 or values.ndim > 4 or values.numel() % 3:
        raise _error(name, f"has {key} of shape {tuple(values.shape)}")
    values = values[None] if values.ndim == 1 else values
    values = values[0] if values.ndim == 4 and values.shape[0] == 1 else values
    flat = values.reshape(len(values), -1)
    if flat.shape[1] % 3:
        raise _error(name, f"has {key} of shape {tuple(values.shape)}")
    return rotvec_to_rotmat(flat.unflatten(1, (-1, 3)))


def _from_rot6d(raw, name):
    """HY-Motion's 6D rotations (T or 1 T, N, 6). Both orders of the six numbers are in use: the one that agrees with the root matrices."""
    values = raw["rot6d"]
    values = values[0] if values.ndim == 4 else values
    if values.ndim != 3 or values.shape[-1] != 6 or values.shape[1] < 22:
        raise _error(name, f"has rot6d of shape {tuple(raw['rot6d'].shape)}")
    orders = [rot6d_to_rotmat(values), rot6d_to_rotmat(values.unflatten(-1, (2, 3)).transpose(-1, -2).flatten(-2))]
    if "root_rotmat" in raw and raw["root_rotmat"].numel() >= 9 * len(values):
        root = raw["root_rotmat"].reshape(-1, len(values), 3, 3)[0]
        orders.sort(key=lambda rotmats: float((rotmats[:, 0] - root).abs().mean()))
    return orders[0]


def _y_up(pose, body, raw):
    """(pose with +Y up, the file's up axis). Without a clear answer AMASS's +Z is taken for ``poses``, +Y for the rest."""
    up = pose.global_orient[..., 1].mean(0)
    axis = int(up.abs().argmax())
    label = f"{'+' if up[axis] > 0 else '-'}{'XYZ'[axis]}" if up.abs().max() > 0.6 else "+Z" if raw["of_amass"] else "+Y"
    return _turned(pose, pose.transl.new_tensor(_TURNS[label]), body), label


def _turned(pose, turn, body):
    """The motion with its axes turned. SMPL turns a body about its pelvis: ``pelvis + transl' = turn (pelvis + transl)``."""
    pelvis = body.with_shape(pose.betas).joints[:, 0]
    transl = (turn @ (pelvis + pose.transl)[..., None])[..., 0] - pelvis
    return replace(pose, global_orient=turn @ pose.global_orient, transl=transl)
