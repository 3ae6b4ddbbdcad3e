"""The dancing avatar without an image model (ours; none of the papers has it): the user's own character, drawn in every frame.

The story in order: a motion before a camera (``shot``) -> per frame the avatar is drawn -> its shadow falls on the background, one picture
for all frames -> the avatar is laid over it. Where it covers a pixel whole, the frame holds the rendered pixel itself, so the person is the
same in every frame, and nothing has to be trained. A few frames are in work at a time, so memory does not grow with the film.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from ..checks import InputError, check_range, check_shape
from ..compose.backdrop import WALL_METRES, studio_backdrop
from ..compose.moving_shadow import MovingShadow, darken_floor
from ..compose.paste_back import paste_back
from ..render.engine import render_figure
from ..types import Render
from .shot import Shot

ROWS_AT_ONCE = 8
STAGE_METRES = 1.5  # free floor behind the outermost point of a motion before the studio's wall rises


def film(shot: Shot, background: Tensor | None = None, shadow=1.0, engine="torch", lights=None,
         on_row=None) -> Iterator[tuple[Tensor, Render]]:
    """Makes the frames of a film, a few at a time.

    Args:
        shot: B rows before a camera.
        background: (1, H, W, 3) one picture for all frames, or (B, H, W, 3) a film, 0..1, of the camera's size; None is a studio.
        shadow: darkness of the shadow on the floor, 0..1.
        engine, lights: see ``render_figure``.
        on_row: called with (frames done, all frames).

    Yields:
        (frames, render): (N, H, W, 3) pictures on the shot's device, and the avatar alone, N rows, for up to 8 frames.

    Raises:
        InputError: the background does not fit, or a number is out of range.
    """
    check_range("shadow", shadow, 0.0, 1.0)
    background = studio(shot) if background is None else _checked(background, shot)
    caster = MovingShadow(shot.mesh(slice(0, 1)), shot.camera) if shadow else None
    with ThreadPoolExecutor(torch.get_num_threads() if shot.device.type == "cpu" else 1) as pool:
        for start in range(0, len(shot), ROWS_AT_ONCE):
            part = shot[start : start + ROWS_AT_ONCE]
            render = render_figure(part, shot.camera, "avatar", engine, lights)
            behind = background.expand(len(shot), -1, -1, -1)[start : start + len(part)].to(shot.device)
            skins = part.mesh(slice(0, len(part))).vertices if caster else [None] * len(part)
            frames = torch.empty_like(render.rgb)
            compose = partial(_compose, caster, shadow, torch.is_inference_mode_enabled())
            list(pool.map(compose, frames, behind, [render[row] for row in range(len(part))], skins))
            if on_row is not None:
                on_row(start + len(part), len(shot))
            yield frames, render


def studio(shot: Shot) -> Tensor:
    """The empty photo studio (1, H, W, 3) of a shot, large enough for its motion."""
    return studio_backdrop(shot.camera, wall=max(WALL_METRES, shot.reach + STAGE_METRES))


def _compose(caster, shadow, inference, frame, behind, render, skin):
    """One frame in place: the background, the shadow on it, the avatar over it."""
    with torch.inference_mode(inference), torch.no_grad():  # both are settings of a thread
        frame.copy_(behind)
        if caster is not None:
            darken_floor(frame, caster.draw(skin), shadow)
        box = _box(render.alpha[0])
        if box is not None:
            part = (slice(None), *box)
            cut = Render(render.rgb[part], render.alpha[part], render.depth[part], render.camera)
            frame[box] = paste_back(frame[box][None], cut, linear_light=True)[0]


def _box(alpha):
    """The rows and columns that a mask (H, W) touches; None when it is empty."""
    rows, columns = (alpha > 0).any(1).nonzero(), (alpha > 0).any(0).nonzero()
    if len(rows) == 0:
        return None
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in (rows, columns))


def _checked(background, shot):
    rows = check_shape("background", background, "B H W 3")["B"]
    camera = shot.camera
    if background.shape[1:3] != (camera.height, camera.width):
        raise InputError("background", f"{background.shape[2]} x {background.shape[1]}",
                         f"is not the film's size, {camera.width} x {camera.height}", "Take the background's size for the camera.")
    if rows not in (1, len(shot)):
        raise InputError("background", f"{rows} pictures", f"do not fit {len(shot)} frames", "Give one picture, or one for each frame.")
    return background
