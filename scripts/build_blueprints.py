"""Writes subgraphs/*.json: a whole example workflow as one node, for ComfyUI's node library.

python scripts/build_blueprints.py

Each blueprint is an example workflow without its loaders, notes and savers. What those gave or took becomes sockets of the one node,
and the widgets named here become its widgets.
"""

from __future__ import annotations

import copy
import json
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).absolute().parents[1]
PROMISED = PACK / "tests" / "nodes" / "object_info.json"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
INSIDE, OUTSIDE = -10, -20  # ids that ComfyUI gives to a subgraph's own input and output node
ROW, BORDER = 20, 120  # pixels


@dataclass(frozen=True)
class Blueprint:
    """One node made of an example workflow.

    Args:
        name: what the node library shows; also the file's name. workflow: of example_workflows.
        without: ids of the nodes that stay outside. sockets, widgets: {its name: [(inner node, input), ...]}.
        outputs: {its name: (inner node, output)}.
    """

    name: str
    description: str
    workflow: str
    without: tuple
    sockets: dict
    widgets: dict
    outputs: dict


BLUEPRINTS = (
    Blueprint(
        "Avatar in a Scene (PAS)",
        "A sentence poses an avatar, and an image model paints the scene around it; the avatar's own pixels stay. "
        "Best with an inpainting checkpoint.",
        "scene_sd15_inpainting",
        without=(1, 20, 31),
        sockets={
            "model": [(24, "model")],
            "clip": [(21, "clip"), (22, "clip")],
            "vae": [(23, "vae"), (26, "vae")],
        },
        widgets={
            "pose": [(5, "text")],
            "scene": [(21, "text")],
            "avoid": [(22, "text")],
            "avatar_file": [(4, "file")],
            "pose_seed": [(5, "seed")],
            "view": [(7, "view")],
            "width": [(7, "width")],
            "height": [(7, "height")],
            "downsample_rate": [(23, "downsample_rate")],
            "scene_seed": [(25, "seed")],
            "steps": [(25, "steps")],
            "cfg": [(25, "cfg")],
        },
        outputs={"image": (30, "image"), "avatar_mask": (9, "mask"), "body_pose": (5, "body_pose")},
    ),
    Blueprint(
        "Dancing Avatar",
        "A motion becomes a video: the person is painted in the first pose, painted out for the background, and then put into every "
        "frame. Connect Load Motion, a checkpoint, and ControlNets for the pose and for the frame before.",
        "dancing_avatar_text_bvh",
        without=(1, 2, 7, 8, 9, 20),
        sockets={
            "motion": [(3, "body_pose")],
            "model": [(16, "model"), (18, "model"), (19, "model")],
            "clip": [(10, "clip"), (11, "clip"), (12, "clip")],
            "vae": [(17, "vae"), (18, "vae"), (19, "vae")],
            "pose_control_net": [(14, "control_net"), (19, "pose_control_net")],
            "previous_frame_control_net": [(19, "previous_frame_control_net")],
        },
        widgets={
            "person": [(10, "text")],
            "background": [(11, "text")],
            "avoid": [(12, "text")],
            "frames": [(3, "end")],
            "fps": [(3, "fps"), (19, "fps")],
            "width": [(4, "width"), (15, "width")],
            "height": [(4, "height"), (15, "height")],
            "view": [(4, "view")],
            "seed": [(16, "seed"), (18, "seed"), (19, "seed")],
            "steps": [(16, "steps"), (18, "steps"), (19, "steps")],
            "cfg": [(16, "cfg"), (18, "cfg"), (19, "cfg")],
            "previous_frame_strength": [(19, "previous_frame_strength")],
            "output": [(19, "output")],
        },
        outputs={"video": (19, "video"), "images": (19, "images"), "background_plate": (18, "plate"), "report": (19, "report")},
    ),
    Blueprint(
        "Correct Picture (Diffusion-HPC)",
        "Fits a body to each person's key points and, where the pose is hard, paints the picture again under the body's depth. Connect a "
        "pose detector, and a depth checkpoint or any model with a depth ControlNet. The picture's sides are multiples of 8.",
        "correct_picture",
        without=(1, 2, 3, 4, 5, 20, 26, 27),
        sockets={
            "image": [(7, "image"), (22, "image"), (25, "image")],
            "pose_keypoint": [(6, "pose_keypoint")],
            "model": [(22, "model")],
            "clip": [(21, "clip"), (22, "clip")],
            "vae": [(22, "vae"), (24, "vae")],
            "depth_control_net": [(22, "control_net")],
            "occluders": [(7, "occluders")],
        },
        widgets={
            "text": [(21, "text")],
            "threshold": [(25, "threshold")],
            "strength": [(22, "strength")],
            "steps": [(22, "steps")],
            "seed": [(23, "seed")],
            "cfg": [(23, "cfg")],
            "field_of_view": [(6, "field_of_view")],
        },
        outputs={
            "image": (25, "image"),
            "body_pose": (6, "body_pose"),
            "camera": (6, "camera"),
            "depth": (7, "image"),
            "hard": (25, "hard"),
            "report": (25, "report"),
        },
    ),
)


