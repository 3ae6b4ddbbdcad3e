import errno
import os
import weakref
from dataclasses import replace

import painting
import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.dancing_avatar.background import Brush, Sampling, grow
from contrapposto.models.dancing_avatar.frame_cache import FrameCache
from contrapposto.models.dancing_avatar.frame_loop import FrameSources, LoopSettings, paint_frames
from contrapposto.models.dancing_avatar.previous_frame import Guidance

BOTH = {"pose": 3, "previous frame": 3}
SETTINGS = LoopSettings(Sampling(steps=2), Brush(5, 3))


def sources(frames=5, **changes):
    pose_maps, plate, masks = painting.dance(frames)
    return replace(FrameSources(pose_maps, plate, masks), **changes)


def settings(**guidance):
    return replace(SETTINGS, guidance=Guidance(**guidance))


def run(given, hints=BOTH, how=SETTINGS, cache=None, identity="", **options):
    model = painting.HintPainter(hints)
    frames = list(paint_frames(model, None, None, given, how, cache, identity, **options))
    return torch.stack([frame.picture for frame in frames]), [frame.kept for frame in frames], model


@pytest.fixture
def cache(tmp_path):
    return FrameCache(tmp_path / "frames", 1 << 30)


def test_background_is_the_plate_bit_by_bit_in_every_frame():
    given = sources()
    video, kept, model = run(given)
    outside = grow(given.masks, SETTINGS.brush.dilation) == 0
    assert torch.equal(video[outside], given.plate.expand_as(video)[outside]) and not any(kept)
    assert (video[given.masks == 1] != given.plate.expand_as(video)[given.masks == 1]).any(-1).all()
    assert model.calls == 5 and model.encoded == 1, "the plate is encoded once for all frames"


def test_the_frame_before_guides_the_next():
    video, _, model = run(sources())
    assert model.guides[0] is None
    assert all(torch.equal(guide[0], frame) for guide, frame in zip(model.guides[1:], video))


def test_guides_have_one_memory_layout(cache):
    """Convolutions round differently for another one, so a resumed run would differ from an undisturbed one."""
    class Transposing(painting.HintPainter):
        def decode(self, latents):
            return super().decode(latents).contiguous().permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)

    for stopped in (3, 5):
        model = Transposing(BOTH)
        for frame in paint_frames(model, None, None, sources(), SETTINGS, cache):
            if frame.index == stopped:
                break
        assert all(guide.is_contiguous() for guide in model.guides[1:])


def test_anchor_and_reanchoring_choose_the_guide():
    given = sources(6)
    video, _, model = run(given, how=settings(reanchor_every=2))
    assert [next(i for i, frame in enumerate(video) if torch.equal(guide[0], frame)) for guide in model.guides[1:]] == [0, 0, 2, 0, 4]
    anchor = torch.rand(1, 64, 48, 3)
    _, _, model = run(replace(given, anchor=anchor), how=settings(reanchor_every=3))
    assert [torch.equal(guide, anchor) for guide in model.guides] == [True, False, False, True, False, False]


def test_colours_are_held_to_frame_0():
    given = sources(8)

    class Fading(painting.HintPainter):
        """Paints the person as the guide shows it, darker each time."""

        def sample(self, positive, negative, latents, change_mask=None, *others, hints=None, **options):
            super().sample(positive, negative, latents, change_mask, *others, hints=hints, **options)
            guide, before = hints.get("previous frame"), given.masks[self.calls - 2] == 1
            return torch.full_like(latents, 0.8 if guide is None else 0.9 * float(guide[0][before].mean()))

    def brightness(hold):
        frames = list(paint_frames(Fading(BOTH), None, None, given, settings(colour_hold=hold)))
        return frames[-1].picture[given.masks[-1] == 1].mean()

    assert brightness(0.0) < 0.45 < 0.65 < brightness(1.0)


def test_a_module_that_is_off_is_as_if_left_out():
    given = sources()
    plain = run(given, hints={"pose": 3})[0]
    assert torch.equal(plain, run(given, hints={"pose": 3}, how=settings(reanchor_every=2, colour_hold=0.5))[0])
    assert torch.equal(run(given)[0], run(given, how=settings(reanchor_every=0, colour_hold=0.0))[0])
    assert torch.equal(run(given, hints={})[0], run(replace(given, pose_maps=torch.rand_like(given.pose_maps)), hints={})[0])


def test_without_plate_frames_are_painted_whole():
    video, _, model = run(sources(plate=None, masks=None))
    assert video.shape == (5, 64, 48, 3) and model.encoded == 0


def test_an_empty_mask_in_the_middle_leaves_the_plate():
    given = sources()
    given.masks[2] = 0
    video, _, model = run(given)
    assert model.calls == 4 and torch.equal(video[2], given.plate[0])


def test_a_rerun_takes_everything_from_the_cache(cache):
    first, _, _ = run(sources(), cache=cache)
    again, kept, model = run(sources(), cache=FrameCache(cache.folder, 1 << 30))
    assert torch.equal(first, again) and all(kept) and model.calls == model.encoded == 0
    assert torch.equal(first, run(sources())[0]), "a cache does not change a frame"


