"""The torch rasteriser against pyrender: RGBA and depth of the 13.5k-vertex body, on the same CPU.

Every frame of ours has new vertices, as candidates and films have; normals are part of the time, skinning is not. pyrender is
called directly on its fastest path: one renderer, one scene, one light. It gets new vertices too (a fresh Primitive per frame),
and, as a second reference, vertices that never change, which leaves drawing and reading back only.
"""

from __future__ import annotations

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.bodies import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.render.camera import camera_to_opengl_pose, frame_points
from contrapposto.models.render.engine import render_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose, Mesh

FRAMES = 4


def run(rounds=9):
    """Rows for 512 and 1024 pixels against moving and still vertices in pyrender."""
    frames = _Frames()
    try:
        reference = _Pyrender(frames)
        rows = []
        for size, at_most, goal in ((512, 0.5, "at least 2x faster"), (1024, 1.0, "faster")):
            camera = frame_points(frames.vertices, size, size, yaw=0.6, pitch=0.14)
            for label in ("new vertices", "still vertices"):
                ours = lambda camera=camera: render_figure(frames, camera)
                theirs = reference.drawer(camera, label == "new vertices")
                with torch.no_grad():
                    seconds, reference_seconds, ratio = interleaved(ours, theirs, rounds, warmup=2)
                name = f"RGBA + depth at {size} x {size}, vs pyrender, {label}"
                rows.append(row(name, seconds / FRAMES, reference_seconds / FRAMES, ratio, goal, at_most))
        return rows
    except InputError as error:
        return [{"name": "render", "value": "-", "reference": str(error), "ratio": "-", "goal": "at least 2x faster", "met": None}]


class _Frames:
    """A ports.Figure whose meshes lie ready, so that skinning is not timed."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        rotmats = lambda *shape: rotvec_to_rotmat(torch.randn(*shape, 3, generator=generator) * 0.35)
        body = load_body_model()
        self.vertices = pose_body(body, BodyPose(rotmats(FRAMES), rotmats(FRAMES, 21))).vertices()
        self.faces, self.device = body.faces, body.device

    def __len__(self):
        return len(self.vertices)

    def mesh(self, rows):
        return Mesh(self.vertices[rows], self.faces)


class _Pyrender:
    """pyrender on the thread that owns OpenGL."""

    def __init__(self, frames):
        from contrapposto.models.render.pyrender_engine import _gl_thread, _renderer

        self._thread, self._frames = _gl_thread(), frames
        self._library, self._renderer = self._thread.submit(_renderer).result()

    def drawer(self, camera, new_vertices):
        """A call that draws all frames, each with the camera of its row."""
        scenes = [self._scene(camera[index]) for index in range(FRAMES)]
        vertices, faces = self._frames.vertices.numpy(), self._frames.faces.int().numpy()
        still = [scene.add(self._mesh(one, faces)) for scene, one in zip(scenes, vertices)]

        def draw():
            self._renderer.viewport_width, self._renderer.viewport_height = camera.width, camera.height
            for index, scene in enumerate(scenes):
                if new_vertices:
                    scene.remove_node(still[index])
                    still[index] = scene.add(self._mesh(vertices[index], faces))
                self._renderer.render(scene, flags=self._library.RenderFlags.RGBA)

        return lambda: self._thread.submit(draw).result()

    def _scene(self, camera):
        pose = camera_to_opengl_pose(camera)[0].double().numpy()
        scene = self._library.Scene(bg_color=[0.0] * 4, ambient_light=[0.25] * 3)
        intrinsics = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        scene.add(self._library.IntrinsicsCamera(*intrinsics, znear=0.1, zfar=20.0), pose=pose)
        scene.add(self._library.DirectionalLight(intensity=3.0), pose=pose)
        return scene

    def _mesh(self, vertices, faces):
        import numpy as np

        across = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
        spread = np.repeat(across, 3, 0)
        normals = np.stack([np.bincount(faces.ravel(), spread[:, axis], len(vertices)) for axis in range(3)], 1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        material = self._library.MetallicRoughnessMaterial(baseColorFactor=(0.6, 0.6, 0.6, 1.0), metallicFactor=0.0)
        look = {"normals": normals.astype(np.float32), "material": material}
        return self._library.Mesh([self._library.Primitive(positions=vertices, indices=faces, mode=4, **look)])


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print(table(run()))
