"""Commands, their arguments, and how results and errors reach the user. Torch is imported only once a command runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..checks import InputError, check_range
from .dance_command import add_dance
from .paint import add_paint
from .pairs_command import add_pairs
from .parts_command import add_parts
from .progress import Progress
from .video_command import add_video

DEMO_PROMPTS = (
    "a person doing a handstand",
    "a man sits cross-legged on the floor",
    "a runner throws both arms up at the finish line",
    "a woman waves with her right hand",
    "a boxer throws a punch with the left fist",
    "a knight kneels on one knee",
)
WHATS = ("gray", "avatar", "depth", "pose_map")


def main(argv=None, add_commands=None):
    """Runs one command; returns the exit code: 0 done, 2 a mistake in the input, 130 interrupted.

    ``add_commands(commands, shared, pick_device)`` adds commands of rooms that this one may not import.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a prompt may hold letters that the console cannot show
    arguments = parser(add_commands).parse_args(argv)
    progress = Progress(enabled=not arguments.json)
    try:
        result = arguments.run(arguments, progress)
    except InputError as error:
        progress.close()
        return _fail(error, arguments.json)
    except KeyboardInterrupt:
        progress.close()
        print("interrupted; finished files are kept", file=sys.stderr)
        return 130
    progress.close()
    print(json.dumps(result, indent=1) if arguments.json else _plain(result))
    return result.get("exit_code", 0)


