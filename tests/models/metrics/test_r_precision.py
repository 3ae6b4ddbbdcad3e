import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.metrics.r_precision import r_precision


def test_equal_embeddings_always_find_each_other():
    embeds = torch.nn.functional.normalize(torch.randn(96, 16), dim=-1)
    assert r_precision(embeds, embeds) == {1: 1.0, 2: 1.0, 3: 1.0}


def test_unrelated_embeddings_are_at_chance():
    a, b = torch.randn(3200, 16), torch.randn(3200, 16)
    found = r_precision(a, b, repeats=4)
    for top in (1, 2, 3):
        assert abs(found[top] - top / 32) < 0.008


def test_one_constant_sentence_gains_nothing_from_ties():
    assert r_precision(torch.randn(64, 8), torch.ones(64, 8))[3] == 0


def test_matches_a_straight_count():
    poses, texts = torch.randn(32, 4), torch.randn(32, 4)
    ranks = [sorted(range(32), key=lambda j: -float(poses[i] @ texts[j])).index(i) for i in range(32)]
    found = r_precision(poses, texts, tops=(1, 5))
    assert found == {1: sum(rank < 1 for rank in ranks) / 32, 5: sum(rank < 5 for rank in ranks) / 32}


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="pool of 32"):
        r_precision(torch.randn(31, 4), torch.randn(31, 4))
    with pytest.raises(InputError, match="text_embeds"):
        r_precision(torch.randn(64, 4), torch.randn(64, 5))
