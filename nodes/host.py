"""What we take from ComfyUI: its devices, its memory, its model folders, its progress bar, its stop button."""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import folder_paths
import torch

from ..models.assets import search
from ..models.assets.files import claim_path, remove_abandoned
from ..models.checks import InputError
from ..models.text_to_pose.text_encoder import CLIP_L, TextStates

# Kind of file -> folders below ComfyUI's models folder. The first is ours, people have files in the others.
MODEL_FOLDERS = {
    "body_models": ("body_models", "smpl", "smplx"),
    "pose_priors": ("pose_priors", "vposer"),
    "text_to_pose": ("text_to_pose",),
    "pose_scorers": ("pose_scorers",),
    "avatars": ("avatars",),
    "personalization": ("personalization",),
    "parts_to_whole": ("parts_to_whole",),
}
BUNDLED_SUFFIX = " (bundled)"
OPERATIONS = comfy.ops.manual_cast  # layers that ComfyUI may keep in RAM and bring over when they are needed
CLIP_TOKENS = 77
CLIP_END = 49407
PROJECTION_SPREAD = (0.002, 0.5)  # standard deviation of a trained text projection, about 0.03, lies well inside
CLIP_REMEDY = "Load the complete text encoder of one CLIP with Load CLIP: checkpoints of SD1.5 leave the projection out."


def register_model_folders():
    """Tells ComfyUI our folders below ``models/``, so that extra_model_paths.yaml can point them elsewhere."""
    for folders in MODEL_FOLDERS.values():
        for folder in folders:
            folder_paths.add_model_folder_path(folder, str(Path(folder_paths.models_dir) / folder))


def describe():
    """Returns (name, detail) pairs about this ComfyUI, for a report."""
    from importlib.metadata import PackageNotFoundError, version

    from comfyui_version import __version__

    try:
        page = version("comfyui_frontend_package")
    except PackageNotFoundError:
        page = "another one than ComfyUI's package"
    state = comfy.model_management.vram_state.name.lower()
    return [("ComfyUI", f"{__version__}, frontend {page}"), ("memory", f"{state}, models on {compute_device()}")]


def file_choices(kind, bundled_name=None):
    """Returns the entries of a file drop-down: the bundled default, if any, then the user's files, looked up anew."""
    _share_folders(kind)
    return [*([bundled_name + BUNDLED_SUFFIX] if bundled_name else []), *search.list_files(kind)]


def choice_to_source(kind, choice):
    """Returns what the library's loaders take: None for the bundled default, else the file's path.

    Raises:
        InputError: the file is gone.
    """
    if choice.endswith(BUNDLED_SUFFIX):
        return None
    _share_folders(kind)
    return search.find_file(kind, choice)


def input_file(name):
    """Returns the path of a file named relative to ComfyUI's input folder, or None when the name leads out of it."""
    return search.inside(folder_paths.get_input_directory(), name)


def explain_missing(kind, choice, bundled_name=None):
    """Returns True when the choice can be loaded, else the sentence that ComfyUI shows on the node.

    None passes: ComfyUI gives it for a linked input, whose value is not known yet.
    """
    if choice is None or choice in file_choices(kind, bundled_name):
        return True
    places = ", ".join(str(path) for path in search.search_paths(kind))
    remedy = f"Put it into one of: {places}" + (f"; or choose {bundled_name + BUNDLED_SUFFIX!r}." if bundled_name else ".")
    return str(InputError("file", choice, "was not found", remedy))


def choice_fingerprint(kind, choice):
    """Returns a value that changes when the chosen file does, so that ComfyUI's cache notices a replaced file."""
    try:
        source = choice_to_source(kind, choice) if choice else None
    except InputError:
        return "missing"
    return "bundled" if source is None else f"{source.stat().st_mtime_ns}:{source.stat().st_size}"


def _share_folders(kind):
    for folder in MODEL_FOLDERS[kind]:
        for path in folder_paths.get_folder_paths(folder):
            search.add_search_path(kind, path)


def compute_device():
    """Returns the device that heavy tensor work runs on."""
    return comfy.model_management.get_torch_device()


def to_intermediate(value):
    """Returns a tensor, or one of our dataclasses, on the device where ComfyUI keeps what flows between nodes."""
    return value.to(comfy.model_management.intermediate_device())


@contextmanager
def new_output_file(prefix, suffix):
    """Gives a path in ComfyUI's output folder that is ours while it is written: several servers may share the folder."""
    folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory())
    folder = Path(folder).resolve()
    remove_abandoned(folder)
    with claim_path(folder / f"{name}_{number:05}_{suffix}" for number in count(counter)) as path:
        yield path


def inside_output(path):
    """Returns a file's path relative to ComfyUI's output folder, as ComfyUI's own nodes name files."""
    return path.relative_to(Path(folder_paths.get_output_directory()).resolve()).as_posix()


def blocked(message):
    """Returns a value for an output that has none: nodes behind it do not run, and the user reads why."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(message)


def core_file_3d(path):
    """Returns ComfyUI's File3D of a file, or the path as text where ComfyUI has no such type yet."""
    try:
        from comfy_api.latest._util import File3D
    except ImportError:
        return str(path)
    return File3D(str(path))


