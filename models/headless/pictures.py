"""Pictures to and from files. Only this file and the avatar reader touch PIL."""

from __future__ import annotations

import torch
from torch import Tensor

from ..assets.files import atomic_write, check_file
from ..checks import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 50_000_000  # a phone's largest photographs; a small file can claim far more


def read_picture(path, name="picture") -> Tensor:
    """Reads a picture, upright, alpha dropped over white.

    Returns:
        (1, H, W, 3) sRGB 0..1.

    Raises:
        InputError: missing, not a picture, damaged, or far too large.
    """
    path = check_file(name, path, SUFFIXES)
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise InputError(name, path, f"has {opened.width} x {opened.height} pixels",
                                 f"Make it smaller than {MAX_PIXELS // 10**6} million pixels.")
            image = ImageOps.exif_transpose(opened)
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                paper = Image.new("RGB", image.size, "white")
                paper.paste(image, mask=image.getchannel("A"))
                image = paper
            pixels = np.array(image.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # PIL raises many kinds for damaged files
        raise InputError(name, path, f"is not a readable picture ({error})", "Save it again as PNG or JPEG.") from None
    return torch.from_numpy(pixels).float().div_(255)[None]


def write_png(path, rgb: Tensor, alpha: Tensor | None = None, metadata=None):
    """Writes one picture as an 8-bit PNG, atomically.

    Args:
        path: where.
        rgb: (H, W, 3) sRGB 0..1.
        alpha: (H, W) 0..1 for an RGBA file with straight alpha, or None.
        metadata: {keyword: text} stored in the file.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    pixels = rgb if alpha is None else torch.cat([rgb, alpha[..., None]], -1)
    info = PngInfo()
    for key, text in (metadata or {}).items():
        info.add_itxt(key, str(text))
    with atomic_write(path, "picture") as part:
        Image.fromarray(to_bytes(pixels).cpu().numpy()).save(part, "PNG", pnginfo=info)


def to_bytes(pixels: Tensor) -> Tensor:
    """0..1 floats to uint8, rounded to nearest."""
    return pixels.detach().clamp(0, 1).mul(255).add(0.5).to(torch.uint8)
