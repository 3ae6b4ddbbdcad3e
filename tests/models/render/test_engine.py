import math
import subprocess
import sys

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.render.camera import frame_figure, frame_points, world_to_camera
from contrapposto.models.render.engine import render_figure
from contrapposto.models.types import Camera, Material


def looking_at(z=3.0, size=64, focal=None, rows=1):
    """A camera on the +Z axis that looks at the origin."""
    focal = torch.full((rows,), float(focal or size))
    half = torch.full((rows,), size / 2)
    R = torch.diag(torch.tensor([1.0, -1, -1])).expand(rows, 3, 3)
    return Camera(focal, focal, half, half, R, torch.tensor([0, 0, z]).expand(rows, 3), size, size)


def rays(camera):
    """(H, W, 3) through the pixel centres of the first row, z = 1."""
    x = (torch.arange(camera.width) + 0.5 - camera.cx[0]) / camera.fx[0]
    y = (torch.arange(camera.height) + 0.5 - camera.cy[0]) / camera.fy[0]
    return torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(camera.height, camera.width)], -1)


@pytest.mark.parametrize("shading", ["gray", "avatar"])
def test_shapes_and_ranges(scenes, shading):
    figure = scenes.doll()
    render = render_figure(figure, frame_figure(figure, 48, 64), shading)
    assert render.rgb.shape == (2, 64, 48, 3) and render.alpha.shape == render.depth.shape == (2, 64, 48)
    for image in (render.rgb, render.alpha):
        assert image.min() >= 0 and image.max() <= 1 and image.isfinite().all()
    assert torch.equal(render.depth > 0, render.alpha > 0)
    assert (render.rgb[render.alpha == 0] == 0).all()
    assert not torch.equal(render.rgb[0], render.rgb[1])


def test_depth_of_a_sphere_is_exact(ball):
    camera = looking_at(3.0, 96)
    render = render_figure(ball(0.8, rings=160), camera)
    ray = rays(camera)
    # |t ray - centre| = r with centre (0, 0, 3); depth = t because ray z is 1
    a, b, c = (ray * ray).sum(-1), -6 * ray[..., 2], 9 - 0.64
    disc = b * b - 4 * a * c
    depth = (-b - disc.clamp(min=0).sqrt()) / (2 * a)
    inside = (render.alpha[0] == 1) & (disc > 0.05)
    assert inside.sum() > 1000
    assert (render.depth[0] - depth).abs()[inside].max() < 1e-3
    assert (disc[render.alpha[0] == 1] > 0).all()


def test_area_of_a_circle(ball):
    camera = looking_at(3.0, 128, focal=140)
    render = render_figure(ball(0.8, rings=160), camera)
    radius = 140 * 0.8 / math.sqrt(9 - 0.64)  # the silhouette of a centred sphere is a circle
    assert render.alpha.sum().item() == pytest.approx(math.pi * radius**2, rel=2e-3)


def test_silhouettes_have_sixteen_levels(scenes):
    figure = scenes.doll()
    render = render_figure(figure, frame_figure(figure, 128, 128))
    assert len(render.alpha.unique()) >= 16
    upright = render_figure(scenes.Doll(figure.mesh(slice(0, 1)), figure.points[:1]), frame_figure(figure, 333, 333)[:1])
    levels = upright.alpha[(upright.alpha > 0) & (upright.alpha < 1)]
    assert torch.histc(levels, 15, 1 / 32, 31 / 32).gt(0).all()


def test_an_edge_may_fall_anywhere_between_two_pixels(quad):
    """Coverage of an upright edge follows its place, in steps of a sixteenth of a pixel."""
    for share in (0.1, 0.37, 0.5, 0.81):
        camera = looking_at(2.0, 32, focal=32)
        side = 2 * (10 + share) * 2.0 / 32  # the right side lands at x = 26 + share
        column = render_figure(quad(side), camera).alpha[0, 16]
        assert column[26].item() == pytest.approx(share, abs=1 / 16) and column[25] == 1 and column[27] == 0


def test_no_dark_fringe(quad):
    """A surface of one colour has that colour up to its outermost pixel."""
    figure = quad(0.913, materials=(Material(base_color=(0.7, 0.2, 0.1, 1.0)),))
    render = render_figure(figure, looking_at(2.0, 40), "avatar", lights="soft")
    middle = render.rgb[0, 20, 20]
    spread = (render.rgb[0][render.alpha[0] > 0] - middle).abs().amax(0)
    assert (spread < 0.03).all()