def build(blueprint, workflow):
    """Returns the blueprint's file as ComfyUI reads it, made of the example ``workflow``."""
    promised = json.loads(PROMISED.read_text(encoding="utf-8"))
    nodes = {node["id"]: copy.deepcopy(node) for node in workflow["nodes"] if node["id"] not in blueprint.without}
    links = [_link(*link) for link in workflow["links"] if link[1] in nodes and link[3] in nodes]
    _disconnect(nodes, {link["id"] for link in links})
    for node in nodes.values():
        if node["type"] in promised:
            node["inputs"] = _all_inputs(node, promised[node["type"]])
    for link in links:
        link["target_slot"] = next(place for place, slot in enumerate(nodes[link["target_id"]]["inputs"]) if slot["link"] == link["id"])
    given = [(name, targets, name in blueprint.widgets) for name, targets in {**blueprint.sockets, **blueprint.widgets}.items()]
    last = max(link[0] for link in workflow["links"])
    inputs = []
    for place, (name, targets, _) in enumerate(given):
        made = [_lead_in(nodes, place, target, last + number) for number, target in enumerate(targets, 1)]
        last += len(made)
        links += made
        inputs.append(_slot(blueprint, "input", name, made))
    outputs = []
    for place, (name, source) in enumerate(blueprint.outputs.items()):
        last += 1
        links.append(_lead_out(nodes, place, source, last))
        outputs.append(_slot(blueprint, "output", name, links[-1:]))
    subgraph = _subgraph(blueprint, nodes, links, inputs, outputs, workflow["groups"], last)
    return {"revision": 0, "last_node_id": 1, "last_link_id": 0, "nodes": [_host(blueprint, given, inputs, outputs)], "links": [],
            "version": 0.4, "definitions": {"subgraphs": [subgraph]}, "extra": {}}


def _link(number, origin, origin_slot, target, target_slot, kind):
    return {"id": number, "origin_id": origin, "origin_slot": origin_slot, "target_id": target, "target_slot": target_slot, "type": kind}


def _disconnect(nodes, kept):
    """Takes links to nodes that are not there out of the slots."""
    for node in nodes.values():
        for given in node["inputs"]:
            given["link"] = given.get("link") if given.get("link") in kept else None
        for made in node["outputs"]:
            made["links"] = [link for link in made.get("links") or () if link in kept]


def _all_inputs(node, promised):
    """Returns a node's input slots in the page's order, also those that came after the workflow was saved.

    The page puts them in by itself, but an older one then loses the way from a subgraph's input to its slot.
    """
    saved = {given["name"]: given for given in node["inputs"]}
    sockets, widgets = [], []
    for name, declared in promised["inputs"].items():
        is_widget = declared["type"] in WIDGETS and not declared.get("forceInput")
        made = {"localized_name": name, "name": name, "type": declared["type"], "link": None}
        made |= {"widget": {"name": name}} if is_widget else {"shape": 7} if declared.get("optional") else {}
        (widgets if is_widget else sockets).append(saved.get(name, made))
    return sockets + widgets


