"""KID and FID of pictures and of people cut out of them."""

import numpy as np
import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.metrics.kernel_distance import kernel_distance, subset_kernel_distance
from contrapposto.models.metrics.picture_realism import clean_resize, cut_person, extract_features, load_inception, realism


def two_sets(rows=500, width=16):
    draw = np.random.default_rng(0)
    return torch.from_numpy(draw.normal(size=(rows, width))), torch.from_numpy(draw.normal(0.3, 1.2, size=(rows, width)))


def test_kernel_distance_equals_torchmetrics():
    assert kernel_distance(*two_sets()) == pytest.approx(0.4167909989, abs=1e-10)


def test_kernel_distance_against_its_sums():
    a, b = (rows[:20] for rows in two_sets())

    def kernel(x, y):
        return (float(x @ y) / 16 + 1) ** 3

    pairs = [(i, j) for i in range(20) for j in range(20) if i != j]
    expected = sum(kernel(a[i], a[j]) + kernel(b[i], b[j]) for i, j in pairs) / len(pairs)
    expected -= 2 * sum(kernel(x, y) for x in a for y in b) / 400
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_subsets():
    a, b = two_sets()
    mean, spread = subset_kernel_distance(a, b, subsets=20, size=100)
    assert abs(mean - kernel_distance(a, b)) < 0.1 and 0 < spread < 0.2
    assert subset_kernel_distance(a, b, subsets=3, size=50) == subset_kernel_distance(a, b, subsets=3, size=50)
    whole, none = subset_kernel_distance(a, b, subsets=2, size=10_000)
    assert whole == pytest.approx(kernel_distance(a, b)) and none == pytest.approx(0, abs=1e-12)


def test_better_pictures_score_lower():
    """Noisy copies lie farther from the originals, in both scores."""
    generator = torch.Generator().manual_seed(0)
    clean = [torch.rand(1, 1, 3, generator=generator).expand(20, 30, 3) for _ in range(40)]
    noise = [torch.randn(20, 30, 3, generator=generator) for _ in range(40)]
    features = {s: extract_features(colour_statistics, [c + s * n for c, n in zip(clean, noise)], batch=7, side=16) for s in (0, 0.05, 0.3)}
    scores = [realism(features[0], features[s], min_rows=40) for s in (0.05, 0.3)]
    assert scores[0].fid < scores[1].fid and scores[0].kid < scores[1].kid and scores[0].count_a == 40


def colour_statistics(images):
    return torch.cat([images.mean((1, 2)), images.std((1, 2))], 1)


def test_resizing_is_clean_fids():
    """Its lines for one channel, written out; a plain resize of bytes differs."""
    from PIL import Image

    picture = torch.rand(37, 51, 3)
    ours = clean_resize(picture, 299)
    channel = (picture[..., 1] * 255).numpy().astype(np.float32)
    theirs = np.asarray(Image.fromarray(channel, mode="F").resize((299, 299), resample=Image.Resampling.BICUBIC)).clip(0, 255)
    assert np.allclose(ours[..., 1] * 255, theirs, atol=1e-3)


@pytest.mark.parametrize("place", [(4, 20, 10, 18), (0, 30, 0, 6), (22, 30, 5, 40)])
def test_people_are_cut_out_square_on_black(place):
    top, bottom, left, right = place
    picture, mask = torch.rand(30, 40, 3) + 0.1, torch.zeros(30, 40)
    mask[top:bottom, left:right] = 1
    person = cut_person(picture, mask)
    side = max(bottom - top, right - left)
    assert person.shape == (side, side, 3)
    assert person.sum() == pytest.approx(float(picture[top:bottom, left:right].sum()), rel=1e-5)


def test_nobody_and_mistakes(tmp_path):
    assert cut_person(torch.rand(30, 40, 3), torch.zeros(30, 40)) is None
    with pytest.raises(InputError, match="40 x 30"):
        cut_person(torch.rand(30, 40, 3), torch.zeros(40, 30))
    with pytest.raises(InputError, match="nothing to measure"):
        extract_features(colour_statistics, [])
    (tmp_path / "net.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="inception-2015-12-05.pt"):
        load_inception(tmp_path / "net.pt")


def test_a_users_inception_is_read(tmp_path):
    class Published(torch.nn.Module):
        """Its shape: normalised pictures go through ``layers``."""

        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1), torch.nn.AdaptiveAvgPool2d(1))

        def forward(self, x):
            return self.layers(x)

    torch.manual_seed(0)
    network = Published()
    torch.jit.script(network).save(str(tmp_path / "net.pt"))
    inception, picture = load_inception(tmp_path / "net.pt"), torch.rand(2, 299, 299, 3)
    expected = network.layers((picture * 255 - 128).permute(0, 3, 1, 2) / 128).flatten(1)
    assert torch.allclose(inception(picture), expected, atol=1e-5) and len(inception.sha256) == 64
