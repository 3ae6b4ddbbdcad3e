"""The MiniLM reader against torch's own transformer and the float32 original; int8 storage; text states."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contrapposto.models.assets.files import write_safetensors
from contrapposto.models.assets.registry import TEXT_ENCODER, bundled
from contrapposto.models.checks import InputError
from contrapposto.models.text_to_pose.text_encoder import (
    MAX_TOKENS,
    MiniLM,
    TextStates,
    dequantise_rows,
    load_minilm,
    quantise_rows,
)

HERE = Path(__file__).parent
CAPTIONS = (HERE / "captions.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def encoder():
    return load_minilm()


def torch_layers(network):
    """The same layers built from torch's TransformerEncoderLayer, which is post-norm BERT with GELU."""
    layers = []
    for ours in network.layers:
        theirs = nn.TransformerEncoderLayer(32, 4, 128, 0.0, "gelu", 1e-12, batch_first=True)
        theirs.self_attn.in_proj_weight.data = torch.cat([ours.query.weight, ours.key.weight, ours.value.weight])
        theirs.self_attn.in_proj_bias.data = torch.cat([ours.query.bias, ours.key.bias, ours.value.bias])
        pairs = [(theirs.self_attn.out_proj, ours.out), (theirs.linear1, ours.up), (theirs.linear2, ours.down),
                 (theirs.norm1, ours.attention_norm), (theirs.norm2, ours.norm)]
        for to, source in pairs:
            to.load_state_dict(source.state_dict())
        layers.append(theirs.eval())
    return layers


def test_network_equals_torch_transformer_layers():
    network = MiniLM(words=50, positions=20, width=32, layers=2, heads=4).eval()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    ids, mask = torch.randint(0, 50, (3, 7)), torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    expected = network.norm(network.words(ids) + network.positions.weight[:7])
    for layer in torch_layers(network):
        expected = layer(expected, src_key_padding_mask=~mask)
    torch.testing.assert_close(network(ids, mask)[mask], expected[mask], rtol=1e-4, atol=1e-5)


def test_bundled_encoder_is_close_to_the_float32_original(encoder):
    """Reference: embeddings of the unquantised weights, written by scripts/build_text_encoder.py."""
    expected = torch.from_numpy(np.load(HERE / "minilm_reference.npz")["pooled"].astype(np.float32))
    cosine = torch.cosine_similarity(encoder(CAPTIONS).pooled, expected)
    assert len(CAPTIONS) == 50 and cosine.min() >= 0.995


def test_meaning_survives(encoder):
    pooled = encoder(["a person sits on a chair", "someone is seated", "a gymnast does a cartwheel"]).pooled
    assert pooled[0] @ pooled[1] > pooled[0] @ pooled[2] + 0.2


def test_states_of_a_prompt_do_not_depend_on_its_neighbours(encoder):
    alone, together = encoder(CAPTIONS[:1]), encoder(CAPTIONS[:20])
    count = int(alone.mask.sum())
    torch.testing.assert_close(together.tokens[:1, :count], alone.tokens, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.pooled[:1], alone.pooled, rtol=1e-4, atol=1e-5)
    assert together.tokens[:1, count:].abs().max() == 0 and together.encoder == encoder.id


def test_many_prompts_are_encoded_in_parts(encoder, monkeypatch):
    whole = encoder(CAPTIONS[:7])
    monkeypatch.setattr("contrapposto.models.text_to_pose.text_encoder.PROMPTS_AT_ONCE", 3)
    parts = encoder(CAPTIONS[:7])
    assert torch.equal(parts.mask, whole.mask)
    torch.testing.assert_close(parts.tokens, whole.tokens, rtol=1e-4, atol=1e-5)


def test_long_prompts_are_cut_at_77_tokens(encoder):
    states = encoder(["jump " * 150, "jump"])
    assert states.tokens.shape == (2, MAX_TOKENS, 384) and states.mask.sum(1).tolist() == [77, 3]


def test_a_prompt_without_a_known_word_is_refused(encoder):
    with pytest.raises(InputError, match="prompt.*no word.*English"):
        encoder(["a person jumps", "☂☂ ꙮ"])


def test_quantising_loses_at_most_half_a_step_per_row():
    weights = {"a": torch.randn(6, 40) * torch.logspace(-3, 2, 6)[:, None], "zero": torch.zeros(2, 3), "bias": torch.randn(6)}
    stored = quantise_rows(weights)
    back = dequantise_rows(stored)
    assert stored["a"].dtype == torch.int8 and set(back) == set(weights)
    assert ((back["a"] - weights["a"]).abs() <= stored["a_scale"] * 0.5001).all()
    assert torch.equal(back["bias"], weights["bias"]) and torch.equal(back["zero"], weights["zero"])


def test_file_is_small_and_refused_when_it_is_something_else(tmp_path):
    assert bundled(TEXT_ENCODER).stat().st_size <= 25_000_000
    write_safetensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"format": "other"})
    with pytest.raises(InputError, match="other.safetensors.*not a MiniLM"):
        load_minilm(tmp_path / "other.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(bundled(TEXT_ENCODER).read_bytes()[:5000])
    with pytest.raises(InputError, match="cut.safetensors"):
        load_minilm(cut)


def states(counts, encoder="a", dim=4):
    mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    return TextStates(torch.randn(len(counts), max(counts), dim) * mask[..., None], mask, torch.randn(len(counts), dim), encoder)


def test_states_join_and_select():
    short, long = states([2, 3]), states([5])
    joined = TextStates.cat([short, long])
    assert len(joined) == 3 and joined.mask.sum(1).tolist() == [2, 3, 5]
    assert torch.equal(joined.tokens[:2, :3], short.tokens) and torch.equal(joined.rows([2]).pooled, long.pooled)


def test_states_of_two_encoders_do_not_join():
    with pytest.raises(InputError, match="different encoders"):
        TextStates.cat([states([2]), states([2], encoder="b")])


def test_states_check_their_shapes():
    with pytest.raises(InputError, match="mask"):
        TextStates(torch.zeros(2, 3, 4), torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 4), "a")
