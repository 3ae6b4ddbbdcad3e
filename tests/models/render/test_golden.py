"""Pictures against tests/golden/*.png; after a wanted change run tests/golden/regenerate.py and look at every picture."""

from pathlib import Path

import pytest
import torch

GOLDEN = Path(__file__).parents[2] / "golden"
NAMES = {"torch": ("gray_torch", "avatar_torch", "depth", "pose_map", "lights"), "pyrender": ("gray_pyrender", "avatar_pyrender")}


def compare(made, name, most, mean):
    import numpy as np
    from PIL import Image

    golden = torch.from_numpy(np.array(Image.open(GOLDEN / f"{name}.png")).astype("float32")) / 255
    gap = (made[name] - golden).abs()
    assert gap.mean() < mean and gap.max() < most, f"{name}: mean {gap.mean():.4f}, most {gap.max():.4f}; see tests/golden/regenerate.py"


@pytest.fixture(scope="module")
def torch_pictures(scenes):
    return scenes.pictures("torch")


@pytest.mark.parametrize("name", NAMES["torch"])
def test_torch_pictures(torch_pictures, name):
    compare(torch_pictures, name, most=0.05, mean=0.003)


def test_pyrender_pictures(scenes, has_gl):
    """Drivers differ on edges, so single pixels may be far off."""
    made = scenes.pictures("pyrender")
    for name in NAMES["pyrender"]:
        compare(made, name, most=0.6, mean=0.01)


def test_every_golden_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.png")} >= {name for names in NAMES.values() for name in names}
