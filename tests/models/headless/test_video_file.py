"""Videos: every frame comes back with its colours, tags say what is inside, and a failure leaves nothing."""

from fractions import Fraction

import av
import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.headless.video_file import write_video

COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [20, 20, 20], [200, 120, 40]], dtype=torch.uint8)


def flat_frames(height=64, width=96):
    return COLOURS[:, None, None].expand(-1, height, width, 3)


def read(path):
    """(frames (B, H, W, 3) uint8, the stream's facts), decoded with the file's own tags."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        context = stream.codec_context
        facts = {"rate": stream.average_rate, "format": context.pix_fmt, "range": context.color_range, "matrix": context.colorspace,
                 "primaries": context.color_primaries, "codec": context.name, "metadata": dict(container.metadata)}
    return torch.stack(frames), facts


def test_colours_and_count_come_back(tmp_path):
    path = tmp_path / "colours.mp4"
    assert write_video(path, [flat_frames()[:2], *flat_frames()[2:]], 24, metadata={"prompt": "a wave"}) == len(COLOURS)
    frames, facts = read(path)
    error = (frames.float().mean((1, 2)) - COLOURS.float()).abs().max()
    assert frames.shape == (6, 64, 96, 3) and error < 3  # a wrong matrix or range is off by 10 to 40
    assert (facts["rate"], facts["format"], facts["codec"]) == (24, "yuv420p", "h264")
    assert (facts["range"], facts["matrix"], facts["primaries"]) == (1, 1, 1)
    assert facts["metadata"].get("prompt") == "a wave"


def test_floats_equal_bytes_and_odd_sides_grow_by_a_copied_pixel(tmp_path):
    odd = flat_frames(31, 45)
    write_video(tmp_path / "bytes.mkv", odd, 23.976)
    write_video(tmp_path / "floats.mkv", (frame.float() / 255 for frame in odd), 23.976)
    frames, facts = read(tmp_path / "bytes.mkv")
    assert frames.shape[1:3] == (32, 46) and facts["rate"] == pytest.approx(Fraction("23.976"))
    assert torch.equal(frames, read(tmp_path / "floats.mkv")[0])
    assert (frames[0, -1].float() - frames[0, 0].float()).abs().max() < 3  # no black border


def test_frames_are_read_one_by_one_and_a_failure_leaves_nothing(tmp_path):
    def failing():
        yield torch.zeros(16, 16, 3)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_video(tmp_path / "half.mp4", failing(), 24)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong, told", [
    ({"frames": []}, "make no video"), ({"fps": 0}, "fps"), ({"crf": 90}, "crf"), ({"path": "dance.gif"}, "dance.mp4"),
    ({"frames": [torch.zeros(16, 16, 3), torch.zeros(16, 18, 3)]}, "frame 1"), ({"frames": [torch.zeros(16, 16)]}, "frame"),
])
def test_bad_input_is_named_and_nothing_is_written(tmp_path, wrong, told):
    given = {"path": "dance.mp4", "frames": [torch.zeros(16, 16, 3)], "fps": 24, **wrong}
    with pytest.raises(InputError, match=told):
        write_video(tmp_path / given.pop("path"), **given)
    assert list(tmp_path.iterdir()) == []