def test_a_run_that_was_stopped_goes_on_where_it_was(cache):
    def stop(done, total):
        if done == 7:  # in the fourth frame of two steps each
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sources(), cache=cache, on_step=stop)
    video, kept, model = run(sources(), cache=cache)
    assert kept == [True] * 3 + [False] * 2 and model.calls == 2
    assert torch.equal(video, run(sources())[0])


@pytest.mark.parametrize("hints, how, wanted", [
    (BOTH, {}, "11100000"),  # every later frame hangs on the edited one
    ({"pose": 3}, {}, "11101111"),  # frames stand alone
    (BOTH, {"reanchor_every": 3}, "11100011"),  # frame 6 begins anew from frame 0
    (BOTH, {"reanchor_every": 1}, "11101111"),
])
def test_an_edit_paints_only_what_hangs_on_it(cache, hints, how, wanted):
    given = sources(8)
    run(given, hints, settings(**how), cache)
    edited = replace(given, pose_maps=given.pose_maps.clone())
    edited.pose_maps[3, 30:40, 20:30] += 0.1
    video, kept, _ = run(edited, hints, settings(**how), cache)
    assert "".join(str(int(each)) for each in kept) == wanted
    assert torch.equal(video, run(edited, hints, settings(**how))[0])


@pytest.mark.parametrize("change", [
    {"identity": "other model"}, {"how": replace(SETTINGS, sampling=Sampling(seed=1, steps=2))},
    {"how": replace(SETTINGS, brush=Brush(6, 3))}, {"given": sources(plate=torch.zeros(1, 64, 48, 3))},
    {"given": sources(anchor=torch.zeros(1, 64, 48, 3))},
])
def test_what_changes_a_frame_changes_its_key(cache, change):
    run(sources(), cache=cache)
    _, kept, _ = run(**({"given": sources()} | change), cache=cache)
    assert not any(kept)


def test_a_damaged_entry_is_painted_again_the_same(cache):
    video, _, _ = run(sources(), cache=cache)
    victim = sorted(cache.folder.iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:-40])
    again, kept, _ = run(sources(), cache=cache)
    assert torch.equal(video, again) and kept.count(False) == 1 and cache.damaged == [victim.name]


def test_a_full_disk_stops_and_keeps_what_is_done(cache, monkeypatch):
    calls = []

    def nearly_full(path, frame):
        calls.append(path)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, frame)

    from contrapposto.models.dancing_avatar import frame_cache

    write = frame_cache._write
    monkeypatch.setattr(frame_cache, "_write", nearly_full)
    with pytest.raises(InputError, match="No space left"):
        run(sources(), cache=cache)
    monkeypatch.undo()
    assert run(sources(), cache=cache)[1] == [True, True, False, False, False]


def test_progress_counts_all_steps():
    seen = []
    run(sources(2), on_step=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4) and sorted(seen) == seen


def test_only_the_frames_that_guide_stay_in_memory(cache):
    alive, most, model = [], 0, painting.HintPainter(BOTH)
    for frame in paint_frames(model, None, None, sources(12), SETTINGS, cache):
        alive.append(weakref.ref(frame.picture))
        del frame
        model.guides.clear()
        most = max(most, sum(each() is not None for each in alive))
    assert most <= 3, "the first, the one before, and this one"


@pytest.mark.parametrize("changes, said", [
    ({"pose_maps": torch.zeros(0, 64, 48, 3)}, "0 frames"),
    ({"pose_maps": torch.zeros(5, 60, 48, 3), "plate": None, "masks": None}, "multiple of 8"),
    ({"masks": torch.ones(4, 64, 48)}, "masks 4 frames do not match the 5 pose maps"),
    ({"masks": torch.ones(5, 64, 40)}, "masks '40 x 64' is not 48 x 64"),
    ({"masks": torch.zeros(5, 64, 48)}, "show nobody"),
    ({"masks": None}, "must be given together"),
    ({"plate": None}, "must be given together"),
    ({"plate": torch.zeros(2, 64, 48, 3)}, "plate 2 frames"),
    ({"anchor": torch.zeros(1, 32, 48, 3)}, "anchor"),
    ({"motion": torch.zeros(1, 64, 48, 3)}, "motion 1 frames"),
])
def test_unfit_inputs_are_named_before_anything_is_painted(changes, said):
    model = painting.HintPainter(BOTH)
    with pytest.raises(InputError, match=said):
        next(paint_frames(model, None, None, sources(**changes), SETTINGS))
    assert model.calls == model.encoded == 0


def test_a_net_that_reads_flow_needs_the_motion():
    with pytest.raises(InputError, match="motion None"):
        run(sources(), hints={"previous frame": 6})
    given = sources(3)
    video, _, model = run(replace(given, motion=given.pose_maps), hints={"previous frame": 6})
    assert model.guides[1].shape == (1, 64, 48, 6) and torch.equal(model.guides[1][..., :3], video[:1])
    assert 0 <= model.guides[1].min() and model.guides[1].max() <= 1
