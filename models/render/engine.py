"""One door to both engines: a figure and a camera in, a Render out, row by row so that memory stays flat."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from ..checks import InputError, check_choice
from ..types import Render
from .camera import check_size, match_rows
from .shade import SHADINGS, find_lights

ENGINES = ("torch", "pyrender")
_PIXELS_AT_ONCE = 1 << 23  # on CUDA; a CPU is fastest with one row at a time
_ROWS_AT_ONCE = 8  # meshes made at a time


def render_figure(figure, camera, shading="gray", engine="torch", lights=None, on_row=None) -> Render:
    """Draws every row of a figure.

    Args:
        figure: ports.Figure with B rows.
        camera: B rows or one for all.
        shading: "gray" is an even clay body, "avatar" uses the mesh's own colours and textures.
        engine: "torch" runs anywhere, on the figure's device; "pyrender" needs OpenGL.
        lights: a `shade.Lights`, the name of a preset of `shade.LIGHTS`, or None for the studio.
        on_row: called with (rows done, all rows) after each piece of work.

    Returns:
        Render with B rows on the figure's device. Antialiased: alpha has at least 17 levels in the torch engine.

    Raises:
        InputError: there is nothing to draw, a name is unknown, or the engine cannot run here.
    """
    check_choice("shading", shading, SHADINGS)
    check_choice("engine", engine, ENGINES)
    check_size(camera.width, camera.height)
    lights = find_lights(lights)
    count = len(figure)
    if count == 0:
        raise InputError("figure", 0, "rows hold nothing to draw", "Give at least one pose.")
    camera = match_rows(camera, count).to(figure.device)
    drawer = _engine(engine)(shading, lights)
    render, done = _blank(count, camera, figure.device), 0
    with ThreadPoolExecutor(drawer.workers(figure.device)) as pool, torch.no_grad():
        for rows in _pieces(count, camera, figure.device):
            mesh = figure.mesh(rows)
            _check_mesh(mesh)
            draw = partial(_draw, drawer, torch.is_inference_mode_enabled())
            drawings = [(mesh[piece], camera[row], render[row]) for row, piece in _per_drawing(rows, figure.device)]
            for drawn in pool.map(draw, *zip(*drawings)):
                done += drawn
                if on_row is not None:
                    on_row(done, count)
    return render


def _draw(drawer, inference, mesh, camera, target):
    with torch.inference_mode(inference), torch.no_grad():  # both are settings of a thread
        drawer.draw(mesh, camera, target)
    return len(mesh)


def _engine(name):
    if name == "torch":
        from .torch_engine import TorchEngine

        return TorchEngine
    from .pyrender_engine import PyrenderEngine

    return PyrenderEngine


def _pieces(count, camera, device):
    """Slices of rows whose meshes are made together."""
    rows = _ROWS_AT_ONCE if device.type == "cpu" else max(1, min(_ROWS_AT_ONCE * 2, _PIXELS_AT_ONCE // (camera.width * camera.height)))
    return [slice(i, min(i + rows, count)) for i in range(0, count, rows)]


def _per_drawing(rows, device):
    """(slice of all rows, slice of this piece) drawn together: single rows on a CPU, which threads share, all of them elsewhere."""
    if device.type != "cpu":
        return [(rows, slice(None))]
    return [(slice(i, i + 1), slice(i - rows.start, i - rows.start + 1)) for i in range(rows.start, rows.stop)]


def _blank(count, camera, device):
    size = (count, camera.height, camera.width)
    return Render(torch.zeros(*size, 3, device=device), torch.zeros(size, device=device), torch.zeros(size, device=device), camera)


def _check_mesh(mesh):
    if not bool(torch.isfinite(mesh.vertices).all()):
        raise InputError("figure", "vertices", "are not all finite numbers", "Look for NaN in the pose or in the body file.")
