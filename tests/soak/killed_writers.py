"""Kills every writer of the library at precise moments: run by test_killed_writers.py in a process of its own, which loads torch once and
forks the victims. Argument: an empty folder. Prints {writer: {moment: {"signal", "leftovers", "broken", "strange"}}} as JSON.

Moments: ``mid-write``, when the largest file is half there (the kernel kills a process that writes beyond its file size limit, and Python
cannot clean up), and ``publish N``, when the N-th finished file is about to get its name. After each kill the writer runs again.
"""

import json
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path

import torch
import whole_files

from contrapposto.models.assets.files import PART, remove_abandoned, write_safetensors
from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.bodies.pose_file import save_poses
from contrapposto.models.dancing_avatar.frame_cache import FrameCache
from contrapposto.models.dancing_avatar.prompts import KINDS, KeptPrompts, refine
from contrapposto.models.headless.pictures import write_png
from contrapposto.models.headless.plan import write_plan
from contrapposto.models.headless.video_file import write_video
from contrapposto.models.motion import save_motion
from contrapposto.models.motion.openpose import write_keypoints
from contrapposto.models.pose_correction.meshes import FORMATS, write_mesh
from contrapposto.models.pose_correction.pairs import make_pairs
from contrapposto.models.pose_correction.shards import ShardWriter, read_shard
from contrapposto.models.pose_correction.spin_export import export_spin
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.pose_map import project_keypoints
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.training.loop import LoopConfig, RunFolder
from contrapposto.models.types import BodyPose

SIDE = 64
LAST_PUBLISH = 3  # of one writer's files


def writers(root):
    """{name: writes into a folder}."""
    body, generator = load_body_model(), torch.Generator().manual_seed(0)
    pose = BodyPose(rotvec_to_rotmat(torch.randn(2, 3, generator=generator) * 0.3),
                    rotvec_to_rotmat(torch.randn(2, 21, 3, generator=generator) * 0.3), fps=24.0)
    figure = pose_body(body, pose)
    camera, picture = frame_figure(figure, SIDE, SIDE), torch.rand(2, SIDE, SIDE, 3, generator=generator)
    points = project_keypoints(figure, camera)
    pairs = make_pairs(picture, pose, camera, body, torch.ones(2, SIDE, SIDE), {"prompt": "a"}, vertices=True)
    _shard(root / "stored.tar", pairs)
    stored = list(read_shard(root / "stored.tar"))
    made = {f"motion {kind}": partial(_motion, kind=kind, pose=pose, body=body) for kind in ("glb", "bvh", "npz")}
    made |= {f"mesh {kind}": partial(_mesh, kind=kind, vertices=figure.vertices()[0], faces=body.faces) for kind in FORMATS}
    return made | {
        "poses": lambda folder: save_poses(folder / "poses.npz", pose),
        "keypoints": lambda folder: write_keypoints(folder / "keypoints.json", points),
        "shard": lambda folder: _shard(folder / "0.tar", pairs),
        "SPIN": lambda folder: export_spin(stored, folder, crops=True),
        "weights": lambda folder: write_safetensors(folder / "module.safetensors", {"a": picture}, {"rank": 2}),
        "frame cache": lambda folder: FrameCache(folder, 1 << 30).put("frame", (picture[0] * 255).byte()),
        "kept words": lambda folder: KeptPrompts(folder).keep(KINDS[0], "a red dress", 1, refine(KINDS[0], "a red dress", "", 1)),
        "video": lambda folder: write_video(folder / "film.mp4", picture, 24),
        "picture": lambda folder: write_png(folder / "picture.png", picture[0]),
        "plan": lambda folder: write_plan(folder / "plan.jsonl", ["a person waves"] * 300),
        "training run": _run,
    }


def _motion(folder, kind, pose, body):
    save_motion(folder / f"motion.{kind}", pose, body)


def _mesh(folder, kind, vertices, faces):
    write_mesh(folder / f"mesh.{kind}", vertices, faces)


def _shard(path, pairs):
    with ShardWriter(path) as shard:
        shard.add(pairs, ["one", "two"])


def _run(folder):
    run = RunFolder(folder, {"loop": vars(LoopConfig(steps=2, batch=1, lr=0.1))}, ("models/checks.py",))
    run.open()
    step = len(run.lines()) + 1
    run.log(step, loss=1.0)
    run.save({"step": step, "model": {"a": torch.zeros(10_000)}})


def victim(write, folder, arm):
    """Returns the signal that ended a child process which wrote, or None."""
    child = os.fork()
    if not child:
        try:
            arm()
            write(folder)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None


def at_size(limit):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it and would raise an error instead


def at_publish(number):
    publish, done = os.replace, []

    def replace(source, target):
        done.append(target)
        if len(done) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        publish(source, target)

    os.replace = replace


def count_publishes(write, folder):
    """Runs a writer undisturbed; returns how many files got their name."""
    publish, done = os.replace, []
    os.replace = lambda source, target: (done.append(target), publish(source, target))
    try:
        write(folder)
    finally:
        os.replace = publish
    return len(done)


def moments(write, folder):
    """[(name, what prepares the victim)] of one writer and a folder like the one that it is to be killed in."""
    publishes = count_publishes(write, folder)
    largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return [("mid-write", partial(at_size, largest // 2)),
            *((f"publish {number}", partial(at_publish, number)) for number in range(1, min(publishes, LAST_PUBLISH) + 1))]


def try_all(write, root):
    told, example = {}, root / "example"
    example.mkdir(parents=True)
    for state in ("fresh", "over"):  # into an empty folder; over the files of an earlier run
        for moment, arm in moments(write, example):
            folder = root / f"{moment} {state}"
            folder.mkdir()
            if state == "over":
                write(folder)
            told[folder.name] = try_once(write, folder, arm, files(example))
    return told


def try_once(write, folder, arm, wanted):
    there = files(folder)
    report = {"signal": victim(write, folder, arm), "lost": sorted(there - files(folder)), "broken": list(whole_files.broken(folder)),
              "strange": [name for name in whole_files.leftovers(folder) if f"{PART}/" not in f"{name}/"]}
    write(folder)
    for place in {folder, *(path.parent for path in folder.rglob("*"))}:
        remove_abandoned(place, -1)
    return report | {"after": [*whole_files.broken(folder), *whole_files.leftovers(folder)], "missing": sorted(wanted - files(folder))}


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and not whole_files.is_leftover(path, folder))
    return {path.relative_to(folder).as_posix() for path in found}


if __name__ == "__main__":
    torch.set_num_threads(1)  # a fork takes one thread along
    root = Path(sys.argv[1])
    print(json.dumps({name: try_all(write, root / name) for name, write in writers(root).items()}))
