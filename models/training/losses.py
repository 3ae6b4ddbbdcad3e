"""Losses and measures that the trainings share. Rotations are rotmats, lengths metres, angles radians."""

from __future__ import annotations

import torch


def skeleton_joints(rotmats, parents, rest_offsets):
    """Joint positions of a posed skeleton, the root at the origin: ``G_j = G_p R_j``, ``x_j = x_p + G_p o_j``.

    Args:
        rotmats: (..., J, 3, 3) the root's orientation first, then rotations relative to the parents.
        parents: parent of each joint, -1 for the root; parents come before their children.
        rest_offsets: (J, 3) metres from each joint's parent in the rest pose.

    Returns:
        (..., J, 3) metres.
    """
    world, place = [rotmats[..., 0, :, :]], [torch.zeros_like(rotmats[..., 0, :, 0])]
    for joint in range(1, len(parents)):
        above = parents[joint]
        place.append(place[above] + world[above] @ rest_offsets[joint])
        world.append(world[above] @ rotmats[..., joint, :, :])
    return torch.stack(place, -2)


def geodesic_angle(a, b):
    """Angle in [0, pi] between rotmats ``(..., 3, 3)``: ``2 asin(|A - B|_F / (2 sqrt 2))``, exact where the arccosine of the trace is not.

    Gradients stay finite at 0 and pi; the largest angle returned is pi - 0.001.
    """
    distance = (a - b).square().sum((-2, -1)).clamp(min=1e-14).sqrt()
    return 2 * torch.asin((distance / 8**0.5).clamp(max=1 - 1e-7))


def gaussian_kl(mean, std):
    """Kullback-Leibler divergence of ``N(mean, std^2)`` from the unit Gaussian, ``(B, D)`` nats per dimension."""
    return 0.5 * (mean.square() + std.square() - 1) - std.log()
