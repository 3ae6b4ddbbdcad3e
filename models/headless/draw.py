"""Poses from a file to pictures in a folder, one at a time, so that any number of poses fits in memory."""

from __future__ import annotations

from ..assets.search import locate
from ..avatars import load_avatar, retarget_pose
from ..bodies.body import load_body_model, pose_body
from ..render.camera import frame_figure
from ..render.depth import depth_to_image
from ..render.engine import render_figure
from ..render.pose_map import draw_pose_map, project_keypoints
from ..types import BodyPose
from .pictures import write_png


def draw_poses(pose: BodyPose, prompts, whats, folder, size, view, engine, avatar_file=None, body_file=None, on_row=None):
    """Draws every pose in every asked way.

    Args:
        pose: (B) poses.
        prompts: (B) sentences, stored in the pictures.
        whats: some of "gray", "avatar", "depth", "pose_map".
        folder: where ``0000_gray.png`` and so on go.
        size: (width, height), pixels.
        view: name of the camera view.
        engine: "torch" or "pyrender".
        avatar_file: avatar to pose; with "avatar" among the whats, or when given, it is what depth and pose map show too.
        body_file: body model, None for the bundled one.
        on_row: called with (done, total).

    Returns:
        The paths written.

    Raises:
        InputError: from the loaders and the renderers.
    """
    body = load_body_model(locate("body_models", body_file), pose.device)
    use_avatar = avatar_file is not None or "avatar" in whats
    avatar = load_avatar(locate("avatars", avatar_file)) if use_avatar else None
    paths = []
    for row in range(len(pose)):
        one = pose[row]
        posed_body = pose_body(body, one)
        figure = retarget_pose(one, body, avatar) if use_avatar else posed_body
        camera = frame_figure(figure, *size, view=view)
        shown = {"gray": posed_body, "avatar": figure, "depth": figure, "pose_map": figure}
        for what in whats:
            path = folder / f"{row:04d}_{what}.png"
            told = {"prompt": prompts[row]}
            drawn = render_figure(shown[what], camera, "avatar" if what == "avatar" else "gray", engine)
            if what == "pose_map":
                write_png(path, draw_pose_map(project_keypoints(figure, camera, drawn.depth))[0], metadata=told)
            elif what == "depth":
                write_png(path, depth_to_image(drawn.depth, alpha=drawn.alpha)[0], metadata=told)
            else:
                write_png(path, drawn.rgb[0], drawn.alpha[0], told)
            paths.append(path)
        if on_row:
            on_row(row + 1, len(pose))
    return paths
