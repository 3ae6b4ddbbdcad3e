"""What the browser half of the pack asks for: figures to draw, as GLB files in ComfyUI's temp folder."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from pathlib import Path

import folder_paths

from ..models.bodies.body import load_body_model, place_on_floor
from ..models.bodies.pose_edits import pose_rows, relaxed_pose
from ..models.checks import InputError
from ..models.motion.editor_figure import write_editor_figure
from . import quoted_folder
from .avatar import LoadAvatar

FOLDER = "contrapposto"  # inside ComfyUI's temp folder
FIGURE_ROUTE = "/contrapposto/figure"
ROWS_MAX = 256  # poses that the browser is sent


def register_routes():
    """Adds ``GET /contrapposto/figure?avatar=NAME``, and what a folder's name may need; ComfyUI calls it once, at its start."""
    module = sys.modules.get("server")  # ComfyUI's, which is there before any pack; nobody else's import shall start it
    server = getattr(getattr(module, "PromptServer", None), "instance", None)
    if server is None:  # somebody loads the nodes without a server, to list them
        return
    if any(getattr(route, "path", None) == FIGURE_ROUTE for route in server.routes):  # a route said twice stops ComfyUI
        logging.warning("Contrapposto is in custom_nodes twice (%s is one of the two): remove one of them.", Path(__file__).parents[1])
        return
    from aiohttp import web

    quoted_folder.register_routes(server.routes)

    @server.routes.get(FIGURE_ROUTE)
    async def figure(request):
        try:
            return web.json_response(await asyncio.to_thread(figure_by_name, request.query.get("avatar", "")))
        except InputError as error:
            return web.json_response({"error": str(error)}, status=400)


def figure_by_name(choice):
    """Describes the body (no name), or an avatar by its entry in the drop-down of Load Avatar; nothing else can be asked for.

    Returns:
        what `describe_figure` does, and "start": the pose that an edit from nothing starts with.

    Raises:
        InputError: there is no such entry, or the file is not a character.
    """
    known = LoadAvatar.validate_inputs(choice) if choice else True
    if known is not True:
        raise InputError("avatar", choice, "is not in the list of Load Avatar", "Choose one of its files.")
    body = load_body_model()
    avatar = LoadAvatar.execute(choice).args[0] if choice else None
    return describe_figure(body, avatar) | {"start": pose_rows(place_on_floor(body, relaxed_pose()), body)[0]}


def describe_figure(body, avatar=None):
    """Returns {"file": where `/view` finds the GLB, "drive": how its bones follow the joints} of a body or an avatar."""
    path = temp_file("figure", ".glb", body.v_template, body.J_regressor, *((avatar.vertices, avatar.weights) if avatar else ()))
    drive = write_editor_figure(path, body, avatar)
    return {"file": address(path), "drive": drive}


def pose_message(poses, body, avatar=None):
    """Returns the ``ui`` of a node that shows poses in the browser: its first rows and who is drawn."""
    return message({"poses": pose_rows(poses[: min(len(poses), ROWS_MAX)], body), "figure": describe_figure(body, avatar)})


def message(content):
    """Returns the ``ui`` of a node that sends ``content`` to our part of the page."""
    return {FOLDER: [content]}


def temp_file(kind, suffix, *tensors):
    """Returns a path in ComfyUI's temp folder, named by what decides the file's content, so that a browser may keep what it has loaded."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    folder = Path(folder_paths.get_temp_directory()) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{kind}_{digest.hexdigest()[:16]}{suffix}"


def address(path):
    """Returns what ComfyUI's ``/view`` takes to send a file of ours."""
    return {"filename": path.name, "subfolder": FOLDER, "type": "temp"}
