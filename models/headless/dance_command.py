"""``contrapposto dance``: texts and a motion become a painted video, with Stable Diffusion and ControlNets on this machine."""

from __future__ import annotations

from pathlib import Path

from ..checks import InputError, check_range
from .film_arguments import check_film_arguments, film_arguments

CACHE_BYTES = 8 << 30
CELL = 8  # pixels of a latent's side
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def add_dance(commands, shared, pick_device, read_size):
    """Adds the command.

    Args:
        commands: argparse sub-parsers.
        shared: parent parser with --json and --device.
        pick_device: name -> torch.device.
        read_size: "N or WxH" -> (width, height).
    """
    film = film_arguments("front")
    dance = commands.add_parser("dance", parents=[shared, film], help="texts and a motion to a painted video (Dancing Avatar)")
    option = dance.add_argument
    option("text", metavar="TEXT", help="the person in the scene")
    option("--background", required=True, metavar="TEXT or IMAGE", help="the empty scene in words, or a picture of it")
    option("--model", required=True, metavar="DIR", help="Stable Diffusion 1.5 or its inpainting model, in diffusers' folder layout")
    option("--pose-control", required=True, metavar="DIR", help="ControlNet that reads OpenPose skeletons, in diffusers' layout")
    option("--pose-strength", type=float, default=1.0, help="how strongly the pose acts, 0 to 10 (default 1)")
    option("--previous-control", metavar="DIR", help="TemporalNet or another ControlNet: the frame before leads the next")
    option("--previous-strength", type=float, default=0.7, help="how strongly the frame before acts, 0 to 10 (default 0.7)")
    option("--module", nargs="+", action="append", default=[], metavar="FILE [S]",
           help="appearance module or LoRA of the cross-attention, and its strength (default 1); repeat for clothes and face")
    option("--reanchor-every", type=int, default=0, metavar="N", help="every N frames the first leads, against drift (default 0: never)")
    option("--colour-hold", type=float, default=0.0, help="how far colours go back to the first frame's, 0 to 1 (default 0)")
    option("--size", default="512", metavar="N or WxH", help="size in pixels, multiples of 8 (default 512)")
    option("--dilation", type=int, default=16, help="pixels that are painted around the body, for hair and clothes (default 16)")
    option("--frames", metavar="DIR", help="where finished frames are kept, so that a second run goes on (default: beside the video)")
    dance.set_defaults(run=lambda arguments, progress: run_dance(arguments, progress, pick_device(arguments.device), read_size))


