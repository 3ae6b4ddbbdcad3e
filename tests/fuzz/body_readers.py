"""Bodies, poses, priors and networks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch

from contrapposto.models.bodies.pose_edits import edit_pose, parse_pose_edits
from contrapposto.models.bodies.pose_file import load_poses, save_poses
from contrapposto.models.bodies.smpl_file import read_smpl_file

from . import boxes, mutate, seeds
from .readers import file_reader, json_damage, npz_damage, pickle_damage, reader, tensors_damage, torch_damage


@file_reader("body npz", ".npz", read_smpl_file)
def body_npz():
    arrays = seeds.body_arrays()
    named = arrays | {
        "keypoint_names": np.array(["nose"]),
        "keypoint_vertices": np.array([3]),
        "license": np.array("mine"),
        "vt": np.random.rand(5, 2),
        "ft": np.zeros((seeds.VERTICES, 3), np.int64),
    }
    return npz_damage(arrays, named)


class ch:
    """Stands for chumpy.Ch, by name only."""

    def __init__(self, x):
        self.x = x


ch.__module__, ch.__qualname__, ch.__name__ = "chumpy.ch", "Ch", "Ch"


@file_reader("body pkl", ".pkl", read_smpl_file)
def body_pkl():
    import sys
    import types

    from scipy.sparse import csc_matrix

    module = sys.modules.setdefault("chumpy.ch", types.ModuleType("chumpy.ch"))
    sys.modules.setdefault("chumpy", types.ModuleType("chumpy"))
    module.Ch = ch
    arrays = seeds.body_arrays()
    licensed = arrays | {"J_regressor": csc_matrix(arrays["J_regressor"]), "shapedirs": ch(arrays["shapedirs"]), "bs_type": "lrotmin"}

    def change(content, rng):
        plain = mutate.arrays_of({k: v for k, v in content.items() if isinstance(v, np.ndarray)}, rng)
        changed = {k: v for k, v in content.items() if not isinstance(v, np.ndarray)} | plain
        for key, value in content.items():
            if isinstance(value, csc_matrix) and rng.random() < 0.5:
                broken = value.copy()
                part = rng.choice(["indptr", "indices", "data", "_shape"])
                setattr(
                    broken,
                    part,
                    rng.choice([(10**9, 10**9), (-1, -1), (2**14, 2**14), 3, None])
                    if part == "_shape"
                    else mutate.array_of(getattr(broken, part), rng),
                )
                changed[key] = broken
            if isinstance(value, ch) and rng.random() < 0.5:
                changed[key] = ch(mutate.array_of(value.x, rng) if rng.random() < 0.7 else ch(value))
        return changed

    return pickle_damage(arrays, licensed, licensed, change=change)


@file_reader("pose file", ".npz", load_poses)
def pose_file():
    data = seeds.written(lambda path: save_poses(path, seeds.motion(), ("a", "b", "c")), "a.npz")
    return npz_damage(seeds.arrays_in(data))


def _prior(path):
    from contrapposto.models.pose_prior.vposer import load_pose_prior

    return load_pose_prior(path)


@file_reader("pose prior safetensors", ".safetensors", _prior)
def prior_safetensors():
    from contrapposto.models.pose_prior.vposer_file import VPoserConfig, write_vposer

    return tensors_damage(seeds.written(lambda path: write_vposer(path, VPoserConfig(width=12), seeds.vposer("open"), {}), "a.safetensors"))


@file_reader("pose prior ckpt", ".ckpt", _prior)
def prior_ckpt():
    return torch_damage(seeds.vposer("V02_05"), seeds.vposer("v1"))


def _text_to_pose(path):
    from contrapposto.models.text_to_pose.model import load_text_to_pose

    return load_text_to_pose(path)


@file_reader("text-to-pose", ".safetensors", _text_to_pose)
def text_to_pose():
    from contrapposto.models.text_to_pose.model import save_text_to_pose
    from contrapposto.models.text_to_pose.network import NetworkConfig, PoseTransformer
    from contrapposto.models.text_to_pose.text_encoder import MINILM

    network = PoseTransformer(NetworkConfig("rot6d", 8, 5, width=8, layers=1, heads=2))
    size = network.config.pose_dim
    config = {
        "text_encoder": {"id": MINILM, "dim": 8},
        "pose_prior": None,
        "sampling": {"sampler": "dpmpp_2m", "steps": 3, "guidance": 2.0},
    }
    return tensors_damage(
        seeds.written(lambda path: save_text_to_pose(path, network, torch.zeros(size), torch.ones(size), config), "a.safetensors")
    )


def _scorer(path):
    from contrapposto.models.text_to_pose.ranking import load_pose_scorer

    return load_pose_scorer(path)


@file_reader("pose scorer", ".safetensors", _scorer)
def pose_scorer():
    from contrapposto.models.text_to_pose.ranking import PoseScorer, ScorerConfig, save_pose_scorer
    from contrapposto.models.text_to_pose.text_encoder import MINILM

    scorer = PoseScorer(ScorerConfig(8, 8, 2, 2, 8, 4))
    return tensors_damage(
        seeds.written(lambda path: save_pose_scorer(path, scorer, {"text_encoder": {"id": MINILM, "dim": 8}}), "a.safetensors")
    )


def _lifter(path):
    from contrapposto.models.pose_correction.lifter import load_lifter

    return load_lifter(path)


@file_reader("pose lifter", ".safetensors", _lifter)
def pose_lifter():
    from contrapposto.models.pose_correction.lifter import LifterConfig, PoseLifter, write_lifter

    return tensors_damage(seeds.written(lambda path: write_lifter(path, PoseLifter(LifterConfig(8, 1, 4)), {}), "a.safetensors"))


def _patch(path):
    from contrapposto.models.personalization.patch import load_patch

    return load_patch(path)


@file_reader("personalization patch", ".safetensors", _patch)
def personalization_patch():
    from contrapposto.models.personalization.patch import PersonalizationPatch, save_patch
    from contrapposto.models.personalization.unet import RateToken

    patch = PersonalizationPatch(
        torch.zeros(8, 13, 3, 3),
        torch.zeros(8, 4, 3, 3),
        RateToken(8),
        {"diffusion_model.a.lora_up.weight": torch.zeros(4, 2)},
        {"base": "a"},
    )
    return tensors_damage(seeds.written(lambda path: save_patch(path, patch), "a.safetensors"))


def _parts(path):
    from contrapposto.models.parts_to_whole.weights import load_weights

    return load_weights(path)


def _parts_weights():
    from contrapposto.models.parts_to_whole.pose_guider import PoseGuider
    from contrapposto.models.parts_to_whole.weights import PartsWeights

    names = (
        "conv_in.weight",
        "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight",
        "up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    )
    unet = {name: torch.zeros(4, 4, 3, 3) if name.startswith("conv") else torch.zeros(4, 4) for name in names}
    block = "up_blocks.0.attentions.0.transformer_blocks.0"
    return PartsWeights(
        unet,
        {name: weight.clone() for name, weight in unet.items()},
        PoseGuider(4, 3, (2, 2)).state_dict(),
        {f"{block}.to_k_dc": torch.zeros(4, 4), f"{block}.to_v_dc": torch.zeros(4, 4)},
        {},
    )


@file_reader("parts file", ".safetensors", _parts)
def parts_file():
    from contrapposto.models.parts_to_whole.weights import save_weights

    return tensors_damage(seeds.written(lambda path: save_weights(path, _parts_weights()), "a.safetensors"))


@reader("parts folder", 0.5)
def parts_folder(folder):
    weights = _parts_weights()
    numbers = {"unet": weights.denoiser, "reference_unet": weights.appearance_encoder, "pose_guider": weights.pose_guider}
    whole = {
        f"{part}/diffusion_pytorch_model.safetensors": boxes.safetensors({k: v.numpy() for k, v in found.items()})
        for part, found in numbers.items()
    }
    whole |= {f"{part}/config.json": json.dumps({"block_out_channels": [4]}).encode() for part in numbers}
    whole["decoupled_attn.pth"] = boxes.safetensors(
        {f"{k.replace('.to_', '.attn2.processor.to_')}.weight": v.numpy() for k, v in weights.image_projections.items()}
    )
    damaged = {name: tensors_damage(data) for name, data in whole.items() if not name.endswith(".json")}
    damaged |= {name: json_damage(json.loads(data)) for name, data in whole.items() if name.endswith(".json")}
    as_bin = torch_damage({k: v for k, v in weights.denoiser.items()})

    def damage(rng):
        name = rng.choice(sorted(damaged))
        files = whole | {name: damaged[name](rng)}
        if rng.random() < 0.3:
            files.pop("unet/diffusion_pytorch_model.safetensors")
            files["unet/diffusion_pytorch_model.bin"] = as_bin(rng)
        elif rng.random() < 0.1:
            files.pop(rng.choice(sorted(files)))
        return boxes.pack(files)

    def read(data):
        root = folder / "parts"
        for name in (*whole, "unet/diffusion_pytorch_model.bin"):
            (root / name).unlink(missing_ok=True)
        for name, content in boxes.unpack(data).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return replace(_parts(root), config={})  # a diffusers config may say 1e999 where nobody reads it

    return damage, read


def _resume(path):
    from contrapposto.models.dancing_avatar.appearance import AppearanceTrainer, AppearanceTraining, load_state

    return AppearanceTrainer(_denoiser(), torch.zeros(1, 2, 2, 2), AppearanceTraining(steps=2, rank=2, batch=1), load_state(path))


def _denoiser():
    from types import SimpleNamespace

    network = torch.nn.ModuleDict({"attn2": torch.nn.ModuleDict({"to_q": torch.nn.Linear(4, 4)})})
    return SimpleNamespace(
        network=network, sigmas=torch.ones(3), denoise=lambda noisy, sigma, rows: noisy * network["attn2"]["to_q"](torch.ones(4)).mean()
    )


@file_reader("appearance state", ".safetensors", _resume, 0.5)
def appearance_state():
    from contrapposto.models.dancing_avatar.appearance import AppearanceTrainer, AppearanceTraining, save_state

    trainer = AppearanceTrainer(_denoiser(), torch.zeros(1, 2, 2, 2), AppearanceTraining(steps=2, rank=2, batch=1))
    trainer.run()
    return tensors_damage(seeds.written(lambda path: save_state(path, trainer), "a.safetensors"))


@reader("pose edits", 12)
def pose_edits(folder):
    """The text of the pose editor's widget."""
    whole = {"joints": {"left_elbow": [0.0, -1.2, 0.0], "pelvis": [0, 1, 0]}, "place": [0.0, 0.3, 0.0]}

    def read(data):
        edits = parse_pose_edits(data.decode("utf-8", "surrogatepass") if data[:1] != b"\xff" else None)
        return edit_pose(seeds.motion()[:1], edits, seeds.body())

    def damage(rng):
        try:
            data = json_damage(whole, {}, {"joints": {}})(rng)
            data.decode("utf-8", "surrogatepass")
            return data
        except UnicodeDecodeError:
            return b"\xff"

    return damage, read
