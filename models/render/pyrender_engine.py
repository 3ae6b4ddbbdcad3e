"""The second engine: pyrender (OpenGL), headless.

It exists to check the first one and for machines where OpenGL is faster. pyrender 0.1.45 needs care, all of it here:
one thread owns the GL context and one renderer lives as long as the process, because deleting any renderer ends the display
for all of them; its viewer is left out, because importing it asks for a window system; it reads ``numpy.infty``, which numpy 2
dropped; whole-number background colours are taken for bytes; antialiased borders come premultiplied with the background.
"""

from __future__ import annotations

import os
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch

from ..checks import InputError
from ..types import Camera, Mesh, Render
from .camera import camera_to_opengl_pose, world_to_camera
from .near_plane import NEAR
from .shade import GRAY, Lights, vertex_normals

_WRAP = {"repeat": 10497, "clamp": 33071, "mirror": 33648}  # OpenGL's numbers


class PyrenderEngine:
    """Draws the rows of one figure; its lights are hard, so the colours differ a little from the torch engine's.

    Args:
        shading, lights: as in `engine.render_figure`.

    Raises:
        InputError: pyrender is not installed or finds no OpenGL.
    """

    def __init__(self, shading: str, lights: Lights):
        self._shading, self._lights, self._textures = shading, lights, {}
        _gl_thread().submit(_renderer).result()

    def workers(self, device) -> int:
        """How many threads may draw at a time."""
        return 1

    def draw(self, mesh: Mesh, camera: Camera, target: Render) -> None:
        """Draws some rows into ``target``."""
        pictures = [_gl_thread().submit(self._draw_row, mesh[row], camera[row]).result() for row in range(len(mesh))]
        rgba, depth = (torch.stack(images).to(target.rgb.device) for images in zip(*pictures))
        alpha = rgba[..., 3]
        target.rgb.copy_((rgba[..., :3] / alpha[..., None].clamp(min=1 / 255)).clamp_(0, 1) * (alpha > 0)[..., None])
        target.alpha.copy_(alpha)
        target.depth.copy_(_fill(depth) * (alpha > 0))

    def _draw_row(self, mesh, camera):
        pyrender, renderer = _renderer()
        renderer.viewport_width, renderer.viewport_height = camera.width, camera.height
        scene = _scene(pyrender, camera.to("cpu"), mesh.vertices.cpu(), self._lights)
        scene.add(pyrender.Mesh(self._primitives(pyrender, mesh.to("cpu"))))
        rgba, depth = renderer.render(scene, flags=pyrender.RenderFlags.RGBA)
        return torch.from_numpy(rgba.copy()).float() / 255, torch.from_numpy(depth.copy()).float()

    def _primitives(self, pyrender, mesh):
        """One primitive per material, which is what pyrender draws with."""
        vertices = mesh.vertices[0].float()
        normals = (vertex_normals(vertices[None], mesh.faces) if mesh.normals is None else mesh.normals.float())[0].numpy()
        uv = None if mesh.uv is None else (mesh.uv.float() * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])).numpy()  # v points up
        colors = mesh.colors.float().numpy() if self._shading == "avatar" and mesh.colors is not None else None
        primitives = []
        for index in range(max(1, len(mesh.materials))):
            faces = mesh.faces if mesh.face_material is None else mesh.faces[mesh.face_material == index]
            if len(faces):
                look = self._material(pyrender, mesh, index)
                primitives.append(pyrender.Primitive(
                    positions=vertices.numpy(), normals=normals, texcoord_0=uv if look.baseColorTexture is not None else None,
                    color_0=colors, indices=faces.int().numpy(), material=look, mode=4,
                ))
        return primitives

    def _material(self, pyrender, mesh, index):
        material, colored = (mesh.materials[index] if mesh.materials else None), self._shading == "avatar"
        plain = not colored or (material is None and mesh.colors is None)
        look = {"baseColorFactor": (*GRAY, 1.0) if plain else (1.0, 1.0, 1.0, 1.0), "metallicFactor": 0.0, "roughnessFactor": 0.8}
        if material is not None:
            look["doubleSided"] = material.double_sided
        if material is not None and colored:
            look |= {"baseColorFactor": material.base_color, "alphaMode": material.alpha_mode.upper(), "alphaCutoff": material.alpha_cutoff}
            if material.texture is not None and mesh.uv is not None:
                look["baseColorTexture"] = self._texture(pyrender, material)
        return pyrender.MetallicRoughnessMaterial(**look)

    def _texture(self, pyrender, material):
        """The material's texture on the GL side, uploaded once for all rows."""
        key = id(material.texture), material.wrap
        if key not in self._textures:
            sampler = pyrender.Sampler(wrapS=_WRAP[material.wrap[0]], wrapT=_WRAP[material.wrap[1]])
            texture = pyrender.Texture(source=material.texture.cpu().numpy(), source_channels="RGBA", sampler=sampler)
            self._textures[key] = texture, material.texture  # the tensor is kept alive so that its id stays its own
        return self._textures[key][0]