def test_borders_between_colours_are_antialiased(figure):
    """Two coplanar faces of different material meet on a slanted line: no silhouette, no bend, only colour."""
    corners = torch.tensor([(-1.0, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0), (0.2, 1, 0), (-0.1, -1, 0)])
    faces = torch.tensor([(0, 3, 4), (3, 5, 4), (4, 5, 1), (5, 2, 1)])
    paint = (Material(base_color=(0, 0, 0, 1)), Material(base_color=(1, 1, 1, 1)))
    camera = looking_at(2.0, 48, focal=40)
    board = figure(corners, faces, materials=paint, face_material=torch.tensor([0, 0, 1, 1]))
    render = render_figure(board, camera, "avatar", lights="soft")
    dark, bright = render.rgb[0, 24, 10], render.rgb[0, 24, 38]
    level = (render.rgb[0, 6:42, 8:40] - dark) / (bright - dark)
    assert ((level > 0.15) & (level < 0.9)).all(-1).sum() >= 20  # nearly one soft pixel per line
    assert (render.alpha[0, 6:42, 8:40] == 1).all()


def test_near_plane_shortens_faces(figure):
    """A floor that runs from before to behind the camera keeps its part in front, with the right depth."""
    floor = torch.tensor([(-50.0, -1.5, 60.0), (50, -1.5, 60), (50, -1.5, -60), (-50, -1.5, -60)])
    camera = looking_at(3.0, 48)
    render = render_figure(figure(floor, torch.tensor([(0, 1, 2), (0, 2, 3)])), camera)
    ray = rays(camera)
    depth = 1.5 / ray[..., 1]
    below = (ray[..., 1] > 0.1)
    assert (render.alpha[0][below] == 1).all()
    assert torch.allclose(render.depth[0][below], depth[below], rtol=1e-3)
    assert (render.alpha[0][ray[..., 1] < -0.02] == 0).all()


def test_camera_inside_a_sphere_sees_its_inside_only_if_double_sided(ball):
    camera = looking_at(0.2, 24)
    outside = render_figure(ball(1.0), camera)
    inside = render_figure(ball(1.0, materials=(Material(double_sided=True),)), camera)
    assert (outside.alpha == 0).all() and (inside.alpha == 1).all()
    assert inside.depth.min() > 0.7 and inside.depth.max() < 1.21


def test_double_sided_backs_are_lit(quad):
    def seen_from(yaw):
        figure = quad(materials=(Material(double_sided=True),))
        return render_figure(figure, frame_figure(figure, 32, 32, yaw=yaw), "avatar", lights="soft").rgb[0, 16, 16]

    assert torch.allclose(seen_from(0.0), seen_from(math.pi), atol=0.02)


def test_texture_is_upright(quad, scenes):
    figure = quad(materials=(Material(texture=scenes.checks(64, 2)),))
    rgb = render_figure(figure, looking_at(2.0, 64, focal=100), "avatar").rgb[0]
    red, warm = rgb[14, 14], rgb[50, 50]
    assert red[0] > 0.3 and red[0] > 3 * red[2]  # the top left square of the texture is at the top left of the picture
    assert warm[0] > warm[2] and warm[1] > 0.3 and rgb[14, 50, 2] > rgb[14, 50, 0]


def test_masks_cut_holes_and_blends_cover_by_their_alpha(quad):
    texture = torch.full((8, 8, 4), 255, dtype=torch.uint8)
    texture[:, :4, 3] = 102  # left half: alpha 0.4
    camera = looking_at(2.0, 64, focal=100)
    behind = (16, slice(30, 34))
    for mode, expected in (("opaque", 1.0), ("mask", 0.0), ("blend", 0.4)):
        alpha = render_figure(quad(materials=(Material(texture=texture, alpha_mode=mode),)), camera, "avatar").alpha[0]
        assert alpha[behind[0], 14:28].mean() == pytest.approx(expected, abs=0.04)
        assert (alpha[16:48, 36:50] == 1).all()


