"""FID and KID of pictures, and H-FID and H-KID of the people in them alone (Weng et al. 2023, section 4.2).

Both compare features of two sets of pictures. The features come through a port, any module from pictures to numbers; comparable numbers
need the Inception network that everybody uses, at 299 pixels, resized the way clean-fid does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..assets.files import check_file, file_sha256
from ..checks import InputError, check_range, check_shape
from .frechet import MIN_ROWS, frechet_distance
from .kernel_distance import subset_kernel_distance

INCEPTION_SIDE = 299
SMALLEST_PERSON = 8  # pixels of the side of a person's square; less is nobody


@dataclass(frozen=True)
class Realism:
    """Scores of one set of pictures against another; lower is nearer.

    Args:
        fid: Frechet distance of the features.
        kid, kid_std: kernel distance over subsets, its standard deviation over them.
        count_a, count_b: pictures in each set.
    """

    fid: float
    kid: float
    kid_std: float
    count_a: int
    count_b: int


def realism(features_a: Tensor, features_b: Tensor, min_rows=MIN_ROWS, seed=0) -> Realism:
    """FID and KID of two sets of features (N, D) and (M, D).

    Raises:
        InputError: a set is too small or broken.
    """
    fid = frechet_distance(features_a, features_b, min_rows)
    kid, spread = subset_kernel_distance(features_a, features_b, seed=seed)
    return Realism(fid, kid, spread, len(features_a), len(features_b))


def extract_features(network: Callable[[Tensor], Tensor], pictures: Iterable[Tensor], batch=32, side=INCEPTION_SIDE) -> Tensor:
    """Features of pictures of any size.

    Args:
        network: (B, side, side, 3) sRGB 0..1 -> (B, D).
        pictures: each (H, W, 3).
        batch: pictures at a time.
        side: what the network wants; pictures are squashed to it, as clean-fid does.

    Returns:
        (N, D) on the CPU.

    Raises:
        InputError: there is no picture.
    """
    check_range("batch", batch, 1, 4096)
    rows, waiting = [], []
    with torch.no_grad():
        for picture in pictures:
            waiting.append(clean_resize(picture, side))
            if len(waiting) == batch:
                rows.append(network(torch.stack(waiting)).cpu())
                waiting = []
        if waiting:
            rows.append(network(torch.stack(waiting)).cpu())
    if not rows:
        raise InputError("pictures", 0, "are nothing to measure", "Give at least one picture.")
    return torch.cat(rows).flatten(1).float()


def clean_resize(picture: Tensor, side) -> Tensor:
    """Squashes (H, W, 3) to (side, side, 3) with PIL's bicubic filter on float channels, the resizing that clean-fid standardised."""
    import numpy as np
    from PIL import Image

    check_shape("picture", picture, "H W 3")
    planes = (picture.detach().cpu().float() * 255).permute(2, 0, 1).numpy()
    resized = [np.asarray(Image.fromarray(plane, "F").resize((side, side), Image.Resampling.BICUBIC)) for plane in planes]
    return torch.from_numpy(np.stack(resized, -1)).clamp(0, 255).div(255)


def cut_person(picture: Tensor, mask: Tensor) -> Tensor | None:
    """The person alone for H-FID: black around the person, cut to the square around the mask; None where there is nobody.

    The released code blackens everything outside the first person's mask and cuts the square of the larger side of its box; so do we.

    Args:
        picture: (H, W, 3).
        mask: (H, W), 1 where the person is.

    Returns:
        (S, S, 3), black beyond the picture's border.

    Raises:
        InputError: the mask has another size than the picture.
    """
    sizes = check_shape("picture", picture, "H W 3")
    if tuple(mask.shape) != (sizes["H"], sizes["W"]):
        raise InputError("mask", tuple(mask.shape), f"has not the picture's size, {sizes['W']} x {sizes['H']}",
                         "Make it from that picture.")
    inside = mask > 0.5
    rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
    if not len(rows):
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left)
    if side < SMALLEST_PERSON:
        return None
    person = torch.where(inside[..., None], picture, torch.zeros_like(picture))
    square = picture.new_zeros(side, side, 3)
    y, x = (top + bottom - side) // 2, (left + right - side) // 2
    into = person[max(y, 0) : y + side, max(x, 0) : x + side]
    square[max(-y, 0) : max(-y, 0) + into.shape[0], max(-x, 0) : max(-x, 0) + into.shape[1]] = into
    return square


def load_inception(path, device="cpu"):
    """Loads the TorchScript Inception of FID from a file of the user's (clean-fid keeps it as ``inception-2015-12-05.pt``).

    Returns:
        (B, 299, 299, 3) 0..1 -> (B, 2048); its ``sha256`` belongs beside every score.

    Raises:
        InputError: the file is missing or is not that network.
    """
    path = check_file("Inception file", path, (".pt", ".pth"))
    try:
        layers = torch.jit.load(str(path), map_location=device).eval().layers
    except (RuntimeError, AttributeError) as error:
        raise InputError("Inception file", path, f"is not the published TorchScript network ({str(error).splitlines()[0]})",
                         "Give inception-2015-12-05.pt as clean-fid downloads it.") from None

    def features(images):
        return layers(((images.to(device) * 255 - 128) / 128).permute(0, 3, 1, 2)).flatten(1)  # past the network's own resizing
    features.sha256 = file_sha256(path)
    return features
