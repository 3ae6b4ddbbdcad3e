"""What works on this machine and what is missing, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import time
from pathlib import Path

from ..assets import registry, search
from ..checks import InputError

# package -> (needed by the default path, what it is for, how to get it)
PACKAGES = {
    "torch": (True, "everything", "pip install torch"),
    "numpy": (True, "everything", "pip install numpy"),
    "safetensors": (True, "weights", "pip install safetensors"),
    "tokenizers": (True, "the text encoder", "pip install tokenizers"),
    "roma": (True, "rotations in pose files", "pip install roma"),
    "Pillow": (True, "pictures", "pip install Pillow"),
    "opencv-python": (False, "optical flow and other picture work", "pip install opencv-python (any one of OpenCV's packages will do)"),
    "diffusers": (False, "headless image generation and training", "pip install diffusers"),
    "av": (False, "video files", "pip install av"),
    "ufbx": (False, "FBX characters", "pip install ufbx"),
    "accelerate": (False, "training on several devices", "pip install accelerate"),
    "ray": (False, "image-mesh pairs on many devices", "pip install 'ray[data]'"),
    "smplx": (False, "the reference body in the tests", "pip install smplx (non-commercial licence)"),
    "pyrender": (False, "the second rendering engine", "pip install --no-deps -r requirements-reference.txt"),
    "human_body_prior": (False, "the reference prior in the tests", "pip install --no-deps human_body_prior (non-commercial licence)"),
}
# Older ones are known not to work or were never tried (docs/reliability.md). requirements.txt names none: it changes nothing installed.
OLDEST = {
    "torch": "2.4", "numpy": "1.25", "safetensors": "0.4.2", "tokenizers": "0.13.3", "roma": "1.4", "Pillow": "10.1",
    "opencv-python": "4.8",
}
MODULES = {"Pillow": "PIL"}
SAME_MODULE = {"opencv-python": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")}
# kind of file that users bring -> where it comes from; each is optional
BROUGHT = {
    "body_models": "SMPL (smpl.is.tue.mpg.de) and SMPL-X (smpl-x.is.tue.mpg.de): free registration, non-commercial",
    "pose_priors": "VPoser V02_05 (smpl-x.is.tue.mpg.de): free registration, non-commercial",
    "avatars": "your characters, .glb, .vrm, .gltf or .fbx, under their own licences",
    "text_to_pose": "text-to-pose weights that you trained",
    "pose_scorers": "pose scorers that you trained",
    "personalization": "PAS patches for an image model that you trained",
    "parts_to_whole": "Parts2Whole (huggingface.co/huanngzh/Parts2Whole): Apache-2.0",
}


def examine(device="cpu", host=(), self_test=True):
    """Runs all checks.

    Args:
        device: what the self-test runs on.
        host: (name, detail) pairs that an application adds about itself.
        self_test: draw a picture from a sentence, which takes some seconds.

    Returns:
        A list of dicts with name, ok, needed (by the default path), detail and remedy.
    """
    about = [_check(name, True, detail) for name, detail in host]
    return [*about, _system(device), *_packages(), *_bundled_files(), *_users_files(), *([_self_test(device)] if self_test else [])]


def as_text(checks):
    """The checks as lines to read or to copy into a report; the user's home folder is written as ~."""
    lines = []
    for check in checks:
        mark = "ok " if check["ok"] else "!! " if check["needed"] else "-- "
        lines.append(f"{mark}{check['name']:<28} {check['detail']}")
        if not check["ok"] and check["remedy"]:
            lines.append(f"{'':>31} {check['remedy']}")
    return "\n".join(lines).replace(str(Path.home()), "~")


def _check(name, ok, detail, needed=True, remedy=""):
    return {"name": name, "ok": bool(ok), "needed": needed, "detail": detail, "remedy": remedy}


def _system(device):
    import torch

    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else platform.processor() or platform.machine()
    return _check("device", True, f"{device} ({name}), {platform.system()}, Python {platform.python_version()}")


def _packages():
    for package, (needed, purpose, remedy) in PACKAGES.items():
        version = None
        for name in SAME_MODULE.get(package, (package,)):
            try:
                version = version or f"{importlib.metadata.version(name)}{'' if name == package else f' ({name})'}"
            except importlib.metadata.PackageNotFoundError:
                continue
        if version and _too_old(package, version):
            update = "Update it the way it was installed; with ComfyUI's portable build, update ComfyUI."
            yield _check(package, False, f"{version} is older than {OLDEST[package]}: {purpose}", needed, update)
        else:
            yield _check(package, version, f"{version or 'not installed'}: {purpose}", needed, remedy)


def missing_packages():
    """Returns the packages that the default path needs and this Python has not got."""
    needed = (package for package, (is_needed, *_) in PACKAGES.items() if is_needed)
    return [package for package in needed if importlib.util.find_spec(MODULES.get(package, package)) is None]


def _too_old(package, version):
    return package in OLDEST and _numbers(version) < _numbers(OLDEST[package])


def _numbers(version):
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _bundled_files():
    for name, entry in registry.manifest().items():
        try:
            registry.bundled(name)
            yield _check(name, True, f"bundled, {entry['bytes'] / 1e6:.1f} MB, {entry['licence']}")
        except InputError as error:
            yield _check(name, False, error.problem, remedy=error.remedy)


def _users_files():
    for kind, licence in BROUGHT.items():
        found = search.list_files(kind)
        places = ", ".join(str(path) for path in search.search_paths(kind)) or "set CONTRAPPOSTO_MODELS to a folder"
        detail = ", ".join(found) if found else f"none (optional); {licence}"
        yield _check(f"your {kind}", found, detail, needed=False, remedy=f"searched: {places}")


def _self_test(device):
    from .scene import load_models, text_to_scene

    start = time.perf_counter()
    try:
        scene = text_to_scene("a person waves with the right hand", *load_models(device=device), size=(256, 256))
    except InputError as error:
        return _check("self-test", False, str(error), remedy="See the lines above.")
    covered = float(scene.avatar.alpha.mean())
    return _check("self-test", 0.02 < covered < 0.9, f"text to picture in {time.perf_counter() - start:.1f} s, {covered:.0%} of it avatar",
                  remedy="The avatar was not drawn as expected; report this with the lines above.")