def test_blend_shows_what_is_behind(figure, quad):
    front, back = quad(z=0.3).mesh(slice(0, 1)), quad().mesh(slice(0, 1))
    both = figure(
        torch.cat([front.vertices, back.vertices], 1), torch.cat([front.faces, back.faces + 4]), face_material=torch.tensor([0, 0, 1, 1]),
        materials=(Material(base_color=(1, 0, 0, 0.5), alpha_mode="blend"), Material(base_color=(0, 0, 1, 1.0))),
    )
    pixel = render_figure(both, looking_at(2.0, 32), "avatar").rgb[0, 16, 16]
    assert pixel[0] > 0.4 and pixel[2] > 0.4 and pixel[1] < 0.3


def test_rows_equal_single_drawings(scenes):
    figure = scenes.doll()
    camera = frame_figure(figure, 40, 40)
    both = render_figure(figure, camera, "avatar")
    alone = render_figure(scenes.Doll(figure.mesh(slice(1, 2)), figure.points[1:]), camera[1], "avatar")
    assert torch.equal(both.rgb[1:], alone.rgb) and torch.equal(both.depth[1:], alone.depth)


def test_drawing_rows_together_equals_one_by_one(scenes):
    """What CUDA does: all rows in one pass."""
    from contrapposto.models.render.shade import find_lights
    from contrapposto.models.render.torch_engine import TorchEngine

    figure = scenes.doll()
    camera = frame_figure(figure, 40, 40, shared=True)
    one_by_one = render_figure(figure, camera, "avatar")
    together = render_figure(figure, camera, "gray")
    for image in (together.rgb, together.alpha, together.depth):
        image.zero_()
    TorchEngine("avatar", find_lights(None)).draw(figure.mesh(slice(None)), camera, together)
    assert torch.equal(together.alpha, one_by_one.alpha)
    assert torch.allclose(together.rgb, one_by_one.rgb, atol=1e-5) and torch.allclose(together.depth, one_by_one.depth, atol=1e-5)


def test_same_input_same_picture(scenes):
    figure = scenes.doll()
    camera = frame_figure(figure, 64, 64)
    first, second = (render_figure(figure, camera, "avatar") for _ in range(2))
    assert torch.equal(first.rgb, second.rgb) and torch.equal(first.alpha, second.alpha) and torch.equal(first.depth, second.depth)


def test_one_camera_for_all_rows_and_progress(scenes):
    figure, told = scenes.doll(), []
    render = render_figure(figure, frame_figure(figure, 32, 32)[:1], on_row=lambda done, total: told.append((done, total)))
    assert len(render) == 2 and len(render.camera) == 2 and told == [(1, 2), (2, 2)]


def test_gray_ignores_colours(scenes, ball):
    camera = looking_at(3.0, 32)
    plain = render_figure(ball(), camera)
    painted = render_figure(ball(colors=torch.rand(49 * 97, 4), materials=(Material(texture=scenes.checks()),)), camera)
    assert torch.equal(plain.rgb, painted.rgb)


def test_figure_outside_the_picture_is_an_empty_picture(ball):
    render = render_figure(ball(centre=(40.0, 0, 0)), looking_at(3.0, 32))
    assert (render.alpha == 0).all() and (render.depth == 0).all() and (render.rgb == 0).all()


def test_figure_behind_the_camera_is_an_empty_picture(ball):
    assert (render_figure(ball(centre=(0, 0, 9.0)), looking_at(3.0, 32)).alpha == 0).all()


@pytest.mark.parametrize("change, name", [
    ({"shading": "grey"}, "shading"), ({"engine": "blender"}, "engine"), ({"lights": "neon"}, "lights"), ({"lights": 3}, "lights"),
])
def test_unknown_names(ball, change, name):
    with pytest.raises(InputError, match=name):
        render_figure(ball(), looking_at(), **change)


def test_bad_figures(ball, scenes):
    with pytest.raises(InputError, match="finite"):
        render_figure(ball(centre=(math.nan, 0, 0)), looking_at())
    with pytest.raises(InputError, match="rows do not match"):
        render_figure(ball(), looking_at(rows=3))
    figure = scenes.doll()
    with pytest.raises(InputError, match="nothing to draw"):
        render_figure(scenes.Doll(figure.mesh(slice(0, 0)), figure.points[:0]), looking_at())