def core_mesh(vertices, faces):
    """Returns ComfyUI's MESH of vertices (B, V, 3) and faces (B, F, 3)."""
    from comfy_api.latest._util import MESH

    return MESH(vertices, faces)


class HostedNetwork:
    """A library object with weights, in the care of ComfyUI's memory manager: on the GPU while used, else in RAM."""

    def __init__(self, owner, *networks):
        """
        Args:
            owner: the library object that the nodes hand back to the library.
            networks: the torch modules inside it whose weights are to be moved.
        """
        self.owner = owner
        # A holder of our own, because the patcher writes its bookkeeping onto the module that it is given.
        self.patcher = comfy.model_patcher.ModelPatcher(
            torch.nn.ModuleList(networks),
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )

    def ready(self):
        """Returns the library object with its weights on ``self.device``."""
        comfy.model_management.load_models_gpu([self.patcher])
        return self.owner

    @property
    def device(self):
        return self.patcher.load_device


def progress():
    """Returns a ``report(done, total)`` that moves the node's progress bar, and stops the node on the user's wish."""
    bar = comfy.utils.ProgressBar(1)

    def report(done, total):
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return report


def encode_text(clip, text):
    """Returns a text as CONDITIONING."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


class PictureProgress:
    """The node's progress bar with the latest picture in the node, and the user's wish to stop."""

    SIDE = 512  # pixels, at most

    def __init__(self):
        self.bar, self.at = comfy.utils.ProgressBar(1), (0, 1)

    def step(self, done, total):
        """Moves the bar."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.at = done, total
        self.bar.update_absolute(done, total)

    def picture(self, picture):
        """Shows a picture (H, W, 3) 0..1."""
        from PIL import Image

        shown = Image.fromarray((picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
        self.bar.update_absolute(*self.at, ("JPEG", shown, self.SIDE))


def video_of_images(images, fps):
    """Returns ComfyUI's VIDEO of frames (B, H, W, 3)."""
    from comfy_api.latest import VideoFromComponents
    from comfy_api.latest._util import VideoComponents

    return VideoFromComponents(VideoComponents(images=images, audio=None, frame_rate=Fraction(fps).limit_denominator(1001)))


def video_of_file(path):
    """Returns ComfyUI's VIDEO of a file."""
    from comfy_api.latest import VideoFromFile

    return VideoFromFile(str(path))


def clip_text_states(clip, text):
    """Returns the TextStates of one text under a CLIP-L: the last layer's tokens, the unprojected end-of-text state.

    Raises:
        InputError: the CLIP is of another kind.
    """
    tokens = clip.tokenize(text)
    if set(tokens) != {"l"}:
        remedy = "Connect the CLIP of an SD1.5 checkpoint, or leave the input unconnected."
        raise InputError("clip", " + ".join(sorted(tokens)), "is not a plain CLIP-L", remedy)
    clip = clip.clone()
    clip.clip_layer(None)  # a user's clip skip is meant for pictures; pose weights are trained on the last layer
    states, pooled = clip.encode_from_tokens(tokens, return_pooled="unprojected")
    first = [entry[0] for entry in tokens["l"][0]]  # pose networks read no further than this chunk
    end = next((i for i, token in enumerate(first) if isinstance(token, int) and token == CLIP_END), CLIP_TOKENS - 1)
    mask = torch.arange(CLIP_TOKENS, device=states.device)[None] <= end
    return TextStates(states[:, :CLIP_TOKENS].float(), mask, pooled.float(), CLIP_L)


def clip_embeddings(clip, clip_vision, text, images):
    """Returns what CLIP makes of a text (1, D) and of pictures (B, D) in the space where the two can be compared.

    Args:
        images: (B, H, W, 3) sRGB 0..1.

    Raises:
        InputError: the text encoder came without its projection into that space, or the two are not of one CLIP.
    """
    tokens = clip.tokenize(text)
    found = [w for name, w in clip.cond_stage_model.named_parameters() if name.endswith("text_projection.weight")]
    if len(tokens) != 1 or len(found) != 1:
        raise InputError("clip", " + ".join(sorted(tokens)), "is not one single CLIP text encoder", CLIP_REMEDY)
    if not _is_loaded(found[0].float()):
        problem = "came without its text projection, so it cannot be compared with pictures"
        raise InputError("clip", *tokens, problem, CLIP_REMEDY)
    # Projected here, because ComfyUI never projects the text state of a CLIP-L.
    _, plain = clip.encode_from_tokens(tokens, return_pooled="unprojected")
    projected = plain.float() @ found[0].float().to(plain.device).T
    seen = clip_vision.encode_image(images)["image_embeds"]
    if seen.shape[-1] != projected.shape[-1]:
        problem = f"makes {seen.shape[-1]} numbers per picture, the text encoder {projected.shape[-1]}"
        raise InputError("clip_vision", "CLIP_VISION", problem, "Connect the two halves of one CLIP, for example ViT-L/14.")
    return projected.to(seen.device), seen.float()


def _is_loaded(weight):
    """Whether a text projection was in the file. If not, ComfyUI leaves it uninitialised: zero, tiny, wild or no numbers."""
    low, high = PROJECTION_SPREAD
    rows = weight.norm(dim=1)
    return bool(weight.isfinite().all()) and low < weight.std() < high and bool(rows.min() > 0.05 * rows.max())
