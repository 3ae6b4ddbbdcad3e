"""Frames to a video file, one at a time, so that a video of any length needs the memory of one frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ..assets.files import atomic_write
from ..checks import InputError, check_range, check_shape
from .pictures import to_bytes

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
BT709 = 1  # primaries, transfer and matrix of HD video, as H.264 numbers them: players take untagged pictures for old television
LIMITED_RANGE = 1  # 16..235, what every player expects of H.264
MAX_SIDE = 8192


def check_video_path(path, name="--out"):
    """Returns ``path`` as a Path if a video can be written under that name; asks for PyAV before the heavy work.

    Raises:
        InputError: another type of file, or PyAV is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in CONTAINERS:
        raise InputError(name, path, f"has the type {path.suffix or '(none)'}", f"Name the file {path.stem or 'video'}.mp4.")
    _import_av()
    return path


def write_video(path, frames, fps, crf=17, preset="medium", metadata=None, name="video") -> int:
    """Writes frames as H.264 in yuv420p, limited range, BT.709, which every player and editor opens. Atomic: all of it or nothing.

    An odd width or height gets one more column or row, a copy of its last, because yuv420p halves both.

    Args:
        path: .mp4, .mkv or .mov.
        frames: iterable of pictures (H, W, 3) or of batches (B, H, W, 3), sRGB; floats 0..1 or uint8. It is read once, lazily.
        fps: frames per second, 0.1 to 240; 23.976 and its like become exact fractions.
        crf: x264's quality: 0 is lossless, 17 looks so, 51 is worst.
        preset: x264's speed, "ultrafast" to "veryslow".
        metadata: {keyword: text} stored in the file.
        name: the file as the user knows it, for messages.

    Returns:
        Number of frames written.

    Raises:
        InputError: no frames, frames of different sizes, a bad rate, no PyAV, or the file cannot be written.
    """
    path = check_video_path(path, name)
    rate = Fraction(check_range("fps", fps, 0.1, 240, "frames per second")).limit_denominator(1001)
    check_range("crf", crf, 0, 51)
    av = _import_av()
    pictures = _pictures(frames)
    first = next(pictures, None)
    if first is None:
        raise InputError("frames", 0, "make no video", "Give at least one frame.")
    with atomic_write(path, name) as part, _open(av, part, path) as container:
        container.metadata.update({key: str(text) for key, text in (metadata or {}).items()})
        stream = _h264_stream(container, first, rate, {"crf": str(crf), "preset": preset})
        count = 0
        for picture in _same_size(first, pictures):
            container.mux(stream.encode(_yuv_frame(av, picture)))
            count += 1
        container.mux(stream.encode())
    return count


def _import_av():
    try:
        import av
    except ImportError:
        raise InputError("video", "PyAV", "is not installed", "Run: pip install av") from None
    return av


def _pictures(frames):
    """One (H, W, 3) uint8 tensor per frame."""
    for given in frames:
        for picture in given if given.ndim == 4 else (given,):
            check_shape("frame", picture, "H W 3")
            yield picture if picture.dtype == torch.uint8 else to_bytes(picture)


def _same_size(first, others):
    yield first
    for number, picture in enumerate(others, 1):
        if picture.shape != first.shape:
            raise InputError(f"frame {number}", f"{picture.shape[1]} x {picture.shape[0]}",
                             f"is not of the first frame's size, {first.shape[1]} x {first.shape[0]}", "Give frames of one size.")
        yield picture


def _open(av, part, path):
    """The container of ``path``, in a file whose name does not tell the format."""
    kind = CONTAINERS[path.suffix.lower()]
    options = {} if kind == "matroska" else {"movflags": "+faststart+use_metadata_tags"}
    return av.open(str(part), "w", format=kind, options=options)


def _h264_stream(container, first, rate, options):
    height, width = (side + side % 2 for side in first.shape[:2])
    check_range("width", width, 2, MAX_SIDE, "pixels")
    check_range("height", height, 2, MAX_SIDE, "pixels")
    try:
        stream = container.add_stream("libx264", rate=rate, options=options)
    except ValueError:  # PyAV's UnknownCodecError
        raise InputError("video", "H.264", "cannot be written by this PyAV", "Install PyAV from PyPI: pip install av") from None
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = LIMITED_RANGE
    return stream


def _yuv_frame(av, picture: Tensor):
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = torch.nn.functional.pad(picture.permute(2, 0, 1)[None].float(), (0, width % 2, 0, height % 2), mode="replicate")
        picture = picture[0].permute(1, 2, 0).to(torch.uint8)
    frame = av.VideoFrame.from_ndarray(picture.cpu().contiguous().numpy(), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.color_range, frame.colorspace = LIMITED_RANGE, BT709
    return frame
