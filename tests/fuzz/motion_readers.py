"""Motion files, key points, recovered bodies, and what other nodes hand over."""

from __future__ import annotations

import numpy as np
import torch

from contrapposto.models.motion import load_motion
from contrapposto.models.motion.amass import smpl_to_pose, write_smpl_npz
from contrapposto.models.motion.bvh_writer import write_bvh
from contrapposto.models.motion.core_rig import core_pose_to_body
from contrapposto.models.motion.openpose import pose_keypoint_to_keypoints, read_keypoints
from contrapposto.models.pose_correction.hmr_files import load_body_file

from . import boxes, mutate, seeds
from .readers import file_reader, json_damage, npz_damage, pickle_damage, reader, sometimes, text_damage, torch_damage, value_of


def _load(path):
    return load_motion(path, seeds.body())


@file_reader("BVH", ".bvh", _load)
def bvh():
    text = seeds.written(lambda path: write_bvh(path, seeds.motion(), seeds.body()), "a.bvh").decode()
    words = [
        "{",
        "}",
        "ROOT",
        "JOINT",
        "End Site",
        "OFFSET",
        "CHANNELS",
        "MOTION",
        "Frames:",
        "Frame Time:",
        "Xrotation",
        "Yposition",
        "HIERARCHY",
        "\n",
    ]
    return text_damage(text, words=words)


def _archives():
    both = [
        seeds.arrays_in(seeds.written(lambda path, layout=layout: write_smpl_npz(path, seeds.motion(), seeds.body(), layout), "a.npz"))
        for layout in ("smplx", "amass")
    ]
    joints = seeds.body().with_shape(None).joints[:, :22].expand(3, -1, -1).numpy()
    return [
        *both,
        {"joints": joints, "fps": np.float64(20)},
        {"features": np.random.default_rng(0).normal(size=(4, 263)).astype(np.float32)},
    ]


@file_reader("motion npz", ".npz", _load)
def motion_npz():
    return npz_damage(*_archives())


@file_reader("motion npy", ".npy", _load)
def motion_npy():
    whole = [_archives()[2]["joints"], _archives()[3]["features"]]

    def damage(rng):
        array = rng.choice(whole)

        def changed():
            data = boxes.npy(mutate.array_of(array, rng) if rng.random() < 0.7 else array, rng)
            return mutate.bytes_of(data, rng, 3) if rng.random() < 0.2 else data

        return sometimes(rng, changed, boxes.npy(array))

    return damage


def _dictionaries():
    smplx, amass = _archives()[:2]
    amass = {key: value for key, value in amass.items() if value.dtype.kind == "f"}
    matrices = np.tile(np.eye(3, dtype=np.float32), (3, 22, 1, 1))
    return [
        smplx,
        amass,
        {"global": smplx, "fps": 30.0},
        {"rot6d": np.random.default_rng(0).normal(size=(3, 22, 6)).astype(np.float32), "transl": np.zeros((3, 3), np.float32)},
        {
            f"{i}.jpg": {
                "smpl": [{"global_orient": matrices[0, :1], "body_pose": matrices[0, 1:], "betas": np.zeros(10, np.float32)}],
                "tid": [1],
                "camera": [np.ones(3)],
                "size": [np.array([512, 512])],
                "time": i,
            }
            for i in range(2)
        },
    ]


def _some(content, rng):
    """Damage to arrays at any depth of a dictionary."""
    if isinstance(content, dict) and content and rng.random() < 0.5:
        key = rng.choice(sorted(content))
        if isinstance(content[key], (dict, list)):
            return content | {key: _some(content[key], rng)}
    if isinstance(content, list) and content:
        return [_some(content[0], rng), *content[1:]]
    if isinstance(content, dict):
        return (
            {
                key: value.tolist() if rng.random() < 0.05 and isinstance(value, np.ndarray) else value
                for key, value in mutate.arrays_of(content, rng).items()
            }
            if all(isinstance(value, (np.ndarray, np.generic, float)) for value in content.values())
            else content | {rng.choice(sorted(content)): mutate.value(rng)}
        )
    return mutate.value(rng)


@file_reader("motion pkl", ".pkl", _load)
def motion_pkl():
    return pickle_damage(*_dictionaries(), change=_some)


def _tensors(content):
    if isinstance(content, dict):
        return {key: _tensors(value) for key, value in content.items()}
    return torch.from_numpy(np.array(content)) if isinstance(content, np.ndarray) and content.dtype.kind in "biuf" else content


@file_reader("motion pt", ".pt", _load)
def motion_pt():
    return torch_damage(*map(_tensors, _dictionaries()[:4]))


