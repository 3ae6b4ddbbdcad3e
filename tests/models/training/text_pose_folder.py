"""Writes a tiny text_pose folder with the layout of the real one, so that its readers are tested without the data."""

import json

import numpy as np

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
MIRROR = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20]
SOURCES = ["CMU/asf-amc", "DeepMimic", "authored"]
# (source, split) of blocks of ten poses, in the order of the file
BLOCKS = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 0), (2, 1), (2, 2)]
POSES = 10 * len(BLOCKS)


def arrays(seed=0):
    """The arrays of poses.npz: poses that vary in three ways, of a skeleton that is its own mirror image."""
    draw = np.random.default_rng(seed)
    poses = np.tanh(draw.normal(size=(POSES, 3)) @ draw.normal(size=(3, 66)) * 0.4).reshape(POSES, 22, 3)
    half = draw.uniform(-0.3, 0.3, size=(22, 3))
    offsets = np.array([(half[j] + half[m] * [-1, 1, 1]) / 2 for j, m in enumerate(MIRROR)])
    offsets[0] = 0
    blocks = np.repeat(np.array(BLOCKS), 10, axis=0)
    return {
        "pose_aa": poses.astype(np.float16), "root_yaw": np.zeros(POSES, np.float16),
        "root_height": np.full(POSES, 0.9, np.float16), "source": blocks[:, 0].astype(np.uint8),
        "source_names": np.array(SOURCES), "split": blocks[:, 1].astype(np.uint8),
        "clip": np.where(blocks[:, 0] == 2, -1, blocks[:, 0]).astype(np.int16), "parents": np.array(PARENTS, np.int8),
        "mirror": np.array(MIRROR, np.int8), "rest_offsets": offsets.astype(np.float32),
        "joint_names": np.array([f"joint{j}" for j in range(22)]),
    }


def captions():
    """The rows of captions.jsonl: one caption per block, and one that spans a capture and an excluded source."""
    kinds = {0: "clip", 1: "clip", 2: "combo"}
    rows = [{"uid": i, "caption": f"a person in block {i} lifts the left arm", "ranges": [[10 * i, 10 * i + 4], [10 * i + 6, 10 * i + 9]],
             "source": SOURCES[source], "id": f"b{i}", "subject": "", "kind": kinds[source], "split": ("train", "val", "test")[split]}
            for i, (source, split) in enumerate(BLOCKS)]
    return [*rows, {**rows[0], "uid": 99, "caption": "spans two sources", "ranges": [[5, 8], [32, 34]]}]


def write(folder, changed=None, lines=None):
    """Writes the folder; ``changed`` replaces arrays (None removes one), ``lines`` are the lines of captions.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {**arrays(), **(changed or {})}
    np.savez(folder / "poses.npz", **{name: value for name, value in content.items() if value is not None})
    lines = [json.dumps(row) for row in captions()] if lines is None else lines
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
