"""The rig bus of ComfyUI's own 3D nodes: KIMODO_POSE_DATA out, MHR_POSE_DATA in.

Out: a dictionary that carries a skinned rig and its joints over time; core's SAM3DBody_Render then draws it and BuildPoseFile exports GLB
and BVH. The layout is undocumented and was read off core's source (comfy_extras/sam3d_body, 2026); ``FORMAT`` counts our versions of it.
It is checked against a fixture of our own, because no ComfyUI at hand has these nodes yet.

* ``frames``: per picture a list of people; ``pred_joint_coords`` (J, 3) metres +Y up, ``pred_global_rots`` (J, 3, 3) world rotations,
  ``pred_vertices`` (V, 3) and ``pred_keypoints_3d`` in camera axes (+X right, +Y down, +Z forward), ``pred_cam_t`` (3,) in camera axes,
  ``focal_length`` pixels, ``pred_keypoints_2d`` pixels;
* ``_skeleton_override``: ``parents``, ``bind_global_m`` (J, 8) = place, quaternion xyzw, scale; eight influences per vertex; rest mesh.

Travel goes into ``pred_cam_t``, since core's exporters take it from there; joints and vertices stay with the pelvis' rest place.

In: the people core's SAM 3D Body finds. Only its joint positions are used, by `joints_ik`, so twists are approximate.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..bodies.body import BodyModel, pose_body
from ..bodies.joints import JOINT_NAMES, OPENPOSE18_NAMES
from ..checks import InputError, check_range, numbers_of
from ..types import BodyPose
from .floor import check_rows
from .joints_ik import error_report, joints_to_pose

FORMAT = 1
INFLUENCES = 8
FOV = math.radians(40)
MAX_VERTEX_NUMBERS = 400_000_000
# MHR's 70 key points that stand for SMPL joints
MHR_POINTS = {"left_shoulder": 5, "right_shoulder": 6, "left_elbow": 7, "right_elbow": 8, "left_hip": 9, "right_hip": 10, "left_knee": 11,
              "right_knee": 12, "left_ankle": 13, "right_ankle": 14, "left_wrist": 62, "right_wrist": 41}
_TOES = {"left_foot": (15, 16), "right_foot": (18, 19)}  # big and small toe
_NOSE, _EARS, _NECK = 0, (3, 4), 69
_REMEDY = "Connect the pose data of core's SAM 3D Body."


def pose_to_core_rig(pose: BodyPose, body: BodyModel, width=768, height=768, fov=FOV) -> dict:
    """Returns the KIMODO_POSE_DATA dictionary of one person, as plain numpy arrays.

    Args:
        pose: T rows.
        body: the body that is drawn, in the shape of the first row.
        width, height: of the picture that core will draw, pixels.
        fov: vertical opening angle, radians. The camera looks along -Z of the world and sees the whole motion.

    Raises:
        InputError: nothing to write, too many frames for the vertices to be kept, or a size out of range.
    """
    check_rows(pose)
    check_range("width", width, 16, 16384)
    check_range("height", height, 16, 16384)
    if len(pose) * len(body.v_template) * 3 > MAX_VERTEX_NUMBERS:
        raise InputError("motion", f"{len(pose)} frames", "need more than 1.6 GB of vertices",
                         "Trim the motion, or export it with Save Motion.")
    posed = pose_body(body, pose)
    focal = height / (2 * math.tan(fov / 2))
    placed = _numpy(pose.transl)
    joints, rotmats = _numpy(posed.joints), _numpy(posed.T_world_joint[..., :3, :3])
    points = _numpy(posed.keypoints_3d())
    camera_t = _camera_place(np.nan_to_num(np.concatenate([joints, points], 1), nan=float(joints[0, 0, 1])), focal, width, height)
    people = []
    for row in range(len(pose)):
        travel = _to_camera(placed[row]) + camera_t
        local = _to_camera(points[row] - placed[row])
        seen = local + travel
        people.append([{
            "pred_vertices": _to_camera(_numpy(posed.vertices(slice(row, row + 1))[0]) - placed[row]).astype(np.float32),
            "pred_joint_coords": (joints[row] - placed[row]).astype(np.float32),
            "pred_global_rots": rotmats[row].astype(np.float32),
            "pred_cam_t": travel.astype(np.float32),
            "focal_length": np.float32(focal),
            "pred_keypoints_3d": local.astype(np.float32),
            "pred_keypoints_2d": (seen[:, :2] * focal / seen[:, 2:] + (width / 2, height / 2)).astype(np.float32),
        }])
    rig = _rig(posed)
    return {"contrapposto_format": FORMAT, "frames": people, "faces": rig["faces"], "image_size": (int(height), int(width)),
            "fps": float(pose.fps or 30.0), "_skeleton_override": rig}


def _rig(posed):
    model, shaped = posed.model, posed.shaped
    rest = _numpy(shaped.joints[0]).astype(np.float32)
    weights, slots = model.weights.topk(min(INFLUENCES, model.weights.shape[1]), dim=1)
    weights = weights / weights.sum(1, keepdim=True)
    pad = INFLUENCES - weights.shape[1]
    return {
        "parents": np.array(model.parents, np.int32),
        "bind_global_m": np.concatenate([rest, np.tile(np.array([0, 0, 0, 1, 1], np.float32), (len(rest), 1))], 1),
        "lbs_compact_joints": np.pad(_numpy(slots), ((0, 0), (0, pad))).astype(np.uint16),
        "lbs_compact_weights": np.pad(_numpy(weights), ((0, 0), (0, pad))).astype(np.float32),
        "lbs_compact_max_inf": int((weights > 1e-6).sum(1).max()),
        "rest_verts_m": _numpy(shaped.v_shaped[0]).astype(np.float32),
        "faces": _numpy(model.faces).astype(np.uint32),
        "per_frame_y_down": False,
        **_openpose_map(),
    }


def _openpose_map():
    """OpenPose points as places on the line through two joints; face points are guessed from head and neck, as joints tell no more."""
    number = {name: i for i, name in enumerate(JOINT_NAMES)}
    pairs, blend = [], []
    for name in OPENPOSE18_NAMES:
        if name == "neck":
            pairs.append((number["left_shoulder"], number["right_shoulder"]))
            blend.append(0.5)
        elif name in number:
            pairs.append((number[name], -1))
            blend.append(1.0)
        else:
            pairs.append((number["head"], number["neck"]))
            blend.append(1.6)  # beyond the head joint, away from the neck
    return {"openpose18_joint_indices": np.array(pairs, np.int32), "openpose18_joint_weights": np.array(blend, np.float32)}


def _camera_place(points, focal, width, height):
    """(3,) translation in camera axes that brings all points (T, K, 3) of the world into the picture, with a tenth of margin."""
    seen = _to_camera(points.reshape(-1, 3))
    middle = (seen.min(0) + seen.max(0)) / 2
    offset = np.abs(seen - middle)
    reach = np.maximum(offset[:, 0] / (0.45 * width), offset[:, 1] / (0.45 * height)) * focal - (seen[:, 2] - middle[2])
    return np.array([-middle[0], -middle[1], float(reach.max()) - middle[2]])


def _to_camera(points):
    """World (+Y up, looking along -Z) to camera axes (+Y down, +Z forward), and back."""
    return points * np.array([1.0, -1.0, -1.0])


def _numpy(tensor):
    return tensor.detach().cpu().numpy()


def core_pose_to_body(data, body: BodyModel, fps=30.0) -> tuple[BodyPose, str]:
    """MHR_POSE_DATA to poses: the first person of every picture. Approximate: twists of head, hands and straight limbs are guessed.

    Raises:
        InputError: it is something else, or a picture shows nobody.
    """
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, (list, tuple)) or not frames:
        raise InputError("mhr pose data", type(data).__name__, "holds no frames", _REMEDY)
    points = []
    for number, people in enumerate(frames):
        person = people[0] if isinstance(people, (list, tuple)) and people else None
        if not isinstance(person, dict) or "pred_keypoints_3d" not in person:
            raise InputError("mhr pose data", f"picture {number}", "shows nobody with 3D key points", "Cut such pictures out first.")
        local = numbers_of("mhr pose data", person["pred_keypoints_3d"], f"pred_keypoints_3d of picture {number}", _REMEDY)
        place = numbers_of("mhr pose data", person.get("pred_cam_t", np.zeros(3)), f"pred_cam_t of picture {number}", _REMEDY)
        if local.shape != (70, 3) or place.size != 3:
            raise InputError("mhr pose data", local.shape, "are not 70 key points and a place", _REMEDY)
        points.append(local + place.reshape(3))
    joints = mhr_to_joints(torch.from_numpy(_to_camera(np.stack(points)).astype(np.float32)))
    pose, error = joints_to_pose(joints, body, fps)
    return pose, f"{len(pose)} pictures from MHR key points, approximate.\n{error_report(error)}"


def mhr_to_joints(points):
    """(T, 70, 3) key points to SMPL's 22 joints (T, 22, 3). The trunk is shared out between the hips and the neck."""
    at = {name: points[:, i] for name, i in MHR_POINTS.items()}
    at |= {name: points[:, list(pair)].mean(1) for name, pair in _TOES.items()}
    hips, shoulders = (at["left_hip"] + at["right_hip"]) / 2, (at["left_shoulder"] + at["right_shoulder"]) / 2
    up = points[:, _NECK] - hips
    at["pelvis"] = hips + 0.12 * up
    at |= {name: hips + share * up for name, share in (("spine1", 0.34), ("spine2", 0.62), ("spine3", 0.74))}
    at["neck"] = points[:, _NECK]
    ears = points[:, list(_EARS)].mean(1)
    at["head"] = torch.lerp(at["neck"], ears, 0.55)
    for side in ("left", "right"):
        at[f"{side}_collar"] = torch.lerp(shoulders, at[f"{side}_shoulder"], 0.45)
    return torch.stack([at[name] for name in JOINT_NAMES[:22]], 1)
