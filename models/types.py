"""The dataclasses that cross rooms. Tensors only; every one is frozen, and every method returns a new one.

Units are metres and radians. The body frame is +Y up, +Z front, +X the body's left. Rotations are rotmats ``(..., 3, 3)``.
The camera frame is +x right, +y down, +z forward.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from .checks import check_shape


class _Rows:
    """Row selection, device moves and length for dataclasses whose tensors have the batch first."""

    _per_row: tuple[str, ...] = ()

    def __getitem__(self, rows):
        """Returns the chosen rows. ``rows`` is a slice, a list of indices, an index tensor or one integer (kept as a batch)."""
        if isinstance(rows, int):
            rows = [rows]
        picked = {name: getattr(self, name)[rows] for name in self._per_row if getattr(self, name) is not None}
        return replace(self, **picked)

    def to(self, device):
        """Returns the same value with every tensor on ``device``."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **moved)

    def like(self, tensor):
        """Returns the same value where ``tensor`` lies, its numbers in that tensor's floating type."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        floats = {name: value.to(tensor.dtype) for name, value in given.items() if isinstance(value, Tensor) and value.is_floating_point()}
        return replace(self, **floats).to(tensor.device)


@dataclass(frozen=True)
class BodyPose(_Rows):
    """Poses of SMPL-format bodies. Rows are candidates, frames or people.

    Args:
        global_orient: (B, 3, 3) rotation of the root joint in the world.
        body_pose: (B, 21, 3, 3) rotation of each joint relative to its parent, root excluded; SMPL's two hand joints are identity.
        transl: (B, 3) metres, added to the posed body as in SMPL; None means zero.
        betas: (B, K) shape coefficients, or None for the mean shape.
        hands: (B, 30, 3, 3) finger rotations, 15 left then 15 right, or None for the model's rest hands.
        frame_index: (B,) int64 frame number of each row; None means 0.
        person_index: (B,) int64 person number of each row; None means 0.
        fps: frames per second when the rows are a motion.
    """

    global_orient: Tensor
    body_pose: Tensor
    transl: Tensor | None = None
    betas: Tensor | None = None
    hands: Tensor | None = None
    frame_index: Tensor | None = None
    person_index: Tensor | None = None
    fps: float | None = None

    _per_row = ("global_orient", "body_pose", "transl", "betas", "hands", "frame_index", "person_index")

    def __post_init__(self):
        rows = check_shape("global_orient", self.global_orient, "B 3 3")["B"]
        check_shape("body_pose", self.body_pose, "B 21 3 3", B=rows)
        like = self.global_orient
        if self.transl is None:
            object.__setattr__(self, "transl", like.new_zeros(rows, 3))
        for name in ("frame_index", "person_index"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, torch.zeros(rows, dtype=torch.int64, device=like.device))
            check_shape(name, getattr(self, name), "B", B=rows)
        check_shape("transl", self.transl, "B 3", B=rows)
        if self.betas is not None:
            check_shape("betas", self.betas, "B K", B=rows)
        if self.hands is not None:
            check_shape("hands", self.hands, "B 30 3 3", B=rows)

    def __len__(self):
        return self.global_orient.shape[0]

    @property
    def device(self):
        return self.global_orient.device

    @staticmethod
    def rest(rows=1, device="cpu"):
        """Returns ``rows`` T-poses facing +Z."""
        eye = torch.eye(3, device=device)
        return BodyPose(eye.expand(rows, 3, 3), eye.expand(rows, 21, 3, 3))

    @staticmethod
    def cat(poses):
        """Returns the rows of several poses one after another. Optional parts stay only if every pose has them."""
        def joined(name):
            parts = [getattr(p, name) for p in poses]
            return None if any(part is None for part in parts) else torch.cat(parts)
        return BodyPose(**{name: joined(name) for name in BodyPose._per_row}, fps=poses[0].fps)


@dataclass(frozen=True)
class Material:
    """The look of some faces.

    Args:
        name: for messages and exports.
        base_color: linear RGBA factor, 0..1.
        texture: (H, W, 4) uint8 sRGB texels, straight alpha, or None.
        alpha_mode: "opaque", "mask" or "blend", as in glTF.
        alpha_cutoff: alpha below this is cut away in mask mode.
        double_sided: draw back faces too.
        wrap: (u, v) of "repeat", "clamp" or "mirror".
        prepared: what renderers work out of the texture once, for as long as the material lives.
    """

    name: str = "default"
    base_color: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    texture: Tensor | None = None
    alpha_mode: str = "opaque"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    wrap: tuple[str, str] = ("repeat", "repeat")
    prepared: dict = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Mesh(_Rows):
    """Triangle meshes that share their faces and look.

    Args:
        vertices: (B, V, 3) metres, world.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        normals: (B, V, 3) unit vectors, or None to derive them from the faces.
        uv: (V, 2) texture coordinates, origin at the top left as in glTF, or None.
        colors: (V, 4) linear RGBA multiplied into the base colour, or None.
        materials: the looks that ``face_material`` points at; empty means plain.
        face_material: (F,) int64 index into ``materials``, or None for the first.
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor | None = None
    uv: Tensor | None = None
    colors: Tensor | None = None
    materials: tuple[Material, ...] = ()
    face_material: Tensor | None = None

    _per_row = ("vertices", "normals")

    def __post_init__(self):
        sizes = check_shape("vertices", self.vertices, "B V 3")
        check_shape("faces", self.faces, "F 3")
        if self.normals is not None:
            check_shape("normals", self.normals, "B V 3", **sizes)
        if self.uv is not None:
            check_shape("uv", self.uv, "V 2", V=sizes["V"])
        if self.colors is not None:
            check_shape("colors", self.colors, "V 4", V=sizes["V"])

    def __len__(self):
        return self.vertices.shape[0]