def _fill(depth):
    """Depth (B, H, W) with holes filled from the nearest neighbour: GL keeps one sample's depth, which may be the background's."""
    inverse = torch.where(depth > 0, 1 / depth.clamp(min=1e-6), torch.zeros_like(depth))
    around = torch.nn.functional.max_pool2d(inverse[:, None], 3, stride=1, padding=1)[:, 0]
    return torch.where((depth == 0) & (around > 0), 1 / around.clamp(min=1e-6), depth)


@cache
def _gl_thread():
    """The one thread that may touch OpenGL: a context cannot be current in two."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="contrapposto-gl")


@cache
def _renderer():
    """pyrender and its one renderer; it changes size as needed."""
    with _platform():
        pyrender = _import_pyrender()
        try:
            return pyrender, pyrender.OffscreenRenderer(64, 64)
        except Exception as error:  # EGL, OSMesa and drivers fail in many ways
            raise InputError("engine", "pyrender", f"finds no OpenGL here ({type(error).__name__}: {error})",
                             "Use the torch engine, or install a GL driver (Debian, Ubuntu: libegl1 libgl1-mesa-dri).") from error


@contextmanager
def _platform():
    """Chooses headless GL before PyOpenGL is imported, unless the user's environment has chosen."""
    chosen = os.environ.get("PYOPENGL_PLATFORM")
    if chosen is None and sys.platform.startswith("linux"):
        os.environ["PYOPENGL_PLATFORM"] = "egl"
    try:
        yield
    finally:
        if chosen is None:
            os.environ.pop("PYOPENGL_PLATFORM", None)


def _import_pyrender():
    first = "pyrender" not in sys.modules
    if first:
        sys.modules["pyrender.viewer"] = types.ModuleType("pyrender.viewer")
        sys.modules["pyrender.viewer"].Viewer = None
    try:
        import pyrender
        import pyrender.mesh
    except Exception as error:  # ImportError, and PyOpenGL's own when libGL is missing
        raise InputError("engine", "pyrender", f"cannot be imported ({type(error).__name__}: {error})",
                         "Use the torch engine, or run: pip install --no-deps -r requirements-reference.txt") from error
    finally:
        if first:
            sys.modules.pop("pyrender.viewer", None)
    _mend(pyrender)
    return pyrender


def _mend(pyrender):
    """Repairs inside pyrender's own modules; numpy itself stays as it is."""
    numpy = pyrender.mesh.np
    if not hasattr(numpy, "infty"):
        pyrender.mesh.np = types.SimpleNamespace(**vars(numpy), infty=numpy.inf)
    if os.environ.get("PYOPENGL_PLATFORM") == "osmesa":
        from pyrender.platforms.osmesa import OSMesaPlatform

        OSMesaPlatform.supports_framebuffers = lambda self: True  # it does, and alpha needs them


def _scene(pyrender, camera, vertices, lights):
    depth = world_to_camera(vertices.float(), camera)[..., 2]
    near = max(NEAR, 0.9 * float(depth.min()))  # close planes make the most of 24 bits of depth
    far = max(1.1 * float(depth.max()), near + 1.0)
    ambient = [(sky + ground) / 2 for sky, ground in zip(lights.sky, lights.ground)]
    scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=ambient)
    intrinsics = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    scene.add(pyrender.IntrinsicsCamera(*intrinsics, znear=near, zfar=far), pose=camera_to_opengl_pose(camera)[0].double().numpy())
    for light in lights.distant:
        scene.add(pyrender.DirectionalLight(color=light.color, intensity=torch.pi), pose=_light_pose(light, camera))
    return scene


def _light_pose(light, camera):
    """World pose of a light that shines along its own -z."""
    toward = torch.nn.functional.normalize(camera.R[0].T @ torch.tensor(light.toward), dim=0)
    across = torch.nn.functional.normalize(torch.linalg.cross(torch.eye(3)[toward.abs().argmin()], toward), dim=0)
    pose = torch.eye(4)
    pose[:3, :3] = torch.stack([across, torch.linalg.cross(toward, across), toward], 1)
    return pose.double().numpy()
