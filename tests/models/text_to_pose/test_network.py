"""The transformer: what may see what, and the shared text prefix against the plain causal sequence."""

import pytest
import torch
from torch.nn import functional as F

from contrapposto.models.text_to_pose.network import SUFFIX, NetworkConfig, PoseTransformer, sinusoids
from contrapposto.models.text_to_pose.text_encoder import TextStates

CONFIG = NetworkConfig("latent", text_dim=24, max_tokens=12, width=32, layers=3, heads=4)


@pytest.fixture
def network():
    network = PoseTransformer(CONFIG).double().eval()
    torch.nn.init.normal_(network.null_text)
    return network


def text_states(counts, dim=24, length=None):
    length = length or max(counts)
    mask = torch.arange(length) < torch.tensor(counts)[:, None]
    return TextStates(torch.randn(len(counts), length, dim).double(), mask, torch.randn(len(counts), dim).double(), "test")


def batch(rows, copies):
    return torch.randn(rows, copies, CONFIG.pose_dim).double(), torch.randint(0, 1000, (rows, copies))


def plain_forward(network, x_t, t, tokens, pooled):
    """Figure 3 of PAS as it stands, one sample without padding: the whole sequence under one causal mask.

    x_t (D,), t (), tokens (T, D), pooled (D,).
    """
    body, root = x_t[:-6], x_t[-6:]
    pooled = F.normalize(pooled, dim=-1) * CONFIG.text_dim**0.5
    sequence = torch.cat([
        network.text_in(network.text_norm(tokens)) + network.text_positions[: len(tokens)],
        torch.stack([network.pooled_in(pooled), network.time_in(sinusoids(t, CONFIG.width).double()), network.body_in(body),
                     network.root_in(root), torch.zeros_like(network.null_text), torch.zeros_like(network.null_text)]) + network.places,
    ])[None]
    for block in network.blocks:
        q, k, v = block.qkv(block.norm1(sequence)).unflatten(-1, (3, CONFIG.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        sequence = sequence + block.out(attended)
        sequence = sequence + block.down(F.gelu(block.up(block.norm2(sequence))))
    out = network.norm(sequence[0, -2:])
    return torch.cat([network.body_out(out[0]), network.root_out(out[1])])


def test_shared_prefix_equals_the_plain_sequence_gradients_included(network):
    text, (x_t, t) = text_states([5, 9]), batch(2, 3)
    fast = network(x_t, t, network.encode_prefix(text))
    slow = torch.stack([torch.stack([plain_forward(network, x_t[b, k], t[b, k], text.tokens[b][text.mask[b]], text.pooled[b])
                                     for k in range(3)]) for b in range(2)])
    torch.testing.assert_close(fast, slow)
    weights = [w for w in network.parameters() if w is not network.null_text]
    for ours, theirs in zip(torch.autograd.grad(fast.square().sum(), weights), torch.autograd.grad(slow.square().sum(), weights)):
        torch.testing.assert_close(ours, theirs)


def test_shapes_of_both_representations():
    for representation, size in (("latent", 38), ("rot6d", 132)):
        network = PoseTransformer(NetworkConfig(representation, text_dim=24, width=32, layers=1))
        text = text_states([4])
        text = TextStates(text.tokens.float(), text.mask, text.pooled.float(), "test")
        out = network(torch.randn(1, 5, size), torch.zeros(1, 5, dtype=torch.int64), network.encode_prefix(text))
        assert out.shape == (1, 5, size) and SUFFIX == 5


def test_padding_changes_nothing(network):
    text, (x_t, t) = text_states([4, 11]), batch(2, 1)
    short = TextStates(text.tokens[:1, :4], text.mask[:1, :4], text.pooled[:1], "test")
    together = network(x_t, t, network.encode_prefix(text))
    torch.testing.assert_close(together[:1], network(x_t[:1], t[:1], network.encode_prefix(short)))


def test_copies_do_not_see_one_another(network):
    prefix, (x_t, t) = network.encode_prefix(text_states([4])), batch(1, 4)
    together = network(x_t, t, prefix)
    torch.testing.assert_close(together[:, 2:3], network(x_t[:, 2:3], t[:, 2:3], prefix))


def test_tokens_beyond_the_limit_are_ignored(network):
    text, (x_t, t) = text_states([15]), batch(1, 1)
    cut = TextStates(text.tokens[:, :12], text.mask[:, :12], text.pooled, "test")
    torch.testing.assert_close(network(x_t, t, network.encode_prefix(text)), network(x_t, t, network.encode_prefix(cut)))


def test_a_dropped_prompt_is_the_null_prefix(network):
    text, (x_t, t) = text_states([4, 7]), batch(2, 2)
    dropped = network(x_t, t, network.encode_prefix(text, keep=torch.tensor([False, True])))
    torch.testing.assert_close(dropped[:1], network(x_t[:1], t[:1], network.null_prefix(1)))
    torch.testing.assert_close(dropped[1:], network(x_t, t, network.encode_prefix(text))[1:])


def test_joined_prefixes_keep_their_rows(network):
    text, (x_t, t) = text_states([3]), batch(1, 2)
    long = text_states([9])
    joined = network.encode_prefix(text).cat(network.encode_prefix(long))
    out = network(torch.cat([x_t, x_t]), torch.cat([t, t]), joined)
    torch.testing.assert_close(out[:1], network(x_t, t, network.encode_prefix(text)))
    torch.testing.assert_close(out[1:], network(x_t, t, network.encode_prefix(long)))


def test_text_time_and_pose_all_matter(network):
    text, (x_t, t) = text_states([4]), batch(1, 1)
    base = network(x_t, t, network.encode_prefix(text))
    assert not torch.allclose(base, network(x_t, t, network.encode_prefix(text_states([4]))))
    assert not torch.allclose(base, network(x_t, (t + 400) % 1000, network.encode_prefix(text)))
    assert not torch.allclose(base, network(x_t + 1, t, network.encode_prefix(text)))