def parser(add_commands=None):
    """The argument parser with all commands."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print the result, or the error, as JSON")
    shared.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (default)")
    look = argparse.ArgumentParser(add_help=False)
    look.add_argument("--avatar", metavar="FILE", help="avatar to pose (.glb, .vrm); default: the bundled one")
    look.add_argument("--view", default="three-quarter", help="camera view: front, three-quarter, side, back, top (default three-quarter)")
    look.add_argument("--engine", default="torch", help="torch (default) or pyrender")
    look.add_argument("--size", default="768", metavar="N or WxH", help="picture size in pixels (default 768)")
    sampling = argparse.ArgumentParser(add_help=False)
    sampling.add_argument("--seed", type=int, default=0, help="seed of the first candidate (default 0)")
    sampling.add_argument("--steps", type=int, help="sampling steps; default: what the weights recommend")
    sampling.add_argument("--guidance", type=float, help="classifier-free guidance scale; default: what the weights recommend")
    sampling.add_argument("--weights", metavar="FILE", help="text-to-pose weights; default: the bundled ones")
    sampling.add_argument("--scorer", metavar="FILE", help="pose scorer that ranks candidates; default: the bundled one")
    sampling.add_argument("--body", metavar="FILE", help="SMPL or SMPL-X file; default: the bundled open body")

    top = argparse.ArgumentParser(prog="contrapposto", description="The human figure for image generation.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    pose = commands.add_parser("pose", parents=[shared, sampling], help="sentences to poses")
    pose.add_argument("text", nargs="?", metavar="TEXT", help="what the person does")
    pose.add_argument("--prompts", metavar="FILE", help="text file with one sentence per line, instead of TEXT")
    pose.add_argument("--count", type=int, default=1, help="candidates per sentence (default 1)")
    pose.add_argument("--best", type=int, metavar="K", help="rank the candidates of each sentence and keep the K best, best first")
    pose.add_argument("--as-drawn", action="store_true", help="do not repair implausible poses (limbs in the body, joints out of range)")
    pose.add_argument("--out", required=True, metavar="FILE.npz", help="where the poses go")
    pose.set_defaults(run=run_pose)

    render = commands.add_parser("render", parents=[shared, look], help="poses to pictures")
    render.add_argument("poses", metavar="POSES.npz", help="file made by `contrapposto pose`")
    render.add_argument("--what", nargs="+", default=["gray"], metavar="WHAT", help=f"one or more of {', '.join(WHATS)} (default gray)")
    render.add_argument("--body", metavar="FILE", help="SMPL or SMPL-X file; default: the bundled open body")
    render.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    render.set_defaults(run=run_render)

    scene = commands.add_parser("scene", parents=[shared, sampling, look], help="a sentence to an avatar in a picture")
    scene.add_argument("text", metavar="TEXT", help="what the person does")
    scene.add_argument("--background", metavar="IMAGE", help="picture to stand in; it also sets the size. Default: a plain studio")
    scene.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    scene.set_defaults(run=run_scene)

    demo = commands.add_parser("demo", parents=[shared], help="six sentences, every picture, and an overview")
    demo.add_argument("--out", default="output/demo", metavar="DIR", help="folder (default output/demo)")
    demo.set_defaults(run=run_demo)

    add_paint(commands, shared, pick_device)
    add_pairs(commands, shared, pick_device)
    add_parts(commands, shared, pick_device)
    add_video(commands, shared, pick_device, _size)
    add_dance(commands, shared, pick_device, _size)

    doctor = commands.add_parser("doctor", parents=[shared], help="what works on this machine, and what is missing")
    doctor.set_defaults(run=run_doctor)
    if add_commands:
        add_commands(commands, shared, pick_device)
    return top


def run_pose(arguments, progress):
    """Sentences -> poses.npz."""
    prompts = _prompts(arguments)
    kept = arguments.count if arguments.best is None else check_range("--best", arguments.best, 1, max(arguments.count, 1))
    out = _output_file(arguments.out, ".npz")
    device = pick_device(arguments.device)
    from ..assets.search import locate
    from ..bodies.body import load_body_model
    from ..bodies.hands import set_hands
    from ..bodies.pose_file import save_poses
    from ..bodies.repair import repair
    from ..text_to_pose import load_text_to_pose, sample_poses
    from ..types import BodyPose

    model = load_text_to_pose(locate("text_to_pose", arguments.weights), device)
    body = load_body_model(locate("body_models", arguments.body), device)
    pose = sample_poses(model, prompts, count=arguments.count, seed=arguments.seed, steps=arguments.steps, guidance=arguments.guidance,
                        body=body, on_step=lambda i, n: progress("sampling", i, n))
    told = {}
    if not arguments.as_drawn:
        pose, done = repair(pose, body)
        told["plausibility"] = str(done)
    if arguments.best is not None:
        pose, told["scores"] = _best(pose, prompts, kept, arguments.scorer, body)
    pose = BodyPose.cat([set_hands(pose[row * kept : (row + 1) * kept], text=prompt) for row, prompt in enumerate(prompts)])
    save_poses(out, pose.to("cpu"), prompts, kept)
    return {"poses": str(out), "prompts": prompts, "count": kept, **told}


def _best(pose, prompts, kept, scorer, body):
    """Returns the ``kept`` best rows of every prompt, best first, and their scores as lists."""
    import torch

    from ..assets.search import locate
    from ..text_to_pose.ranking import load_pose_scorer, rank_poses

    order, scores = rank_poses(load_pose_scorer(locate("pose_scorers", scorer), pose.device), prompts, pose, body)
    order = order[:, :kept]
    first = torch.arange(len(prompts), device=order.device)[:, None] * scores.shape[1]
    return pose[(first + order).flatten()], scores.gather(1, order).tolist()


def run_render(arguments, progress):
    """poses.npz -> one picture per pose and kind."""
    from ..checks import check_choice

    for what in arguments.what:
        check_choice("--what", what, WHATS)
    width, height = _size(arguments.size)
    device = pick_device(arguments.device)
    from ..bodies.pose_file import load_poses
    from .draw import draw_poses

    pose, prompts = load_poses(arguments.poses)
    folder = _output_folder(arguments.out)
    paths = draw_poses(pose.to(device), prompts, arguments.what, folder, (width, height), arguments.view, arguments.engine,
                       arguments.avatar, arguments.body, lambda i, n: progress("drawing", i, n))
    return {"pictures": [str(path) for path in paths]}


def run_scene(arguments, progress):
    """A sentence -> every picture of the road."""
    size = _size(arguments.size)
    device = pick_device(arguments.device)
    from .pictures import read_picture

    background = read_picture(arguments.background, "--background").to(device) if arguments.background else None
    folder = _output_folder(arguments.out)
    from .scene import load_models, save_scene, text_to_scene

    models = load_models(arguments.weights, arguments.body, arguments.avatar, device, arguments.scorer)
    scene = text_to_scene(arguments.text, *models, background=background, size=size, seed=arguments.seed, view=arguments.view,
                          engine=arguments.engine, steps=arguments.steps, guidance=arguments.guidance, on_stage=progress)
    return {"pictures": [str(path) for path in save_scene(scene, folder)]}


def run_demo(arguments, progress):
    """Six sentences -> every picture, and an overview of all."""
    folder = _output_folder(arguments.out)
    from .demo import make_demo

    return {"pictures": [str(path) for path in make_demo(DEMO_PROMPTS, folder, pick_device(arguments.device), progress)]}


def run_doctor(arguments, progress):
    """Checks -> a table; exit code 1 when something needed is missing."""
    from .doctor import examine

    checks = examine(pick_device(arguments.device))
    return {"checks": checks, "exit_code": 0 if all(check["ok"] or not check["needed"] for check in checks) else 1}


def pick_device(name):
    """Returns a torch.device; "auto" takes the first of CUDA, MPS, CPU that is there.

    Raises:
        InputError: the device is unknown or not on this machine.
    """
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        problem = str(error).splitlines()[0]
        raise InputError("--device", name, f"cannot be used ({problem})", "Choose cpu, or leave it away.") from None


def _prompts(arguments):
    if (arguments.text is None) == (arguments.prompts is None):
        raise InputError("TEXT", arguments.text, "is given together with --prompts, or neither is", "Give one of the two.")
    if arguments.text is not None:
        return [arguments.text]
    from ..assets.files import check_file

    path = check_file("--prompts", arguments.prompts)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError("--prompts", path, f"is not UTF-8 text (byte {error.start})", "Save it as UTF-8, one sentence per line.") from None
    if not lines:
        raise InputError("--prompts", path, "holds no sentence", "Write one sentence per line.")
    return lines


def _size(text):
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(part.strip().isascii() and part.strip().lstrip("-").isdigit() for part in parts):
        raise InputError("--size", text, "is not a size", "Write one number, or WIDTHxHEIGHT such as 512x768.")
    return tuple(check_range("--size", int(part), 16, 8192, "pixels") for part in (parts * 2)[:2])


def _output_folder(path):
    """Makes the folder now and tries to write in it, so that a long job does not fail at its end."""
    from ..assets.files import atomic_write

    probe = Path(path) / ".contrapposto-probe"
    with atomic_write(probe, "--out"):
        pass
    probe.unlink()
    return Path(path)


def _output_file(path, suffix):
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise InputError("--out", path, f"does not end in {suffix}", f"Name the file something{suffix}.")
    _output_folder(path.parent)
    return path


def _fail(error, as_json):
    if as_json:
        told = {"input": error.name, "value": str(error.value), "problem": error.problem, "remedy": error.remedy}
        print(json.dumps({"error": told}, indent=1))
    else:
        print(f"error: {error}", file=sys.stderr)
    return 2


def _plain(result):
    if "checks" in result:
        from .doctor import as_text

        return as_text(result["checks"])
    if "text" in result:
        return result["text"]
    return "\n".join(result["pictures"] if "pictures" in result else [result["poses"], *filter(None, [result.get("plausibility")])])