@dataclass(frozen=True)
class Camera(_Rows):
    """Pinhole cameras with their place in the world: ``x_camera = R x_world + t``.

    Args:
        fx, fy: (B,) focal lengths, pixels.
        cx, cy: (B,) principal point, pixels; the centre of the top-left pixel is (0.5, 0.5).
        R: (B, 3, 3) world-to-camera rotation.
        t: (B, 3) world-to-camera translation, metres.
        width, height: image size, pixels.
    """

    fx: Tensor
    fy: Tensor
    cx: Tensor
    cy: Tensor
    R: Tensor
    t: Tensor
    width: int
    height: int

    _per_row = ("fx", "fy", "cx", "cy", "R", "t")

    def __post_init__(self):
        rows = check_shape("R", self.R, "B 3 3")["B"]
        check_shape("t", self.t, "B 3", B=rows)
        for name in ("fx", "fy", "cx", "cy"):
            check_shape(name, getattr(self, name), "B", B=rows)

    def __len__(self):
        return self.R.shape[0]


@dataclass(frozen=True)
class Keypoints(_Rows):
    """Points in pictures.

    Args:
        keypoints_2d: (B, K, 2) pixels.
        scores: (B, K) confidence 0..1; 0 means not there.
        order: name of the joint order, see ``bodies/joints.py``.
        width, height: image size, pixels.
    """

    keypoints_2d: Tensor
    scores: Tensor
    order: str
    width: int
    height: int

    _per_row = ("keypoints_2d", "scores")

    def __post_init__(self):
        sizes = check_shape("keypoints_2d", self.keypoints_2d, "B K 2")
        check_shape("scores", self.scores, "B K", **sizes)

    def __len__(self):
        return self.keypoints_2d.shape[0]


@dataclass(frozen=True)
class Render(_Rows):
    """Pictures of a figure, with what a compositor needs.

    Args:
        rgb: (B, H, W, 3) sRGB 0..1, straight (not premultiplied).
        alpha: (B, H, W) coverage 0..1, 1 where the figure is.
        depth: (B, H, W) metres along the camera axis, 0 where nothing is.
        camera: the camera of each row.
    """

    rgb: Tensor
    alpha: Tensor
    depth: Tensor
    camera: Camera

    _per_row = ("rgb", "alpha", "depth", "camera")

    def __post_init__(self):
        sizes = check_shape("rgb", self.rgb, "B H W 3")
        check_shape("alpha", self.alpha, "B H W", **sizes)
        check_shape("depth", self.depth, "B H W", **sizes)

    def to(self, device):
        return replace(super().to(device), camera=self.camera.to(device))

    def __len__(self):
        return self.rgb.shape[0]
