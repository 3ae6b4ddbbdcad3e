"""Makes the pictures of the help pages, web/docs/pictures/<node id>.jpg, with the nodes themselves inside a real ComfyUI:

python tests/host/refresh_help_pictures.py [node id ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "nodes"))

import comfy_host
import contract
import numpy as np

PICTURES = comfy_host.PACK / "web" / "docs" / "pictures"
TILE = 256  # pixels
SENTENCE = "a person throws a ball"


class Graph:
    """An API prompt that fills inputs with the nodes' defaults."""

    def __init__(self):
        self.prompt, self.promised = {}, contract.read()

    def add(self, name, **inputs):
        """Adds a node of this pack, or of ComfyUI when ``name`` begins with a dot; returns its id."""
        kind = name[1:] if name.startswith(".") else f"Contrapposto{name}"
        declared = self.promised.get(kind, {"inputs": {}})["inputs"]
        defaults = {key: given.get("default", given.get("options", [None])[0]) for key, given in declared.items()
                    if not given.get("optional") and ("default" in given or given["type"] == "COMBO")}
        number = str(len(self.prompt) + 1)
        self.prompt[number] = {"class_type": kind, "inputs": defaults | inputs}
        return number

    def poses(self, text=SENTENCE, **inputs):
        return [self.add("TextToPose", text_to_pose=[self.add("LoadTextToPose"), 0], text=text, repair=True, **inputs), 0]

    def avatar(self, poses, **inputs):
        return [self.add("RetargetPose", body_pose=poses, avatar=[self.add("LoadAvatar"), 0], **inputs), 0]

    def frame(self, figure, **inputs):
        return [self.add("FrameBody", figure=figure, width=TILE, height=TILE, **inputs), 0]

    def gray(self, poses, **view):
        return [self.add("RenderGrayBody", figure=poses, camera=self.frame(poses, **view)), 0]


def drawing(name):
    """A node that draws a figure as it is."""
    def make(graph):
        poses = graph.poses()
        return [[graph.add(name, figure=poses, camera=graph.frame(poses)), 0]]
    return make


def text_to_pose(graph):
    return [graph.gray(graph.poses(count=4, seed=1))]


def random_poses(graph):
    prior = [graph.add("LoadPosePrior"), 0]
    return [graph.gray([graph.add("DecodeVPoser", pose_prior=prior, count=4, seed=3), 0])]


def ranked(graph):
    return [[graph.add("RankPoses", body_pose=graph.poses(count=8), text=SENTENCE), 2]]


def avatar_picture(graph, figure):
    return [graph.add("RenderAvatar", posed_avatar=figure, camera=graph.frame(figure)), 0]


def avatar(graph):
    figure = graph.avatar(graph.poses())
    camera = graph.frame(figure)
    return [[graph.add("RenderAvatar", posed_avatar=figure, camera=camera, lights=lights), 0] for lights in ("studio", "soft", "dramatic")]


def retargeted(graph):
    poses = graph.poses()
    return [graph.gray(poses), avatar_picture(graph, graph.avatar(poses, refine=True))]


def compared(graph):
    poses = graph.poses()
    return [[graph.add("CompareRetarget", body_pose=poses, posed_avatar=graph.avatar(poses), size=2 * TILE), 0]]


def views(graph):
    poses = graph.poses()
    return [graph.gray(poses, view=view) for view in ("front", "three-quarter", "side", "back")]


def pasted(graph):
    figure = graph.avatar(graph.poses())
    camera = graph.frame(figure)
    render = graph.add("RenderAvatar", posed_avatar=figure, camera=camera)
    studio = [graph.add("RenderStudio", figure=figure, camera=camera), 0]
    return [studio, [render, 0], [graph.add("PasteAvatarBack", image=studio, body_render=[render, 2]), 0]]


def studio(graph):
    return pasted(graph)[:1]


def filmed(graph):
    motion = [graph.add("EditMotion", body_pose=graph.poses(count=2, seed=4), between=0.5, fps=6), 0]
    return [[graph.add("AvatarVideo", posed_avatar=graph.avatar(motion), width=TILE, height=TILE, fps=6), 0]]


def depth(graph):
    poses = graph.poses()
    return [[graph.add("OccludedBodyDepth", figure=poses, camera=graph.frame(poses)), 0]]


def part_map(graph):
    poses = graph.poses()
    return [[graph.add("RenderPartMap", body_pose=poses, camera=graph.frame(poses)), 0]]


def composed(graph):
    poses = graph.poses(count=1)
    figure = graph.avatar(poses)
    camera = graph.frame(figure)
    colour = [graph.add("RenderAvatar", posed_avatar=figure, camera=camera), 2]
    gray = [graph.add("RenderGrayBody", figure=poses, camera=camera), 2]
    size = {"width": 2 * TILE, "height": TILE}
    near = graph.add("ComposeAvatars", avatar=colour, gray_body=gray, **size | {"x": 0.3, "y": 0.97, "scale": 1.0})
    onto = {"onto_avatar": [near, 2], "onto_gray_body": [near, 3]}
    return [[graph.add("ComposeAvatars", avatar=colour, gray_body=gray, **size | onto | {"x": 0.7, "y": 0.85, "scale": 0.7}), 0]]


JOBS = {
    "TextToPose": text_to_pose, "DecodeVPoser": random_poses, "RankPoses": ranked,
    "RetargetPose": retargeted, "CompareRetarget": compared, "FrameBody": views, "RenderAvatar": avatar, "RenderStudio": studio,
    "PasteAvatarBack": pasted, "AvatarVideo": filmed, "OccludedBodyDepth": depth, "ComposeAvatars": composed, "RenderPartMap": part_map,
} | {name: drawing(name) for name in ("RenderGrayBody", "RenderDepth", "RenderPoseMap")}


def make(server, name):
    """Runs a job and writes its pictures side by side."""
    from PIL import Image

    graph = Graph()
    shown = [graph.add(".PreviewImage", images=source) for source in JOBS[name](graph)]
    run = server.run(graph.prompt)
    if not run.succeeded:
        sys.exit(f"{name}: {run.error}")
    tiles = [server.picture(image)[..., :3] for node in shown for image in run.images(node)[:5]]
    height = min(len(tile) for tile in tiles)
    row = np.concatenate([np.asarray(Image.fromarray(tile).resize((tile.shape[1] * height // len(tile), height))) for tile in tiles], 1)
    picture = Image.fromarray(row)
    picture.thumbnail((4 * TILE, 2 * TILE), Image.Resampling.LANCZOS)
    PICTURES.mkdir(exist_ok=True)
    picture.save(PICTURES / f"Contrapposto{name}.jpg", quality=85, optimize=True)


def main(names):
    hosts = comfy_host.find_hosts()
    if not hosts:
        sys.exit(comfy_host.NO_HOST)
    server = comfy_host.serve(hosts[0])
    for name in [name.removeprefix("Contrapposto") for name in names] or JOBS:
        make(server, name)


if __name__ == "__main__":
    main(sys.argv[1:])