def _arrays_as_json(content):
    """A dictionary of arrays as JSON that `value_of` turns back."""
    if isinstance(content, dict):
        return {key: _arrays_as_json(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_arrays_as_json(value) for value in content]
    return (
        {"$": np.asarray(content).round(3).tolist(), "dtype": np.asarray(content).dtype.str[1:]}
        if isinstance(content, (np.ndarray, np.generic))
        else content
    )


@reader("motion of another node", 0.7)
def motion_socket(folder):
    """SMPL_PARAMS and HYMOTION_DATA."""
    whole = [
        _arrays_as_json({k: v for k, v in content.items() if not isinstance(v, np.ndarray) or v.dtype.kind == "f"})
        for content in _dictionaries()
    ]
    return json_damage(*whole), lambda data: smpl_to_pose(value_of(data), seeds.body(), False)


@reader("MHR_POSE_DATA", 0.7)
def mhr_socket(folder):
    return json_damage(seeds.mhr_document(2)), lambda data: core_pose_to_body(value_of(data), seeds.body())


@reader("SAM 3D Body", 0.02)
def sam3d(folder):
    """The same data with the fit behind it, which takes its time."""
    from contrapposto.models.pose_correction.mhr import sam3d_to_body
    from contrapposto.models.pose_prior.vposer import load_pose_prior

    prior = load_pose_prior()
    return json_damage(seeds.mhr_document()), lambda data: sam3d_to_body(value_of(data), seeds.body(), prior)


@file_reader("OpenPose JSON", ".json", read_keypoints, 12)
def openpose():
    return json_damage(seeds.keypoints_document(), seeds.keypoints_document(1)[0])


@reader("POSE_KEYPOINT", 12)
def pose_keypoint(folder):
    return json_damage(seeds.keypoints_document()), lambda data: pose_keypoint_to_keypoints(value_of(data))


def _bodies(path):
    return load_body_file(path, seeds.body(), 64, 64, True)


def _recovered():
    thetas = np.random.default_rng(0).normal(size=(2, 72)).astype(np.float32)
    flat = {"smpl_thetas": thetas, "smpl_betas": np.zeros((2, 10), np.float32), "cam_trans": np.full((2, 3), 3.0, np.float32)}
    spin = {
        "pose": thetas,
        "betas": np.zeros((2, 10), np.float32),
        "cam": np.ones((2, 3), np.float32),
        "center": np.ones((2, 2)) * 30,
        "scale": np.ones(2),
    }
    hmr2 = {
        "pred_smpl_params": {
            "global_orient": thetas[:, None, :3],
            "body_pose": thetas[:, 3:].reshape(2, 23, 3),
            "betas": np.zeros((2, 10)),
        },
        "pred_cam_t": np.ones((2, 3)),
        "focal_length": np.array([500.0, 500.0]),
        "img_size": np.array([[64, 48]] * 2),
    }
    return [flat, spin, hmr2, *_dictionaries()[-1:]]


@file_reader("recovered bodies npz", ".npz", _bodies)
def bodies_npz():
    from contrapposto.models.pose_correction.pairs import row_arrays

    flat, spin, hmr2, phalp = _recovered()
    damage = npz_damage(flat, spin, row_arrays(seeds.pairs(), 0), flat)
    return lambda rng: (
        boxes.npz({"results": np.array(_some(rng.choice([hmr2, phalp]), rng), dtype=object)}, rng) if rng.random() < 0.2 else damage(rng)
    )


@file_reader("recovered bodies pkl", ".pkl", _bodies)
def bodies_pkl():
    return pickle_damage(*_recovered(), change=_some)


@file_reader("recovered bodies pt", ".pt", _bodies)
def bodies_pt():
    return torch_damage(*map(_tensors, _recovered()[:3]))


@reader("words of a language model", 12)
def words(folder):
    """Prompt Parse: any text at all is an answer."""
    from contrapposto.models.dancing_avatar.prompts import KINDS, refine

    whole = '1. crimson, 2. silk\n* flowing; red-hot - dress {"a": "b"} 20 words: blue green'
    damage = text_damage(whole)

    def read(data):
        text = data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")
        return refine(KINDS[0], "a red dress", text, 1), refine(KINDS[1], "a face", text, 2**70)

    def valid(rng):
        data = damage(rng)
        try:
            data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")
        except UnicodeDecodeError:
            return b"a"
        return data

    return valid, read


@reader("chosen candidates", 12)
def candidates(folder):
    """The gallery's widget."""
    from .nodes import node_module

    parse = node_module("choose_pose").parse_numbers
    damage = text_damage("1, 3, 12\n5", words=["٣", "-1", "0", "1" * 50, "1e3", "²"])

    def read(data):
        return parse(data.decode("utf-8", "replace"))

    return damage, read
