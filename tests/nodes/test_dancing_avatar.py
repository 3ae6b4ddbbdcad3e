"""Dancing Avatar's nodes without ComfyUI's models: what needs no sampling, and what a cached frame's name is made of."""

import sys
from types import SimpleNamespace

import pytest
import torch


@pytest.fixture(scope="module")
def provenance(pack):
    return sys.modules[sys.modules[pack["ContrappostoDancingAvatarFrameLoop"].__module__].__package__ + ".provenance"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A models folder that ComfyUI knows."""
    folder_paths = sys.modules["folder_paths"]
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {"checkpoints": None}, raising=False)
    monkeypatch.setattr(folder_paths, "get_full_path", lambda kind, name: str(tmp_path / name), raising=False)
    monkeypatch.setattr(folder_paths, "exists_annotated_filepath", lambda name: False, raising=False)
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    return tmp_path


def hidden(strength=1.0, text="a dancer", ids=("1", "2", "3", "9")):
    checkpoint, lora, words, loop = ids
    nodes = {checkpoint: {"class_type": "Checkpoint", "inputs": {"name": "a.safetensors"}},
             lora: {"class_type": "Lora", "inputs": {"model": [checkpoint, 0], "strength": strength}},
             words: {"class_type": "Text", "inputs": {"text": text, "clip": [checkpoint, 1]}},
             loop: {"class_type": "Loop", "inputs": {"model": [lora, 0], "positive": [words, 0], "pose_maps": ["poses", 0]}}}
    return SimpleNamespace(dynprompt=SimpleNamespace(get_node=nodes.__getitem__), unique_id=loop)


def test_what_lies_behind_the_model_decides_and_nothing_else(provenance, files):
    def key(given, *values):
        return provenance.upstream_digest(given, ("model", "positive", "vae"), *values)

    first = key(hidden())
    assert first == key(hidden()) == key(hidden(ids=("40", "7", "5", "1"))), "poses count by their numbers; renumbering changes nothing"
    others = {key(hidden(strength=0.9)), key(hidden(text="a boxer")), key(hidden(), 1.0), key(hidden(), [[torch.ones(2), {"x": 1}]])}
    (files / "a.safetensors").write_bytes(b"other weights")
    others.add(key(hidden()))
    assert len(others | {first}) == 6
    assert provenance.upstream_digest(None, ("model",)) is None


def test_values_count_by_their_numbers(provenance):
    digest = provenance.value_digest
    assert digest([[torch.zeros(3), {"a": 1, "b": None}]]) == digest([[torch.zeros(3), {"b": None, "a": 1}]])
    assert digest([[torch.zeros(3), {}]]) != digest([[torch.zeros(3, 1), {}]])
    assert digest(object()) == digest(object()), "only the kind of other objects counts"


def test_nothing_guides_frame_0_without_an_anchor(execute):
    texts = {"positive": [["yes"]], "negative": [["no"]]}
    frame = torch.rand(1, 8, 8, 3)
    for options in ({"frame_index": 0}, {"frame_index": 3, "strength": 0.0}, {"frame_index": 4, "reanchor_every": 2}):
        given = execute("PreviousFrameGuide", **texts, control_net=None, previous_frame=frame, **options)
        assert given == (texts["positive"], texts["negative"])


def test_held_colours_need_anchor_and_masks(execute):
    frame = torch.rand(1, 8, 8, 3)
    with pytest.raises(ValueError, match="anchor"):
        execute("PreviousFrameGuide", positive=[], negative=[], control_net=None, previous_frame=frame, frame_index=1, colour_hold=0.5)
    with pytest.raises(ValueError, match="rows have none for frame 4"):
        execute("PreviousFrameGuide", positive=[], negative=[], control_net=None, previous_frame=frame, frame_index=5, colour_hold=0.5,
                anchor=frame, masks=torch.ones(3, 8, 8))
