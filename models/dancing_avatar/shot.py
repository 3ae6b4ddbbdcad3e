"""A motion before a still camera: where it stands, what the camera sees of it, and how its feet meet the floor.

Nothing of a body is changed. A shot moves whole figures, frame by frame, by an offset: onto the floor, to the middle of the stage, and,
when the camera follows, back by the way that the camera has gone with it. So one camera serves all frames, and so does one background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import InputError, check_choice, check_range
from ..compose.ground import ground_camera
from ..ports import Figure
from ..render.camera import DEFAULT_FOV, VIEWS, check_size, frame_points, project
from ..types import Camera, Mesh

MOVES = ("still", "follow")
ROWS_AT_ONCE = 16
REACHES = 26  # points that stand for a figure's hull: its extremes along the directions of a cube's faces, edges and corners
EVERY_VERTEX = 3  # the hull looks at every third vertex
NEAR_FLOOR = 0.12  # metres: a figure whose lowest point is higher is in the air
STANDING = 0.02  # metres above the lowest of its moment that still count as standing
MOMENT = 0.4  # seconds to either side
FOLLOW_SECONDS = 0.5  # standard deviation of the following camera's smoothing
DEFAULT_FPS = 30.0
_HORIZON_GAP = 0.02  # share of the picture between the horizon and the farthest place for the feet


@dataclass(frozen=True)
class Shot:
    """A figure with B rows before one camera; itself a ``ports.Figure`` in the stage's world, floor at y = 0.

    Args:
        figure: as it moves in its own world.
        offset: (B, 3) metres, added to each row's points.
        camera: one row; it sees the stage.
        reach: metres from the middle of the stage to the outermost point of any row.
        start: rows of ``figure`` and ``offset`` before the first of this shot.
    """

    figure: Figure
    offset: Tensor
    camera: Camera
    reach: float = 1.0
    start: int = 0

    def __len__(self):
        return len(self.offset)

    def __getitem__(self, rows: slice) -> Shot:
        kept = range(len(self))[rows]
        return replace(self, offset=self.offset[kept.start : kept.stop], start=self.start + kept.start)

    @property
    def device(self):
        return self.offset.device

    def mesh(self, rows: slice) -> Mesh:
        kept = range(len(self))[rows]
        mesh = self.figure.mesh(slice(self.start + kept.start, self.start + kept.stop))
        return replace(mesh, vertices=mesh.vertices + self.offset[kept.start : kept.stop, None])

    def keypoints_3d(self) -> Tensor:
        return self.figure.keypoints_3d()[self.start : self.start + len(self)] + self.offset[:, None]

    def world_camera(self) -> Camera:
        """B cameras that see the figure, where it is in its own world, as this shot shows it."""
        camera = self.camera[[0] * len(self)]
        return replace(camera, t=camera.t + (camera.R @ self.offset[..., None])[..., 0])


@dataclass(frozen=True)
class Survey:
    """What a shot has to know of a motion.

    Args:
        lowest: (B,) height of each row's lowest point, metres.
        place: (B, 2) x and z of each row's middle, metres.
        hull: (B, 26, 3) points that stand for each row's extent, metres.
    """

    lowest: Tensor
    place: Tensor
    hull: Tensor


def survey(figure: Figure, on_row=None) -> Survey:
    """Looks at every row of a motion once.

    Args:
        figure: B rows.
        on_row: called with (rows done, all rows).

    Raises:
        InputError: there are no rows.
    """
    if len(figure) == 0:
        raise InputError("motion", 0, "frames hold nothing to film", "Give at least one pose.")
    directions = _directions().to(figure.device)
    lowest, place, hull = [], [], []
    for start in range(0, len(figure), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(figure))
        vertices = figure.mesh(slice(start, stop)).vertices
        sparse = vertices[:, ::EVERY_VERTEX].float()
        farthest = (sparse @ directions.T).argmax(1)
        lowest.append(vertices[..., 1].amin(1))
        place.append(sparse.mean(1)[:, [0, 2]])
        hull.append(sparse.gather(1, farthest[..., None].expand(-1, -1, 3)))
        if on_row is not None:
            on_row(stop, len(figure))
    return Survey(torch.cat(lowest), torch.cat(place), torch.cat(hull))


def studio_shot(figure: Figure, width, height, view="three-quarter", yaw=None, pitch=None, fov=DEFAULT_FOV, margin=0.08, move="still",
                settle=True, fps=None, seen: Survey | None = None) -> Shot:
    """A motion on an empty stage, all of it in the picture.

    Args:
        figure: B rows.
        width, height: pixels.
        view: a name of ``render.camera.VIEWS``; yaw and pitch (radians), where given, replace the view's own.
        fov, margin: see ``frame_points``.
        move: "still" shows the whole stage, "follow" goes along with the figure, which is then shown larger.
        settle: take slow drift of the feet out of the floor, see ``standing_heights``.
        fps: frames per second, None for 30.
        seen: the survey of the figure, if it is known already.

    Raises:
        InputError: an argument is out of range or nothing can be framed.
    """
    check_choice("camera move", move, MOVES)
    view_yaw, view_pitch = VIEWS[check_choice("view", view, tuple(VIEWS))]
    seen = survey(figure) if seen is None else seen
    way = follow_path(seen.place, fps) if move == "follow" else middle_of(seen.place).expand_as(seen.place)
    offset = _offset(seen, way, settle, fps)
    hull = _on_stage(seen, offset)
    camera = frame_points(hull, width, height, view_yaw if yaw is None else yaw, view_pitch if pitch is None else pitch, fov, margin)
    return Shot(figure, offset, camera, _reach(hull))


def photo_shot(figure: Figure, width, height, horizon=0.4, feet_x=0.5, feet_y=None, camera_height=1.6, yaw=0.0, fov=DEFAULT_FOV,
               margin=0.04, settle=True, fps=None, seen: Survey | None = None) -> Shot:
    """A motion on the floor of a photograph, seen by the photographer's camera (``compose.ground.ground_camera``).

    Args:
        figure: B rows.
        width, height: of the photograph, pixels.
        horizon, camera_height, yaw, fov: see ``ground_camera``.
        feet_x, feet_y: the place in the picture, 0..1, of the middle of the way that the motion takes over the floor. ``feet_y`` None takes
            the nearest place from which the whole motion stays in the picture.
        margin: free border that is kept when ``feet_y`` is None, as a share of the picture.
        settle, fps, seen: see ``studio_shot``.

    Raises:
        InputError: an argument is out of range, or no place is far enough for the whole motion.
    """
    seen = survey(figure) if seen is None else seen
    offset = _offset(seen, middle_of(seen.place).expand_as(seen.place), settle, fps)
    check_size(width, height)
    look = lambda row: ground_camera(seen.hull.new_zeros(1, 3), width, height, horizon, feet_x, row, camera_height, yaw, fov)
    hull = _on_stage(seen, offset)
    if feet_y is None:
        feet_y = _nearest_row(hull, look, horizon, margin)
    return Shot(figure, offset, look(check_range("feet y", feet_y, -0.5, 2.0)), _reach(hull))


def middle_of(place: Tensor) -> Tensor:
    """The middle (2,) of the box around a way (B, 2)."""
    return (place.amin(0) + place.amax(0)) / 2


def follow_path(place: Tensor, fps=None) -> Tensor:
    """The way (B, 2) of a camera that goes along softly: Gaussian smoothing, its ends mirrored through their points."""
    return _smooth(place, FOLLOW_SECONDS * (fps or DEFAULT_FPS))


def standing_heights(lowest: Tensor, fps=None) -> Tensor:
    """The height (B,) of the floor that a motion stands on, as far as it drifts: recorded feet hover and sink by centimetres.

    The figure stands when its lowest point (B,) is near the floor, and near the lowest of the moments around.
    Between these moments the floor runs straight, so that a jump stays a jump.
    """
    rate = fps or DEFAULT_FPS
    reach = max(1, round(MOMENT * rate))
    low = -torch.nn.functional.max_pool1d(-lowest[None, None], 2 * reach + 1, 1, reach)[0, 0]
    stands = ((lowest < low + STANDING) & (lowest.abs() < NEAR_FLOOR)).nonzero()[:, 0]
    if len(stands) == 0:
        return torch.zeros_like(lowest)
    frames = torch.arange(len(lowest), device=lowest.device)
    after = torch.searchsorted(stands, frames).clamp(max=len(stands) - 1)
    before = (torch.searchsorted(stands, frames, right=True) - 1).clamp(min=0)
    a, b = stands[before], stands[after]
    part = ((frames - a) / (b - a).clamp(min=1)).clamp(0, 1)
    return _smooth(torch.lerp(lowest[a], lowest[b], part)[:, None], 0.1 * rate)[:, 0]


def _offset(seen, way, settle, fps):
    rise = standing_heights(seen.lowest, fps) if settle else torch.zeros_like(seen.lowest)
    return -torch.stack([way[:, 0], rise, way[:, 1]], -1)


def _on_stage(seen, offset):
    """The points (1, B * 26, 3) of all rows."""
    return (seen.hull + offset[:, None]).flatten(0, 1)[None]


def _reach(hull):
    return float(hull[..., [0, 2]].norm(dim=-1).max())


def _nearest_row(hull, look, horizon, margin):
    """The lowest row of the picture for the feet at which all of the hull (1, N, 3) keeps the margin."""
    check_range("margin", margin, 0.0, 0.45)
    far, near = horizon + _HORIZON_GAP, max(horizon + _HORIZON_GAP, 1.0 - margin)
    if not _fits(hull, look(far), margin):
        raise InputError("motion", "as a whole", "does not fit onto the picture's floor at any distance",
                         "Choose where the feet stand, use a wider picture, or lower the horizon value.")
    for _ in range(24):
        row = (far + near) / 2
        far, near = (row, near) if _fits(hull, look(row), margin) else (far, row)
    return far


def _fits(hull, camera, margin):
    pixels, depth = project(hull, camera)
    share = pixels / pixels.new_tensor([camera.width, camera.height])
    return bool((depth > 0).all()) and bool(((share >= margin) & (share <= 1 - margin)).all())


def _smooth(values, sigma):
    """Gaussian smoothing over the first axis of (B, C)."""
    reach = min(math.ceil(3 * sigma), len(values) - 1)
    if reach < 1:
        return values
    steps = torch.arange(-reach, reach + 1, device=values.device)
    kernel = torch.exp(-0.5 * (steps / sigma).square()).to(values)
    before, after = (2 * values[:1] - values[1 : reach + 1].flip(0)), (2 * values[-1:] - values[-reach - 1 : -1].flip(0))
    wide = torch.cat([before, values, after]).T[:, None]
    return torch.conv1d(wide, (kernel / kernel.sum())[None, None])[:, 0].T


def _directions():
    steps = torch.tensor([-1.0, 0.0, 1.0])
    grid = torch.cartesian_prod(steps, steps, steps)
    return torch.nn.functional.normalize(grid[grid.abs().sum(1) > 0], dim=-1)
