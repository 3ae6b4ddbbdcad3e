"""Standing on the floor: one height for a whole motion, so that a jump stays a jump."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..avatars.avatar import contact_vertices
from ..bodies.body import BodyModel, pose_body
from ..checks import InputError
from ..types import BodyPose

ROWS_AT_ONCE = 1024
FLOOR_QUANTILE = 0.03  # so many frames may dip below the floor: one noisy frame must not lift a whole dance


def lowest_points(pose: BodyPose, body: BodyModel):
    """(B,) height of the lowest point of each row, metres, from the vertices that can touch the floor at all."""
    ids = contact_vertices(body.v_template.contiguous(), body.weights.contiguous())
    posed = pose_body(body, pose)
    starts = range(0, len(pose), ROWS_AT_ONCE)
    return torch.cat([posed.vertices(slice(start, start + ROWS_AT_ONCE), ids)[..., 1].amin(1) for start in starts])


def stand_on_floor(pose: BodyPose, body: BodyModel):
    """Returns (pose, rise): the whole motion moved up or down by ``rise`` metres so that its lowest contacts lie at y = 0."""
    rise = -float(torch.quantile(lowest_points(pose, body).double().cpu(), FLOOR_QUANTILE))
    return replace(pose, transl=pose.transl + pose.transl.new_tensor([0.0, rise, 0.0])), rise


def check_rows(pose: BodyPose):
    """Raises InputError when a motion has no frames."""
    if len(pose) == 0:
        raise InputError("motion", 0, "frames hold nothing", "Give at least one pose.")
