"""PAS, the whole road: a sentence becomes a posed avatar in a picture (Text-Conditional Contextualized Avatars, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..assets.search import locate
from ..avatars import load_avatar, retarget_pose
from ..bodies.body import load_body_model, pose_body
from ..bodies.hands import set_hands
from ..bodies.pose_file import save_poses
from ..bodies.repair import repair
from ..compose.backdrop import studio_backdrop
from ..compose.paste_back import paste_back
from ..compose.shadow import floor_shadow
from ..render.camera import frame_figure
from ..render.depth import depth_to_image
from ..render.engine import render_figure
from ..render.pose_map import draw_pose_map, project_keypoints
from ..text_to_pose import load_text_to_pose, sample_poses
from ..text_to_pose.ranking import load_pose_scorer, rank_poses
from ..types import BodyPose, Render
from .pictures import write_png


@dataclass(frozen=True)
class Scene:
    """Everything the road makes on its way, one row per candidate.

    Args:
        prompts: the sentence of each row.
        pose: (B) the sampled poses, repaired where they were implausible, with hands as the sentence tells, standing on the floor.
        gray_body: the body model in that pose, without identity.
        avatar: the user's character in that pose.
        depth: (B, H, W, 3) depth map of the avatar, near is white.
        pose_map: (B, H, W, 3) OpenPose-18 map of the avatar.
        picture: (B, H, W, 3) the avatar pasted on the background.
    """

    prompts: tuple[str, ...]
    pose: BodyPose
    gray_body: Render
    avatar: Render
    depth: Tensor
    pose_map: Tensor
    picture: Tensor


def load_models(weights=None, body=None, avatar=None, device="cpu", scorer=None):
    """Loads the models of the road; None takes the bundled one.

    Returns:
        (text_to_pose, body, avatar, scorer), the arguments of ``text_to_scene``.

    Raises:
        InputError: a file cannot be used.
    """
    return (load_text_to_pose(locate("text_to_pose", weights), device), load_body_model(locate("body_models", body), device),
            load_avatar(locate("avatars", avatar)), load_pose_scorer(locate("pose_scorers", scorer), device))


def text_to_scene(text, text_to_pose, body, avatar, scorer, background=None, size=(768, 768), count=1, candidates=5, seed=0,
                  view="three-quarter", engine="torch", steps=None, guidance=None, on_stage=None) -> Scene:
    """Turns a sentence into a posed avatar on a background.

    Args:
        text: what the person does.
        text_to_pose, body, avatar, scorer: from ``load_models``.
        background: (1, H, W, 3) picture, or None for a plain studio with the avatar's shadow on its floor.
        size: (width, height) in pixels when there is no background; a background brings its own size.
        count: poses to draw; every one becomes a row.
        candidates: poses to sample, of which the ``count`` that fit the sentence best are kept, as PAS keeps the best of five.
        seed: of the first candidate's noise.
        view: name of the camera view.
        engine: "torch" or "pyrender".
        steps, guidance: of the sampler; None takes the weights' defaults.
        on_stage: called with (stage name, done, total) for progress.

    Raises:
        InputError: from the checks of each stage.
    """
    report = on_stage or (lambda stage, done, total: None)
    width, height = size if background is None else (background.shape[2], background.shape[1])

    # 3.2-3.3: sentence -> poses, through the diffusion transformer; limbs leave the body; the best of several is kept
    pose = sample_poses(text_to_pose, text, count=max(count, candidates), seed=seed, steps=steps, guidance=guidance, body=body,
                        on_step=lambda i, n: report("pose", i, n))
    pose, _ = repair(pose, body)
    if len(pose) > count:
        order, _ = rank_poses(scorer, text, pose, body)
        pose = pose[order[0, :count].to(pose.device)]
    pose = set_hands(pose, text=text)
    # 3.4: the same pose on the body model and on the avatar
    posed_body = pose_body(body, pose)
    posed_avatar = retarget_pose(pose, body, avatar)
    # 3.5: gray body and avatar through one camera
    camera = frame_figure(posed_avatar, width, height, view=view)
    gray_body = render_figure(posed_body, camera, "gray", engine, on_row=lambda i, n: report("gray body", i, n))
    render = render_figure(posed_avatar, camera, "avatar", engine, on_row=lambda i, n: report("avatar", i, n))
    # 3.5: the avatar goes back onto the picture, its pixels untouched
    if background is None:
        background = studio_backdrop(camera) * (1 - 0.45 * floor_shadow(posed_avatar, camera)[..., None])
    return Scene(prompts=(text,) * len(pose), pose=pose, gray_body=gray_body, avatar=render,
                 depth=depth_to_image(render.depth, alpha=render.alpha),
                 pose_map=draw_pose_map(project_keypoints(posed_avatar, camera, render.depth)),
                 picture=paste_back(background, render))


def save_scene(scene: Scene, folder, row=0):
    """Writes one row of a scene: pose.npz, gray_body.png, avatar.png (RGBA), depth.png, pose_map.png, scene.png.

    Returns:
        The paths, in that order.
    """
    folder, told = Path(folder), {"prompt": scene.prompts[row]}
    names = ("pose.npz", "gray_body.png", "avatar.png", "depth.png", "pose_map.png", "scene.png")
    paths = [folder / name for name in names]
    save_poses(paths[0], scene.pose[row], [scene.prompts[row]], 1)
    write_png(paths[1], scene.gray_body.rgb[row], scene.gray_body.alpha[row], told)
    write_png(paths[2], scene.avatar.rgb[row], scene.avatar.alpha[row], told)
    write_png(paths[3], scene.depth[row], metadata=told)
    write_png(paths[4], scene.pose_map[row], metadata=told)
    write_png(paths[5], scene.picture[row], metadata=told)
    return paths
