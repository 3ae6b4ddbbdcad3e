"""A node pack for tests only, with the bad manners of real ones: it wraps ComfyUI's functions and changes settings that all packs share.

A pack that minds its own business gives the same pictures beside it.
"""

import locale
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.utils
import execution
import folder_paths
import numpy as np
import server
import torch
from PIL import Image, ImageFile

import nodes

VICTIM = "Contrapposto"  # in the name of the pack whose nodes find everything upset
HITS = {}  # name of a wrapped function -> how often it was called


def wrap(owner, name):
    """Puts a function in the place of ``owner.name`` that counts its calls and forgets the signature, as wrappers do."""
    original = getattr(owner, name)

    def wrapper(*args, **kwargs):
        HITS[name] = HITS.get(name, 0) + 1
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)


def wrap_everything():
    for owner, names in {
        comfy.samplers: ("sample", "sampling_function", "calc_cond_batch", "sampler_object"),
        comfy.samplers.KSampler: ("sample", "set_steps"),
        comfy.samplers.CFGGuider: ("sample", "outer_sample", "inner_sample"),
        comfy.sample: ("sample", "prepare_noise"),
        comfy.model_base.BaseModel: ("apply_model", "extra_conds"),
        comfy.model_patcher.ModelPatcher: ("clone", "add_patches", "patch_model", "unpatch_model"),
        comfy.model_management: ("load_models_gpu", "get_torch_device", "soft_empty_cache"),
        comfy.utils: ("load_torch_file", "common_upscale"),
        comfy.utils.ProgressBar: ("update_absolute", "update"),
        nodes: ("common_ksampler",),
        nodes.KSampler: ("sample",),
        execution: ("get_input_data", "get_output_data", "validate_inputs"),
        server.PromptServer: ("send_sync",),
        folder_paths: ("get_filename_list", "get_full_path", "get_save_image_path"),
        torch: ("load",),
        torch.nn.functional: ("scaled_dot_product_attention", "interpolate", "grid_sample"),
        torch.nn.Linear: ("forward",),
        torch.nn.Conv2d: ("forward", "_conv_forward"),
    }.items():
        for name in names:
            if hasattr(owner, name):
                wrap(owner, name)


def claim_folders():
    """Another pack's folders under the names that we use, with other endings, and lists where ComfyUI has sets."""
    other = tempfile.mkdtemp(prefix="hostile-")
    for name in ("avatars", "smpl", "personalization"):
        folder_paths.folder_names_and_paths[name] = ([os.path.join(other, name)], {".png"})


def shadow_modules():
    """Modules with everyday names before all others on the path; each breaks whoever imports it."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-modules-"))
    for name in ("models", "utils", "render", "checks", "rotations", "types_", "contrapposto", "sockets", "convert", "host", "browser"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} of the hostile pack')\n")
    sys.path.insert(0, str(folder))


def upset_process():
    """Settings of the whole process."""
    os.chdir(tempfile.mkdtemp(prefix="hostile-cwd-"))
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()
    locale.setlocale(locale.LC_ALL, "")
    multiprocessing.set_start_method("spawn", force=True)
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = True, None


def upset_thread():
    """Settings that a node may leave behind for the nodes after it."""
    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")  # stands for "cuda", which many leave behind; this one breaks on every machine
    torch.set_grad_enabled(False)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    np.seterr(all="raise")
    np.set_printoptions(precision=1)


def calm_thread():
    """What ComfyUI's own nodes cannot do without."""
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    np.seterr(all="warn")


def upset_before_each_of_our_nodes():
    original = execution._async_map_node_over_list

    async def wrapper(prompt_id, unique_id, obj, *args, **kwargs):
        if VICTIM not in getattr(obj, "RELATIVE_PYTHON_MODULE", ""):
            return await original(prompt_id, unique_id, obj, *args, **kwargs)
        upset_thread()
        HITS["upset"] = HITS.get("upset", 0) + 1
        try:
            return await original(prompt_id, unique_id, obj, *args, **kwargs)
        finally:
            calm_thread()

    execution._async_map_node_over_list = wrapper


class HostileHits:
    """Writes the names of the wrapped functions that were called."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "tests", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"after": ("INT", {"default": 0})}}

    def run(self, after):
        return {"ui": {"text": sorted(HITS)}}


claim_folders()
shadow_modules()
upset_process()
wrap_everything()
upset_before_each_of_our_nodes()
NODE_CLASS_MAPPINGS = {"HostileHits": HostileHits}
