"""Picture quality without a reference: NIQE (Mittal et al. 2013) and BRISQUE (Mittal et al. 2012), from statistics of natural scenes.

Both look at brightness relative to its surroundings (MSCN coefficients) and at products of neighbours, and describe their histograms by
asymmetric generalised Gaussians, at two sizes. NIQE compares blocks of a picture with blocks of good photographs; BRISQUE maps the
description of the whole picture to a score. Lower is better in both. Values of one model file compare with each other only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

from ..assets.files import file_sha256, read_safetensors
from ..checks import InputError, check_shape

NIQE_FILE, BRISQUE_FILE = (Path(__file__).parent / name for name in ("niqe.safetensors", "brisque.safetensors"))
BLOCK = 96  # pixels
COVERAGE = 0.75  # of a block that a mask must cover
LEAST_BLOCKS = 2
LEAST_PIXELS = 1024  # for BRISQUE inside a mask
_WINDOW, _SIGMA = 7, 7 / 6
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_Y = (65.481, 128.553, 24.966)  # ITU-R BT.601 luma of MATLAB's rgb2ycbcr, 16..235
_GRAY = (0.2125, 0.7154, 0.0721)


@dataclass(frozen=True)
class Score:
    """A quality score.

    Args:
        value: lower is better; None when there is too little to look at.
        looked_at: blocks (NIQE) or pixels (BRISQUE) that it was made from.
    """

    value: float | None
    looked_at: int


def niqe(picture: Tensor, mask: Tensor | None = None) -> Score:
    """The distance of a picture's blocks from those of good photographs (Mittal et al. 2013, equation 10).

    Args:
        picture: (H, W, 3) sRGB 0..1.
        mask: (H, W); blocks of 96 x 96 pixels count when at least 75 % of them lie where it is 1. When fewer than two do, the mask's
            bounding box is looked at instead. None takes every block.
    """
    check_shape("picture", picture, "H W 3")
    luma = (picture.double().mul(255).round() / 255 @ picture.new_tensor(_Y, dtype=torch.float64) + 16).round()
    if mask is None:
        return _niqe_of_blocks(luma, None)
    score = _niqe_of_blocks(luma, mask)
    box = _bounding_box(mask)
    return score if score.value is not None or box is None else _niqe_of_blocks(luma[box], None)


def brisque(picture: Tensor, mask: Tensor | None = None) -> Score:
    """The score that people would give, about 0 (best) to 100, by the bundled support vector regression.

    Args:
        picture: (H, W, 3) sRGB 0..1.
        mask: (H, W); only pixels whose whole neighbourhood lies where it is 1 count. None takes all.
    """
    check_shape("picture", picture, "H W 3")
    gray = picture.double() @ picture.new_tensor(_GRAY, dtype=torch.float64)
    if min(gray.shape) < 2 * _WINDOW:
        return Score(None, 0)
    beyond = [2 * round(side / 2) - side for side in gray.shape]  # OpenCV rounds half a size to the even one
    wide = pad(gray[None, None], (0, max(beyond[1], 0), 0, max(beyond[0], 0)), mode="replicate")
    half = interpolate(wide, scale_factor=0.5, mode="bicubic")[0, 0]
    masks = [None, None] if mask is None else [mask > 0.5, -max_pool2d(-(mask > 0.5).float()[None, None], 2, ceil_mode=True)[0, 0] > 0.5]
    described, looked_at = [], 0
    for image, inside in zip((gray, half), masks):
        features, count = _brisque_features(image, inside)
        if features is None:
            return Score(None, count)
        described, looked_at = [*described, features], looked_at or count
    model, _ = _model(BRISQUE_FILE)
    scaled = 2 * (torch.cat(described) - model["low"]) / (model["high"] - model["low"]) - 1
    kernel = torch.exp(-model["gamma"] * (model["vectors"] - scaled).square().sum(1))
    return Score(float(kernel @ model["weights"] - model["rho"]), looked_at)


def model_names() -> dict[str, str]:
    """Which model files the scores come from: name and the beginning of the sha256."""
    return {metric: f"{path.name} {file_sha256(path)[:12]}" for metric, path in (("NIQE", NIQE_FILE), ("BRISQUE", BRISQUE_FILE))}


def fit_asymmetric_gaussian(values: Tensor, weights: Tensor | None = None, zeros_right=False):
    """Fits an asymmetric generalised Gaussian by its moments (Lasmar et al. 2009), row by row.

    Args:
        values: (B, N) samples.
        weights: (B, N) of 0 and 1, None for all.
        zeros_right: zeros count on the right side, as in BRISQUE's code, else on neither, as in NIQE's.

    Returns:
        (alpha, left, right), each (B,): the shape, and the standard deviations on both sides of zero; NaN, and the smallest shape, where a
        side is empty.
    """
    there = torch.ones_like(values) if weights is None else weights.to(values)
    left, right = there * (values < 0), there * (values >= 0 if zeros_right else values > 0)
    squares = values.square()
    sigma_left = ((squares * left).sum(1) / left.sum(1)).sqrt()
    sigma_right = ((squares * right).sum(1) / right.sum(1)).sqrt()
    count = there.sum(1)
    ratio = sigma_left / sigma_right
    r_hat = ((values.abs() * there).sum(1) / count).square() / ((squares * there).sum(1) / count)
    wanted = r_hat * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square()
    shapes, moments = _shape_table()
    place = torch.searchsorted(moments, wanted.contiguous()).clamp(1, len(moments) - 1)
    nearer = (wanted - moments[place - 1]) < (moments[place] - wanted)
    alpha = shapes[torch.where(nearer, place - 1, place)]
    return torch.where(wanted.isnan(), shapes[0], alpha), sigma_left, sigma_right


def _niqe_of_blocks(luma, mask):
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if rows * columns == 0:
        return Score(None, 0)
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    kept = torch.ones(rows * columns, dtype=torch.bool, device=luma.device)
    if mask is not None:
        covered = (mask[: rows * BLOCK, : columns * BLOCK] > 0.5).double()
        kept = _blocks(covered, BLOCK).mean((1, 2)) >= COVERAGE
    half = interpolate(luma[None, None], scale_factor=0.5, mode="bicubic", antialias=True)[0, 0]
    described = torch.cat([_niqe_features(_blocks(_relative(image, 1.0, "replicate"), side)[kept])
                           for image, side in ((luma, BLOCK), (half, BLOCK // 2))], 1)
    whole = described[~described.isnan().any(1)]
    if len(whole) < LEAST_BLOCKS:
        return Score(None, len(whole))
    model, _ = _model(NIQE_FILE)
    apart = model["mean"] - described.nanmean(0)
    spread = torch.linalg.pinv((model["covariance"] + torch.cov(whole.T)) / 2, rcond=1e-15)
    return Score(float((apart @ spread @ apart).sqrt()), len(whole))


def _niqe_features(blocks):
    """(B, 18) description of blocks (B, s, s)."""
    alpha, left, right = fit_asymmetric_gaussian(blocks.flatten(1))
    scale = _scale(alpha)
    features = [alpha, (left + right) * scale / 2]
    for shift in _NEIGHBOURS:
        alpha, left, right = fit_asymmetric_gaussian((blocks * blocks.roll(shift, (1, 2))).flatten(1))
        scale = _scale(alpha)
        features += [alpha, _mean(alpha, left * scale, right * scale), left * scale, right * scale]
    return torch.stack(features, 1)


def _brisque_features(gray, inside):
    """((18,) description of a picture (H, W) or None, pixels looked at)."""
    relative = _relative(gray, 1 / 255, "constant")
    if inside is not None:  # a pixel counts when the window around it and around its neighbour lies inside
        reach = _WINDOW // 2 + 1
        inside = -max_pool2d(-inside.float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0
    count = relative.numel() if inside is None else int(inside.sum())
    if count < LEAST_PIXELS and inside is not None:
        return None, count
    pairs = {None: relative, (0, 1): relative[:, :-1] * relative[:, 1:], (1, 0): relative[:-1] * relative[1:],
             (1, 1): relative[:-1, :-1] * relative[1:, 1:], (1, -1): relative[1:, :-1] * relative[:-1, 1:]}
    features = []
    for shift, values in pairs.items():
        weights = None if inside is None else inside[: values.shape[0], : values.shape[1]].reshape(1, -1)  # ends are never inside
        alpha, left, right = fit_asymmetric_gaussian(values.reshape(1, -1), weights, zeros_right=True)
        scale = _scale(alpha)
        features += [alpha, (left.square() + right.square()) / 2] if shift is None else \
            [alpha, _mean(alpha, left * scale, right * scale), left.square(), right.square()]
    features = torch.cat(features)
    return (None if bool(features.isnan().any()) else features), count


def _relative(image, least, border):
    """MSCN coefficients (H, W): brightness less its Gaussian mean, over its deviation plus ``least``."""
    steps = torch.arange(_WINDOW, dtype=torch.float64, device=image.device) - _WINDOW // 2
    kernel = torch.exp(-0.5 * (steps / _SIGMA).square())
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)

    def average(values):
        wide = pad(values[None, None], (_WINDOW // 2,) * 4, mode=border)
        return torch.conv2d(torch.conv2d(wide, kernel), kernel.mT)[0, 0]

    mean = average(image)
    return (image - mean) / ((average(image.square()) - mean.square()).abs().sqrt() + least)


def _scale(alpha):
    """Standard deviation to the distribution's own scale: sqrt(G(1 / alpha) / G(3 / alpha))."""
    return ((1 / alpha).lgamma() / 2 - (3 / alpha).lgamma() / 2).exp()


def _mean(alpha, left, right):
    return (right - left) * ((2 / alpha).lgamma() - (1 / alpha).lgamma()).exp()


@cache
def _shape_table():
    """Shapes alpha, and the moment ratio by which each is recognised, rising."""
    shapes = torch.arange(200, 10001, dtype=torch.float64) / 1000
    return shapes, (2 * (2 / shapes).lgamma() - (1 / shapes).lgamma() - (3 / shapes).lgamma()).exp()


@cache
def _model(path):
    if not path.exists():
        raise InputError("quality model", path.name, "is missing", "Install the pack again, with all of its files.")
    tensors, facts = read_safetensors(path, "quality model")
    return {name: tensor.double() for name, tensor in tensors.items()}, facts


def _blocks(image, side):
    """(H, W) to (blocks, side, side)."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return image.unflatten(0, (rows, side)).unflatten(2, (columns, side)).transpose(1, 2).flatten(0, 1)


def _bounding_box(mask):
    rows, columns = ((mask > 0.5).any(axis).nonzero() for axis in (1, 0))
    if len(rows) == 0:
        return None
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in (rows, columns))