def run_dance(arguments, progress, device, read_size):
    """Arguments -> a video; what can be checked without the models is checked first."""
    from ..assets.search import locate
    from ..bodies.body import load_body_model
    from ..dancing_avatar.background import Brush, Sampling
    from ..dancing_avatar.frame_cache import FrameCache
    from ..dancing_avatar.frame_loop import LoopSettings
    from ..dancing_avatar.previous_frame import GUIDE, WITH_FLOW, Guidance
    from .dancing import Dance, DanceSettings, DanceTexts, dance_sources, paint_dance
    from .video import check_motion, read_motion, split_sentences
    from .video_file import write_video

    given, out = arguments, Path(arguments.out)
    check_film_arguments(given)
    if not given.text.strip():
        raise InputError("TEXT", given.text, "is empty", "Write who dances, and where.")
    for name, strength in (("--pose-strength", given.pose_strength), ("--previous-strength", given.previous_strength)):
        check_range(name, strength, 0.0, 10.0)
    size = read_size(given.size)
    if size[0] % CELL or size[1] % CELL:
        near = "x".join(str(max(CELL, side // CELL * CELL)) for side in size)
        raise InputError("--size", given.size, f"is no multiple of {CELL} pixels", f"Try {near}.")
    sentences, modules = split_sentences(given.poses), read_modules(given.module)
    check_motion(given.motion, sentences)
    plate = read_background(given.background, size)
    settings = LoopSettings(Sampling(given.seed, given.steps, given.guidance), Brush(given.dilation),
                            Guidance(given.reanchor_every, given.colour_hold))
    body = load_body_model(locate("body_models", given.body), device)
    pose = read_motion(body, given.motion, sentences, given.fps, given.seconds, given.seed, progress)
    model, identity = load_dance_model(given, modules, device)
    pose_maps, masks, bodies = dance_sources(body, pose, size, given.view, on_step=lambda i, n: progress("skeletons", i, n))
    dance = Dance(DanceTexts(given.text, "" if plate is not None else given.background, given.negative), pose_maps, masks, plate,
                  bodies if model.hint_channels.get(GUIDE) == WITH_FLOW else None)
    kept, frames = [], FrameCache(given.frames or out.with_suffix(".frames"), CACHE_BYTES)

    def pictures():
        for frame in paint_dance(model, dance, DanceSettings(settings, identity), frames, progress):
            kept.append(frame.kept)
            yield frame.picture

    count = write_video(out, pictures(), pose.fps, given.quality, metadata={"comment": given.text}, name="--out")
    told = {"video": str(out), "frames": count, "from an earlier run": sum(kept), "fps": pose.fps, "kept frames": str(frames.folder)}
    return told | {"text": told["video"]}


def load_dance_model(given, modules, device):
    """The image model with its ControlNets and modules, and a text that tells it from others.

    Raises:
        InputError: a folder or file cannot be read, or does not fit.
    """
    from ..dancing_avatar.appearance import merge_module
    from ..dancing_avatar.frame_cache import digest
    from ..dancing_avatar.frame_loop import POSE
    from ..dancing_avatar.previous_frame import GUIDE
    from .diffusers_backend import Control, load_control, load_diffusers_model, use_papers_sampler

    folders = {POSE: (given.pose_control, given.pose_strength), GUIDE: (given.previous_control, given.previous_strength)}
    controls = {name: Control(load_control(folder, device), strength)
                for name, (folder, strength) in folders.items() if folder}
    model = use_papers_sampler(load_diffusers_model(given.model, device, controls=controls))
    for path, strength in modules:
        merge_module(model.unet, path, strength)
    paths = [given.model, *(folder for folder, _ in folders.values() if folder), *(path for path, _ in modules)]
    strengths = [given.pose_strength, given.previous_strength, *(strength for _, strength in modules)]
    return model, digest(*(sha for path in paths for sha in file_digests(path)), *strengths)


def read_background(given, size):
    """The picture (1, H, W, 3) that ``--background`` names, or None where it is words.

    Raises:
        InputError: it names a picture that is not there, or one of another size.
    """
    from .pictures import read_picture

    if Path(given).suffix.lower() not in PICTURES:
        return None
    plate = read_picture(given, "--background")
    if tuple(plate.shape[2:0:-1]) != size:
        raise InputError("--background", given, f"has {plate.shape[2]} x {plate.shape[1]} pixels, not {size[0]} x {size[1]}",
                         f"Give --size {plate.shape[2]}x{plate.shape[1]}, or a picture of that size.")
    return plate


def file_digests(path) -> list[str]:
    """The sha256 of a file, or of each weights file and config in a folder."""
    from ..assets.files import file_sha256

    path = Path(path)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in (".safetensors", ".bin", ".json"))
    return [f"{file.name} {file_sha256(file)}" for file in files]


def read_modules(entries):
    """(file, strength) of each --module.

    Raises:
        InputError: an entry is neither a file nor a file with a number.
    """
    modules = []
    for entry in entries:
        try:
            path, strength = entry if len(entry) == 2 else (*entry, 1.0)
            strength = float(strength)
        except (ValueError, TypeError):
            raise InputError("--module", " ".join(entry), "is not FILE or FILE STRENGTH",
                             "For example: --module clothes.safetensors 0.8") from None
        modules.append((Path(path), check_range("--module", strength, -10.0, 10.0)))
    return modules
