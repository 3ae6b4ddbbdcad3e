"""The film of an avatar against pyrender drawing the same textured frames alone: no background, no shadow, no laying over.

Both get new vertices for every frame, skinning included. The other rows add what a film needs besides: the H.264 file, and the memory of
a film ten times as long.
"""

from __future__ import annotations

import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies import load_body_model
from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.avatar_video import film
from contrapposto.models.dancing_avatar.shot import photo_shot
from contrapposto.models.headless.video_file import write_video
from contrapposto.models.render.engine import render_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

FRAMES, SIZE, FPS = 8, 768, 30.0


def run(rounds=5):
    """Rows: frames of a film, and frames with the file, against pyrender; memory of a long film against a short one."""
    shot, background = swaying(FRAMES), torch.rand(1, SIZE, SIZE, 3)
    frames = lambda: [None for _ in film(shot, background)]
    with tempfile.TemporaryDirectory() as folder:
        whole = lambda: write_video(Path(folder) / "film.mp4", (pictures for pictures, _ in film(shot, background)), FPS)
        rows = []
        try:
            theirs = lambda: render_figure(shot, shot.camera, "avatar", "pyrender")
            for name, ours in (("frames of a film: avatar, shadow, background", frames), ("the same, and the H.264 file", whole)):
                with torch.no_grad():
                    seconds, reference, ratio = interleaved(ours, theirs, rounds)
                rows.append(row(f"{name}, {SIZE} x {SIZE}, vs pyrender's avatar alone", seconds / FRAMES, reference / FRAMES, ratio,
                                "at least as fast", 1.0))
        except InputError as error:
            rows.append({"name": "film", "value": "-", "reference": str(error), "ratio": "-", "goal": "at least as fast", "met": None})
    shots = swaying(24), swaying(240)
    peak(shots[1], background)  # the heap of a process settles over its first hundred frames
    short, long = (peak(given, background) for given in shots)
    name = "peak memory while 240 frames are made and thrown away, vs 24"
    rows.append({"name": name, "value": f"{long:.0f} MB", "reference": f"{short:.0f} MB", "ratio": long / short,
                 "goal": "at most 1.05", "met": long / short <= 1.05})
    return rows


def swaying(count):
    """A shot of the bundled avatar that turns from side to side."""
    rest, time = BodyPose.rest(count), torch.arange(count) / FPS
    turn = torch.zeros(count, 3)
    turn[:, 1] = torch.sin(3 * time)
    arms = rest.body_pose.clone()
    arms[:, 15:17] = rotvec_to_rotmat(torch.stack([torch.zeros(count), torch.zeros(count), torch.sin(5 * time)], -1))[:, None]
    pose = replace(rest, global_orient=rotvec_to_rotmat(turn), body_pose=arms, fps=FPS)
    return photo_shot(retarget_pose(pose, load_body_model(), load_avatar()), SIZE, SIZE, fps=FPS)


def peak(shot, background):
    """Megabytes that the process holds at most while a film is made and thrown away; Linux."""
    return max(resident() for _ in film(shot, background))


def resident():
    """Megabytes of memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print(table(run()))
