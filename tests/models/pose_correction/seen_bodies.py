"""Bodies before cameras, and the key points that a detector would see."""

import math
from dataclasses import dataclass

import torch

from contrapposto.models.bodies import pose_body
from contrapposto.models.render.camera import frame_points, project
from contrapposto.models.rotations import rotation_about, rotvec_to_rotmat
from contrapposto.models.types import BodyPose, Camera, Keypoints

SIZE = 512


@dataclass(frozen=True)
class Views:
    """Posed bodies as cameras see them."""

    pose: BodyPose
    joints: torch.Tensor
    camera: Camera
    keypoints: Keypoints

    def noisy(self, pixels, missing, seed=1):
        """The key points with an error in pixels, and a share of them missing."""
        generator = torch.Generator().manual_seed(seed)
        points = self.keypoints.keypoints_2d + pixels * torch.randn(self.keypoints.keypoints_2d.shape, generator=generator)
        there = torch.rand(points.shape[:2], generator=generator) >= missing
        return Keypoints(points, there.float(), "openpose18", SIZE, SIZE)


def see(rotvec, body, seed=0):
    """Poses (B, 22, 3) in random shapes, turned any way round, seen by cameras of 60 degrees at about eye height."""
    generator = torch.Generator().manual_seed(seed)
    count = len(rotvec)
    yaw, pitch = 2 * math.pi * torch.rand(count, generator=generator), 0.6 * torch.rand(count, generator=generator) - 0.15
    betas = 0.7 * torch.randn(count, 10, generator=generator)
    pose = BodyPose(rotation_about("y", yaw) @ rotvec_to_rotmat(rotvec[:, 0]), rotvec_to_rotmat(rotvec[:, 1:]), betas=betas)
    posed = pose_body(body, pose)
    points = posed.keypoints_3d()
    framed = torch.cat([points, posed.joints], 1)
    cameras = [frame_points(framed[i : i + 1], SIZE, SIZE, 0.0, float(pitch[i]), math.radians(60), 0.1) for i in range(count)]
    camera = Camera(*(torch.cat([getattr(one, name) for one in cameras]) for name in ("fx", "fy", "cx", "cy", "R", "t")), SIZE, SIZE)
    pixels, _ = project(points, camera)
    return Views(pose, posed.joints[:, :22], camera, Keypoints(pixels, torch.ones(count, 18), "openpose18", SIZE, SIZE))


def aligned_error(joints, truth):
    """(B,) metres: mean joint distance after the best similarity transform (PA-MPJPE), by Umeyama's closed form."""
    a, b = (points.double() - points.double().mean(1, keepdim=True) for points in (joints, truth))
    U, S, V = torch.linalg.svd(a.mT @ b)
    sign = torch.ones_like(S)
    sign[:, 2] = torch.linalg.det(U @ V)
    scale = (S * sign).sum(1) / a.square().sum((1, 2))
    return (scale[:, None, None] * (a @ ((U * sign[:, None]) @ V)) - b).norm(dim=-1).mean(1)


def faces_right(pose, camera, truth: Views):
    """(B,) bool: the body's front is toward the camera when it is, away when it is."""
    found, true = ((cam.R @ rows.global_orient)[:, 2, 2] for cam, rows in ((camera, pose), (truth.camera, truth.pose)))
    return found * true > 0