def _place(slots, name):
    return next(place for place, slot in enumerate(slots) if slot["name"] == name)


def _lead_in(nodes, place, target, number):
    node, name = target
    slots = nodes[node]["inputs"]
    slot = _place(slots, name)
    if slots[slot]["link"] is not None:
        raise ValueError(f"{name} of node {node} is connected inside already")
    slots[slot]["link"] = number
    return _link(number, INSIDE, place, node, slot, slots[slot]["type"])


def _lead_out(nodes, place, source, number):
    node, name = source
    slots = nodes[node]["outputs"]
    slot = _place(slots, name)
    slots[slot]["links"].append(number)
    return _link(number, node, slot, OUTSIDE, place, slots[slot]["type"])


def _slot(blueprint, side, name, links):
    return {"id": _uuid(blueprint, side, name), "name": name, "type": links[0]["type"], "linkIds": [link["id"] for link in links],
            "localized_name": name}


def _uuid(*parts):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "contrapposto/" + "/".join(getattr(part, "name", part) for part in parts)))


def _subgraph(blueprint, nodes, links, inputs, outputs, groups, last_link):
    left, top, right, bottom = _bounds(nodes.values())
    for side, slots, x in (("in", inputs, left - 2 * BORDER), ("out", outputs, right + BORDER)):
        for place, slot in enumerate(slots):
            slot["pos"] = [x + (BORDER - ROW if side == "in" else ROW), top + ROW * (place + 1)]
    return {
        "id": _uuid(blueprint), "version": 1, "revision": 0, "config": {}, "name": blueprint.name,
        "state": {"lastGroupId": len(groups), "lastNodeId": max(nodes), "lastLinkId": last_link, "lastRerouteId": 0},
        "inputNode": {"id": INSIDE, "bounding": [left - 2 * BORDER, top, BORDER, ROW * (len(inputs) + 2)]},
        "outputNode": {"id": OUTSIDE, "bounding": [right + BORDER, top, BORDER, ROW * (len(outputs) + 2)]},
        "inputs": inputs, "outputs": outputs, "widgets": [], "nodes": list(nodes.values()),
        "groups": [group for group in groups if _holds_one(group, nodes.values())], "links": links, "extra": {},
        "category": "contrapposto", "description": blueprint.description,
    }


def _bounds(nodes):
    boxes = [(*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]) for node in nodes]
    return [pick(edge) for pick, edge in zip((min, min, max, max), zip(*boxes))]


def _holds_one(group, nodes):
    x, y, width, height = group["bounding"]
    return any(x <= node["pos"][0] < x + width and y <= node["pos"][1] < y + height for node in nodes)


def _host(blueprint, given, inputs, outputs):
    """Returns the one node that stands for the rest."""
    slots = [{"localized_name": name, "name": name, "type": made["type"], "link": None} | ({"widget": {"name": name}} if widget else {})
             for (name, _, widget), made in zip(given, inputs)]
    return {
        "id": 1, "type": _uuid(blueprint), "pos": [0, 0], "size": [400, 30 + 25 * len(slots)], "flags": {}, "order": 0, "mode": 0,
        "inputs": slots,
        "outputs": [{"localized_name": slot["name"], "name": slot["name"], "type": slot["type"], "links": []} for slot in outputs],
        "title": blueprint.name, "properties": {}, "widgets_values": [],
    }


def dump(blueprint):
    """Returns the text of the blueprint's file."""
    workflow = json.loads((PACK / "example_workflows" / f"{blueprint.workflow}.json").read_text(encoding="utf-8"))
    return json.dumps(build(blueprint, workflow), ensure_ascii=False, indent=1) + "\n"


def main():
    """Writes every blueprint."""
    (PACK / "subgraphs").mkdir(exist_ok=True)
    for blueprint in BLUEPRINTS:
        (PACK / "subgraphs" / f"{blueprint.name}.json").write_text(dump(blueprint), encoding="utf-8")
        sys.stdout.write(f"{blueprint.name}: written from {blueprint.workflow}\n")


if __name__ == "__main__":
    main()