def test_engines_agree(scenes, has_gl):
    """pyrender's four samples and 8 bits against our sixteen: the stated tolerance is 2 % of the figure's area in silhouette
    (it is all in edge pixels; the areas agree within 0.3 %), 1 mm median depth, and 0.1 in colour, because the lights differ."""
    figure = scenes.doll()
    camera = frame_figure(figure, 256, 256, view="three-quarter")
    for shading in ("gray", "avatar"):
        ours, theirs = (render_figure(figure, camera, shading, engine) for engine in ("torch", "pyrender"))
        assert (ours.alpha - theirs.alpha).abs().sum() < 0.02 * ours.alpha.sum()
        assert abs((ours.alpha - theirs.alpha).sum()) < 0.003 * ours.alpha.sum()
        assert ((ours.alpha > 0.5) != (theirs.alpha > 0.5)).sum() < 0.02 * ours.alpha.sum()
        inside = (ours.alpha == 1) & (theirs.alpha == 1)
        gap = (ours.depth - theirs.depth)[inside].abs()
        assert gap.median() < 1e-3 and gap.kthvalue(int(0.98 * len(gap))).values < 1e-2
        assert (ours.rgb - theirs.rgb)[inside].abs().mean() < 0.1
        assert torch.equal(theirs.depth > 0, theirs.alpha > 0)


def test_pyrender_survives_other_threads_and_sizes(scenes, has_gl):
    from threading import Thread

    figure, made = scenes.doll(), {}
    def work(size):
        made[size] = render_figure(figure, frame_figure(figure, size, size), engine="pyrender")
    for size in (32, 80):
        thread = Thread(target=work, args=(size,))
        thread.start()
        thread.join()
    assert made[80].alpha.shape == (2, 80, 80) and made[32].alpha.sum() > 20
    assert (made[80].rgb[made[80].alpha == 1].mean() - made[32].rgb[made[32].alpha == 1].mean()).abs() < 0.05


def test_pyrender_textures_are_upright(quad, scenes, has_gl):
    figure = quad(materials=(Material(texture=scenes.checks(64, 2)),))
    camera = looking_at(2.0, 64, focal=100)
    ours, theirs = (render_figure(figure, camera, "avatar", engine).rgb[0] for engine in ("torch", "pyrender"))
    assert (ours - theirs).abs()[14:50, 14:50].mean() < 0.1


def test_absent_pyrender_says_what_to_do():
    code = """
import sys
sys.modules["pyrender"] = None
from contrapposto.models.checks import InputError
from contrapposto.models.render.pyrender_engine import PyrenderEngine
try:
    PyrenderEngine("gray", None)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "engine 'pyrender' cannot be imported" in done.stdout and "requirements-reference.txt" in done.stdout, done.stderr


def test_missing_gl_says_what_to_do():
    code = """
import os
os.environ["EGL_DEVICE_ID"] = "99"
from contrapposto.models.checks import InputError
from contrapposto.models.render.pyrender_engine import PyrenderEngine
try:
    PyrenderEngine("gray", None)
except InputError as error:
    print(error)
"""
    pytest.importorskip("pyrender.constants", reason="pyrender is not installed", exc_type=ImportError)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "engine 'pyrender'" in done.stdout and "torch engine" in done.stdout, done.stderr


def test_importing_costs_nothing():
    code = """
import sys
import torch
before = set(sys.modules)
import contrapposto.models.render.engine, contrapposto.models.render.torch_engine, contrapposto.models.render.pyrender_engine
import contrapposto.models.render.pose_map, contrapposto.models.render.depth, contrapposto.models.compose.paste_back
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"pyrender", "OpenGL", "trimesh", "cv2", "PIL", "scipy", "smplx", "roma", "diffusers"}))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_real_body_is_whole(ball):
    """The bundled body in the picture: one piece, no holes inside."""
    from contrapposto.models.bodies.body import load_body_model, pose_body
    from contrapposto.models.types import BodyPose

    figure = pose_body(load_body_model(), BodyPose.rest(1))
    camera = frame_figure(figure, 200, 200)
    render = render_figure(figure, camera)
    uv = world_to_camera(figure.joints, camera)
    pixels = (uv[..., :2] / uv[..., 2:] * camera.fx[0] + 100).long()[0]
    assert (render.alpha[0, pixels[:, 1], pixels[:, 0]] == 1).all()
    frame = torch.cat([render.alpha[0, [0, -1]].flatten(), render.alpha[0, :, [0, -1]].flatten()])
    assert (frame == 0).all()
    assert torch.equal(frame_points(figure.vertices(), 200, 200).t, camera.t)
